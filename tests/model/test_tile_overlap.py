"""Columns of tiles against columns of tiles, against single tiles and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpkgraph.errors import TooLargeError
from mpkgraph.model import intersect, overlap
from mpkgraph.model.tile import Tile, TileError, TileLayout
from tests.amount import examples
from tests.model import brute

OFFSETS = st.lists(st.integers(-40, 120) | st.sampled_from([0, 8]), max_size=7)


@given(brute.tile_pairs(), OFFSETS, OFFSETS)
@settings(max_examples=examples(200), deadline=None)
def test_columns_equal_single_tiles(pair, lefts, rights):
    one, other = pair[0].layout, pair[1].layout
    expected = [
        [Tile("x", a, one).shared_bytes(Tile("x", b, other)) for b in rights] for a in lefts
    ]
    column = np.array(lefts, np.int64)[:, None]
    assert overlap.shared_bytes(one, column, other, rights).tolist() == expected
    matrix = overlap.overlap_matrix(one, lefts, other, rights)
    assert matrix.tolist() == [[shared > 0 for shared in row] for row in expected]
    pairs = [x.tolist() for x in overlap.overlapping_pairs(one, lefts, other, rights)]
    assert pairs == [x.tolist() for x in np.nonzero(matrix)]
    assert overlap.any_overlap(one, lefts, other, rights) == bool(pairs[0])


@given(brute.tiles(), OFFSETS)
@settings(deadline=None)
def test_a_column_against_itself(tile, offsets):
    layout = tile.layout
    tiles = [brute.tile_bytes(Tile("x", offset, layout)) for offset in offsets]
    expected = [
        (i, j) for i in range(len(tiles)) for j in range(i + 1, len(tiles)) if tiles[i] & tiles[j]
    ]
    found = overlap.self_overlapping_pairs(layout, offsets)
    assert list(zip(*map(np.ndarray.tolist, found), strict=True)) == expected


def _grid(rows, columns, tile_dims, stride, size=2):
    """Layout and offsets of a grid of tiles of a row-major matrix."""
    height, width = tile_dims
    offsets = np.add.outer(np.arange(rows) * height * stride, np.arange(columns) * width) * size
    return TileLayout(tile_dims, (stride, 1), size), offsets.ravel()


@pytest.mark.parametrize("batch", [7, 1 << 18])
def test_grids_meet_where_their_boxes_do(monkeypatch, batch):
    monkeypatch.setattr(overlap, "CANDIDATES", batch)
    monkeypatch.setattr(intersect, "BATCH", batch)
    coarse, coarse_offsets = _grid(6, 8, (20, 15), 120)
    fine, fine_offsets = _grid(10, 12, (12, 10), 120)
    left, right = overlap.overlapping_pairs(coarse, coarse_offsets, fine, fine_offsets)
    expected = []
    for i, j in np.ndindex(len(coarse_offsets), len(fine_offsets)):
        (r, c), (s, d) = divmod(i, 8), divmod(j, 12)
        rows = min(r * 20 + 20, s * 12 + 12) - max(r * 20, s * 12)
        columns = min(c * 15 + 15, d * 10 + 10) - max(c * 15, d * 10)
        if rows > 0 and columns > 0:
            expected.append((i, j))
    assert list(zip(left.tolist(), right.tolist(), strict=True)) == expected
    assert len(overlap.self_overlapping_pairs(coarse, coarse_offsets)[0]) == 0


def test_candidates_follow_the_answer():
    # 16,800 tiles against themselves are 282 million pairs; those tested must stay far below.
    layout, offsets = _grid(150, 112, (1000, 64), 7168)
    tested = []
    levels = layout.levels
    group = overlap._Group.of(layout, offsets)
    for left, _ in overlap._unique_pairs(levels, group, levels, group):
        tested.append(len(left))
    assert sum(tested) == len(offsets)
    sieves = [
        overlap._Sieve.of(levels, group.starts, levels, group.starts, modulus).num_candidates
        for modulus in (0, *overlap._moduli(levels, levels))
    ]
    assert min(sieves) < 4_000_000


def _candidates(layout, offsets):
    """By modulus how many pairs of a column with itself would be tested."""
    levels, starts = layout.levels, overlap._Group.of(layout, offsets).starts
    return {
        modulus: overlap._Sieve.of(levels, starts, levels, starts, modulus).num_candidates
        for modulus in (0, *overlap._moduli(levels, levels))
    }


def test_a_sieve_passes_over_tiles_that_are_apart():
    """Tiles side by side in a row of bytes; columns of bytes between each other."""
    assert _candidates(TileLayout((16,), (1,), 1), np.arange(300) * 16) == {0: 300}
    assert _candidates(TileLayout((300,), (2,), 1), [0, 1]) == {0: 4, 2: 2}
    # Runs of four in steps of six meet modulo six wherever they begin
    assert _candidates(TileLayout((50, 4), (6, 1), 1), [0, 2]) == {0: 4, 6: 4}


def test_replicated_tiles():
    layout = TileLayout((8,), (1,), 2)
    left, right = overlap.overlapping_pairs(layout, [0, 16, 0], layout, [0, 0, 32])
    assert left.tolist() == [0, 0, 2, 2]
    assert right.tolist() == [0, 1, 0, 1]


def test_unknown_sizes_and_far_offsets_are_errors():
    unknown = TileLayout((8,), (1,), None)
    known = TileLayout((8,), (1,), 2)
    with pytest.raises(TileError, match="no size"):
        overlap.overlapping_pairs(known, [0], unknown, [0])
    with pytest.raises(TileError, match="2\\*\\*60"):
        overlap.overlap_matrix(known, [0], known, [1 << 61])


def test_too_many_pairs(monkeypatch):
    monkeypatch.setattr(overlap, "MAX_PAIRS", 99)
    layout = TileLayout((8,), (1,), 2)
    with pytest.raises(TooLargeError, match="pairs"):
        overlap.overlapping_pairs(layout, [0] * 10, layout, [0] * 10)
