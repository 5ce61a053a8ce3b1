"""From a path on the command line to graphs in memory: cache, progress, record, operators."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import click

from mpkgraph.cli.records import RecordChoice
from mpkgraph.errors import GraphReadError, SelectionError
from mpkgraph.frozen import dataclass
from mpkgraph.io.cache import GraphCache
from mpkgraph.io.cached import CachedRead, read_through_cache
from mpkgraph.io.derived import KeptResults

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from mpkgraph.analysis.context import GraphContext
    from mpkgraph.catalog import Catalog
    from mpkgraph.io.reader import Progress
    from mpkgraph.model.graph import TaskGraph
    from mpkgraph.model.operator import OperatorSet
    from mpkgraph.model.record import PipelineRecord

Item = TypeVar("Item")

PROGRESS_DELAY_S = 0.4
"""A read that takes less shows no progress bar."""


@dataclass(frozen=True)
class LoadOptions:
    """What the user said about reading."""

    path: str
    record: str | None = None
    use_record: bool = True
    mirage_home: str | None = None
    use_cache: bool = True
    processes: int | None = None
    rank: int | None = None
    progress: bool = True
    keep_summary: bool = True
    """Whether a graph whose text is read leaves its summary in the cache."""


class Loaded:
    """A graph file and what belongs to it; all of it is found when asked for, where it can be in
    the cache.
    """

    def __init__(
        self, path: str, options: LoadOptions, catalog: Catalog, cache: GraphCache | None
    ) -> None:
        self.path = path
        self.options = options
        self.catalog = catalog
        self.cache = cache
        self.kept = KeptResults(cache, path)
        self._found: CachedRead | None = None
        self._record: PipelineRecord | None = None

    @cached_property
    def records(self) -> RecordChoice:
        """The pipeline record given or found beside the graph."""
        return RecordChoice(
            self.path,
            self.kept,
            self.catalog,
            named=self.options.record,
            use_record=self.options.use_record,
        )

    @cached_property
    def graph(self) -> TaskGraph:
        """The graph. Reading its text keeps a summary too, once the command is done."""
        found = self._found or self._read()
        if found.content_sha256 is None:
            # Nothing that is kept could be told from what an earlier content gave.
            self.kept = self.records.kept = KeptResults(None, self.path)
        self.kept.sha256 = found.content_sha256
        if self.options.keep_summary and found.is_fresh and found.content_sha256 is not None:
            _when_answered(self._keep_summary)
        return found.graph

    @property
    def is_in_cache(self) -> bool:
        """Whether the columns of the graph are in the cache; they are loaded then."""
        if self._found is None and self.cache is not None:
            graph = self.cache.lookup(self.path)
            if graph is not None:
                self._found = CachedRead(graph, self.cache.content_sha256, is_fresh=False)
        return self._found is not None

    def _read(self) -> CachedRead:
        with progress_bar(enabled=self.options.progress) as progress:
            return read_through_cache(
                self.path, self.cache, processes=self.options.processes, progress=progress
            )

    @property
    def record(self) -> PipelineRecord | None:
        """The record that the operators are from; None when they are recovered."""
        self.operators  # noqa: B018  (a record counts once it has been compared with the graph)
        return self._parsed_record

    @cached_property
    def operators(self) -> OperatorSet:
        """Operators of the graph: exact from the record, else recovered from the tasks."""
        graph = self.graph
        if self.records.text is not None:
            try:
                return self._kept_operators(self._recorded_operators)
            except GraphReadError as error:
                self.records.refuse(error)

        def recovered() -> OperatorSet:
            from mpkgraph.views.operators import recover_operators

            return recover_operators(graph, self.catalog)

        return self._kept_operators(recovered)

    @cached_property
    def context(self) -> GraphContext:
        """The graph with its operators, for questions; answers that are kept are taken."""
        from mpkgraph.analysis.context import GraphContext
        from mpkgraph.cli.kept_answers import CachedAnswers

        graph, operators = self.graph, self.operators
        kept = None if self.cache is None else CachedAnswers(self)
        return GraphContext(graph, operators, self.catalog, kept)

    @property
    def _parsed_record(self) -> PipelineRecord | None:
        text = self.records.text
        if text is None:
            return None
        if self._record is None:
            from mpkgraph.io.record import parse_record

            self._record = parse_record(text.data, file=text.name, path=text.path)
        return self._record

    def _recorded_operators(self) -> OperatorSet:
        from mpkgraph.views.recorded import recorded_operators

        record = self._parsed_record
        assert record is not None
        return recorded_operators(self.graph, record, self.catalog)

    def _kept_operators(self, find: Callable[[], OperatorSet]) -> OperatorSet:
        from mpkgraph.io.entry_checks import EntryError
        from mpkgraph.io.operators_entry import decode_operators, encode_operators

        key = self.records.derivation.key(OPERATORS)
        data = self.kept.load(key)
        if data is not None:
            with suppress(EntryError):
                return decode_operators(data, num_tasks=self.graph.num_tasks)
        found = find()
        with suppress(EntryError):
            self.kept.keep(key, encode_operators(found))
        return found

    def _keep_summary(self) -> None:
        from mpkgraph.cli.show_summary import keep_summary

        keep_summary(self)


OPERATORS = "operators"
"""Key of the operators among the results that are kept."""


def open_graphs(options: LoadOptions) -> list[Loaded]:
    """The graph file, or those of all ranks in a directory in order of rank; none is read yet."""
    from mpkgraph.catalog import catalog_for
    from mpkgraph.io.cached import files_of_rank

    catalog = catalog_for(options.mirage_home)
    cache = GraphCache() if options.use_cache else None
    return [
        Loaded(path, options, catalog, cache) for path in files_of_rank(options.path, options.rank)
    ]


def load(options: LoadOptions, opened: Sequence[Loaded] | None = None) -> list[Loaded]:
    """The graph, or all ranks of a directory in order of rank (only one with `options.rank`).

    `opened` is what `open_graphs` gave already.
    """
    loaded = open_graphs(options) if opened is None else opened
    return of_rank(options, [(item.graph.rank, item) for item in loaded])


def of_rank(options: LoadOptions, items: Sequence[tuple[int, Item]]) -> list[Item]:
    """Of (rank, item) those of the rank that was asked for, all when none was.

    Raises SelectionError when there is none.
    """
    if options.rank is None:
        return [item for _, item in items]
    chosen = [item for rank, item in items if rank == options.rank]
    if not chosen:
        there = ", ".join(str(rank) for rank, _ in items)
        raise SelectionError(
            f"there is no rank {options.rank}", where=options.path, remedy=f"There is {there}"
        )
    return chosen


def load_one(options: LoadOptions, purpose: str, opened: Sequence[Loaded] | None = None) -> Loaded:
    """The one graph that a view of a single rank needs.

    Raises SelectionError when the path holds several ranks and none was chosen.
    """
    loaded = load(options, opened)
    if len(loaded) > 1:
        ranks = ", ".join(str(item.graph.rank) for item in loaded)
        raise SelectionError(
            f"{purpose} is of one rank, and there are ranks {ranks}",
            where=options.path,
            remedy="Choose one with --rank",
        )
    return loaded[0]


def _when_answered(work: Callable[[], None]) -> None:
    """Does `work` at the end of the command, after its answer."""
    context = click.get_current_context(silent=True)
    if context is None:
        return

    def run() -> None:
        if sys.exc_info()[0] is None:
            sys.stdout.flush()
            work()

    context.call_on_close(run)


@contextmanager
def progress_bar(*, enabled: bool) -> Iterator[Progress | None]:
    """A callback that draws a progress bar on standard error; None when that is no terminal."""
    if not enabled or not sys.stderr.isatty():
        yield None
        return
    bar = _ProgressBar()
    try:
        yield bar.update
    finally:
        bar.close()


class _ProgressBar:
    """Drawn only once reading has taken a while, and removed at the end."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._drawn: tuple[RichProgress, TaskID] | None = None

    def update(self, done: int, total: int | None) -> None:
        if self._drawn is None:
            if time.monotonic() - self._start < PROGRESS_DELAY_S:
                return
            self._drawn = _draw_bar(total)
        progress, task = self._drawn
        progress.update(task, completed=done, total=total, refresh=True)

    def close(self) -> None:
        if self._drawn is not None:
            self._drawn[0].stop()


def _draw_bar(total: int | None) -> tuple[RichProgress, TaskID]:
    from rich import progress
    from rich.console import Console

    bar = progress.Progress(
        progress.TextColumn("reading"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        # A thread that redraws would keep the reader from forking its second process
        auto_refresh=False,
    )
    task = bar.add_task("reading", total=total)
    bar.start()
    return bar, task
