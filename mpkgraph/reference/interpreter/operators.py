"""One operator as the interpreter sees it: its function, and where the tiles of its tasks are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np

from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.catalog.effects import EffectRow, SlotEffect
from mpkgraph.model.graph import SlotLayout
from mpkgraph.model.ids import event_ranks
from mpkgraph.model.operator import Grid, Operator, OperatorSlot
from mpkgraph.reference.interpreter.kernel_views import is_ordinary
from mpkgraph.reference.row import TaskFunction
from mpkgraph.reference.table import TASK_FUNCTIONS

METADATA = ("request_id", "kv_idx", "merge_task_offset", "expert_offset", "task_offset")
ACROSS_RANKS = frozenset({"TASK_NVSHMEM_ALLGATHER_STRIDED_PUT", "TASK_NVSHMEM_TILE_ALLREDUCE"})
"""Task types whose functions reach the memory of other ranks."""


@dataclass(frozen=True)
class SlotPlan:
    """One slot of all tasks of an operator; arrays go by position of the task."""

    slot: OperatorSlot
    effect: SlotEffect
    layouts: IntArray
    """Index of each task's interned layout."""
    offsets: IntArray
    """Bytes."""

    @property
    def is_output(self) -> bool:
        return self.slot.is_output

    @property
    def position(self) -> int:
        return self.slot.position

    @property
    def base_ptrs(self) -> tuple[str, ...]:
        return self.slot.base_ptrs

    @cached_property
    def has_one_layout(self) -> bool:
        """Whether all tasks see the same tensor by tiles of the same shape."""
        return bool((self.layouts == self.layouts[0]).all())


@dataclass(frozen=True)
class OperatorPlan:
    """What it takes to run an operator's tasks, one by one or joined."""

    context: VerifyContext
    operator: Operator

    @cached_property
    def task_type(self) -> str:
        return self.context.catalog.task_type_name(self.operator.task_type)

    @cached_property
    def function(self) -> TaskFunction | None:
        """None for a task type that can't be executed."""
        return TASK_FUNCTIONS.get(self.task_type)

    @cached_property
    def params(self) -> tuple[int, ...]:
        layer = self.context.layer(self.operator)
        return () if layer is None else tuple(int(x) for x in layer.params or ())

    @cached_property
    def register_name(self) -> str | None:
        layer = self.context.layer(self.operator)
        return None if layer is None else layer.register_name

    @cached_property
    def effects(self) -> EffectRow:
        return self.context.effects(self.operator)

    @cached_property
    def slots(self) -> tuple[SlotPlan, ...]:
        columns = self.context.graph.tasks
        starts = columns.slot_starts[self.operator.task_ids]
        return tuple(
            SlotPlan(
                slot,
                effect,
                columns.slot_layouts[starts + slot.position].astype(np.int64),
                columns.slot_offsets[starts + slot.position],
            )
            for slot, effect in zip(self.operator.slots, self.effects.slots, strict=True)
        )

    @property
    def effects_reach_peers(self) -> bool:
        """Whether tasks write memory of other ranks."""
        return any(x.writes_remotely for x in self.effects.slots)

    @property
    def num_inputs(self) -> int:
        return len(self.operator.inputs)

    def layout(self, slot: SlotPlan, position: int) -> SlotLayout:
        """The layout of one task's slot."""
        return self.context.graph.layouts[int(slot.layouts[position])]

    def metadata(self, position: int) -> MappingProxyType[str, int]:
        """Of one task, as in the JSON."""
        task = int(self.operator.task_ids[position])
        tasks = self.context.graph.tasks
        return MappingProxyType(
            {
                "request_id": int(tasks.request_ids[task]),
                "kv_idx": int(tasks.kv_idxs[task]),
                "merge_task_offset": int(tasks.merge_task_offsets[task]),
                "expert_offset": int(tasks.expert_offsets[task]),
                "task_offset": int(tasks.task_offsets[task]),
            }
        )

    def target_rank(self, position: int) -> int | None:
        """The rank that owns what a task triggers; None for nothing."""
        rank = int(self._target_ranks[position])
        return None if rank < 0 else rank

    @cached_property
    def _target_ranks(self) -> IntArray:
        return event_ranks(self.context.graph.tasks.trigger_events[self.operator.task_ids])

    @cached_property
    def points(self) -> IntArray:
        """(tasks, 4): grid point and subtask of each task."""
        operator = self.operator
        index = np.arange(operator.num_tasks, dtype=np.int64)
        if operator.grid_positions is not None:
            grid = operator.grid_positions.astype(np.int64)
            _, subtasks = np.unique(grid, axis=0, return_inverse=True)
            order = np.argsort(subtasks.ravel(), kind="stable")
            ranks = np.empty_like(index)
            counts = np.bincount(subtasks.ravel())
            ranks[order] = np.arange(len(index)) - np.repeat(np.cumsum(counts) - counts, counts)
            return np.concatenate([grid, ranks[:, None]], axis=1)
        _, ny, nz = operator.grid_dim
        point, subtask = np.divmod(index, operator.num_subtasks)
        return np.stack([point // (ny * nz), point // nz % ny, point % nz, subtask], axis=1)

    @cached_property
    def joinable(self) -> tuple[bool, bool, bool]:
        """By grid axis whether tasks along it may run as one call."""
        joins = None if self.function is None else self.function.joins
        if joins is None or self.task_type in ACROSS_RANKS or not self._is_regular:
            return False, False, False
        if not is_ordinary(self.task_type, [self.layout(x, 0) for x in self.slots]):
            return False, False, False  # what one kernel does past its tile, a union does not tell
        maps = [x.slot.input_map for x in self.slots]
        x, y, z = joins.joinable_axes(maps, self.operator.grid_dim)
        return x, y, z

    @cached_property
    def _is_regular(self) -> bool:
        """Whether offsets follow from grid points, tiles and maps, so that tiles join."""
        points = self.points
        for plan in self.slots:
            if not plan.has_one_layout:
                return False
            layout = self.layout(plan, 0)
            if layout.is_null:
                continue
            size = self.context.catalog.data_type_size(layout.data_type) or 0
            expected = np.zeros(len(points), dtype=np.int64)
            for axis, dim in enumerate(plan.slot.input_map):
                if dim >= len(layout.dims):
                    return False
                if dim >= 0 and self.operator.grid_dim[axis] > 1:
                    step = layout.dims[dim] * layout.strides[dim] * size
                    expected += (points[:, axis] - points[0, axis]) * step
            if (plan.offsets - plan.offsets[0] != expected).any():
                return False
        return True

    def boxes(self, positions: IntArray) -> list[Box]:
        """The given tasks as few calls as may be."""
        if len(positions) == 1 or not any(self.joinable):
            return [Box(x, (1, 1, 1)) for x in positions.tolist()]
        return _split(self.points[positions], positions, self.joinable)


@dataclass(frozen=True, slots=True)
class Box:
    """Tasks at adjacent grid points: the position of the lowest, and how many along each axis."""

    first: int
    joined: Grid


def _split(points: IntArray, positions: IntArray, joinable: Sequence[bool]) -> list[Box]:
    """Boxes of grid points along the axes that join."""
    free = [axis for axis in range(3) if joinable[axis]]
    fixed = [axis for axis in range(4) if axis not in free]
    found: list[Box] = []
    order = np.lexsort([points[:, axis] for axis in (*free[::-1], *fixed[::-1])])
    points, positions = points[order], positions[order]
    changes = (points[1:, fixed] != points[:-1, fixed]).any(axis=1)
    for block in np.split(np.arange(len(points)), np.flatnonzero(changes) + 1):
        found += _box(points[block], positions[block], free)
    return found


def _box(points: IntArray, positions: IntArray, free: list[int]) -> list[Box]:
    low = points.min(axis=0)
    extent = points.max(axis=0) - low + 1
    if int(np.prod(extent[free])) == len(points):
        joined = [int(extent[axis]) if axis in free else 1 for axis in range(3)]
        return [Box(int(positions[0]), (joined[0], joined[1], joined[2]))]
    if len(free) == 1:
        axis = free[0]
        starts = np.flatnonzero(np.diff(points[:, axis]) != 1) + 1
        found = []
        for block in np.split(np.arange(len(points)), starts):
            joined = [1, 1, 1]
            joined[axis] = len(block)
            found.append(Box(int(positions[block[0]]), (joined[0], joined[1], joined[2])))
        return found
    axis, rest = free[0], free[1:]
    found = []
    for value in np.unique(points[:, axis]).tolist():
        mine = points[:, axis] == value
        found += _box(points[mine], positions[mine], rest)
    return found
