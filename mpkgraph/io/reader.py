"""Reading task graphs: `read_graph`, `read_graphs` and, in bounded memory, `stream_graph`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from mpkgraph.errors import UsageError
from mpkgraph.frozen import dataclass
from mpkgraph.io import checks
from mpkgraph.io.document import GraphDocument, Progress
from mpkgraph.io.paths import graph_files
from mpkgraph.io.source import StrPath, open_source
from mpkgraph.model.graph import EventColumns, GraphSource, SlotLayout, TaskColumns, TaskGraph

__all__ = ["GraphStream", "Progress", "TaskBatch", "read_graph", "read_graphs", "stream_graph"]

BLOCK_BYTES = 3 << 19


def read_graph(
    path: StrPath, *, processes: int | None = None, progress: Progress | None = None
) -> TaskGraph:
    """Reads one rank's task graph into columns.

    `path` is a file (plain, gzip or zstandard, told by its content), or "-" for standard input.
    Any legal JSON text of a graph reads to the same columns; the layout that Mirage writes is the
    fastest.

    A plain file of 100 MB or more is read by two processes where two CPUs are free; `processes`
    1 or 2 says so for any size (more than 2 are not used). Other threads, compressed input and
    systems other than Linux mean one process.

    The rank is that of the event ids; a graph without any takes it from its file name.

    Raises GraphReadError, with the file, the byte or task and a remedy, for everything that can
    be wrong with the file.
    """
    if processes is not None and processes < 1:
        raise UsageError("processes must be at least 1")
    with open_source(path) as source:
        document = GraphDocument(source, block_bytes=BLOCK_BYTES, progress=progress)
        if processes != 1:
            from mpkgraph.io.parallel import num_processes

            document.processes = num_processes(processes, document)
        with closing(document.steps()) as steps:
            for _ in steps:
                pass
        tasks = document.tasks.take()
        events = document.events.take()
        first_tasks: npt.NDArray[np.int64] = document.first_tasks.take()
        rank = checks.rank_in_tasks(tasks)
        if rank is None:
            rank = checks.rank_in_name(source.path) or 0
        event_ids = checks.EventIdCheck(source.name)
        event_ids.rank = rank
        event_ids.add(tasks, 0)
        event_ids.finish(len(events))
        checks.check_events(source.name, events, len(tasks))
        checks.check_first_tasks(source.name, first_tasks, len(tasks))
        return TaskGraph(
            tasks=tasks,
            events=events,
            first_tasks=first_tasks,
            layouts=tuple(document.layouts.layouts),
            rank=rank,
            source=GraphSource(path=source.path, num_bytes=document.num_bytes),
            extras=document.extras,
        )


def read_graphs(
    path: StrPath, *, processes: int | None = None, progress: Progress | None = None
) -> list[TaskGraph]:
    """Reads a file, standard input or all ranks in a directory, by rank.

    Raises GraphReadError as `read_graph`, and when a directory holds no graphs or two of one rank.
    """
    return [read_graph(name, processes=processes, progress=progress) for name in graph_files(path)]


@dataclass(frozen=True)
class TaskBatch:
    """Consecutive tasks. `tasks.slot_layouts` index the stream's `layouts`."""

    first_task_id: int
    tasks: TaskColumns


class GraphStream:
    """A graph read in batches of tasks; what comes after the tasks is known at the end."""

    def __init__(self, document: GraphDocument, batch_tasks: int) -> None:
        self._document = document
        self._batch_tasks = batch_tasks
        self._events: EventColumns | None = None
        self._first_tasks: npt.NDArray[np.int64] | None = None
        self._rank: int | None = None
        self._started = False

    @property
    def layouts(self) -> list[SlotLayout]:
        """Layouts met so far; it grows while batches come."""
        return self._document.layouts.layouts

    @property
    def num_bytes(self) -> int:
        """Bytes of JSON text read so far."""
        return self._document.num_bytes

    @property
    def num_tasks(self) -> int:
        """Tasks read so far."""
        return self._document.num_tasks

    @property
    def rank(self) -> int:
        """Known from the first batch on."""
        if self._rank is None:
            raise UsageError("the rank is not known before the first batch")
        return self._rank

    @property
    def events(self) -> EventColumns:
        """Known when all batches have come."""
        if self._events is None:
            raise UsageError("the events are known when all batches have come")
        return self._events

    @property
    def first_tasks(self) -> npt.NDArray[np.int64]:
        """Known when all batches have come."""
        if self._first_tasks is None:
            raise UsageError("first_tasks is known when all batches have come")
        return self._first_tasks

    @property
    def extras(self) -> Mapping[str, Any]:
        """Top-level fields that this version does not know, met so far."""
        return self._document.extras

    @property
    def source(self) -> GraphSource:
        return GraphSource(path=self._document.source.path, num_bytes=self.num_bytes)

    def batches(self) -> Iterator[TaskBatch]:
        """All tasks in order, once. Raises GraphReadError as `read_graph`."""
        if self._started:
            raise UsageError("a stream gives its batches once", remedy="Open it again.")
        self._started = True
        document = self._document
        check = checks.EventIdCheck(document.source.name)
        first = 0
        for _ in document.steps():
            if len(document.tasks) >= self._batch_tasks:
                yield self._batch(first, check)
                first = document.num_tasks
        if len(document.tasks):
            yield self._batch(first, check)
        if self._rank is None:
            self._rank = checks.rank_in_name(document.source.path) or 0
        name = document.source.name
        self._events = document.events.take_narrow()
        self._first_tasks = document.first_tasks.take()
        check.finish(len(self._events))
        checks.check_events(name, self._events, document.num_tasks)
        checks.check_first_tasks(name, self._first_tasks, document.num_tasks)

    def _batch(self, first: int, check: checks.EventIdCheck) -> TaskBatch:
        tasks = self._document.tasks.take()
        if self._rank is None:
            rank = checks.rank_in_tasks(tasks)
            if rank is None:
                rank = checks.rank_in_name(self._document.source.path) or 0
            self._rank = check.rank = rank
        check.add(tasks, first)
        return TaskBatch(first, tasks)

    def close(self) -> None:
        self._document.source.close()

    def __enter__(self) -> GraphStream:  # noqa: PYI034  (Self needs Python 3.11)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def stream_graph(
    path: StrPath,
    *,
    batch_tasks: int = 16384,
    block_bytes: int = 1 << 20,
    progress: Progress | None = None,
) -> GraphStream:
    """Opens a graph to be read in batches of about `batch_tasks` tasks, in bounded memory.

    Memory is a few times `block_bytes` plus the batch and the events. A context manager.
    Raises GraphReadError as `read_graph`.
    """
    if batch_tasks < 1 or block_bytes < 1:
        raise UsageError("batch_tasks and block_bytes must be positive")
    source = open_source(path)
    try:
        return GraphStream(
            GraphDocument(
                source, block_bytes=block_bytes, batch_tasks=batch_tasks, progress=progress
            ),
            batch_tasks,
        )
    except BaseException:
        source.close()
        raise
