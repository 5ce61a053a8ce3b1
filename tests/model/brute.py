"""Tiles by brute force: every byte of every element, and layouts to draw them from."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from mpkgraph.model.tile import Tile, TileLayout

SIZES = st.sampled_from([1, 2, 4])


def tile_bytes(tile: Tile) -> set[int]:
    """The bytes of a tile, element by element."""
    size = tile.layout.element_bytes or 0
    found: set[int] = set()
    for index in itertools.product(*map(range, tile.layout.dims)):
        steps = sum(i * s for i, s in zip(index, tile.layout.strides, strict=True))
        found.update(range(tile.offset + steps * size, tile.offset + (steps + 1) * size))
    return found


def run_bytes(runs: tuple[np.ndarray, np.ndarray], offset: int = 0) -> list[int]:
    """The bytes of starts and stops, in their order."""
    pairs = zip(runs[0].tolist(), runs[1].tolist(), strict=True)
    return [byte + offset for low, high in pairs for byte in range(low, high)]


@dataclass(frozen=True)
class Whole:
    """A tensor whose elements do not share memory, in any order of dims, padded or not."""

    dims: tuple[int, ...]
    strides: tuple[int, ...]

    def layout(self, size: int) -> TileLayout:
        return TileLayout(self.dims, self.strides, size)


@st.composite
def wholes(draw: st.DrawFn, max_dims: int = 3) -> Whole:
    """Row-major, column-major or permuted, with or without padding."""
    dims = draw(st.lists(st.integers(1, 4), max_size=max_dims))
    order = draw(
        st.sampled_from([list(range(len(dims)))[::-1], list(range(len(dims)))])
        | st.permutations(range(len(dims)))
    )
    strides, reach = [0] * len(dims), 1
    for d in order:
        reach += draw(st.sampled_from([0, 0, 1, 3]))
        strides[d] = reach
        reach *= dims[d]
    return Whole(tuple(dims), tuple(strides))


@st.composite
def slices(draw: st.DrawFn, whole: Whole) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Starts and stops of a box of a tensor; sometimes empty."""
    starts, stops = [], []
    for dim in whole.dims:
        start = draw(st.integers(0, dim - 1))
        starts.append(start)
        stops.append(draw(st.integers(start + (draw(st.integers(0, 9)) > 0), dim)))
    return tuple(starts), tuple(stops)


POOLS = st.sampled_from(
    [
        (1, 2, 4, 8, 16, 32),
        (1, 3, 9, 27),
        (1, 4, 5, 20),  # blocks that touch
        (1, 4, 13, 40),
        (1, 5, 7, 11, 13),
        (0, 1, 2, 3, -4, -1, 20),
        (2, 3),
        (6, 10, 15),
    ]
)
"""Strides of any kind: zero, negative, sharing memory, unrelated to each other."""


@st.composite
def wild_layouts(draw: st.DrawFn, pool: tuple[int, ...]) -> TileLayout:
    """Any dims with strides of a pool."""
    dims = draw(st.lists(st.sampled_from([1, 2, 2, 3, 4, 0]), max_size=4))
    strides = [draw(st.sampled_from(pool)) for _ in dims]
    return TileLayout(tuple(dims), tuple(strides), draw(SIZES))


@st.composite
def tiles(draw: st.DrawFn) -> Tile:
    """Slices of well-made tensors, and wild ones; offsets may cut elements or be negative."""
    return draw(tile_lists(1, 1))[0]


@st.composite
def tile_lists(draw: st.DrawFn, min_size: int = 2, max_size: int = 2) -> list[Tile]:
    """Tiles that have strides in common: slices of one tensor, or wild ones of one pool."""
    count = draw(st.integers(min_size, max_size))
    if draw(st.booleans()):
        pool = draw(POOLS)
        return [
            Tile("x", draw(st.integers(-20, 60)), draw(wild_layouts(pool))) for _ in range(count)
        ]
    whole, size = draw(wholes()), draw(SIZES)
    return [draw(sliced(whole, size)) for _ in range(count)]


@st.composite
def sliced(draw: st.DrawFn, whole: Whole, size: int) -> Tile:
    """A box of a tensor as a tile."""
    starts, stops = draw(slices(whole))
    dims = tuple(b - a for a, b in zip(starts, stops, strict=True))
    offset = sum(a * s for a, s in zip(starts, whole.strides, strict=True)) * size
    return Tile("x", offset, TileLayout(dims, whole.strides, size))


def tile_pairs() -> st.SearchStrategy[list[Tile]]:
    """Two tiles, as often of strides in common as not."""
    return tile_lists() | st.lists(tiles(), min_size=2, max_size=2)
