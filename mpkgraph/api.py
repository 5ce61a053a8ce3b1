"""The few functions that most users of the library need, as `mpkgraph.read` and so on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mpkgraph.catalog import DEFAULT, Catalog
from mpkgraph.errors import UsageError
from mpkgraph.io.reader import Progress, read_graph, read_graphs
from mpkgraph.model.graph import TaskGraph
from mpkgraph.model.operator import OperatorSet
from mpkgraph.model.record import PipelineRecord
from mpkgraph.pipeline.compiled import BOTH, Compiled, CompileResult

if TYPE_CHECKING:
    from mpkgraph.analysis.cost.model import CostModel
    from mpkgraph.analysis.diff.report import DiffReport
    from mpkgraph.analysis.page import Overlay
    from mpkgraph.analysis.schedule.result import Schedule
    from mpkgraph.analysis.summary import Summary
    from mpkgraph.analysis.verify.context import VerifyContext, VerifyOptions
    from mpkgraph.analysis.verify.run import VerifyResult

PathLike = str | os.PathLike[str]
Source = TaskGraph | PipelineRecord | Compiled
"""One rank of a pipeline: its graph, its record, or both as they were compiled."""


def read(
    path: PathLike, *, processes: int | None = None, progress: Progress | None = None
) -> TaskGraph:
    """One rank's graph from a file (plain, gzip, zstandard) or "-" for standard input.

    For all the ranks in a directory there is `read_all`.

    Raises GraphReadError for a file that can't be read or breaks the format.
    """
    return read_graph(path, processes=processes, progress=progress)


def read_all(
    path: PathLike, *, processes: int | None = None, progress: Progress | None = None
) -> list[TaskGraph]:
    """All ranks in a directory, by rank; of a file or "-", the one graph in it.

    Raises GraphReadError as `read`, and for a directory without graphs.
    """
    return read_graphs(path, processes=processes, progress=progress)


def operators(
    graph: TaskGraph,
    record: PipelineRecord | PathLike | None = None,
    *,
    catalog: Catalog = DEFAULT,
    find_record: bool = True,
) -> OperatorSet:
    """The operators of a graph: exact from a pipeline record, else recovered from the tasks.

    `record` is a record or its path; without one, the record beside the graph's file is used
    when there is one and `find_record` is true. `Operator.origin` says which it was.

    Raises GraphReadError when the record can't be read or is not of this graph.
    """
    from mpkgraph.io import record as records
    from mpkgraph.views.operators import recover_operators
    from mpkgraph.views.recorded import recorded_operators

    if record is None and find_record and graph.source.path is not None:
        record = records.find_record(graph.source.path)
    if record is None:
        return recover_operators(graph, catalog)
    if not isinstance(record, PipelineRecord):
        record = records.read_record(record)
    return recorded_operators(graph, record, catalog)


def summarise(
    graph: TaskGraph,
    operator_set: OperatorSet | None = None,
    *,
    catalog: Catalog = DEFAULT,
    num_workers: int | None = None,
) -> Summary:
    """What `mpkgraph show` says of a graph, as an object with `to_json()`."""
    from mpkgraph.analysis.summary import SummaryOptions
    from mpkgraph.analysis.summary import summarise as summarise_graph

    if operator_set is None:
        operator_set = operators(graph, catalog=catalog)
    options = SummaryOptions(num_workers=num_workers)
    return summarise_graph(graph, operator_set, catalog=catalog, options=options)


def save_page(
    graph: TaskGraph,
    path: PathLike,
    operator_set: OperatorSet | None = None,
    *,
    record: PipelineRecord | None = None,
    overlays: Sequence[Overlay] = (),
    catalog: Catalog = DEFAULT,
) -> None:
    """Write `mpkgraph show --html`: one HTML file to look around in a graph.

    `record` is the one that the operators are from, for the lines of the user's script. `overlays`
    colour the page, the first one at the start (see `mpkgraph.analysis.page`).

    Raises SelectionError for an overlay that does not fit the graph, GraphWriteError when the file
    can't be written.
    """
    from mpkgraph.analysis.context import GraphContext
    from mpkgraph.analysis.page import make_page
    from mpkgraph.render.html import save_page as save

    if operator_set is None:
        operator_set = operators(graph, record, catalog=catalog)
    save(make_page(GraphContext(graph, operator_set, catalog), record, overlays), path)


def schedule(
    graphs: TaskGraph | Sequence[TaskGraph],
    record: PipelineRecord | PathLike | None = None,
    *,
    cost: str | CostModel | None = None,
    num_workers: int | None = None,
    num_schedulers: int | None = None,
    kv_length: int | None = None,
    profile: PathLike | None = None,
    what_if: Iterable[str] = (),
    catalog: Catalog = DEFAULT,
    find_record: bool = True,
) -> Schedule:
    """When each task runs: `mpkgraph show --schedule` as an object with `to_json()`.

    `graphs` is one rank, or all ranks of a pipeline. `cost` is a GPU's name, the path of a cost
    file or a `CostModel`; `what_if` as on the command line. `record` goes with one rank; without
    it the records beside the graphs' files are used when there are any and `find_record` is true.

    Raises UsageError for what can't be simulated as asked, GraphReadError for a cost file, profile
    or record that can't be read.
    """
    from mpkgraph.analysis.context import GraphContext
    from mpkgraph.io import record as records
    from mpkgraph.placement import ScheduleQuestion, simulate_schedule
    from mpkgraph.views.operators import recover_operators
    from mpkgraph.views.recorded import recorded_operators

    ranks = [graphs] if isinstance(graphs, TaskGraph) else list(graphs)
    if not ranks:
        raise UsageError("there is no graph to simulate", remedy="Give at least one")
    if record is not None and len(ranks) > 1:
        raise UsageError("a record goes with one graph", remedy="Leave it out")
    contexts, found = [], None
    for graph in ranks:
        of_rank = record
        if of_rank is None and find_record and graph.source.path is not None:
            of_rank = records.find_record(graph.source.path)
        if of_rank is not None and not isinstance(of_rank, PipelineRecord):
            of_rank = records.read_record(of_rank)
        found = found or of_rank
        contexts.append(
            GraphContext(
                graph,
                recover_operators(graph, catalog)
                if of_rank is None
                else recorded_operators(graph, of_rank, catalog),
                catalog,
            )
        )
    question = ScheduleQuestion(
        cost,
        num_workers,
        num_schedulers,
        kv_length,
        None if profile is None else os.fspath(profile),
        tuple(what_if),
    )
    return simulate_schedule(contexts, question, found)


def compile(  # noqa: A001  as the command is called
    pipeline: PathLike | Callable[..., Any] | Sequence[PathLike],
    *,
    target: str | int | None = None,
    settings: Mapping[str, object] | None = None,
    arguments: Sequence[str] = (),
    output: PathLike | None = None,
    world_size: int | None = None,
    rank: int | None = None,
    all_ranks: bool = False,
    **more: Any,
) -> CompileResult:
    """Plan the task graphs of a pipeline, as `mpkgraph compile` does; files only with `output`.

    `pipeline` is a script (run with `arguments`), a function or its name (`module:function`,
    `file.py:function`), called with `settings` as its parameters, or one or several recorded
    pipelines. `target` is a compute
    capability (90) or a GPU (`"b200"`). `more` are further fields of
    `mpkgraph.pipeline.compile.CompileOptions`: `num_workers`, `multicast`, `meta`, `init`, ...

    >>> import mpkgraph
    >>> result = mpkgraph.compile("examples/rmsnorm.py:build", target="h100")
    >>> result.graph.num_tasks > 2
    True

    Raises PipelineError for what Mirage would refuse, UsageError for a name that is none,
    GraphReadError for a record that can't be read.
    """
    from mpkgraph.pipeline.compile import CompileOptions, compile_pipelines
    from mpkgraph.pipeline.target import find_cc

    sources: list[str | Callable[..., Any]]
    if callable(pipeline):
        sources = [pipeline]
    elif isinstance(pipeline, _PATHS):
        sources = [os.fspath(pipeline)]
    elif isinstance(pipeline, Iterable):
        sources = [os.fspath(x) for x in pipeline]
    else:
        raise UsageError(
            f"a {type(pipeline).__name__} is no pipeline",
            remedy="Give a function, its name, a script or records",
        )
    options = CompileOptions(
        output=None if output is None else Path(output),
        emit=BOTH if output is not None else frozenset(),
        cc=None if target is None else find_cc(str(target)),
        settings=settings or {},
        arguments=tuple(arguments),
        world_size=world_size,
        rank=rank,
        all_ranks=all_ranks,
        **more,
    )
    return compile_pipelines(sources, options)


def verify(
    source: Source | Sequence[Source] | CompileResult | PathLike,
    record: PipelineRecord | PathLike | None = None,
    *,
    select: Iterable[str] = (),
    ignore: Iterable[str] = (),
    catalog: Catalog = DEFAULT,
    options: VerifyOptions | None = None,
    find_record: bool = True,
) -> VerifyResult:
    """What is wrong with one pipeline, as `mpkgraph verify` finds it.

    `source` is a graph, a pipeline record (which is planned first), one of `compile(...).compiled`,
    several of these (the ranks of one pipeline), what `compile` returned for one pipeline, or the
    path of a graph, of a directory of them, or of a record. `record` goes with one graph; without
    it, the one beside the graph's file is used when there is one and `find_record` is true.
    `select` and `ignore` hold codes, names, families or prefixes of rules.

    Raises UsageError for a word that is no rule, GraphReadError for what can't be read or a record
    of another graph, PipelineError for a pipeline that Mirage refuses.
    """
    from mpkgraph.analysis.verify.report import check
    from mpkgraph.analysis.verify.subjects import pipeline_of

    sources = _verify_sources(source)
    if record is not None and not (len(sources) == 1 and isinstance(sources[0], TaskGraph)):
        raise UsageError("a record goes with one graph", remedy="Leave it out")
    contexts = [_verify_context(x, record, catalog, options, find_record) for x in sources]
    pipeline = pipeline_of(str(source) if isinstance(source, _PATHS) else "pipeline", contexts)
    return check(pipeline, select=select, ignore=ignore).result


def diff(
    left: Source | Sequence[Source] | CompileResult | PathLike,
    right: Source | Sequence[Source] | CompileResult | PathLike,
    *,
    only: Iterable[str] = (),
    ignore: Iterable[str] = (),
    ignore_names: bool = False,
    catalog: Catalog = DEFAULT,
    find_record: bool = True,
) -> DiffReport:
    """What differs between two pipelines, as `mpkgraph diff` tells it; `left` is what was.

    Each side is a graph, a record (which is planned first), one of `compile(...).compiled`,
    several of these (ranks of one pipeline), what `compile` returned for one pipeline, or the path
    of a graph, of a directory of them, or of a record. `only` and `ignore` hold levels and aspects
    of `mpkgraph.analysis.diff.options`.

    >>> old, new = (
    ...     compile("examples/rmsnorm.py:build", target="h100", settings={"rows": n})
    ...     for n in (16, 8)
    ... )
    >>> diff(old, new).is_equal
    False

    Raises UsageError for a word that is no level or aspect, GraphReadError for what can't be read,
    PipelineError for a pipeline that Mirage refuses.
    """
    from mpkgraph.analysis.diff.options import DiffOptions
    from mpkgraph.analysis.diff.report import compare_ranks, report_of
    from mpkgraph.analysis.diff.side import Side

    options = DiffOptions.of_words(only, ignore, ignore_names=ignore_names)
    sides, names = [], []
    for source, name in ((left, "left"), (right, "right")):
        name = str(source) if isinstance(source, _PATHS) else name  # noqa: PLW2901
        contexts = [
            _verify_context(x, None, catalog, None, find_record) for x in _verify_sources(source)
        ]
        sides.append(
            {
                x.graph.rank: Side.of(x.graph, x.operators, x.record, name=name, catalog=catalog)
                for x in contexts
            }
        )
        names.append(name)
    comparisons = compare_ranks(sides[0], sides[1], options)
    return report_of(comparisons, sides[0], sides[1], (names[0], names[1]), options)


_PATHS = (str, os.PathLike)


def _verify_sources(
    source: Source | Sequence[Source] | CompileResult | PathLike,
) -> Sequence[Source]:
    if isinstance(source, (TaskGraph, PipelineRecord, Compiled)):
        return [source]
    if isinstance(source, CompileResult):
        return _one_pipeline(source)
    if not isinstance(source, _PATHS):
        members = list(source) if isinstance(source, Iterable) else [source]
        odd = [x for x in members if not isinstance(x, (TaskGraph, PipelineRecord, Compiled))]
        if odd or not members:
            what = f"a {type(odd[0]).__name__}" if odd else "nothing"
            raise UsageError(
                f"{what} is no pipeline",
                remedy="Give a graph, a record, what compile() gave, or a path",
            )
        return members
    from mpkgraph.io.record_file import is_record

    if is_record(source):
        from mpkgraph.io.record import read_record

        return [read_record(source)]
    return read_graphs(source)


def _one_pipeline(result: CompileResult) -> Sequence[Compiled]:
    """The ranks of the one pipeline that was compiled. Raises UsageError for several."""
    if len({x.index for x in result.compiled}) > 1:
        raise UsageError(
            f"{len(result.compiled)} pipelines were compiled",
            remedy="Give one of compiled, or the ranks of one",
        )
    return result.compiled


def _verify_context(
    source: Source,
    record: PipelineRecord | PathLike | None,
    catalog: Catalog,
    options: VerifyOptions | None,
    find_record: bool,
) -> VerifyContext:
    from mpkgraph.analysis.verify.subjects import context_of
    from mpkgraph.io import record as records

    if isinstance(source, Compiled):
        if source.graph is not None:
            return context_of(source.graph, source.record, catalog=catalog, options=options)
        source = source.record
    if isinstance(source, PipelineRecord):
        from mpkgraph.planner.plan import plan

        graph = plan(source, catalog=catalog).graph
        return context_of(graph, source, catalog=catalog, options=options)
    if record is None and find_record and source.source.path is not None:
        record = records.find_record(source.source.path)
    if record is not None and not isinstance(record, PipelineRecord):
        record = records.read_record(record)
    return context_of(source, record, catalog=catalog, options=options)
