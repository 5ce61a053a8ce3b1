"""Levels: how many tasks the longest chain before each task and event has."""

from __future__ import annotations

from dataclasses import field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.csr import Csr, IntArray
from mpkgraph.analysis.event_graph import EventGraph
from mpkgraph.frozen import dataclass
from mpkgraph.model import ids
from mpkgraph.model.distinct import distinct

MAX_LISTED_EDGES = 1 << 15
"""Edges that are followed one by one. Where a chain is long and narrow that takes less than numpy's
overhead for each of its levels; graphs with more edges have wider levels."""


@dataclass(frozen=True)
class Levels:
    """Longest chains, counted in tasks.

    A task is on level L when the longest chain of tasks that must be complete before it may start
    has L tasks; an event's level is the number of tasks on the longest chain that ends by
    triggering it (0 when no task does). Terminate, begin and null tasks are on no level (-1), nor
    is anything in or behind a cycle.
    """

    events: EventGraph = field(repr=False)
    event_levels: IntArray = field(repr=False)
    """For each node of the event graph."""
    cycle: tuple[int, ...]
    """Nodes of one cycle in order, each leading to the next and the last to the first."""

    @cached_property
    def task_levels(self) -> IntArray:
        # Node -1 picks the 0
        task_levels: IntArray = np.append(self.event_levels, 0)[self.events.dependent_nodes]
        task_levels[: ids.NUM_FIXED_TASKS] = -1
        task_levels[self.events.null_tasks] = -1
        return task_levels

    def of_tasks(self, task_ids: IntArray) -> IntArray:
        """`task_levels` of some tasks."""
        if "task_levels" in self.__dict__:
            return self.task_levels[task_ids]
        # Node -1 picks the 0
        levels: IntArray = np.append(self.event_levels, 0)[self.events.dependents_of(task_ids)]
        levels[(task_ids < ids.NUM_FIXED_TASKS) | self.events.are_null(task_ids)] = -1
        return levels

    @cached_property
    def tasks_per_level(self) -> IntArray:
        """How many tasks are on each level: those may run at once if workers suffice."""
        return np.bincount(self.task_levels[self.task_levels >= 0])

    @property
    def depth(self) -> int:
        """Number of tasks on the longest chain."""
        return len(self.tasks_per_level)

    @property
    def width(self) -> int:
        """Largest number of tasks on one level."""
        return int(self.tasks_per_level.max()) if self.depth else 0


def find_levels(events: EventGraph) -> Levels:
    """Levels of all events and tasks. A cycle is reported in the result."""
    dependent, trigger = events.dependent_nodes, events.trigger_nodes
    starting = (dependent < 0) & (trigger >= 0)
    starting[: ids.NUM_FIXED_TASKS] = False
    level = np.zeros(events.num_nodes, dtype=np.int64)
    level[trigger[starting]] = 1
    cycle = raise_levels(level, events.successors)
    return Levels(events, level, cycle)


def raise_levels(level: npt.NDArray[np.signedinteger], successors: Csr) -> tuple[int, ...]:
    """Raises the levels of events, in place, to one more than that of any event before them.

    `level` holds 1 for events that a task without a dependent event triggers, else 0. Events in
    or behind a cycle get -1; one cycle is returned, () when there is none. Events are visited in
    a topological order.
    """
    pending = np.bincount(successors.targets, minlength=len(level))
    raise_all = _raise_one_by_one if len(successors.targets) <= MAX_LISTED_EDGES else _raise_layers
    resolved = raise_all(level, pending, successors)
    level[~resolved] = -1
    return () if resolved.all() else _one_cycle(successors, resolved)


def _raise_one_by_one(
    level: npt.NDArray[np.signedinteger], pending: IntArray, successors: Csr
) -> npt.NDArray[np.bool_]:
    """Which events are in and behind no cycle; their levels are raised."""
    levels, waiting = level.tolist(), pending.tolist()
    starts, targets = successors.starts.tolist(), successors.targets.tolist()
    ready = np.flatnonzero(pending == 0).tolist()
    for node in ready:  # it grows meanwhile
        above = levels[node] + 1
        for target in targets[starts[node] : starts[node + 1]]:
            levels[target] = max(levels[target], above)
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    level[:] = levels
    resolved = np.zeros(len(level), dtype=np.bool_)
    resolved[ready] = True
    return resolved


def _raise_layers(
    level: npt.NDArray[np.signedinteger], pending: IntArray, successors: Csr
) -> npt.NDArray[np.bool_]:
    """As `_raise_one_by_one`, many events at a time."""
    resolved = np.zeros(len(level), dtype=np.bool_)
    sizes = successors.sizes()
    frontier = np.flatnonzero(pending == 0)
    while len(frontier):
        resolved[frontier] = True
        targets = successors.gather(frontier)
        np.maximum.at(level, targets, np.repeat(level[frontier] + 1, sizes[frontier]))
        np.subtract.at(pending, targets, 1)
        frontier = distinct(targets[pending[targets] == 0])
    return resolved


def longest_chain(events: EventGraph, levels: Levels) -> tuple[int, ...]:
    """One longest chain: task, event, task, ..., task; the lowest ids where several are longest."""
    if not levels.depth:
        return ()
    task = int(np.argmax(levels.task_levels))
    chain = [task]
    while levels.task_levels[task] > 0:
        event = int(events.dependent_nodes[task])
        candidates = events.triggering_tasks.row(event)
        wanted = levels.task_levels[task] - 1
        task = int(candidates[np.argmax(levels.task_levels[candidates] == wanted)])
        chain += [event, task]
    return tuple(reversed(chain))


def _one_cycle(successors: Csr, resolved: npt.NDArray[np.bool_]) -> tuple[int, ...]:
    """Walk back from an unresolved node: each has an unresolved predecessor, so one repeats."""
    sources = np.repeat(np.arange(successors.num_rows), successors.sizes())
    stuck = ~resolved[sources] & ~resolved[successors.targets]
    before = dict(zip(successors.targets[stuck].tolist(), sources[stuck].tolist(), strict=True))
    node = int(np.flatnonzero(~resolved)[0])
    position: dict[int, int] = {}
    walk: list[int] = []
    while node not in position:
        position[node] = len(walk)
        walk.append(node)
        node = before[node]
    cycle = walk[position[node] :][::-1]
    lowest = cycle.index(min(cycle))
    return tuple(cycle[lowest:] + cycle[:lowest])
