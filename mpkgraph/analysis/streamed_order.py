"""Levels while tasks come by, for files in Mirage's order: one small number an event."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.csr import IntArray
from mpkgraph.model import ids
from mpkgraph.model.graph import TaskColumns

MAX_EVENTS = 1 << 24
"""Events that are followed this way; a graph of 1 GB has some hundred thousand."""
MAX_ROUNDS = 64
"""Rounds over one batch until levels stand still. A batch holds few layers; a cycle never ends."""


class OutOfOrderError(Exception):
    """A task triggers an event on which a task of an earlier batch has waited, or there is a
    cycle, or too many events: levels need all edges at once (`EventOrder`).
    """


class StreamedOrder:
    """Levels of events, right as long as nothing raises the level of an event that was used.

    Mirage writes the tasks that trigger an event before those that wait on it, so the level of an
    event is final when the first batch that waits on it has come. What comes otherwise raises
    OutOfOrderError. Events of other ranks stand for the ones of the same index here.
    """

    def __init__(self) -> None:
        self._level: npt.NDArray[np.int32] = np.zeros(1024, dtype=np.int32)
        self._used: npt.NDArray[np.bool_] = np.zeros(1024, dtype=np.bool_)
        self._tasks_per_level: IntArray = np.zeros(1, dtype=np.int64)
        self._depth = 0
        self._num_events = 0

    def add(self, first_task_id: int, tasks: TaskColumns) -> None:
        """Tasks that follow those of the call before. Raises OutOfOrderError."""
        dependent, trigger = tasks.dependent_indices, tasks.trigger_indices
        present = ~tasks.is_null
        in_layer = present.copy()
        in_layer[: max(ids.NUM_FIXED_TASKS - first_task_id, 0)] = False
        self._grow(int(max(dependent.max(initial=-1), trigger.max(initial=-1))) + 1)
        free = in_layer & (dependent < 0) & (trigger >= 0)
        both = present & (dependent >= 0) & (trigger >= 0)
        self._raise(dependent[both], trigger[both], trigger[free])
        waits = dependent[in_layer & (dependent >= 0)]
        self._used[dependent[present & (dependent >= 0)]] = True
        self._count(self._level[waits], int((in_layer & (dependent < 0)).sum()))

    levels_come_at_once = True

    def task_levels(self, first_task_id: int, tasks: TaskColumns) -> IntArray:
        """Levels of the tasks that were added last, as in `Levels`."""
        dependent = tasks.dependent_indices
        levels: IntArray = self._level[np.maximum(dependent, 0)].astype(np.int64)
        levels[dependent < 0] = 0
        levels[tasks.is_null] = -1
        levels[: max(ids.NUM_FIXED_TASKS - first_task_id, 0)] = -1
        return levels

    def event_levels(self, num_events: int) -> IntArray | None:
        """Of the events of a graph; None when tasks name others."""
        if self._num_events > num_events:
            return None
        levels: IntArray = np.zeros(num_events, dtype=np.int64)
        known = self._level[:num_events]
        levels[: len(known)] = known
        return levels

    def finish(self, num_events: int) -> tuple[IntArray, tuple[int, ...]]:  # noqa: ARG002
        """(number of tasks on each level, no cycle)."""
        return self._tasks_per_level[: self._depth].copy(), ()

    def _raise(self, sources: IntArray, targets: IntArray, starts: IntArray) -> None:
        """Levels of the events that this batch triggers; fails when a used one changes."""
        level = self._level
        triggered = np.concatenate((targets, starts))
        before = level[triggered]
        level[starts] = np.maximum(level[starts], 1)
        for _ in range(MAX_ROUNDS):
            wanted = level[sources] + 1
            if (wanted <= level[targets]).all():
                break
            np.maximum.at(level, targets, wanted)
        else:
            raise OutOfOrderError
        if (self._used[triggered] & (level[triggered] > before)).any():
            raise OutOfOrderError

    def _count(self, levels: npt.NDArray[np.int32], num_free: int) -> None:
        depth = max(int(levels.max(initial=-1)) + 1, int(num_free > 0))
        if depth > len(self._tasks_per_level):
            grown = np.zeros(2 * depth, dtype=np.int64)
            grown[: len(self._tasks_per_level)] = self._tasks_per_level
            self._tasks_per_level = grown
        self._depth = max(self._depth, depth)
        np.add.at(self._tasks_per_level, levels, 1)
        self._tasks_per_level[0] += num_free

    def _grow(self, num_events: int) -> None:
        if num_events > MAX_EVENTS:
            raise OutOfOrderError
        self._num_events = max(self._num_events, num_events)
        if num_events > len(self._level):
            # an eighth more: `realloc` moves pages, not bytes; what is new is 0
            size = max(num_events, len(self._level) * 9 // 8)
            self._level.resize(size, refcheck=False)
            self._used.resize(size, refcheck=False)
