"""Tiles: the bytes of a tensor that one slot of one task names.

A slot is an offset in bytes, dims, and the whole tensor's strides in elements. Questions about
tiles are answered for sets of bytes, exactly: also where strides are padded, permuted, zero,
negative or make elements share bytes, where an offset is not a multiple of the element, and
where two slots see one tensor with other strides or another element type. Two names are two
tensors: that one memory was attached under both, a graph does not tell.

For many tiles at once see `mpkgraph.model.overlap` (pairs) and `mpkgraph.model.coverage` (unions).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from mpkgraph.catalog import DEFAULT, Catalog
from mpkgraph.errors import UsageError
from mpkgraph.frozen import dataclass
from mpkgraph.model import byteset, intersect
from mpkgraph.model.box import Box, element_box, find_element
from mpkgraph.model.byteset import Levels, Runs
from mpkgraph.model.graph import Slot, SlotLayout, TaskGraph

MAX_ADDRESS = 1 << 60
"""Offsets and extents stay below this, so that sums and differences fit 64 bits."""


class TileError(UsageError):
    """A tile that names no definite bytes."""


@dataclass(frozen=True)
class TileLayout:
    """The shape of tiles: dims and strides in elements, and the bytes of one element.

    `element_bytes` is None for types without a size (four-bit and unknown ones): such a tile has
    elements but, unless it is empty, no bytes that could be compared.
    Raises TileError for negative dims, unequal lengths, or an extent beyond 2**60 bytes.
    """

    dims: tuple[int, ...]
    strides: tuple[int, ...]
    element_bytes: int | None

    def __post_init__(self) -> None:
        where = f"tile of dims {list(self.dims)}, strides {list(self.strides)}"
        if len(self.dims) != len(self.strides):
            raise TileError("dims and strides differ in length", where=where)
        if any(dim < 0 for dim in self.dims):
            raise TileError("a dim is negative", where=where)
        if self.element_bytes is not None and self.element_bytes <= 0:
            raise TileError(f"an element of {self.element_bytes} bytes", where=where)
        reach = sum(
            max(dim - 1, 0) * abs(s) for dim, s in zip(self.dims, self.strides, strict=True)
        )
        if max(reach, self.num_elems) * (self.element_bytes or 1) >= MAX_ADDRESS:
            raise TileError("the tile reaches further than 2**60 bytes", where=where)

    @classmethod
    def of(cls, layout: SlotLayout, catalog: Catalog = DEFAULT) -> TileLayout | None:
        """The tile layout of a slot; None for a slot whose tensor was given as None."""
        if layout.is_null:
            return None
        return cls(layout.dims, layout.strides, catalog.data_type_size(layout.data_type))

    @property
    def num_elems(self) -> int:
        """Index vectors; elements that share memory (stride 0, say) count each."""
        return math.prod(self.dims)

    @property
    def is_empty(self) -> bool:
        """Whether a dim is 0."""
        return 0 in self.dims

    @property
    def has_bytes(self) -> bool:
        """Whether the bytes are known; `levels` and everything that needs it raise if not."""
        return self.element_bytes is not None or self.is_empty

    @cached_property
    def _pattern(self) -> tuple[int, Levels]:
        if self.is_empty:
            return 0, ()
        size = self.element_bytes
        if size is None:
            raise TileError(
                "the element type has no size in bytes that is known",
                where=f"tile of dims {list(self.dims)}",
                remedy="Read the graph with the Mirage version that made it (--mirage-home), or"
                " leave tensors of this type out.",
            )
        return byteset.normalize(
            (*self.dims, size), (*(stride * size for stride in self.strides), 1)
        )

    @property
    def lowest(self) -> int:
        """Lowest byte relative to the offset: 0 unless a stride is negative."""
        return self._pattern[0]

    @property
    def levels(self) -> Levels:
        """The bytes relative to `lowest`. Raises TileError when the element size is unknown."""
        return self._pattern[1]

    @cached_property
    def extent_bytes(self) -> int:
        """Bytes from the lowest to past the highest."""
        return byteset.extent_bytes(self.levels)

    @cached_property
    def num_bytes(self) -> int:
        """Distinct bytes: less than elements x element size when elements share memory."""
        return byteset.num_bytes(self.levels)

    @property
    def aliases(self) -> bool:
        """Whether elements share bytes."""
        return self.has_bytes and self.num_bytes < self.num_elems * (self.element_bytes or 0)


@dataclass(frozen=True)
class Tile:
    """A strided box of a named tensor.

    >>> left = Tile("x", 0, TileLayout((8, 64), (4096, 1), 2))
    >>> right = Tile("x", 64, TileLayout((8, 64), (4096, 1), 2))
    >>> left.overlaps(right), left.shared_bytes(right), left.first_shared_byte(right)
    (True, 512, 64)
    >>> str(right.box())
    '[0:8, 32:96]'
    """

    tensor: str
    offset: int
    """Bytes from the tensor's base."""
    layout: TileLayout

    def __post_init__(self) -> None:
        if abs(self.offset) >= MAX_ADDRESS:
            raise TileError(
                f"the offset {self.offset} is beyond 2**60 bytes", where=f"tile of {self.tensor}"
            )

    @classmethod
    def of(cls, slot: Slot, catalog: Catalog = DEFAULT) -> Tile | None:
        """The tile of a slot; None for a slot whose tensor was given as None."""
        layout = TileLayout.of(slot.layout, catalog)
        return None if layout is None else cls(slot.base_ptr, slot.offset, layout)

    @property
    def num_elems(self) -> int:
        return self.layout.num_elems

    @property
    def is_empty(self) -> bool:
        return self.layout.is_empty

    @property
    def num_bytes(self) -> int:
        """Distinct bytes."""
        return self.layout.num_bytes

    @property
    def start(self) -> int:
        """The lowest byte."""
        return self.offset + self.layout.lowest

    @property
    def byte_extent(self) -> tuple[int, int]:
        """`[low, high)`: the lowest byte, one past the highest; both the offset if empty."""
        return self.start, self.start + self.layout.extent_bytes

    def byte_runs(self) -> Runs:
        """Starts and stops of all runs of consecutive bytes, ascending.

        Raises TooLargeError beyond `byteset.MAX_RUNS` runs.
        """
        starts, stops = byteset.byte_runs(self.layout.levels)
        return starts + self.start, stops + self.start

    def shared_bytes(self, other: Tile) -> int:
        """Number of bytes that both touch. Raises TileError when an element size is unknown."""
        if self.tensor != other.tensor:
            return 0
        delta = np.array([other.start - self.start], np.int64)
        return int(intersect.shared_bytes(self.layout.levels, other.layout.levels, delta)[0])

    def overlaps(self, other: Tile) -> bool:
        """Whether a byte is in both."""
        return self.shared_bytes(other) > 0

    def contains(self, other: Tile) -> bool:
        """Whether every byte of `other` is in this tile; an empty tile of its tensor always is."""
        return self.tensor == other.tensor and self.shared_bytes(other) == other.num_bytes

    def same_bytes(self, other: Tile) -> bool:
        """Whether both touch the same bytes, in whatever shape."""
        return (
            self.tensor == other.tensor
            and self.num_bytes == other.num_bytes
            and self.contains(other)
        )

    def first_shared_byte(self, other: Tile) -> int | None:
        """The lowest byte, from the tensor's base, that both touch."""
        if self.tensor != other.tensor:
            return None
        delta = other.start - self.start
        first = intersect.first_shared_byte(self.layout.levels, other.layout.levels, delta)
        return None if first is None else self.start + first

    def box(self, tensor_dims: Sequence[int] | None = None) -> Box | None:
        """The tile as index ranges of its tensor.

        Exact where the strides are those of a tensor whose elements do not share memory, in any
        order of dims. Equal strides belong to a dim of size 1 and another one: without
        `tensor_dims` the tensor is taken for a row-major one. None where no box holds exactly these
        elements: strides that alias, a misaligned or negative offset, a tile that runs over the
        end of a row, or over `tensor_dims`.
        """
        size = self.layout.element_bytes
        if size is None or self.offset < 0 or self.offset % size:
            return None
        return element_box(self.offset // size, self.layout.dims, self.layout.strides, tensor_dims)

    def coordinates(
        self, byte: int, tensor_dims: Sequence[int] | None = None
    ) -> tuple[int, ...] | None:
        """Indices in the tensor of the element that holds `byte` (counted from the tensor's base).

        None where the strides alias, or no element of the tensor holds the byte.
        """
        size = self.layout.element_bytes
        if size is None or byte < 0:
            return None
        dims = (1,) * len(self.layout.dims)
        if self.layout.aliases:
            return None
        found = element_box(byte // size, dims, self.layout.strides, tensor_dims)
        return None if found is None else found.starts

    def element_of(self, byte: int) -> tuple[int, ...] | None:
        """Indices in the tile of an element that holds `byte`; None when none does."""
        size = self.layout.element_bytes
        if size is None or self.is_empty:
            return None
        return find_element(byte - self.offset, self.layout.dims, self.layout.strides, size)


def tile_layouts(graph: TaskGraph, catalog: Catalog = DEFAULT) -> tuple[TileLayout | None, ...]:
    """The tile layout of each of `graph.layouts`: equal ones one object, None for null slots."""
    interned: dict[TileLayout, TileLayout] = {}
    made = (TileLayout.of(layout, catalog) for layout in graph.layouts)
    return tuple(None if x is None else interned.setdefault(x, x) for x in made)
