"""One task: its operator and grid point, tiles, metadata, and what it waits on and triggers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mpkgraph.analysis.context import MAX_REMEMBERED, GraphContext
from mpkgraph.analysis.event_detail import EventDetail, event_by_id, extras_of
from mpkgraph.analysis.integers import json_integer
from mpkgraph.analysis.layout_extents import tile_bytes
from mpkgraph.analysis.ranges import check_id
from mpkgraph.frozen import dataclass
from mpkgraph.model.graph import NULL_TASK_TYPE, Slot
from mpkgraph.model.operator import Grid, Operator, OperatorSlot
from mpkgraph.model.tile import Tile, TileError

METADATA_FIELDS = ("request_id", "kv_idx", "merge_task_offset", "expert_offset", "task_offset")


@dataclass(frozen=True, slots=True)
class MetadataField:
    """One of the five views of a task's 8 bytes of metadata."""

    name: str
    value: int
    holds: str | None
    """The grid coordinate that Mirage writes here for this task type: "x", "y", "z" or "linear"
    (x + y * grid.x + z * grid.x * grid.y). None: only another view of the same bytes."""

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "value": self.value, "holds": self.holds}


@dataclass(frozen=True)
class SlotDetail:
    """One tensor slot of one task: a tile in elements and in bytes."""

    position: int
    is_output: bool
    tensor: str
    data_type: int
    data_type_name: str
    element_bytes: int | None
    """None where the type has no known size; what follows from it is None then too."""
    dims: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    """Bytes from the tensor's base."""
    offset_elems: int | None
    """None where the offset is not a whole number of elements."""
    starts: tuple[int, ...] | None
    """First index in each dim of the tensor; None where the strides do not tell."""
    first_byte: int | None
    end_byte: int | None
    """`[first_byte, end_byte)` from the tensor's base spans the tile."""
    num_bytes: int | None
    """Distinct bytes of the tile; None also where irregular strides make too many pieces."""
    tensor_dims: tuple[int, ...] | None
    """The whole tensor's extents as far as its operator tells."""
    known_dims: tuple[bool, ...] | None
    """Whether each of `tensor_dims` is certain; else it is a lower bound."""
    extra: Mapping[str, Any]

    @property
    def is_null(self) -> bool:
        """Whether the layer was given None here."""
        return self.element_bytes is None and not self.dims

    @property
    def stops(self) -> tuple[int, ...] | None:
        """Past the last index in each dim."""
        if self.starts is None:
            return None
        return tuple(start + dim for start, dim in zip(self.starts, self.dims, strict=True))

    def to_json(self) -> dict[str, Any]:
        return {
            "position": self.position,
            "is_output": self.is_output,
            "tensor": self.tensor,
            "data_type": self.data_type,
            "data_type_name": self.data_type_name,
            "element_bytes": self.element_bytes,
            "dims": list(self.dims),
            "strides": [json_integer(stride) for stride in self.strides],
            "offset": json_integer(self.offset),
            "offset_elems": json_integer(self.offset_elems),
            "starts": None if self.starts is None else list(self.starts),
            "stops": None if self.stops is None else list(self.stops),
            "first_byte": json_integer(self.first_byte),
            "end_byte": json_integer(self.end_byte),
            "num_bytes": json_integer(self.num_bytes),
            "tensor_dims": None if self.tensor_dims is None else list(self.tensor_dims),
            "known_dims": None if self.known_dims is None else list(self.known_dims),
            "extra": dict(self.extra),
        }


@dataclass(frozen=True)
class TaskDetail:
    """One task. All but `task_id` and `is_null` is empty for a task that the file has as null."""

    task_id: int
    is_null: bool
    task_type: int
    task_type_name: str
    kind: str
    """Family of the task type (`mpkgraph.catalog.KINDS`)."""
    variant_id: int
    operator: int | None
    """Index of its operator; None for begin, terminate and null tasks."""
    operator_name: str | None
    layer_method: str | None
    """`linear_layer` and the like, when recorded."""
    grid_dim: Grid | None
    grid_position: Grid | None
    subtask: int | None
    """Which of the tasks of its grid point, where the operator has several for each."""
    level: int
    """Tasks on the longest chain that must be complete before it; -1 for none (see `Levels`)."""
    is_first_task: bool
    """Whether the file lists it in `first_tasks`."""
    dependent_event: int
    trigger_event: int
    """64-bit ids as in the file."""
    waits_on: EventDetail | None
    triggers: EventDetail | None
    metadata: tuple[MetadataField, ...]
    slots: tuple[SlotDetail, ...]
    extras: Mapping[str, Any]

    @property
    def inputs(self) -> tuple[SlotDetail, ...]:
        return tuple(slot for slot in self.slots if not slot.is_output)

    @property
    def outputs(self) -> tuple[SlotDetail, ...]:
        return tuple(slot for slot in self.slots if slot.is_output)

    def to_json(self) -> dict[str, Any]:
        return {
            "task_id": self.task_id,
            "is_null": self.is_null,
            "task_type": self.task_type,
            "task_type_name": self.task_type_name,
            "kind": self.kind,
            "variant_id": json_integer(self.variant_id),
            "operator": self.operator,
            "operator_name": self.operator_name,
            "layer_method": self.layer_method,
            "grid_dim": None if self.grid_dim is None else list(self.grid_dim),
            "grid_position": None if self.grid_position is None else list(self.grid_position),
            "subtask": self.subtask,
            "level": self.level,
            "is_first_task": self.is_first_task,
            "dependent_event": json_integer(self.dependent_event),
            "trigger_event": json_integer(self.trigger_event),
            "waits_on": None if self.waits_on is None else self.waits_on.to_json(),
            "triggers": None if self.triggers is None else self.triggers.to_json(),
            "metadata": [field.to_json() for field in self.metadata],
            "inputs": [slot.to_json() for slot in self.inputs],
            "outputs": [slot.to_json() for slot in self.outputs],
            "extras": dict(self.extras),
        }


def task_detail(context: GraphContext, task_id: int) -> TaskDetail:
    """One task of this graph. Raises SelectionError when there is no such task."""
    graph, catalog = context.graph, context.catalog
    task = check_id(task_id, graph.num_tasks, "task")
    columns = graph.tasks
    task_type = columns.value("task_types", task)
    is_null = task_type == NULL_TASK_TYPE
    row = catalog.task_type_row(task_type)
    operator = context.operators.of_task(task)
    dependent, trigger = (
        columns.value(name, task) for name in ("dependent_events", "trigger_events")
    )
    return TaskDetail(
        task_id=task,
        is_null=is_null,
        task_type=task_type,
        task_type_name=catalog.task_type_name(task_type),
        kind=row.kind,
        variant_id=columns.value("variant_ids", task),
        operator=None if operator is None else operator.index,
        operator_name=None if operator is None else context.operator_names[operator.index],
        layer_method=None if operator is None else operator.layer_method,
        grid_dim=None if operator is None else operator.grid_dim,
        grid_position=context.operators.grid_position(task),
        subtask=_subtask(operator, task),
        level=int(context.levels.of_tasks(np.array([task]))[0]),
        is_first_task=bool((graph.first_tasks == task).any()),
        dependent_event=dependent,
        trigger_event=trigger,
        waits_on=event_by_id(context, dependent),
        triggers=event_by_id(context, trigger),
        metadata=() if is_null else _metadata(context, task, dict(row.metadata)),
        slots=_slots(context, task, operator),
        extras=extras_of(columns.extras, task),
    )


def slot_detail(
    context: GraphContext,
    slot: Slot,
    position: int,
    *,
    is_output: bool,
    operator_slot: OperatorSlot | None = None,
) -> SlotDetail:
    """A slot as a tile; `operator_slot` tells the whole tensor's extents."""
    size = context.catalog.data_type_size(slot.data_type)
    whole = operator_slot
    if whole is not None and (len(whole.base_ptrs) != 1 or whole.strides != slot.strides):
        whole = None  # a fused tensor's slot sees another of the sub-tensors
    starts = first_byte = end_byte = num_bytes = None
    try:
        tile = Tile.of(slot, context.catalog)
        if tile is not None and tile.layout.has_bytes:
            first_byte, end_byte = tile.byte_extent
            num_bytes = tile_bytes(tile.layout)
            box = tile.box(None if whole is None else whole.tensor_dims) or tile.box()
            starts = None if box is None else box.starts
    except TileError:
        pass  # dims and offsets are shown as they are; they name no definite bytes
    return SlotDetail(
        position=position,
        is_output=is_output,
        tensor=slot.base_ptr,
        data_type=slot.data_type,
        data_type_name=context.catalog.data_type_name(slot.data_type),
        element_bytes=size,
        dims=slot.dims,
        strides=slot.strides,
        offset=slot.offset,
        offset_elems=slot.offset // size if size and slot.offset % size == 0 else None,
        starts=starts,
        first_byte=first_byte,
        end_byte=end_byte,
        num_bytes=num_bytes,
        tensor_dims=None if whole is None else whole.tensor_dims,
        known_dims=None if whole is None else whole.known_dims,
        extra=dict(slot.layout.extra),
    )


def _slots(context: GraphContext, task: int, operator: Operator | None) -> tuple[SlotDetail, ...]:
    graph, known = context.graph, context.slot_details
    num_inputs = graph.tasks.value("num_inputs", task)
    found = () if operator is None else operator.slots
    owner = -1 if operator is None else operator.index
    codes, offsets = graph.tasks.slots_between(*graph.tasks.slot_range(task))
    details = []
    for position, (code, offset) in enumerate(zip(codes.tolist(), offsets.tolist(), strict=True)):
        key = code, offset, position, num_inputs, owner
        detail = known.get(key)
        if detail is None:
            if len(known) >= MAX_REMEMBERED:
                known.clear()
            detail = known[key] = slot_detail(
                context,
                Slot(graph.layouts[code], offset),
                position,
                is_output=position >= num_inputs,
                operator_slot=found[position] if position < len(found) else None,
            )
        details.append(detail)
    return tuple(details)


def _metadata(
    context: GraphContext, task: int, holds: Mapping[str, str]
) -> tuple[MetadataField, ...]:
    columns = context.graph.tasks
    return tuple(
        MetadataField(name, columns.value(f"{name}s", task), holds.get(name))
        for name in METADATA_FIELDS
    )


def _subtask(operator: Operator | None, task: int) -> int | None:
    if operator is None or operator.num_subtasks <= 1 or operator.grid_positions is not None:
        return None
    position = int((operator.task_ids == task).argmax())
    return position % operator.num_subtasks
