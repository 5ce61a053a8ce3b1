"""The columns of a task graph, filled layer by layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mpkgraph.catalog import Catalog
from mpkgraph.model.graph import (
    NULL_TASK_TYPE,
    BoolColumn,
    EventColumns,
    Int64Column,
    SlotLayout,
    TaskColumns,
    UInt64Column,
)
from mpkgraph.model.ids import (
    BEGIN_TASK_ID,
    EVENT_INVALID_ID,
    EVENT_NVSHMEM_TAG,
    EVENT_RANK_SHIFT,
    NUM_FIXED_TASKS,
    TERMINATE_TASK_ID,
)
from mpkgraph.planner.emission import FIRST_EVENT_INDEX, Emission
from mpkgraph.planner.metadata import Metadata, metadata_columns
from mpkgraph.planner.registered import RegisteredLayer
from mpkgraph.planner.tiles import TileColumn

LAUNCH_EVENT_INDEX = 1
"""The event that hands out all tasks at the start of an iteration."""
LAUNCH_TRIGGERS = 1

_FIXED_TASKS = ("TASK_TERMINATE", "TASK_BEGIN_TASK_GRAPH")


class ColumnBuilder:
    """Task columns for an emission; what no layer fills stays null.

    `variant_ids` and `slots` (the tiles of each slot, tasks in grid order) are by layer.
    """

    def __init__(
        self,
        emission: Emission,
        layers: Sequence[RegisteredLayer],
        variant_ids: Sequence[int],
        slots: Sequence[Sequence[TileColumn]],
        catalog: Catalog,
    ) -> None:
        count = emission.num_tasks
        self.task_types = np.full(count, NULL_TASK_TYPE, dtype=np.int32)
        self.variant_ids = np.zeros(count, dtype=np.int64)
        self.num_inputs = np.zeros(count, dtype=np.uint8)
        self.metadata = Metadata(*(np.full(count, -1, dtype=np.int32) for _ in Metadata._fields))
        for task_id, name in zip((TERMINATE_TASK_ID, BEGIN_TASK_ID), _FIXED_TASKS, strict=True):
            self.task_types[task_id] = catalog.task_type_numbers[name]

        # All columns layer by layer, then each task's values to its place at once
        ids = np.concatenate([np.empty(0, np.int64), *emission.task_ids])
        counts = np.array([len(x) for x in emission.task_ids], dtype=np.int64)
        num_slots = np.zeros(count, dtype=np.int64)
        for column, of_layers in (
            (self.task_types, [x.task_type for x in layers]),
            (self.variant_ids, variant_ids),
            (self.num_inputs, [x.row.num_inputs for x in layers]),
            (num_slots, [len(x.slots) for x in layers]),
        ):
            column[ids] = np.repeat(np.array(of_layers, dtype=np.int64), counts)
        fields = [
            metadata_columns(x.type_row.metadata, x.grid, x.shape.num_subtasks) for x in layers
        ]
        for target, parts in zip(self.metadata, zip(*fields, strict=True), strict=False):
            target[ids] = np.concatenate(parts)
        self.slot_starts = np.concatenate([[0], np.cumsum(num_slots)])
        self.slot_layouts = np.zeros(self.slot_starts[-1], dtype=np.int32)
        self.slot_offsets = np.zeros(self.slot_starts[-1], dtype=np.int64)
        self._layouts: dict[tuple[str, int, tuple[int, ...], tuple[int, ...]], int] = {}
        self._fill_slots(ids, counts, slots)

    def _fill_slots(
        self, ids: Int64Column, counts: Int64Column, slots: Sequence[Sequence[TileColumn]]
    ) -> None:
        """Layouts and offsets; slot after slot of each layer, the layer's tasks for each."""
        columns = [column for of_layer in slots for column in of_layer]
        if not columns:
            return
        num_slots = [len(x) for x in slots]
        tasks = np.repeat(counts, num_slots)
        ends = np.cumsum(tasks)
        positions = np.concatenate([np.arange(n) for n in num_slots])
        begins = np.repeat(np.cumsum(counts) - counts, num_slots)
        owners = np.repeat(begins - (ends - tasks), tasks) + np.arange(ends[-1])
        places = self.slot_starts[ids[owners]] + np.repeat(positions, tasks)
        codes = [[self._layout(x, part) for part in range(len(x.parts))] for x in columns]
        layouts = np.repeat([x[0] for x in codes], tasks)
        offsets = []
        for column, of_parts, end, count in zip(columns, codes, ends, tasks, strict=True):
            if column.part_of is not None:
                layouts[end - count : end] = np.array(of_parts)[column.part_of]
            offsets.append(
                np.zeros(count, dtype=np.int64) if column.offsets is None else column.offsets
            )
        self.slot_layouts[places] = layouts
        self.slot_offsets[places] = np.concatenate(offsets)

    def tasks(self, dependent_events: UInt64Column, trigger_events: UInt64Column) -> TaskColumns:
        """The columns, with the ids of events."""
        return TaskColumns(
            task_types=self.task_types,
            variant_ids=self.variant_ids,
            dependent_events=dependent_events,
            trigger_events=trigger_events,
            num_inputs=self.num_inputs,
            slot_starts=self.slot_starts,
            slot_layouts=self.slot_layouts,
            slot_offsets=self.slot_offsets,
            **self.metadata._asdict(),
        )

    @property
    def layouts(self) -> tuple[SlotLayout, ...]:
        return tuple(SlotLayout(*x) for x in self._layouts)

    def _layout(self, column: TileColumn, part: int) -> int:
        name, strides = column.parts[part]
        layout = (name, column.data_type, column.dims, strides)
        return self._layouts.setdefault(layout, len(self._layouts))


def dependent_event_ids(emission: Emission, rank: int, null: BoolColumn) -> UInt64Column:
    """For each task the id of the event it waits for."""
    remote = np.concatenate([np.zeros(FIRST_EVENT_INDEX, np.bool_), emission.event_is_remote])
    events = emission.dependent_events
    found = _event_ids(events, np.full(len(events), rank), remote[events])
    found[null] = EVENT_INVALID_ID
    return found


def trigger_event_ids(
    emission: Emission, layers: Sequence[RegisteredLayer], rank: int
) -> UInt64Column:
    """For each task the id of the event it triggers; a put triggers an event of another rank."""
    events = emission.trigger_events.copy()
    events[BEGIN_TASK_ID] = LAUNCH_EVENT_INDEX
    owners = np.full(len(events), rank, dtype=np.int64)
    remote = np.zeros(len(events), dtype=np.bool_)
    end_event = emission.num_events - 1
    for layer, ids in zip(layers, emission.task_ids, strict=True):
        if layer.is_put:
            others = [x for x in range(layer.record.num_gpus) if x != rank]
            is_end = events[ids] == end_event
            owners[ids] = np.where(is_end, rank, np.resize(others, len(ids)))
            remote[ids] = ~is_end
    return _event_ids(events, owners, remote)


def _event_ids(events: Int64Column, owners: Int64Column, remote: BoolColumn) -> UInt64Column:
    found: UInt64Column = events.astype(np.uint64)
    found |= owners.astype(np.uint64) << np.uint64(EVENT_RANK_SHIFT)
    found[remote] |= np.uint64(EVENT_NVSHMEM_TAG)
    found[events < 0] = EVENT_INVALID_ID
    return found


def event_columns(emission: Emission, catalog: Catalog) -> EventColumns:
    """All events: termination, launch, those of layers (emptied: tasks wait for them), the end."""
    numbers = {name: number for number, name in catalog.event_types.items()}
    middle = len(emission.event_triggers)

    def column(first: int, launch: int, own: Int64Column | int, end: int) -> Int64Column:
        return np.concatenate([[first, launch], np.broadcast_to(own, middle), [end]])

    return EventColumns(
        event_types=column(
            numbers["EVENT_TERMINATION"],
            numbers["EVENT_LAUNCH_DEPENDENT_TASKS"],
            numbers["EVENT_EMPTY"],
            numbers["EVENT_END_OF_TASK_GRAPH"],
        ).astype(np.int32),
        first_task_ids=column(0, NUM_FIXED_TASKS, emission.event_first_tasks, 0).astype(np.uint64),
        last_task_ids=column(0, emission.num_tasks, emission.event_last_tasks, 0).astype(np.uint64),
        num_triggers=column(
            LAUNCH_TRIGGERS, LAUNCH_TRIGGERS, emission.event_triggers, emission.num_end_triggers
        ),
    )
