"""Levels from batches of tasks: only distinct edges between events are kept."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.csr import Csr, IntArray, Scalar, counted
from mpkgraph.analysis.levels import Levels, raise_levels
from mpkgraph.model import ids
from mpkgraph.model.distinct import distinct
from mpkgraph.model.graph import TaskColumns

UInt32Array = npt.NDArray[np.uint32]

_INDEX_BITS = np.uint64(32)


class EventOrder:
    """Distinct (dependent, trigger) pairs of events and how many tasks wait on each event.

    Events of other ranks stand for the ones of the same index here, as in a mirrored
    `EventGraph`; 32 bits hold every index.
    """

    def __init__(self) -> None:
        self._edges: list[npt.NDArray[np.uint64]] = []
        self._starts: list[UInt32Array] = []
        self._waited: list[UInt32Array] = []
        self._num_waiting: list[UInt32Array] = []
        self._num_free = 0

    def add(self, first_task_id: int, tasks: TaskColumns) -> None:
        """Tasks that follow those of the call before."""
        dependent, trigger = tasks.dependent_indices, tasks.trigger_indices
        in_layer = ~tasks.is_null
        both = (dependent >= 0) & (trigger >= 0) & in_layer
        edges = dependent[both].astype(np.uint64) << _INDEX_BITS | trigger[both].astype(np.uint64)
        in_layer[: max(ids.NUM_FIXED_TASKS - first_task_id, 0)] = False
        free = in_layer & (dependent < 0)
        waited, counts = counted(dependent[in_layer & (dependent >= 0)])
        self._edges.append(distinct(edges))
        self._starts.append(distinct(trigger[free & (trigger >= 0)]).astype(np.uint32))
        self._waited.append(waited.astype(np.uint32))
        self._num_waiting.append(counts.astype(np.uint32))
        self._num_free += int(free.sum())

    levels_come_at_once = False

    def task_levels(self, first_task_id: int, tasks: TaskColumns) -> None:  # noqa: ARG002
        """Known at the end only."""
        return

    def event_levels(self, num_events: int) -> None:  # noqa: ARG002
        """Not kept."""
        return

    def finish(self, num_events: int) -> tuple[IntArray, tuple[int, ...]]:
        """(number of tasks on each level, one cycle of events); call it once."""
        # The largest arrays here: sorted in place, and freed before the next ones are made
        keys = _joined(self._edges, np.uint64)
        keys.sort()
        repeated = keys[1:] == keys[:-1]
        if repeated.any():
            keys = keys[np.append(True, ~repeated)]
        targets = keys.astype(np.uint32)
        keys >>= _INDEX_BITS
        sources = keys.astype(np.uint32)
        del keys, repeated
        waited = _joined(self._waited, np.uint32)
        num_waiting = _joined(self._num_waiting, np.uint32)
        starts = distinct(_joined(self._starts, np.uint32))
        num_nodes = _number_outside(num_events, (sources, targets, waited, starts))
        level = np.zeros(num_nodes, dtype=np.int32)
        level[starts] = 1
        successors = Csr.from_sorted(sources, targets, num_nodes)
        del sources, targets
        cycle = raise_levels(level, successors)
        levels = level[waited]
        depth = max(int(levels.max(initial=-1)) + 1, int(self._num_free > 0))
        tasks_per_level = np.zeros(depth, dtype=np.int64)
        np.add.at(tasks_per_level, levels[levels >= 0], num_waiting[levels >= 0])
        tasks_per_level[:1] += self._num_free
        return tasks_per_level, cycle


class KnownOrder:
    """In place of `EventOrder` where levels are known."""

    levels_come_at_once = False

    def __init__(self, levels: Levels) -> None:
        self._levels = levels

    def add(self, first_task_id: int, tasks: TaskColumns) -> None:
        """Nothing is left to find."""

    def task_levels(self, first_task_id: int, tasks: TaskColumns) -> None:  # noqa: ARG002
        """Not asked for."""
        return

    def finish(self, num_events: int) -> tuple[IntArray, tuple[int, ...]]:  # noqa: ARG002
        """(number of tasks on each level, one cycle of events)."""
        return self._levels.tasks_per_level, self._levels.cycle


def _joined(parts: list[npt.NDArray[Scalar]], dtype: type[Scalar]) -> npt.NDArray[Scalar]:
    """The parts as one array; the list is empty afterwards, so that their memory is free."""
    joined = np.concatenate([np.empty(0, dtype=dtype), *parts])
    parts.clear()
    return joined


def _number_outside(num_events: int, columns: tuple[UInt32Array, ...]) -> int:
    """Renumbers, in place, indices past the events of this graph (another rank's graph may be
    larger) to follow them closely; the number of nodes in all.
    """
    outside = distinct(np.concatenate([column[column >= num_events] for column in columns]))
    if len(outside):
        for column in columns:
            away = column >= num_events
            column[away] = num_events + np.searchsorted(outside, column[away])
    return num_events + len(outside)
