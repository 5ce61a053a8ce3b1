"""Which task wrote each element of a tensor last, as far as tiles and the order of a run tell."""

from __future__ import annotations

from typing import Any

import torch

from mpkgraph.reference.interpreter.buffer import Buffer, OutsideError
from mpkgraph.reference.interpreter.element_types import torch_type
from mpkgraph.reference.interpreter.memory import TensorShape
from mpkgraph.reference.interpreter.operators import OperatorPlan, SlotPlan
from mpkgraph.reference.interpreter.program import Program
from mpkgraph.reference.interpreter.run import RunResult

NOBODY = -1
_ITEM_BYTES = 4

Writer = tuple[OperatorPlan, SlotPlan]


def writers_of(program: Program, position: int, tensor: str) -> list[Writer]:
    """Operators of a rank that write a tensor, each with the slot that it does it by."""
    return [
        (plan, slot)
        for plan in program.ranks[position].plans
        for slot in plan.slots
        if (slot.is_output or slot.effect.writes) and tensor in slot.base_ptrs
    ]


def last_writers(program: Program, result: RunResult, position: int, shape: TensorShape) -> Any:
    """By element, in memory order, the task that wrote it last; `NOBODY` outside of all tiles."""
    owners = torch.full((shape.num_elements,), NOBODY, dtype=torch.int32)
    buffer = Buffer(shape.name, "int32", owners.numel() * _ITEM_BYTES, owners.view(torch.uint8))
    start = int(program.tasks.starts[position])
    steps: list[tuple[int, int, OperatorPlan, SlotPlan, int]] = []
    for number, (plan, slot) in enumerate(writers_of(program, position, shape.name)):
        for place, task in enumerate(plan.operator.task_ids.tolist()):
            ran = int(result.places[start + task])
            if ran >= 0:
                steps.append((ran, number, plan, slot, place))
    size = int(torch_type(shape.type_name).itemsize)
    for _, _, plan, slot, place in sorted(steps, key=lambda x: x[:2]):
        layout = plan.layout(slot, place)
        if layout.base_ptr != shape.name or layout.is_null:
            continue
        offset, rest = divmod(int(slot.offsets[place]), size)
        if rest:
            continue
        try:
            view = buffer.view(layout.dims, layout.strides, offset * _ITEM_BYTES)
        except OutsideError:
            continue
        view.fill_(int(plan.operator.task_ids[place]))
    return owners
