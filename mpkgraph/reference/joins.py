"""Which tasks of one layer may run as one call on the union of their tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ALONE = "."
"""A dim that can't be joined."""

Point = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Joins:
    """Dims of the slots that belong together, and the grid axes that the function walks itself.

    Equal letters are one dimension of the operation: a linear layer is `("bk", "nk", "bn")` with
    K, which no split may cut, written as `.`: `("b.", "n.", "bn")`. Tasks along a grid axis may be
    joined when the axis splits one letter, in all slots that have it.

    >>> linear = Joins(("b.", "n.", "bn"))
    >>> linear.joinable_axes([(-1, -1, -1), (0, -1, -1), (1, -1, -1)], (8, 1, 1))
    (True, True, True)
    >>> linear.joinable_axes([(1, -1, -1), (1, -1, -1), (-1, -1, -1)], (8, 1, 1))
    (False, True, True)
    """

    dims: tuple[str, ...]
    """A string a slot (inputs first), a letter a dim."""
    walked: str = ""
    """Grid axes along which tasks differ by metadata, and the function does one after the other:
    these may be joined though they split no slot."""
    by_metadata: str = ""
    """Grid axes along which tasks differ by metadata, and must be run apart."""

    def joinable_axes(
        self, input_maps: Sequence[Point], grid_dim: Point
    ) -> tuple[bool, bool, bool]:
        """For each grid axis, whether the tasks along it may be joined; True for size 1.

        `input_maps` are those of all slots, inputs first.
        """
        x, y, z = (self._may_join(axis, input_maps, grid_dim) for axis in range(3))
        return x, y, z

    def _may_join(self, axis: int, input_maps: Sequence[Point], grid_dim: Point) -> bool:
        if grid_dim[axis] == 1:
            return True
        name = "xyz"[axis]
        if name in self.by_metadata or len(input_maps) != len(self.dims):
            return False
        split: set[str] = set()
        for letters, input_map in zip(self.dims, input_maps, strict=True):
            dim = input_map[axis]
            if dim < 0:
                continue
            others = (input_map[a] for a in range(3) if a != axis and grid_dim[a] > 1)
            if dim in others or dim >= len(letters):
                return False
            split.add(letters[dim])
        if not split:
            return name in self.walked
        if len(split) > 1 or ALONE in split:
            return False
        (letter,) = split
        return all(
            input_map[axis] == letters.index(letter)
            for letters, input_map in zip(self.dims, input_maps, strict=True)
            if letter in letters
        )
