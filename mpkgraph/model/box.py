"""Boxes: a tile as a range of indices in each dim of its tensor, and elements by their bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mpkgraph.frozen import dataclass


@dataclass(frozen=True, slots=True)
class Box:
    """A range of indices in each dim of a tensor: `starts[d] <= index < stops[d]`."""

    starts: tuple[int, ...]
    stops: tuple[int, ...]

    @property
    def dims(self) -> tuple[int, ...]:
        return tuple(stop - start for start, stop in zip(self.starts, self.stops, strict=True))

    @property
    def num_elems(self) -> int:
        return math.prod(self.dims)

    def __str__(self) -> str:
        parts = zip(self.starts, self.stops, strict=True)
        return "[" + ", ".join(f"{start}:{stop}" for start, stop in parts) + "]"


def element_box(
    start: int,
    dims: tuple[int, ...],
    strides: tuple[int, ...],
    tensor_dims: Sequence[int] | None = None,
) -> Box | None:
    """The box of a tile that begins at element `start`; None where there is none (`Tile.box`).

    >>> str(element_box(4096 + 64, (2, 32), (4096, 1)))
    '[1:3, 64:96]'
    """
    if any(stride < 0 for stride in strides):
        return None
    fixed = [d for d in range(len(dims)) if tensor_dims is not None and tensor_dims[d] == 1]
    order = sorted(
        (d for d in range(len(dims)) if d not in fixed),
        key=lambda d: (-strides[d], dims[d] == 1, d),
    )
    starts = [0] * len(dims)
    rest = start
    for d in order:
        if strides[d]:
            starts[d], rest = divmod(rest, strides[d])
    if rest and 0 not in dims:
        return None
    # The last index below each dim must not reach its next index: then no two indices meet.
    reach = 0
    for d in reversed(order):
        if dims[d] > 1 and strides[d] == 0:
            return None
        if strides[d]:
            if reach >= strides[d]:
                return None
            reach += (starts[d] + max(dims[d], 1) - 1) * strides[d]
    stops = [begin + dim for begin, dim in zip(starts, dims, strict=True)]
    if tensor_dims is not None and any(
        stop > whole for stop, whole in zip(stops, tensor_dims, strict=True)
    ):
        return None
    return Box(tuple(starts), tuple(stops))


def find_element(
    byte: int, dims: tuple[int, ...], strides: tuple[int, ...], size: int
) -> tuple[int, ...] | None:
    """Indices `i` with `0 <= byte - sum(i * strides) * size < size`, by descending strides."""
    order = sorted((d for d in range(len(dims)) if strides[d]), key=lambda d: -abs(strides[d]))
    lows, highs = [0], [size - 1]
    for d in reversed(order):
        span = (dims[d] - 1) * strides[d] * size
        lows.append(lows[-1] + min(span, 0))
        highs.append(highs[-1] + max(span, 0))
    found = [0] * len(dims)

    def search(level: int, rest: int) -> bool:
        if level == len(order):
            return 0 <= rest < size
        d = order[level]
        step = strides[d] * size
        # What the dims below can still add bounds the index of this one.
        low, high = rest - highs[len(order) - level - 1], rest - lows[len(order) - level - 1]
        first, last = (low, high) if step > 0 else (high, low)
        for index in range(max(0, -(-first // step)), min(dims[d] - 1, last // step) + 1):
            found[d] = index
            if search(level + 1, rest - index * step):
                return True
        found[d] = 0
        return False

    return tuple(found) if search(0, byte) else None
