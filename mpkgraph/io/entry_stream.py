"""What the cache keeps of a graph, made while the graph is streamed, in little memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, BinaryIO

from mpkgraph.io.cache import entry_file_name
from mpkgraph.io.cache_entry import GraphEntryWriter
from mpkgraph.io.entry_blocks import BlockWriter
from mpkgraph.io.entry_checks import EntryError
from mpkgraph.io.operators_entry import OperatorsWriter
from mpkgraph.model.graph import TaskColumns
from mpkgraph.model.operator import Operator

if TYPE_CHECKING:
    from mpkgraph.io.reader import GraphStream


class EntryStream:
    """Watches a stream (see `analysis.summary.StreamWatch`) and makes the entries of its graph.

    Compressed columns go to `spool`, `max_bytes` of them at most. `complete` is what becomes of
    operators once all are known (it may go through them again and again), `sha256` waits for that
    of the text (None when it is not known).
    """

    def __init__(
        self,
        path: str,
        complete: Callable[[Iterable[Operator]], Iterable[Operator]],
        sha256: Callable[[], str | None],
        spool: BinaryIO,
        max_bytes: int,
    ) -> None:
        self._path = path
        self._sha256 = sha256
        self._max_bytes = max_bytes
        self._complete = complete
        self._graph: GraphEntryWriter | None = GraphEntryWriter(spool)
        self._operators: OperatorsWriter | None = OperatorsWriter()
        self.rank = 0
        self.graph_entry: BlockWriter | None = None
        """None when it can't be kept."""
        self.operators_entry: bytes | None = None

    def add_tasks(self, tasks: TaskColumns) -> None:
        if self._graph is None:
            return
        try:
            self._graph.add_tasks(tasks)
        except (EntryError, OSError):
            self._give_up()
        else:
            if self._graph.num_bytes > self._max_bytes:
                self._give_up()

    def add_operators(self, operators: Sequence[Operator]) -> None:
        if self._operators is None:
            return
        try:
            self._operators.add(operators)
        except EntryError:
            self._operators = None

    def finish(self, stream: GraphStream) -> None:
        """Call it when all tasks and operators have come."""
        self.rank = stream.rank
        if self._graph is None:
            return
        try:
            self.graph_entry = self._graph.finish(
                name=entry_file_name(self._path),
                rank=stream.rank,
                source=dataclasses.replace(stream.source, sha256=self._sha256()),
                layouts=stream.layouts,
                events=stream.events,
                first_tasks=stream.first_tasks,
                extras=stream.extras,
            )
            if self._operators is not None:
                self.operators_entry = self._operators.finish(stream.num_tasks, self._complete)
        except (EntryError, OSError):
            pass
        self._give_up()

    def _give_up(self) -> None:
        self._graph = self._operators = None
