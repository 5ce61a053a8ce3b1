"""Unions of tiles, against brute force over bytes."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpkgraph.errors import TooLargeError
from mpkgraph.model import byteset, coverage, digits
from mpkgraph.model.coverage import cover, cover_tiles
from mpkgraph.model.region import Region
from mpkgraph.model.tile import Tile, TileError, TileLayout
from tests.amount import examples
from tests.model import brute

OFFSETS = st.lists(st.integers(-10, 80) | st.sampled_from([0, 8]), max_size=5)
PARTS = brute.tile_lists(0, 3).flatmap(
    lambda tiles: st.tuples(*(st.tuples(st.just(tile.layout), OFFSETS) for tile in tiles))
)
WITHIN = brute.tiles() | st.tuples(st.integers(-10, 40), st.integers(0, 90)).map(
    lambda x: (x[0], x[0] + x[1])
)


def _region_bytes(regions):
    found = []
    for region in regions:
        listed = brute.run_bytes(byteset.byte_runs(region.levels), region.offset)
        assert len(listed) == region.num_bytes
        assert region.byte_extent == (listed[0], listed[-1] + 1)
        found += listed
    assert len(found) == len(set(found)), "regions overlap"
    return set(found)


def _check(parts, within):
    counts = Counter()
    for layout, offsets in parts:
        for offset in offsets:
            counts.update(brute.tile_bytes(Tile("x", offset, layout)))
    inside = brute.tile_bytes(within) if isinstance(within, Tile) else set(range(*within))
    found = cover(parts, within)
    histogram = Counter(counts[byte] for byte in inside)
    assert dict(found.bytes_by_count) == dict(sorted(histogram.items()))
    assert list(found.bytes_by_count) == sorted(found.bytes_by_count)
    assert found.total_bytes == len(inside)
    assert found.hole_bytes == histogram[0]
    assert found.covered_bytes == len(inside & set(counts))
    assert found.multiple_bytes == sum(counts[byte] > 1 for byte in inside)
    assert found.outside_bytes == len(set(counts) - inside)
    assert found.is_exact == (set(counts) == inside and max(counts.values(), default=0) <= 1)
    assert _region_bytes(found.holes()) == {byte for byte in inside if not counts[byte]}
    assert _region_bytes(found.regions(2)) == {byte for byte in inside if counts[byte] > 1}
    assert _region_bytes(found.regions(1, 1)) == {byte for byte in inside if counts[byte] == 1}
    assert _region_bytes(found.outside()) == set(counts) - inside
    return found


@given(PARTS, WITHIN)
@settings(max_examples=examples(200), deadline=None)
def test_against_bytes(parts, within):
    _check(parts, within)


@given(PARTS, WITHIN)
@settings(max_examples=examples(40), deadline=None)
def test_blocks_of_few_cells(parts, within):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coverage, "BLOCK_CELLS", 4)
        _check(parts, within)


@given(brute.wholes(), brute.SIZES, st.data())
@settings(max_examples=examples(60), deadline=None)
def test_slices_of_a_tensor(whole, size, data):
    tiles = data.draw(st.lists(brute.sliced(whole, size), max_size=5))
    tensor = Tile("x", 0, whole.layout(size))
    found = cover_tiles(tiles, tensor)
    assert found.outside_bytes == 0
    boxes = [(tile.layout, [tile.offset]) for tile in tiles]
    assert found.bytes_by_count == _check(boxes, tensor).bytes_by_count


@given(brute.wholes(), brute.SIZES, st.data())
@settings(deadline=None)
def test_regions_as_boxes(whole, size, data):
    starts, stops = data.draw(brute.slices(whole))
    dims = tuple(b - a for a, b in zip(starts, stops, strict=True))
    offset = sum(a * s for a, s in zip(starts, whole.strides, strict=True)) * size
    layout = TileLayout(dims, whole.strides, size)
    boxes = Region(offset, layout.levels).boxes(whole.strides, size, whole.dims)
    expected = set(itertools.product(*(range(a, b) for a, b in zip(starts, stops, strict=True))))
    strides = sorted(s for s, dim in zip(whole.strides, whole.dims, strict=True) if dim > 1)
    if boxes is None:
        assert any(b % a for a, b in itertools.pairwise(strides))
        return
    cells = [
        index
        for box in boxes
        for index in itertools.product(
            *(range(a, b) for a, b in zip(box.starts, box.stops, strict=True))
        )
    ]
    assert len(cells) == len(set(cells))
    assert set(cells) == expected


def test_region_that_cuts_elements_is_no_box():
    assert Region(1, ((4, 1),)).boxes((8, 1), 2, (4, 8)) is None
    assert Region(0, ((64, 1),)).boxes((8, 1), 2, (2, 8)) is None
    wrapped = Region(2 * 6, ((2 * 6, 1),)).boxes((8, 1), 2, (4, 8))
    assert [str(box) for box in wrapped] == ["[0:1, 6:8]", "[1:2, 0:4]"]


def test_grid_that_does_not_divide():
    whole = Tile("out", 0, TileLayout((8, 4096), (4096, 1), 2))
    found = cover([(TileLayout((8, 68), (4096, 1), 2), np.arange(60) * 136)], whole)
    assert dict(found.bytes_by_count) == {0: 8 * 16 * 2, 1: 8 * 4080 * 2}
    (hole,) = found.holes()
    assert hole == Region(4080 * 2, ((32, 1), (8, 8192)))
    assert [str(box) for box in hole.boxes((4096, 1), 2, (8, 4096))] == ["[0:8, 4080:4096]"]


def test_padding_is_no_hole():
    padded = TileLayout((8, 4000), (4096, 1), 2)
    rows = TileLayout((1, 4000), (4096, 1), 2)
    offsets = np.arange(8) * 8192
    assert cover([(rows, offsets)], Tile("x", 0, padded)).is_exact
    assert cover([(rows, offsets)], (0, 8 * 8192)).hole_bytes == 8 * 96 * 2


def test_other_tensors_are_left_out():
    whole = Tile("x", 0, TileLayout((8,), (1,), 2))
    other = Tile("y", 0, whole.layout)
    assert cover_tiles([other], whole).covered_bytes == 0
    assert cover_tiles([other, whole], whole).is_exact


def test_nothing_of_nothing():
    empty = Tile("x", 0, TileLayout((0, 8), (8, 1), 2))
    found = cover([], empty)
    assert found.total_bytes == 0
    assert found.is_exact
    assert found.holes() == ()


def test_large_tensor_in_few_cells():
    whole = Tile("w", 0, TileLayout((150_000, 7168), (7168, 1), 2))
    rows = TileLayout((250, 7168), (7168, 1), 2)
    columns = TileLayout((150_000, 12), (7168, 1), 2)
    found = cover([(rows, np.arange(600) * 250 * 7168 * 2), (columns, np.arange(597) * 24)], whole)
    assert dict(found.bytes_by_count) == {1: 150_000 * 4 * 2, 2: 150_000 * 7164 * 2}
    assert sum(block.counts.size for block in found._blocks) <= 600 * 598


def test_limits(monkeypatch):
    whole = Tile("x", 0, TileLayout((64, 64), (64, 1), 2))
    tile = TileLayout((3, 3), (64, 1), 2)
    offsets = np.arange(20) * 2 * 67
    monkeypatch.setattr(coverage, "MAX_CELLS", 100)
    with pytest.raises(TooLargeError, match="cells"):
        cover([(tile, offsets)], whole)
    monkeypatch.setattr(digits, "MAX_BOXES", 10)
    with pytest.raises(TooLargeError, match="pieces"):
        cover([(tile, offsets)], whole)


def test_pieces_that_are_counted_take_as_much_memory_as_is_said():
    """350 MB of edges at five digits: a start and a stop of eight bytes each."""
    assert 300e6 < digits.MAX_BOXES * 5 * 2 * 8 <= 350e6


def test_digits_are_the_strides_that_save_most_copies():
    """Of all chains of multiples; a longer chain is no merit of its own."""
    columns = {2: 4, 3: 3, 9: 2}  # copies by stride: 3 are saved along 2, 2 + 1 along 3 and 9
    for few, chain in ((4, (1, 3, 9)), (5, (1, 2)), (3, (1, 3, 9))):
        groups = [
            digits.Group.of(TileLayout((count,), (stride,), 1), [0])
            for stride, count in {**columns, 2: few}.items()
        ]
        gains = {stride: count - 1 for stride, count in {**columns, 2: few}.items()}
        found = digits.choose_bases(groups)
        assert found == chain
        assert sum(gains.get(x, 0) for x in found) == max(gains[2], gains[3] + gains[9])


def test_refusals():
    whole = Tile("x", 0, TileLayout((8,), (1,), 2))
    with pytest.raises(TileError, match="no size"):
        cover([(TileLayout((8,), (1,), None), [0])], whole)
    with pytest.raises(TileError, match="2\\*\\*60"):
        cover([(whole.layout, [1 << 61])], whole)
    with pytest.raises(TileError, match="no range"):
        cover([], (8, 0))


@pytest.mark.parametrize(
    "layout",
    [
        TileLayout((3, 2), (14, 2), 1),  # strides that are no base beside those below
        TileLayout((4, 4), (5, 7), 1),  # not nested: run by run
    ],
)
def test_repeated_tiles_of_unrelated_strides_keep_their_weight(layout):
    other = TileLayout((40, 3), (10, 5), 1)
    _check([(layout, [0, 0, 0, 91]), (other, [2])], (0, 400))
