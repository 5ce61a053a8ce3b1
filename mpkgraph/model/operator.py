"""Operators: the tasks that one layer emitted, with its grid and the splits of its slots."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from mpkgraph.frozen import dataclass

Grid = tuple[int, int, int]
InputMap = tuple[int, int, int]
"""For each grid axis (x, y, z) the tensor dim that it splits; -1 when it splits none."""

Origin = Literal["recorded", "recovered"]


@dataclass(frozen=True, slots=True)
class OperatorSlot:
    """One tensor slot of an operator: each task's tile is the whole tensor cut by `input_map`.

    `known_map[a]` is False where the tasks alone do not tell what grid axis `a` does to this slot
    (an axis of size 1, say); `known_dims[d]` likewise for `tensor_dims[d]`.
    """

    position: int
    """Position among the task's slots, inputs first."""
    is_output: bool
    base_ptrs: tuple[str, ...]
    """Names of the tensors that tasks see here; several for a fused tensor, none for None."""
    data_type: int
    tile_dims: tuple[int, ...]
    """Elements; of the first task where fused sub-tensors differ."""
    strides: tuple[int, ...]
    """Elements; the whole tensor's, of the first task where fused sub-tensors differ."""
    input_map: InputMap
    known_map: tuple[bool, bool, bool]
    tensor_dims: tuple[int, ...]
    """Whole extents in elements as far as the tiles tell (a lower bound where not known)."""
    known_dims: tuple[bool, ...]

    @property
    def name(self) -> str:
        """The tensor's name; the names of a fused tensor joined by `+`; `nullptr` for None."""
        return "+".join(self.base_ptrs) or "nullptr"


@dataclass(frozen=True)
class Operator:
    """The tasks that one layer emitted.

    `task_ids` are in grid order: x slowest, z fastest, then the subtasks of one grid point (a
    multi-GPU put has one per peer). Tasks that the file lacks (`null`) are left out.
    """

    index: int
    """Position in the order of emission."""
    task_type: int
    variant_ids: tuple[int, ...]
    grid_dim: Grid
    num_subtasks: int
    task_ids: npt.NDArray[np.int64]
    slots: tuple[OperatorSlot, ...]
    origin: Origin
    ambiguities: tuple[str, ...] = ()
    """What the tasks alone do not tell, a sentence each; empty when recorded."""
    layer_method: str | None = None
    """`linear_layer` and the like, from the record."""
    register_name: str | None = None
    """`linear_hopper` and the like, from the record."""
    grid_positions: npt.NDArray[np.int32] | None = None
    """(num_tasks, 3); None where `task_ids` is complete, so that position follows from order."""
    layer_index: int | None = None
    """Position in the record's `layers` (program order); None when recovered."""
    known_grid: tuple[bool, bool, bool] = (True, True, True)
    """Whether the tasks prove the size of each axis; `grid_dim` is the simplest that fits."""

    def __post_init__(self) -> None:
        self.task_ids.flags.writeable = False

    @property
    def num_tasks(self) -> int:
        return len(self.task_ids)

    @property
    def grid_volume(self) -> int:
        x, y, z = self.grid_dim
        return x * y * z

    @property
    def inputs(self) -> tuple[OperatorSlot, ...]:
        return tuple(slot for slot in self.slots if not slot.is_output)

    @property
    def outputs(self) -> tuple[OperatorSlot, ...]:
        return tuple(slot for slot in self.slots if slot.is_output)

    def grid_position(self, position: int) -> Grid:
        """Grid point of `task_ids[position]`."""
        if self.grid_positions is not None:
            x, y, z = self.grid_positions[position].tolist()
            return x, y, z
        _, ny, nz = self.grid_dim
        point = position // self.num_subtasks
        return point // (ny * nz), point // nz % ny, point % nz


@dataclass(frozen=True)
class OperatorSet:
    """All operators of a graph, in the order of emission (by first task id)."""

    operators: tuple[Operator, ...]
    num_tasks: int
    """Tasks of the graph, those of no operator (terminate, begin, null) included."""

    def __repr__(self) -> str:
        origin = f", {self.operators[0].origin}" if self.operators else ""
        return f"<OperatorSet: {len(self)} operators of {self.num_tasks} tasks{origin}>"

    def __len__(self) -> int:
        return len(self.operators)

    def __iter__(self) -> Iterator[Operator]:
        return iter(self.operators)

    def __getitem__(self, index: int) -> Operator:
        return self.operators[index]

    def naming(self, index: int) -> tuple[str | None, int]:
        """`register_name` and `task_type` of an operator."""
        operator = self[index]
        return operator.register_name, operator.task_type

    @cached_property
    def task_operators(self) -> npt.NDArray[np.int32]:
        """For each task the index of its operator; -1 for none."""
        owner = np.full(self.num_tasks, -1, dtype=np.int32)
        for operator in self.operators:
            owner[operator.task_ids] = operator.index
        return owner

    def with_tensor(self, name: str) -> Iterator[Operator]:
        """Operators in order that have a slot of a tensor."""
        for operator in self:
            if any(name in slot.base_ptrs for slot in operator.slots):
                yield operator

    def owners(self, task_ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
        """`task_operators` of some tasks."""
        return self.task_operators[task_ids]

    def owner(self, task_id: int) -> int:
        """`task_operators` of one task."""
        return int(self.owners(np.array([task_id], dtype=np.int64))[0])

    def of_task(self, task_id: int) -> Operator | None:
        index = self.owner(task_id)
        return None if index < 0 else self[index]

    def grid_position(self, task_id: int) -> Grid | None:
        """Grid point of a task; None for a task of no operator."""
        operator = self.of_task(task_id)
        if operator is None:
            return None
        position = int(np.flatnonzero(operator.task_ids == task_id)[0])
        return operator.grid_position(position)
