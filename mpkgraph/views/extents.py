"""Whole-tensor dims that one operator can't tell but another operator on the same tensor can."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from mpkgraph.model.operator import Operator, OperatorSlot

_Tensor = tuple[str, int, tuple[int, ...]]


def complete_extents(operators: Iterable[Operator]) -> list[Operator]:
    """The operators with the extents of each tensor as far as any of them tells.

    A dim that one operator knows is known to all that see the tensor with the same strides; of
    lower bounds the largest holds. Operators that contradict each other (two tensors of one name)
    are left as they are.
    """
    operators = list(operators)
    dims: dict[_Tensor, list[int]] = {}
    known: dict[_Tensor, list[bool]] = {}
    contradictory: set[_Tensor] = set()
    for operator in operators:
        for slot in operator.slots:
            tensor = _tensor(slot)
            if tensor is None:
                continue
            if tensor not in dims:
                dims[tensor], known[tensor] = list(slot.tensor_dims), list(slot.known_dims)
            elif not _merge(dims[tensor], known[tensor], slot):
                contradictory.add(tensor)
    return [_completed(operator, dims, known, contradictory) for operator in operators]


def _tensor(slot: OperatorSlot) -> _Tensor | None:
    if len(slot.base_ptrs) != 1:
        return None
    return slot.base_ptrs[0], slot.data_type, slot.strides


def _merge(dims: list[int], known: list[bool], slot: OperatorSlot) -> bool:
    for dim, (extent, sure) in enumerate(zip(slot.tensor_dims, slot.known_dims, strict=True)):
        if sure and known[dim]:
            if extent != dims[dim]:
                return False
        elif sure:
            if extent < dims[dim]:
                return False
            dims[dim], known[dim] = extent, True
        elif known[dim]:
            if extent > dims[dim]:
                return False
        else:
            dims[dim] = max(dims[dim], extent)
    return True


def _completed(
    operator: Operator,
    dims: dict[_Tensor, list[int]],
    known: dict[_Tensor, list[bool]],
    contradictory: set[_Tensor],
) -> Operator:
    slots = []
    for slot in operator.slots:
        tensor = _tensor(slot)
        if tensor is not None and tensor not in contradictory:
            whole, sure = tuple(dims[tensor]), tuple(known[tensor])
            if (whole, sure) != (slot.tensor_dims, slot.known_dims):
                slots.append(replace(slot, tensor_dims=whole, known_dims=sure))
                continue
        slots.append(slot)
    if all(new is old for new, old in zip(slots, operator.slots, strict=True)):
        return operator
    return replace(operator, slots=tuple(slots))
