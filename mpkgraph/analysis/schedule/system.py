"""What is simulated, as columns: every task's worker, place, events, and when it is handed out.

Facts of the runtime from Mirage `include/mirage/persistent_kernel/persistent_kernel.cuh` at
`de8745d`. The begin task triggers event 1; each scheduler then hands its workers' tasks out one
by one, row by row. A worker copies at most `FETCH_BATCH` descriptors at once from its queue, runs
them in order, and waits before each until the counter of its dependent event is full.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.csr import Csr, IntArray
from mpkgraph.analysis.event_graph import EventGraph
from mpkgraph.analysis.execution.tasks import RankedTasks
from mpkgraph.analysis.workers import assign_workers
from mpkgraph.errors import UsageError
from mpkgraph.frozen import dataclass
from mpkgraph.model import ids
from mpkgraph.model.graph import TaskGraph

FETCH_BATCH = 16
"""Task descriptors that fit a worker's buffer in shared memory, on every target."""
UNREACHABLE = np.iinfo(np.int64).max // 4
"""Triggers that complete an event which no file holds (an index past the end): it never is."""


@dataclass(frozen=True)
class RuntimeCosts:
    """What the runtime itself takes, in ns."""

    start_ns: int
    """From the start of an iteration until schedulers hand out: the begin task and its event."""
    hand_out_ns: int
    """A scheduler's work for each task."""
    queue_ns: int
    """From a task's being handed out until its idle worker sees it."""
    fetch_ns: int
    """Copying a batch of descriptors to shared memory."""
    wait_ns: int
    """From the event's last trigger until the worker is past its wait; at least this, always."""
    trigger_ns: int
    """From a task's end until its event has counted it."""
    resume_ns: int
    """From then until the worker knows, and goes on."""
    count_ns: int
    """More for each trigger of an event, up to one a worker: adds to one counter take turns."""


@dataclass(frozen=True)
class System:
    """Columns over the tasks of all ranks that are simulated, rank after rank.

    Events are nodes: those of each rank, one after the other.
    """

    num_ranks: int
    num_workers: int
    """Of each rank. Worker w of rank r is `r * num_workers + w` below."""
    num_schedulers: int
    """Of each rank."""
    rank_starts: IntArray = field(repr=False)
    """First task of each rank, and the end."""
    node_starts: IntArray = field(repr=False)
    """First node of each rank, and the end."""
    workers: IntArray = field(repr=False)
    """By task; -1 for those that no scheduler hands out (terminate, begin, null)."""
    places: IntArray = field(repr=False)
    """By task its place in its worker's queue, from 0; -1 where `workers` is -1."""
    schedulers: IntArray = field(repr=False)
    """By task the scheduler that hands it out; -1 likewise."""
    turns: IntArray = field(repr=False)
    """By task how many its scheduler hands out before it."""
    dependents: IntArray = field(repr=False)
    """By task the node that it waits on; -1 for none."""
    triggers: IntArray = field(repr=False)
    """By task the node that it triggers; -1 for none."""
    needs: IntArray = field(repr=False)
    """By node how many triggers complete it (`num_triggers`)."""
    extra_tasks: IntArray = field(repr=False)
    """More triggers, ascending by task: for events that a what-if splits, and of other ranks for
    tasks that all ranks run together."""
    extra_nodes: IntArray = field(repr=False)

    @property
    def num_tasks(self) -> int:
        return len(self.workers)

    @property
    def num_all_workers(self) -> int:
        return self.num_ranks * self.num_workers

    @property
    def num_nodes(self) -> int:
        return len(self.needs)

    def handed_out(self, costs: RuntimeCosts) -> IntArray:
        """By task when its worker can first see it, in ns."""
        return costs.start_ns + (self.turns + 1) * costs.hand_out_ns + costs.queue_ns

    def fetches(self, costs: RuntimeCosts) -> IntArray:
        """By task what its worker spends on descriptors just before it, in ns."""
        return np.where(self.places % FETCH_BATCH == 0, costs.fetch_ns, 0)

    def count_delays(self, costs: RuntimeCosts) -> IntArray:
        """By node how much later than its last trigger it is complete, in ns."""
        return costs.count_ns * np.clip(self.needs, 0, self.num_workers)

    def rank_of(self, task: int) -> int:
        return int(np.searchsorted(self.rank_starts, task, side="right")) - 1

    def local_task(self, task: int) -> tuple[int, int]:
        """(rank's position, task id)."""
        rank = self.rank_of(task)
        return rank, task - int(self.rank_starts[rank])

    def local_event(self, node: int) -> tuple[int, int]:
        """(rank's position, event index)."""
        rank = int(np.searchsorted(self.node_starts, node, side="right")) - 1
        return rank, node - int(self.node_starts[rank])


def build_system(graphs: Sequence[TaskGraph], num_workers: int, num_schedulers: int) -> System:
    """The system of one rank, or of all ranks of a pipeline in order of rank.

    A rank alone stands for all: a trigger of another rank's event counts for the event of the same
    index here, since the ranks of one pipeline do the same at the same pace.

    Raises UsageError for numbers that the runtime can't have, and for ranks that don't fit.
    """
    ranks = [graph.rank for graph in graphs]
    if len(graphs) > 1 and ranks != list(range(len(graphs))):
        raise UsageError(
            f"ranks {', '.join(map(str, ranks))} are not all ranks from 0 on",
            remedy="Simulate one with --rank, or put all ranks into the directory",
        )
    sizes = [graph.num_tasks for graph in graphs]
    rank_starts = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    parts = [_Rank.of(graph, num_workers, num_schedulers) for graph in graphs]
    if len(graphs) == 1:
        events = EventGraph.of(graphs[0], mirror=True)
        nodes = [(events.dependent_nodes, events.trigger_nodes)]
        needs = [
            np.concatenate(
                (graphs[0].events.num_triggers, np.full(len(events.outside_keys), UNREACHABLE))
            )
        ]
    else:
        starts = np.concatenate(([0], np.cumsum([graph.num_events for graph in graphs])))
        end = int(starts[-1])
        nodes = [
            (
                _nodes(graph.tasks.dependent_events, graphs, starts),
                _nodes(graph.tasks.trigger_events, graphs, starts),
            )
            for graph in graphs
        ]
        for graph, columns in zip(graphs, nodes, strict=True):
            for column in columns:
                column[graph.tasks.is_null] = -1
        needs = [graph.events.num_triggers for graph in graphs]
        if any((column == end).any() for columns in nodes for column in columns):
            needs.append(np.array([UNREACHABLE]))
    node_starts = np.concatenate(([0], np.cumsum([len(x) for x in needs]))).astype(np.int64)
    none = np.empty(0, dtype=np.int64)
    workers = np.concatenate(
        [_shifted(part.workers, i * num_workers) for i, part in enumerate(parts)]
    )
    dependents = np.concatenate([columns[0] for columns in nodes])
    triggers = np.concatenate([columns[1] for columns in nodes])
    all_needs = np.concatenate(needs).astype(np.int64)
    # The begin task has run when anything is handed out
    begun = triggers[(workers < 0) & (triggers >= 0)]
    np.subtract.at(all_needs, begun, 1)
    dependents[workers < 0] = triggers[workers < 0] = -1
    extra_tasks, extra_nodes = none, none
    if len(graphs) > 1:
        dependents, all_needs, extra_tasks, extra_nodes = _with_collectives(
            graphs, dependents, np.where(workers < 0, -1, triggers), all_needs
        )
    return System(
        num_ranks=len(graphs),
        num_workers=num_workers,
        num_schedulers=num_schedulers,
        rank_starts=rank_starts,
        node_starts=node_starts[: len(graphs) + 1],
        workers=workers,
        places=np.concatenate([part.places for part in parts]),
        schedulers=np.concatenate(
            [_shifted(part.schedulers, i * num_schedulers) for i, part in enumerate(parts)]
        ),
        turns=np.concatenate([part.turns for part in parts]),
        dependents=dependents,
        triggers=triggers,
        needs=all_needs,
        extra_tasks=extra_tasks,
        extra_nodes=extra_nodes,
    )


def _with_collectives(
    graphs: Sequence[TaskGraph], dependents: IntArray, triggers: IntArray, needs: IntArray
) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Tasks that all ranks run together (a barrier in the kernel) wait for the events of all.

    Each set gets an event of its own, which the triggers of all its events trigger too.
    """
    partners = RankedTasks.of(graphs).partners
    extra_tasks, extra_nodes = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    more: list[int] = []
    dependents = dependents.copy()
    rows = Csr.group(triggers, len(needs)) if len(partners) else None
    for row in partners:
        nodes = np.unique(dependents[row][dependents[row] >= 0])
        if rows is None or len(nodes) < 2:
            continue
        dependents[row] = len(needs) + len(more)
        for node in nodes.tolist():
            extra_tasks.append(rows.row(node))
            extra_nodes.append(np.full(len(rows.row(node)), len(needs) + len(more)))
        more.append(int(needs[nodes].sum()))
    tasks = np.concatenate(extra_tasks)
    order = np.argsort(tasks, kind="stable")
    return (
        dependents,
        np.concatenate((needs, np.array(more, dtype=np.int64))),
        tasks[order],
        np.concatenate(extra_nodes)[order],
    )


@dataclass(frozen=True)
class _Rank:
    workers: IntArray
    places: IntArray
    schedulers: IntArray
    turns: IntArray

    @classmethod
    def of(cls, graph: TaskGraph, num_workers: int, num_schedulers: int) -> _Rank:
        num_tasks = graph.num_tasks
        workers = assign_workers(num_tasks, num_workers, num_schedulers)
        workers[: ids.NUM_FIXED_TASKS] = -1
        rows = np.arange(num_tasks, dtype=np.int64) - ids.NUM_FIXED_TASKS
        row, column = rows // num_workers, rows % num_workers
        # Blocks of workers: the first schedulers have one more where they do not divide
        size, rest = divmod(num_workers, num_schedulers)
        blocks = np.full(num_schedulers, size, dtype=np.int64)
        blocks[:rest] += 1
        firsts = np.cumsum(blocks) - blocks
        of_column = np.repeat(np.arange(num_schedulers), blocks)
        schedulers = of_column[column]
        turns = row * blocks[schedulers] + column - firsts[schedulers]
        # Place in the queue: full rows give one to each worker, and the last row at most one
        places = row.copy()
        none = workers < 0
        none |= graph.tasks.is_null
        if graph.tasks.is_null.any():
            # A null is handed out too, and is no task; those behind it move up
            places = _places_without(workers, none)
        workers[none] = schedulers[none] = places[none] = turns[none] = -1
        return cls(workers, places, schedulers, turns)


def _places_without(workers: IntArray, none: npt.NDArray[np.bool_]) -> IntArray:
    places = np.full(len(workers), -1, dtype=np.int64)
    present = np.flatnonzero(~none)
    order = present[np.argsort(workers[present], kind="stable")]
    owners = workers[order]
    starts = np.flatnonzero(np.r_[True, owners[1:] != owners[:-1]]) if len(order) else order
    places[order] = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    return places


def _shifted(values: IntArray, by: int) -> IntArray:
    return np.where(values < 0, -1, values + by)


def _nodes(
    event_ids: npt.NDArray[np.uint64], graphs: Sequence[TaskGraph], starts: IntArray
) -> IntArray:
    """Nodes over all ranks; one past the end for an event that no rank has."""
    indices, ranks = ids.event_indices(event_ids), ids.event_ranks(event_ids)
    sizes = np.array([graph.num_events for graph in graphs])
    known = (ranks >= 0) & (ranks < len(graphs))
    safe = np.where(known, ranks, 0)
    known &= indices < sizes[safe]
    return np.where(indices < 0, -1, np.where(known, starts[safe] + indices, starts[-1]))
