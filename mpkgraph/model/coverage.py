"""How often tiles cover each byte of a tensor: total, holes, bytes that several tiles touch.

Tiles become boxes in the digits of an address (`mpkgraph.model.digits`). The edges of all boxes cut
the tensor into few cells (coordinate compression), so cost follows the number of distinct edges,
not of bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mpkgraph.errors import TooLargeError
from mpkgraph.frozen import dataclass
from mpkgraph.model import byteset
from mpkgraph.model.byteset import IntArray, Levels
from mpkgraph.model.digits import Boxes, Group, choose_bases
from mpkgraph.model.overlap import BoolArray
from mpkgraph.model.region import Region
from mpkgraph.model.tile import MAX_ADDRESS, Tile, TileError, TileLayout

MAX_CELLS = 1 << 25
"""Most cells that edges may cut the tensor into: 256 MiB of counts."""
BLOCK_CELLS = 1 << 20
"""Cells counted at once; a larger grid is halved along its longest axis first."""


@dataclass(frozen=True)
class Coverage:
    """How often the bytes of `within` are covered. A tile counts once for each byte it touches."""

    bytes_by_count: Mapping[int, int]
    """Number of tiles -> bytes of `within` that so many tiles touch; ascending, 0 for holes."""
    outside_bytes: int
    """Bytes that tiles touch and `within` does not hold."""
    _bases: tuple[int, ...] = field(repr=False)
    _blocks: tuple[_Block, ...] = field(repr=False)

    @cached_property
    def total_bytes(self) -> int:
        """Bytes of `within`."""
        return sum(self.bytes_by_count.values())

    @property
    def hole_bytes(self) -> int:
        """Bytes that no tile touches."""
        return self.bytes_by_count.get(0, 0)

    @property
    def covered_bytes(self) -> int:
        """Bytes that some tile touches."""
        return self.total_bytes - self.hole_bytes

    @property
    def multiple_bytes(self) -> int:
        """Bytes that more than one tile touches."""
        return self.covered_bytes - self.bytes_by_count.get(1, 0)

    @property
    def is_exact(self) -> bool:
        """Whether tiles touch each byte of `within` once, and nothing else."""
        return not self.hole_bytes and not self.multiple_bytes and not self.outside_bytes

    def holes(self) -> tuple[Region, ...]:
        """The bytes that no tile touches, as disjoint regions by ascending offset."""
        return self.regions(0, 0)

    def regions(self, min_count: int, max_count: int | None = None) -> tuple[Region, ...]:
        """The bytes of `within` that `min_count` to `max_count` tiles touch, as `holes`."""
        found: list[Region] = []
        for block in self._blocks:
            wanted = block.within & (block.counts >= min_count)
            if max_count is not None:
                wanted &= block.counts <= max_count
            found += block.regions(wanted, self._bases)
        return tuple(sorted(found, key=lambda region: region.offset))

    def outside(self) -> tuple[Region, ...]:
        """The bytes outside `within` that tiles touch, as `holes`."""
        found: list[Region] = []
        for block in self._blocks:
            found += block.regions(~block.within & (block.counts > 0), self._bases)
        return tuple(sorted(found, key=lambda region: region.offset))


def cover(
    parts: Iterable[tuple[TileLayout, npt.ArrayLike]], within: Tile | tuple[int, int]
) -> Coverage:
    """Coverage of a tensor by columns of tiles, each a layout and byte offsets.

    `within` is the whole tensor as a tile (its padding does not count) or a range of bytes.
    Raises TileError when an element size is unknown, TooLargeError when the tiles are so
    irregular that they cut the tensor into more than `MAX_CELLS` cells.

    >>> whole = Tile("x", 0, TileLayout((8, 4096), (4096, 1), 2))
    >>> columns = TileLayout((8, 68), (4096, 1), 2)
    >>> found = cover([(columns, [68 * 2 * i for i in range(60)])], whole)
    >>> dict(found.bytes_by_count)
    {0: 256, 1: 65280}
    >>> [str(box) for hole in found.holes() for box in hole.boxes((4096, 1), 2, (8, 4096))]
    ['[0:8, 4080:4096]']
    """
    groups = [Group.of(layout, offsets) for layout, offsets in parts]
    if isinstance(within, Tile):
        universe = Group.of(within.layout, [within.offset])
    else:
        low, high = within
        if high < low or max(-low, high) >= MAX_ADDRESS:
            raise TileError(f"no range of bytes: [{low}, {high})")
        levels: Levels = ((high - low, 1),) if high > low else ()
        universe = Group(levels, np.array([low], np.int64), np.ones(1, np.int64))
    bases = choose_bases([*groups, universe])
    boxes = Boxes.concatenate([group.boxes(bases) for group in groups], len(bases))
    blocks = tuple(_count(boxes, universe.boxes(bases)))
    totals: dict[int, int] = {}
    outside = 0
    for block in blocks:
        volumes = block.volumes()
        counts, inverse = np.unique(block.counts[block.within], return_inverse=True)
        sums = np.zeros(len(counts), np.int64)
        np.add.at(sums, inverse.ravel(), volumes[block.within])
        for count, total in zip(counts.tolist(), sums.tolist(), strict=True):
            totals[count] = totals.get(count, 0) + total
        outside += int(volumes[~block.within & (block.counts > 0)].sum())
    return Coverage(dict(sorted(totals.items())), outside, bases, blocks)


def cover_tiles(tiles: Iterable[Tile], within: Tile) -> Coverage:
    """`cover` for single tiles; those of other tensors than `within`'s are left out."""
    offsets: dict[TileLayout, list[int]] = {}
    for tile in tiles:
        if tile.tensor == within.tensor:
            offsets.setdefault(tile.layout, []).append(tile.offset)
    return cover(offsets.items(), within)


@dataclass(frozen=True)
class _Block:
    """Cells between the edges of each digit; axes are digits, the lowest first."""

    edges: tuple[IntArray, ...]
    counts: IntArray
    within: BoolArray

    def volumes(self) -> IntArray:
        """Bytes of each cell."""
        total = np.ones((), np.int64)
        for edges in self.edges:
            total = total[..., None] * np.diff(edges)
        return np.asarray(total, np.int64)

    def regions(self, wanted: BoolArray, bases: tuple[int, ...]) -> list[Region]:
        """The wanted cells, merged into boxes digit by digit."""
        cells = np.argwhere(wanted)
        spans = np.stack([cells, cells + 1], axis=2).astype(np.int64)
        for axis in range(len(bases)):
            others = [spans[:, a, side] for a in range(len(bases)) if a != axis for side in (0, 1)]
            spans = spans[np.lexsort((spans[:, axis, 0], *others))]
            if len(spans) < 2:
                break
            rest = np.delete(spans, axis, axis=1)
            joins = (spans[1:, axis, 0] == spans[:-1, axis, 1]) & (rest[1:] == rest[:-1]).all(
                axis=(1, 2)
            )
            first = np.concatenate([[True], ~joins])
            last = np.concatenate([~joins, [True]])
            stops = spans[last, axis, 1]
            spans = spans[first]
            spans[:, axis, 1] = stops
        found = []
        for span in spans.tolist():
            low = [int(edges[s[0]]) for edges, s in zip(self.edges, span, strict=True)]
            high = [int(edges[s[1]]) for edges, s in zip(self.edges, span, strict=True)]
            dims = tuple(h - lo for lo, h in zip(low, high, strict=True))
            offset = sum(lo * base for lo, base in zip(low, bases, strict=True))
            found.append(Region(offset, byteset.normalize(dims, bases)[1]))
        return found


def _count(boxes: Boxes, universe: Boxes) -> list[_Block]:
    """All cells of the boxes and the universe, in blocks of bounded size."""
    done: list[_Block] = []
    waiting = [(boxes, universe)]
    cells_done = 0
    while waiting:
        boxes, universe = waiting.pop()
        if not len(boxes.starts) and not len(universe.starts):
            continue
        every = [boxes.starts, boxes.stops, universe.starts, universe.stops]
        digits = range(boxes.starts.shape[1])
        edges = tuple(np.unique(np.concatenate([x[:, i] for x in every])) for i in digits)
        cells = math.prod(len(x) - 1 for x in edges)
        if cells > BLOCK_CELLS:
            longest = max(range(len(edges)), key=lambda i: len(edges[i]))
            axis = edges[longest]
            low, middle, high = int(axis[0]), int(axis[len(axis) // 2]), int(axis[-1])
            for start, stop in ((low, middle), (middle, high)):
                part = boxes.clip(longest, start, stop), universe.clip(longest, start, stop)
                waiting.append(part)
            continue
        cells_done += cells
        if cells_done > MAX_CELLS:
            raise TooLargeError(
                f"the edges of {len(boxes.starts):,} tiles cut the tensor into more than"
                f" {MAX_CELLS:,} cells",
                remedy="Ask about fewer tiles at a time.",
            )
        within = _stack(universe, edges) > 0
        done.append(_Block(edges, _stack(boxes, edges), within))
    return done


def _stack(boxes: Boxes, edges: tuple[IntArray, ...]) -> IntArray:
    """For each cell the weight of the boxes over it: differences at corners, then sums."""
    counts = np.zeros(tuple(len(x) for x in edges), np.int64)
    sides = [
        (np.searchsorted(x, boxes.starts[:, i]), np.searchsorted(x, boxes.stops[:, i]))
        for i, x in enumerate(edges)
    ]
    for corner in range(1 << len(edges)):
        index = tuple(sides[i][corner >> i & 1] for i in range(len(edges)))
        sign = -1 if corner.bit_count() % 2 else 1
        np.add.at(counts, index, sign * boxes.weights)
    for axis in range(len(edges)):
        np.cumsum(counts, axis=axis, out=counts)
    inner: IntArray = counts[(slice(None, -1),) * len(edges)]
    return inner
