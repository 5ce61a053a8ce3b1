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
    """Task columns for an emission; what no layer fills stays null."""

    def __init__(
        self, emission: Emission, layers: Sequence[RegisteredLayer], catalog: Catalog
    ) -> None:
        count = emission.num_tasks
        self.emission = emission
        self.catalog = catalog
        self.task_types = np.full(count, NULL_TASK_TYPE, dtype=np.int32)
        self.variant_ids = np.zeros(count, dtype=np.int64)
        self.num_inputs = np.zeros(count, dtype=np.uint8)
        self.metadata = Metadata(*(np.full(count, -1, dtype=np.int32) for _ in Metadata._fields))
        num_slots = np.zeros(count, dtype=np.int64)
        for layer, ids in zip(layers, emission.task_ids, strict=True):
            num_slots[ids] = len(layer.slots)
        self.slot_starts = np.concatenate([[0], np.cumsum(num_slots)])
        self.slot_layouts = np.zeros(self.slot_starts[-1], dtype=np.int32)
        self.slot_offsets = np.zeros(self.slot_starts[-1], dtype=np.int64)
        self._layouts: dict[SlotLayout, int] = {}
        self._fixed()

    def add(
        self, layer: RegisteredLayer, ids: Int64Column, variant_id: int, slots: list[TileColumn]
    ) -> None:
        """Fill in the tasks of one layer, `ids` in grid order."""
        self.task_types[ids] = layer.task_type
        self.variant_ids[ids] = variant_id
        self.num_inputs[ids] = layer.row.num_inputs
        fields = metadata_columns(layer.type_row.metadata, layer.grid, layer.shape.num_subtasks)
        for column, values in zip(self.metadata, fields, strict=True):
            column[ids] = values
        starts = self.slot_starts[ids]
        for position, tiles in enumerate(slots):
            codes = np.array([self._layout(tiles, part) for part in range(len(tiles.parts))])
            places = starts + position
            self.slot_layouts[places] = codes[0 if tiles.part_of is None else tiles.part_of]
            if tiles.offsets is not None:
                self.slot_offsets[places] = tiles.offsets

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
        return tuple(self._layouts)

    def _layout(self, column: TileColumn, part: int) -> int:
        name, strides = column.parts[part]
        layout = SlotLayout(name, column.data_type, column.dims, strides)
        return self._layouts.setdefault(layout, len(self._layouts))

    def _fixed(self) -> None:
        for task_id, name in zip((TERMINATE_TASK_ID, BEGIN_TASK_ID), _FIXED_TASKS, strict=True):
            self.task_types[task_id] = self.catalog.task_type_numbers[name]


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
