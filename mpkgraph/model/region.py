"""Regions: bytes of a tensor that an answer is about, shown as boxes where they are boxes."""

from __future__ import annotations

import itertools
import math
import operator

import numpy as np

from mpkgraph.frozen import dataclass
from mpkgraph.model import byteset
from mpkgraph.model.box import Box
from mpkgraph.model.byteset import Levels
from mpkgraph.model.digits import Group
from mpkgraph.model.intersect import shared_levels, shared_runs
from mpkgraph.model.tile import Tile


@dataclass(frozen=True, slots=True)
class Region:
    """Some bytes of a tensor: `levels` as in `mpkgraph.model.byteset`, from byte `offset`."""

    offset: int
    levels: Levels

    @property
    def num_bytes(self) -> int:
        return math.prod(count for count, _ in self.levels)

    @property
    def byte_extent(self) -> tuple[int, int]:
        return self.offset, self.offset + byteset.extent_bytes(self.levels)

    def boxes(
        self, strides: tuple[int, ...], element_bytes: int, tensor_dims: tuple[int, ...]
    ) -> list[Box] | None:
        """The region as boxes of a tensor, in order of address.

        None where it cuts elements, leaves the tensor, or `strides` (elements) are not nested
        multiples of each other.
        """
        return _tensor_boxes(self, strides, element_bytes, tensor_dims)


def intersection(left: Tile, right: Tile) -> tuple[Region, ...]:
    """The bytes that two tiles share, as disjoint regions by ascending offset.

    Raises TileError when an element size is unknown.

    >>> from mpkgraph.model.tile import TileLayout
    >>> columns = TileLayout((8, 64), (4096, 1), 2)
    >>> (shared,) = intersection(Tile("x", 0, columns), Tile("x", 96, columns))
    >>> [str(box) for box in shared.boxes((4096, 1), 2, (8, 4096))]
    ['[0:8, 48:64]']
    """
    if left.tensor != right.tensor:
        return ()
    a, b, delta = left.layout.levels, right.layout.levels, right.start - left.start
    if byteset.is_nested(a) and byteset.is_nested(b):
        found = [Region(left.start + at, levels) for at, levels in shared_levels(a, b, delta)]
        return tuple(sorted(found, key=lambda region: region.offset))
    starts, stops = shared_runs(byteset.byte_runs(a), byteset.byte_runs(b), delta)
    return tuple(
        Region(left.start + low, ((high - low, 1),))
        for low, high in zip(starts.tolist(), stops.tolist(), strict=True)
    )


def _tensor_boxes(
    region: Region, strides: tuple[int, ...], element_bytes: int, tensor_dims: tuple[int, ...]
) -> list[Box] | None:
    # A dim of size 1 has no digit: its index is 0 whatever its stride.
    order = sorted(
        (d for d in range(len(strides)) if tensor_dims[d] != 1), key=lambda d: strides[d]
    )
    if order and strides[order[0]] <= 0:
        return None
    bases = (1, *(strides[d] * element_bytes for d in order))
    if not all(
        below < above and above % below == 0 for below, above in itertools.pairwise(bases[1:])
    ):
        return None
    whole = Group(region.levels, np.array([region.offset], np.int64), np.ones(1, np.int64))
    distinct = tuple(dict.fromkeys(bases))
    boxes = whole.boxes(distinct)
    found = []
    for low, high in zip(boxes.starts.tolist(), boxes.stops.tolist(), strict=True):
        starts, stops = [0] * len(strides), [1] * len(strides)
        skip = 0 if len(distinct) < len(bases) else 1
        if skip and (low[0], high[0]) != (0, element_bytes):
            return None
        for d, start, stop in zip(order, low[skip:], high[skip:], strict=True):
            starts[d], stops[d] = start, stop
            if stop > tensor_dims[d] or start < 0:
                return None
        found.append(Box(tuple(starts), tuple(stops)))
    return sorted(found, key=lambda box: sum(map(operator.mul, strides, box.starts)))
