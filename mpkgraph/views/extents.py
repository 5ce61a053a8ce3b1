"""Whole-tensor dims that one operator can't tell but another operator on the same tensor can."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from mpkgraph.model.operator import Operator, OperatorSlot

_Tensor = tuple[str, int, tuple[int, ...]]


def complete_extents(operators: Iterable[Operator]) -> list[Operator]:
    """The operators with the extents of each tensor as far as any of them tells.

    A dim that one operator knows is known to all that see the tensor with the same strides; of
    lower bounds the largest holds. Operators that contradict each other (two tensors of one name)
    are left as they are.
    """
    return list(each_completed(list(operators)))


def each_completed(operators: Iterable[Operator]) -> Iterator[Operator]:
    """As `complete_extents`, one by one; `operators` is gone through twice."""
    extents = _Extents()
    for operator in operators:
        extents.add(operator)
    for operator in operators:
        yield extents.completed(operator)


class _Extents:
    """What operators say of the dims of each tensor."""

    def __init__(self) -> None:
        self._dims: dict[_Tensor, list[int]] = {}
        self._known: dict[_Tensor, list[bool]] = {}
        self._contradictory: set[_Tensor] = set()

    def add(self, operator: Operator) -> None:
        for slot in operator.slots:
            tensor = _tensor(slot)
            if tensor is None:
                continue
            if tensor not in self._dims:
                self._dims[tensor] = list(slot.tensor_dims)
                self._known[tensor] = list(slot.known_dims)
            elif not _merge(self._dims[tensor], self._known[tensor], slot):
                self._contradictory.add(tensor)

    def completed(self, operator: Operator) -> Operator:
        slots = []
        for slot in operator.slots:
            tensor = _tensor(slot)
            if tensor is not None and tensor not in self._contradictory:
                whole, sure = tuple(self._dims[tensor]), tuple(self._known[tensor])
                if (whole, sure) != (slot.tensor_dims, slot.known_dims):
                    slots.append(replace(slot, tensor_dims=whole, known_dims=sure))
                    continue
            slots.append(slot)
        if all(new is old for new, old in zip(slots, operator.slots, strict=True)):
            return operator
        return replace(operator, slots=tuple(slots))


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
