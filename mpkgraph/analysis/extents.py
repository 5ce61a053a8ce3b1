"""Whole tensors' extents, as far as tiles and operators tell."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from mpkgraph.model.graph import SlotLayout
from mpkgraph.model.operator import Operator


class ViewKey(NamedTuple):
    """One way in which slots see a tensor."""

    base_ptr: str
    data_type: int
    strides: tuple[int, ...]


class Extent(NamedTuple):
    """`dims` in elements; where not `known` a lower bound."""

    dims: tuple[int, ...]
    known: tuple[bool, ...]

    def merged(self, other: Extent) -> Extent:
        """What both tell: what is known wins, and the larger lower bound.

        >>> Extent((8, 64), (True, False)).merged(Extent((1, 4096), (False, False)))
        Extent(dims=(8, 4096), known=(True, False))
        """
        rows = [
            (max(dim, other_dim), known)
            if known == other_known
            else (dim if known else other_dim, True)
            for dim, known, other_dim, other_known in zip(*self, *other, strict=True)
        ]
        return Extent(tuple(dim for dim, _ in rows), tuple(known for _, known in rows))


class TensorExtents(dict[ViewKey, Extent]):
    """Extents of every view of every tensor, in order of first use."""

    @classmethod
    def of(cls, layouts: Iterable[SlotLayout], operators: Iterable[Operator]) -> TensorExtents:
        found = cls()
        for layout in layouts:
            found.add_layout(layout)
        for operator in operators:
            found.add_operator(operator)
        return found

    def add_layout(self, layout: SlotLayout) -> None:
        """A tile says that the tensor is at least as large."""
        if not layout.is_null:
            key = ViewKey(layout.base_ptr, layout.data_type, layout.strides)
            self._add(key, Extent(layout.dims, (False,) * len(layout.dims)))

    def add_operator(self, operator: Operator) -> None:
        """An operator tells whole extents, except of the parts of a fused tensor."""
        for slot in operator.slots:
            if len(slot.base_ptrs) == 1:
                key = ViewKey(slot.base_ptrs[0], slot.data_type, slot.strides)
                self._add(key, Extent(slot.tensor_dims, slot.known_dims))

    def _add(self, key: ViewKey, extent: Extent) -> None:
        before = self.get(key)
        if before is None:
            self[key] = extent
        elif before != extent:
            self[key] = before.merged(extent)
