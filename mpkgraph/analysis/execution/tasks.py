"""The tasks of all ranks side by side, with the counters that they wait for and add to.

Task t of the i-th graph is number `starts[i] + t`; events are numbered alike. What a task waits for
on a rank that is not there is an event that nobody completes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.csr import Csr, IntArray
from mpkgraph.errors import UsageError
from mpkgraph.frozen import dataclass
from mpkgraph.model import ids
from mpkgraph.model.graph import TaskGraph, UInt64Column

COLLECTIVES = (302,)
"""Task types whose kernels have a barrier over all ranks: TASK_NVSHMEM_TILE_ALLREDUCE."""
NOTHING = -1
"""Number of the event of a task that waits for none, or triggers none."""


@dataclass(frozen=True)
class RankedTasks:
    """Columns over the tasks and events of some ranks of one pipeline."""

    graphs: tuple[TaskGraph, ...]
    starts: IntArray
    """By graph the number of its first task; one more at the end."""
    event_starts: IntArray
    dependents: IntArray = field(repr=False)
    """By task the number of the event that it waits for; -1 for none."""
    triggers: IntArray = field(repr=False)
    needed: IntArray = field(repr=False)
    """By event how many triggers complete it (`num_triggers`)."""
    is_run: npt.NDArray[np.bool_] = field(repr=False)
    """By task whether a worker runs it in one iteration: all but terminate and null tasks."""
    foreign: tuple[ids.EventId, ...] = ()
    """Events past the last rank's: those that tasks name and no graph here holds."""
    partners: IntArray = field(default_factory=lambda: np.zeros((0, 0), np.int64), repr=False)
    """A row for each task that runs on all ranks at once (a barrier in the kernel): its numbers.
    None starts before what all of them wait for is complete."""

    @classmethod
    def of(cls, graphs: Sequence[TaskGraph]) -> RankedTasks:
        """Of graphs of different ranks. Raises UsageError when two are of one rank."""
        ranks = [graph.rank for graph in graphs]
        if len(set(ranks)) != len(ranks):
            raise UsageError("two graphs of one rank", remedy="Give each rank once")
        starts = np.cumsum([0, *(graph.num_tasks for graph in graphs)])
        event_starts = np.cumsum([0, *(graph.num_events for graph in graphs)])
        resolver = _Events(graphs, event_starts)
        dependents = [resolver.numbers(x.tasks.dependent_events) for x in graphs]
        triggers = [resolver.numbers(x.tasks.trigger_events) for x in graphs]
        needed = [x.events.num_triggers.astype(np.int64) for x in graphs]
        runs = []
        for graph in graphs:
            run = ~graph.tasks.is_null
            run[: ids.BEGIN_TASK_ID] = False
            runs.append(run)
        foreign = resolver.foreign
        return cls(
            graphs=tuple(graphs),
            starts=starts,
            event_starts=event_starts,
            dependents=_joined(dependents),
            triggers=_joined(triggers),
            needed=_joined([*needed, np.full(len(foreign), np.iinfo(np.int64).max)]),
            is_run=np.concatenate(runs) if runs else np.zeros(0, dtype=np.bool_),
            foreign=foreign,
            partners=_partners(graphs, starts),
        )

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def num_events(self) -> int:
        return len(self.needed)

    def number(self, rank: int, task_id: int) -> int:
        """The number of a task of a rank. Raises KeyError for a rank that is not here."""
        for start, graph in zip(self.starts.tolist(), self.graphs, strict=False):
            if graph.rank == rank:
                return int(start) + task_id
        raise KeyError(rank)

    def graph_of(self, number: int) -> int:
        """Position of the graph that a task is of."""
        return int(np.searchsorted(self.starts, number, side="right")) - 1

    def task(self, number: int) -> tuple[int, int]:
        """Rank and id of a task."""
        position = self.graph_of(number)
        return self.graphs[position].rank, number - int(self.starts[position])

    def event(self, number: int) -> ids.EventId:
        """The event of a number."""
        last = int(self.event_starts[-1])
        if number >= last:
            return self.foreign[number - last]
        position = int(np.searchsorted(self.event_starts, number, side="right")) - 1
        return ids.EventId(
            self.graphs[position].rank, number - int(self.event_starts[position]), nvshmem=False
        )

    def waiting(self) -> Csr:
        """By event the tasks that wait for it."""
        return Csr.group(np.where(self.is_run, self.dependents, NOTHING), self.num_events)

    def triggering(self) -> Csr:
        """By event the tasks that trigger it."""
        return Csr.group(np.where(self.is_run, self.triggers, NOTHING), self.num_events)


class _Events:
    """Numbers events of several graphs."""

    def __init__(self, graphs: Sequence[TaskGraph], starts: IntArray) -> None:
        self._graphs = graphs
        self._starts = starts
        self._foreign: dict[ids.EventId, int] = {}

    @property
    def foreign(self) -> tuple[ids.EventId, ...]:
        return tuple(self._foreign)

    def numbers(self, event_ids: UInt64Column) -> IntArray:
        ranks, indices = ids.event_ranks(event_ids), ids.event_indices(event_ids)
        numbers = np.full(len(event_ids), NOTHING, dtype=np.int64)
        known = indices < 0
        for start, graph in zip(self._starts.tolist(), self._graphs, strict=False):
            here = (ranks == graph.rank) & (indices >= 0) & (indices < graph.num_events)
            numbers[here] = start + indices[here]
            known |= here
        for place in np.flatnonzero(~known).tolist():
            event = ids.EventId(int(ranks[place]), int(indices[place]), nvshmem=False)
            number = self._foreign.setdefault(event, len(self._foreign))
            numbers[place] = int(self._starts[-1]) + number
        return numbers


def _partners(graphs: Sequence[TaskGraph], starts: IntArray) -> IntArray:
    """The same task of all ranks, for the types whose kernels wait for each other."""
    common = min((graph.num_tasks for graph in graphs), default=0)
    types = [graph.tasks.task_types[:common] for graph in graphs]
    if len(graphs) < 2:
        return np.zeros((0, len(graphs)), dtype=np.int64)
    together = np.all([np.isin(x, COLLECTIVES) for x in types], axis=0)
    rows: IntArray = np.flatnonzero(together)[:, None] + starts[:-1][None, :]
    return rows


def _joined(columns: Sequence[IntArray]) -> IntArray:
    return np.concatenate(columns) if columns else np.zeros(0, dtype=np.int64)
