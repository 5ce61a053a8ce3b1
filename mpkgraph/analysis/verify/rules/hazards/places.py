"""Where in a tensor two tiles meet, as a finding's location and message show it."""

from __future__ import annotations

from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.rules.hazards.access import Access
from mpkgraph.errors import TooLargeError
from mpkgraph.frozen import dataclass
from mpkgraph.model.box import Box
from mpkgraph.model.operator import Operator
from mpkgraph.model.region import Region, intersection
from mpkgraph.model.tile import Tile

Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Place:
    """Some bytes of a tensor, and as element ranges where they are a box."""

    byte_range: tuple[int, int] | None
    elements: Ranges | None

    def __str__(self) -> str:
        """To follow the tensor's name: `[0:8, 64:128]`."""
        if self.elements is not None:
            return "[" + ", ".join(f"{low}:{high}" for low, high in self.elements) + "]"
        if self.byte_range is None:
            return ""
        return f" bytes {self.byte_range[0]:,} to {self.byte_range[1]:,}"


def shared_place(left: Access, left_task: int, right: Access, right_task: int) -> Place:
    """What the tiles of two tasks have in common."""
    tiles = left.tile(left.position(left_task)), right.tile(right.position(right_task))
    try:
        regions = intersection(*tiles)
    except TooLargeError:
        return Place(None, None)
    return Place(_extent(regions), _common_box(tiles, left, right))


def region_place(access: Access, regions: tuple[Region, ...]) -> Place:
    """Some regions of the tensor of an access."""
    slot = access.use.slot
    boxes = regions[0].boxes(slot.strides, access.layout.element_bytes or 1, slot.tensor_dims)
    elements = None
    if boxes:
        elements = tuple(zip(boxes[0].starts, boxes[0].stops, strict=True))
    return Place(regions[0].byte_extent, elements)


def _extent(regions: tuple[Region, ...]) -> tuple[int, int] | None:
    if not regions:
        return None
    extents = [x.byte_extent for x in regions]
    return min(low for low, _ in extents), max(high for _, high in extents)


def _common_box(tiles: tuple[Tile, Tile], left: Access, right: Access) -> Ranges | None:
    dims = left.use.slot.tensor_dims, right.use.slot.tensor_dims
    if tiles[0].layout.strides != tiles[1].layout.strides:
        return None
    boxes = [x.box(_whole(x, d)) for x, d in zip(tiles, dims, strict=True)]
    if None in boxes:
        return None
    a, b = (x for x in boxes if isinstance(x, Box))
    ranges = tuple(
        (max(low, other), min(high, end))
        for low, high, other, end in zip(a.starts, a.stops, b.starts, b.stops, strict=True)
    )
    return ranges if all(low < high for low, high in ranges) else None


def _whole(tile: Tile, dims: tuple[int, ...]) -> tuple[int, ...] | None:
    return dims if len(dims) == len(tile.layout.dims) else None


def label(context: VerifyContext, operator: Operator) -> str:
    """An operator for messages: names repeat, so its number belongs to it."""
    return f"{context.name(operator)} (operator {operator.index})"
