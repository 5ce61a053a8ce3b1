"""The right graph as far as the left one tells, given which task and event is which.

A patch holds what this does not get right; whoever applies it predicts the same from the left.
Columns are predicted in an order, so that later ones can lean on those before.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mpkgraph.analysis.csr import IntArray, expand_ranges
from mpkgraph.catalog import EVENT_EMPTY
from mpkgraph.frozen import dataclass
from mpkgraph.model import ids
from mpkgraph.model.graph import ExtraField, TaskGraph, UInt64Column

PLAIN = (
    "task_types",
    "variant_ids",
    "request_ids",
    "kv_idxs",
    "merge_task_offsets",
    "expert_offsets",
    "task_offsets",
    "num_inputs",
)
"""Columns of tasks that are carried over as they are."""


@dataclass(frozen=True)
class Predictor:
    """Predicts columns of a graph of `len(tasks)` tasks and `len(events)` events.

    `tasks[t]` is the left task that is task t of the right, -1 for none; `events` likewise.
    """

    left: TaskGraph
    tasks: IntArray
    events: IntArray

    def plain(self, name: str) -> IntArray:
        """A column of `PLAIN`."""
        return self._carried(getattr(self.left.tasks, name).astype(np.int64), self.tasks)

    def num_slots(self) -> IntArray:
        return self._carried(np.diff(self.left.tasks.slot_starts), self.tasks)

    def event_ids(self, name: str) -> UInt64Column:
        """`dependent_events` or `trigger_events`: the same event under its number on the right."""
        column: UInt64Column = getattr(self.left.tasks, name)
        numbers = np.full(self.left.num_events, -1, dtype=np.int64)
        known = np.flatnonzero(self.events >= 0)
        numbers[self.events[known]] = known
        old = ids.event_indices(column)
        mapped = column.copy()
        inside = (old >= 0) & (old < self.left.num_events)
        inside[inside] = numbers[old[inside]] >= 0
        high = column[inside] & ~np.uint64(ids.EVENT_INDEX_MASK)
        mapped[inside] = high | numbers[old[inside]].astype(np.uint64)
        return self._carried(mapped.view(np.int64), self.tasks).view(np.uint64)

    def slots(self, num_slots: IntArray) -> tuple[IntArray, IntArray]:
        """Layouts and offsets of all slots, of tasks that have as many as on the left."""
        starts = np.concatenate(([0], np.cumsum(num_slots)))
        layouts = np.zeros(int(starts[-1]), dtype=np.int64)
        offsets = np.zeros(int(starts[-1]), dtype=np.int64)
        columns = self.left.tasks
        same = self.tasks >= 0
        sizes = np.diff(columns.slot_starts)
        same[same] = sizes[self.tasks[same]] == num_slots[same]
        places = expand_ranges(starts[:-1][same], num_slots[same])
        sources = expand_ranges(columns.slot_starts[self.tasks[same]], num_slots[same])
        layouts[places] = columns.slot_layouts[sources]
        offsets[places] = columns.slot_offsets[sources]
        return layouts, offsets

    def event_types(self) -> IntArray:
        return self._carried(
            self.left.events.event_types.astype(np.int64), self.events, EVENT_EMPTY
        )

    def num_triggers(self, trigger_events: UInt64Column) -> IntArray:
        """As many as trigger an event; of one that nobody here triggers, as on the left."""
        count = len(self.events)
        fires = ids.event_indices(trigger_events)
        made = np.bincount(fires[(fires >= 0) & (fires < count)], minlength=count)[:count]
        before = self._carried(self.left.events.num_triggers, self.events)
        found: IntArray = np.where(made > 0, made, before)
        return found

    def ranges(self, dependent_events: UInt64Column) -> tuple[IntArray, IntArray]:
        """From the first task that waits on an event to past the last; else as on the left."""
        count, num_tasks = len(self.events), len(self.tasks)
        waits = ids.event_indices(dependent_events)
        mine = np.flatnonzero((waits >= 0) & (waits < count))
        first = np.full(count, num_tasks, dtype=np.int64)
        last = np.full(count, -1, dtype=np.int64)
        np.minimum.at(first, waits[mine], mine)
        np.maximum.at(last, waits[mine], mine + 1)
        events = self.left.events
        old = [
            self._carried(x.view(np.int64), self.events)
            for x in (events.first_task_ids, events.last_task_ids)
        ]
        # What ended behind the last task does so now
        old[1][old[1] == self.left.num_tasks] = num_tasks
        return np.where(last >= 0, first, old[0]), np.where(last >= 0, last, old[1])

    def first_tasks(self, dependent_events: UInt64Column, task_types: IntArray) -> IntArray:
        """Tasks that wait on nothing, but for the fixed and the null ones."""
        idle = dependent_events == np.uint64(ids.EVENT_INVALID_ID)
        idle &= task_types >= 0
        idle[: ids.NUM_FIXED_TASKS] = False
        return np.flatnonzero(idle)

    def extras(self, fields: Mapping[str, ExtraField], key: str, partners: IntArray) -> IntArray:
        """Codes of a field that the format lacks; -1 for none."""
        if key not in fields:
            return np.full(len(partners), -1, dtype=np.int64)
        return self._carried(fields[key].codes.astype(np.int64), partners, -1)

    @staticmethod
    def _carried(column: IntArray, partners: IntArray, other: int = 0) -> IntArray:
        found: IntArray = np.append(column, other)[partners]
        return found
