"""Which elements of a tensor go to other tasks when an operator is cut otherwise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from mpkgraph.analysis.diff.changes import TileMove
from mpkgraph.analysis.diff.names import joined, pair_slots
from mpkgraph.model.operator import Operator, OperatorSlot

MAX_TILES = 1 << 16
"""Most tiles along one dim that are laid out."""


def tile_moves(one: Operator, other: Operator) -> tuple[TileMove, ...]:
    """Slots whose tiles differ: how many elements no pairing of tasks keeps where they are.

    Along each dim a tile of the left keeps what it shares with the one tile of the right that it
    goes with; tiles go with those that they share most with, each with one at most.
    """
    found = []
    pairs, _, _ = pair_slots(one, other)
    for a, b in pairs:
        move = _move(a, b)
        if move is not None:
            found.append(move)
    return tuple(found)


def _move(a: OperatorSlot, b: OperatorSlot) -> TileMove | None:
    dims = a.tensor_dims
    if a.tile_dims == b.tile_dims or not dims or dims != b.tensor_dims:
        return None
    if 0 in a.tile_dims or 0 in b.tile_dims or 0 in dims:
        return None
    kept, example = 1, None
    counts = [1, 1]
    for dim, extent in enumerate(dims):
        tiles = a.tile_dims[dim], b.tile_dims[dim]
        numbers = [extent // x for x in tiles]
        if max(numbers) > MAX_TILES or min(numbers) < 1:
            return None
        counts = [counts[0] * numbers[0], counts[1] * numbers[1]]
        here, moved = _kept(tiles, numbers)
        kept *= here
        if moved is not None and example is None:
            low, high, source, target = moved
            example = f"[{low}:{high}) of dim {dim}: tile {source} -> tile {target}"
    covered = min(_covered(dims, a.tile_dims), _covered(dims, b.tile_dims))
    return TileMove(
        slot=a.position,
        tensor=joined(a.base_ptrs),
        is_output=a.is_output,
        left_tile=a.tile_dims,
        right_tile=b.tile_dims,
        left_tiles=counts[0],
        right_tiles=counts[1],
        elements=covered,
        moved=max(covered - kept, 0),
        example=example,
    )


def _covered(dims: Sequence[int], tile: Sequence[int]) -> int:
    return math.prod(dim // size * size for dim, size in zip(dims, tile, strict=True))


def _kept(
    tiles: tuple[int, int], numbers: Sequence[int]
) -> tuple[int, tuple[int, int, int, int] | None]:
    """Elements along one dim that stay, and the first piece that moves: from, to, tile, tile."""
    if tiles[0] == tiles[1]:
        return numbers[0] * tiles[0], None
    pieces = []
    edges = sorted(
        {*range(0, numbers[0] * tiles[0] + 1, tiles[0])}
        | {*range(0, numbers[1] * tiles[1] + 1, tiles[1])}
    )
    limit = min(numbers[0] * tiles[0], numbers[1] * tiles[1])
    for low, high in pairwise(edges):
        if high <= limit:
            pieces.append((high - low, low, low // tiles[0], low // tiles[1]))
    taken: tuple[set[int], set[int]] = (set(), set())
    kept, moves = 0, []
    for size, low, source, target in sorted(pieces, key=lambda x: (-x[0], x[1])):
        if source in taken[0] or target in taken[1]:
            moves.append((low, low + size, source, target))
            continue
        taken[0].add(source)
        taken[1].add(target)
        kept += size
    return kept, min(moves, default=None)
