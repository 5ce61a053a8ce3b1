"""A graph on one screen, from a graph in memory or straight from a file of any size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from mpkgraph.analysis.streamed_order import OutOfOrderError, StreamedOrder
from mpkgraph.analysis.summary_builder import SummaryBuilder, SummaryOptions
from mpkgraph.analysis.summary_result import Summary
from mpkgraph.catalog import DEFAULT, Catalog
from mpkgraph.model.graph import TaskColumns, TaskGraph
from mpkgraph.model.operator import Operator, OperatorSet

if TYPE_CHECKING:
    from mpkgraph.analysis.csr import IntArray
    from mpkgraph.analysis.event_order import EventOrder, KnownOrder
    from mpkgraph.analysis.operator_totals import OperatorTotals
    from mpkgraph.analysis.tensor_totals import TensorTotals
    from mpkgraph.io.reader import GraphStream, Progress
    from mpkgraph.io.source import StrPath

__all__ = ["StreamWatch", "Summary", "SummaryOptions", "summarise", "summarise_stream"]

BATCH_TASKS = 1024
BLOCK_BYTES = 1 << 17
"""Small enough that reading takes few MB, large enough that numpy's overhead stays low."""
SETTLED_BATCHES = 20
"""After so many all code of the loop has run, columns have been compressed too."""


class StreamWatch(Protocol):
    """Sees what comes by in one pass over a file."""

    def add_tasks(self, tasks: TaskColumns) -> None:
        """Tasks that follow those of the call before."""

    def add_operators(self, operators: Sequence[Operator]) -> None:
        """Operators as they become whole; extents that only others tell are not complete."""

    def finish(self, stream: GraphStream) -> None:
        """The end of the pass."""


class StreamAnswers(NamedTuple):
    """What second commands ask for, found on the way; None where it is not known."""

    event_levels: IntArray | None
    totals: OperatorTotals | None
    tensor_totals: TensorTotals | None


def summarise(
    graph: TaskGraph,
    operators: OperatorSet,
    *,
    catalog: Catalog = DEFAULT,
    options: SummaryOptions | None = None,
    order: KnownOrder | None = None,
) -> Summary:
    """The summary of a graph in memory; `order` spares finding the levels.

    Raises UsageError for a number of workers that the runtime can't have.
    """
    from mpkgraph.analysis.event_order import EventOrder

    builder = SummaryBuilder(catalog, options or SummaryOptions(), order or EventOrder())
    builder.add_tasks(0, graph.tasks, graph.layouts)
    builder.add_operators(operators)
    return builder.finish(
        source=graph.source,
        rank=graph.rank,
        events=graph.events,
        num_first_tasks=len(graph.first_tasks),
        layouts=graph.layouts,
        extras=graph.extras,
    )


def summarise_stream(
    path: StrPath,
    *,
    catalog: Catalog = DEFAULT,
    options: SummaryOptions | None = None,
    progress: Progress | None = None,
    watch: Callable[[], StreamWatch] | None = None,
    keep: Callable[[StreamAnswers], None] | None = None,
    relieve: Callable[[], None] | None = None,
) -> Summary:
    """The summary of a file without holding it: about 10 MB beyond the imports for 1 GB.

    Operators are recovered from the tasks. Equal to `summarise` of the graph in memory with
    recovered operators. `watch` makes what sees all that comes by; it is called once a pass, and
    the last pass is the one that counts; `keep` is called at the end of each. `relieve` is called
    wherever code has run that the rest has no use for, to give its memory back. Raises
    GraphReadError as `read_graph` does.
    """
    options = options or SummaryOptions()
    relieve = relieve or _nothing

    def one_pass(order: EventOrder | StreamedOrder) -> Summary:
        return _summarise_stream(path, catalog, options, progress, order, watch, keep, relieve)

    if str(path) != "-":
        try:
            return one_pass(StreamedOrder())
        except OutOfOrderError:
            pass  # no file of Mirage's: once more, with all edges between events in memory
    from mpkgraph.analysis.event_order import EventOrder

    return one_pass(EventOrder())


def _nothing() -> None:
    pass


def _summarise_stream(
    path: StrPath,
    catalog: Catalog,
    options: SummaryOptions,
    progress: Progress | None,
    order: EventOrder | StreamedOrder,
    watch: Callable[[], StreamWatch] | None,
    keep: Callable[[StreamAnswers], None] | None,
    relieve: Callable[[], None],
) -> Summary:
    from mpkgraph.io.reader import stream_graph
    from mpkgraph.views.operators import OperatorStream

    builder = SummaryBuilder(catalog, options, order)
    recovery = OperatorStream(catalog)
    watcher = None if watch is None else watch()
    tensors = None
    if keep is not None:
        from mpkgraph.analysis.tensor_totals import TensorStream

        tensors = TensorStream(catalog)
    with stream_graph(
        path, batch_tasks=BATCH_TASKS, block_bytes=BLOCK_BYTES, progress=progress
    ) as stream:
        relieve()
        for number, batch in enumerate(stream.batches()):
            if number == SETTLED_BATCHES:
                relieve()
            builder.add_tasks(batch.first_task_id, batch.tasks, stream.layouts)
            operators = recovery.feed(batch.first_task_id, batch.tasks, stream.layouts)
            builder.add_operators(operators)
            if tensors is not None:
                tensors.add_tasks(batch.first_task_id, batch.tasks, stream.layouts)
                tensors.add_operators(operators)
            if watcher is not None:
                watcher.add_tasks(batch.tasks)
                watcher.add_operators(operators)
        relieve()
        operators = recovery.finish()
        builder.add_operators(operators)
        if watcher is not None:
            watcher.add_operators(operators)
            watcher.finish(stream)
        if keep is not None and tensors is not None:
            tensors.add_operators(operators)
            num_events = len(stream.events)
            relieve()
            keep(
                StreamAnswers(
                    order.event_levels(num_events),
                    builder.totals(num_events, stream.rank),
                    tensors.totals(stream.layouts),
                )
            )
        return builder.finish(
            source=stream.source,
            rank=stream.rank,
            events=stream.events,
            num_first_tasks=len(stream.first_tasks),
            layouts=stream.layouts,
            extras=stream.extras,
        )
