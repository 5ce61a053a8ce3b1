"""Layers of given grids and maps, emitted as Mirage would, for tests of operator recovery."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from mpkgraph.catalog import DEFAULT
from mpkgraph.model.graph import TaskGraph
from mpkgraph.model.ids import EVENT_INVALID_ID, EventId
from tests.naive import graph_from_document

BF16 = 941
NO_EVENT = EVENT_INVALID_ID
AXES = "xyz"
ALL_ONES = {
    "request_id": -1,
    "kv_idx": 65535,
    "merge_task_offset": -1,
    "expert_offset": -1,
    "task_offset": -1,
}


@dataclass(frozen=True)
class SlotSpec:
    """A tensor and how the grid splits it."""

    name: str
    dims: tuple[int, ...]
    input_map: tuple[int, int, int]
    is_output: bool = False
    strides: tuple[int, ...] | None = None
    """Row-major when None."""

    @property
    def whole_strides(self) -> tuple[int, ...]:
        return self.strides or row_major(self.dims)


@dataclass(frozen=True)
class LayerSpec:
    """One layer."""

    grid: tuple[int, int, int]
    slots: tuple[SlotSpec, ...]
    task_type: int = 154
    num_subtasks: int = 1
    base_bytes: int = 0
    """Added to the offsets of outputs, as a put adds the plane of its rank."""

    def points(self) -> list[tuple[int, int, int]]:
        return list(itertools.product(*map(range, self.grid)))  # type: ignore[arg-type]

    def task(self, point: tuple[int, int, int]) -> dict[str, Any]:
        """The task of a grid point, without events."""
        slots: dict[bool, list[Any]] = {False: [], True: []}
        for slot in self.slots:
            slots[slot.is_output].append(self._tile(slot, point))
        return {
            "task_type": self.task_type,
            "variant_id": 0,
            "inputs": slots[False] or None,
            "outputs": slots[True] or None,
        } | self._metadata(point)

    def _tile(self, slot: SlotSpec, point: tuple[int, int, int]) -> dict[str, Any]:
        tile, offset = list(slot.dims), 0
        for axis, dim in enumerate(slot.input_map):
            if dim >= 0 and self.grid[axis] > 1:
                tile[dim] //= self.grid[axis]
                block = slot.dims[dim] // self.grid[axis]
                offset += block * point[axis] * slot.whole_strides[dim]
        return {
            "base_ptr": slot.name,
            "data_type": BF16,
            "dims": tile,
            "strides": list(slot.whole_strides),
            "offset": 2 * offset + self.base_bytes * slot.is_output,
        }

    def _metadata(self, point: tuple[int, int, int]) -> dict[str, int]:
        x, y, z = point
        values = dict(zip(AXES, point, strict=True))
        values["linear"] = x + y * self.grid[0] + z * self.grid[0] * self.grid[1]
        profile = DEFAULT.task_type_row(self.task_type).metadata
        written = {field: values[axis] for field, axis in profile}
        if "request_id" in written:  # a signed field of 16 bits
            written["request_id"] = (written["request_id"] + 0x8000) % 0x10000 - 0x8000
        return ALL_ONES | written


def row_major(dims: tuple[int, ...]) -> tuple[int, ...]:
    """Strides of a tensor without gaps, the last dim innermost."""
    strides, stride = [], 1
    for dim in reversed(dims):
        strides.append(stride)
        stride *= dim
    return tuple(reversed(strides))


def event(index: int, rank: int = 0) -> int:
    return EventId(rank, index, nvshmem=rank > 0).encode()


def emitted(
    tasks: list[dict[str, Any] | None],
) -> TaskGraph:
    """The graph of these tasks after the two fixed ones."""
    fixed = {"variant_id": 0, "inputs": None, "outputs": None, "dependent_event": NO_EVENT}
    terminate = fixed | ALL_ONES | {"task_type": 0, "trigger_event": NO_EVENT}
    begin = fixed | ALL_ONES | {"task_type": 10, "trigger_event": event(1)}
    return graph_from_document(
        {"all_tasks": [terminate, begin, *tasks], "all_events": [], "first_tasks": []}
    )


def waiting(task: dict[str, Any], on: int, triggers: int) -> dict[str, Any]:
    """The task with its two events."""
    return task | {"dependent_event": on, "trigger_event": triggers}
