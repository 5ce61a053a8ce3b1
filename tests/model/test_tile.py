"""Single tiles and pairs of tiles, against brute force over bytes."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpkgraph.catalog import DT_UNKNOWN
from mpkgraph.errors import TooLargeError, UsageError
from mpkgraph.model import byteset
from mpkgraph.model.box import Box
from mpkgraph.model.graph import NULL_TENSOR, Slot, SlotLayout
from mpkgraph.model.region import intersection
from mpkgraph.model.tile import Tile, TileError, TileLayout
from tests.amount import examples
from tests.model import brute

BFLOAT16, FLOAT4 = 941, 920


@given(brute.tiles())
@settings(deadline=None)
def test_one_tile(tile):
    expected = brute.tile_bytes(tile)
    assert tile.num_bytes == len(expected)
    low, high = tile.byte_extent
    assert (low, high) == ((min(expected), max(expected) + 1) if expected else (low, low))
    assert tile.is_empty == (not expected)
    assert tile.layout.aliases == (len(expected) < tile.num_elems * tile.layout.element_bytes)


@given(brute.tiles())
@settings(deadline=None)
def test_runs_are_sorted_and_apart(tile):
    starts, stops = tile.byte_runs()
    assert brute.run_bytes((starts, stops)) == sorted(brute.tile_bytes(tile))
    assert (starts[1:] > stops[:-1]).all()


@given(brute.tile_pairs())
@settings(max_examples=examples(300), deadline=None)
def test_two_tiles(pair):
    left, right = pair
    a, b = brute.tile_bytes(left), brute.tile_bytes(right)
    assert left.shared_bytes(right) == len(a & b)
    assert left.overlaps(right) == bool(a & b)
    assert left.contains(right) == (b <= a)
    assert left.same_bytes(right) == (a == b)
    assert left.first_shared_byte(right) == min(a & b, default=None)
    listed = [
        byte
        for region in intersection(left, right)
        for byte in brute.run_bytes(byteset.byte_runs(region.levels), region.offset)
    ]
    assert sorted(listed) == sorted(a & b)


@given(brute.tile_pairs())
@settings(deadline=None)
def test_order_of_dims_and_position_do_not_matter(pair):
    left, right = pair
    layout = left.layout
    turned = TileLayout(layout.dims[::-1], layout.strides[::-1], layout.element_bytes)
    assert Tile("x", left.offset, turned).same_bytes(left)
    moved_left = Tile("x", left.offset + 1000, layout)
    moved_right = Tile("x", right.offset + 1000, right.layout)
    assert moved_right.shared_bytes(moved_left) == left.shared_bytes(right)


@given(brute.tiles(), st.integers(-30, 120))
@settings(deadline=None)
def test_element_of_byte(tile, byte):
    index = tile.element_of(byte)
    assert (index is not None) == (byte in brute.tile_bytes(tile))
    if index is not None:
        assert all(0 <= i < dim for i, dim in zip(index, tile.layout.dims, strict=True))
        size = tile.layout.element_bytes
        steps = sum(i * s for i, s in zip(index, tile.layout.strides, strict=True))
        assert 0 <= byte - tile.offset - steps * size < size


@given(brute.wholes(), brute.SIZES, st.data())
@settings(deadline=None)
def test_box_of_a_slice(whole, size, data):
    starts, stops = data.draw(brute.slices(whole))
    dims = tuple(b - a for a, b in zip(starts, stops, strict=True))
    offset = sum(a * s for a, s in zip(starts, whole.strides, strict=True)) * size
    tile = Tile("x", offset, TileLayout(dims, whole.strides, size))
    assert tile.box(whole.dims) == Box(starts, stops)
    if not tile.is_empty:
        first = tile.coordinates(offset + size - 1, whole.dims)
        assert first == starts


@given(brute.wholes(), st.integers(0, 80), st.data())
@settings(max_examples=examples(200), deadline=None)
def test_a_box_holds_exactly_the_elements(whole, start, data):
    dims = tuple(data.draw(st.integers(1, 4)) for _ in whole.dims)
    box = Tile("x", start * 2, TileLayout(dims, whole.strides, 2)).box(whole.dims)
    inside = [range(dim) for dim in whole.dims]
    boxes = [
        starts
        for starts in itertools.product(*inside)
        if sum(i * s for i, s in zip(starts, whole.strides, strict=True)) == start
        and all(i + n <= dim for i, n, dim in zip(starts, dims, whole.dims, strict=True))
    ]
    assert [box.starts] == boxes if box else boxes == []


@pytest.mark.parametrize(
    ("dims", "strides", "offset", "expected"),
    [
        ((8, 64), (4096, 1), 256, "[0:8, 128:192]"),
        ((128, 14), (1, 1536), 2 * (3 * 1536 + 128), "[128:256, 3:17]"),
        ((256, 1), (1, 1), 10, "[5:261, 0:1]"),
        ((1, 256), (1, 1), 10, "[0:1, 5:261]"),
        ((8, 4, 1), (64, 1, 8), 2 * (8 * 3 + 4), "[0:8, 4:8, 3:4]"),
        ((), (), 0, "[]"),
        ((0, 4096), (4096, 1), 0, "[0:0, 0:4096]"),
    ],
)
def test_boxes_as_mirage_writes_them(dims, strides, offset, expected):
    assert str(Tile("x", offset, TileLayout(dims, strides, 2)).box()) == expected


@pytest.mark.parametrize(
    ("dims", "strides", "offset"),
    [
        ((8, 512, 1), (64, 1, 1024), 0),  # rows share memory
        ((2, 64), (4096, 1), 2 * 4090),  # runs over the end of a row
        ((2, 2), (4096, 1), 2 * 4095),
        ((4, 8), (0, 1), 0),  # the same row four times
        ((4, 8), (8, 1), 1),  # cuts elements
        ((4, 8), (8, 1), -16),
        ((4, 8), (-8, 1), 64),
        ((4, 4), (8, 2), 2),  # between elements of every second column
    ],
)
def test_no_box(dims, strides, offset):
    assert Tile("x", offset, TileLayout(dims, strides, 2)).box() is None


def test_box_beyond_the_tensor():
    planes = TileLayout((2, 8, 64), (32768, 4096, 1), 2)
    assert str(Tile("x", 65536, planes).box()) == "[1:3, 0:8, 0:64]"
    assert Tile("x", 65536, planes).box((2, 8, 4096)) is None


def test_other_tensors_never_meet():
    layout = TileLayout((4,), (1,), 2)
    left, right = Tile("x", 0, layout), Tile("y", 0, layout)
    assert not left.overlaps(right)
    assert not left.contains(right)
    assert left.first_shared_byte(right) is None
    assert intersection(left, right) == ()


def test_runs_of_blocks_that_touch():
    # Blocks of bytes 0-1 and 8-9, ten apart: the end of one is the start of the next.
    starts, stops = Tile("x", 0, TileLayout((2, 3), (4, 5), 2)).byte_runs()
    assert starts.tolist() == [0, 8, 18, 28]
    assert stops.tolist() == [2, 12, 22, 30]


def test_views_of_one_tensor():
    rows = Tile("x", 0, TileLayout((2, 8), (8, 1), 4))
    flat = Tile("x", 0, TileLayout((32,), (1,), 2))
    transposed = Tile("x", 0, TileLayout((8, 2), (1, 8), 4))
    assert rows.same_bytes(flat)
    assert rows.same_bytes(transposed)
    assert not rows.same_bytes(Tile("x", 2, flat.layout))


def test_slots():
    slot = Slot(SlotLayout("out", BFLOAT16, (8, 64), (4096, 1)), 128)
    assert Tile.of(slot) == Tile("out", 128, TileLayout((8, 64), (4096, 1), 2))
    assert Tile.of(Slot(SlotLayout(NULL_TENSOR, DT_UNKNOWN, (), ()), 0)) is None


def test_types_without_a_size_have_no_bytes():
    tile = Tile.of(Slot(SlotLayout("w", FLOAT4, (8, 64), (64, 1)), 0))
    assert tile is not None
    assert tile.num_elems == 512
    assert not tile.layout.has_bytes
    assert tile.box() is None
    with pytest.raises(TileError, match="no size in bytes"):
        tile.overlaps(tile)
    empty = Tile("w", 0, TileLayout((0, 64), (64, 1), None))
    assert not empty.overlaps(empty)
    assert empty.num_bytes == 0


@pytest.mark.parametrize(
    ("dims", "strides", "size", "message"),
    [
        ((2, 2), (1,), 2, "differ in length"),
        ((-1,), (1,), 2, "negative"),
        ((1 << 40, 1 << 40), (1 << 40, 1), 2, "2\\*\\*60"),
        ((2,), (1 << 61,), None, "2\\*\\*60"),
        ((2,), (1,), 0, "0 bytes"),
    ],
)
def test_refused_layouts(dims, strides, size, message):
    with pytest.raises(TileError, match=message) as caught:
        TileLayout(dims, strides, size)
    assert isinstance(caught.value, UsageError)


def test_refused_offset():
    with pytest.raises(TileError, match="2\\*\\*60"):
        Tile("x", 1 << 62, TileLayout((2,), (1,), 2))


def test_large_tiles_cost_nothing():
    weights = TileLayout((150_000, 12), (7168, 1), 2)
    left, right = Tile("w", 0, weights), Tile("w", 24, weights)
    assert not left.overlaps(right)
    assert left.num_bytes == 150_000 * 24
    assert Tile("w", 0, TileLayout((150_000 * 7168,), (1,), 2)).contains(right)


def test_unrelated_strides_at_scale():
    # 1000 rows of 4100 elements against 1000 rows of 4096: the rows drift apart.
    padded = Tile("x", 0, TileLayout((1000, 16), (4100, 1), 2))
    packed = Tile("x", 0, TileLayout((1000, 16), (4096, 1), 2))
    expected = sum(
        max(0, 16 - abs(4100 * i - 4096 * j)) * 2
        for i in range(1000)
        for j in range(max(0, i - 1), min(1000, i + 3))
    )
    assert padded.shared_bytes(packed) == expected


def test_irregular_tiles_are_refused_when_they_are_huge():
    huge = TileLayout((40_000_000, 3), (3, 7), 1)
    assert not byteset.is_nested(huge.levels)
    with pytest.raises(TooLargeError, match="runs of bytes"):
        _ = huge.num_bytes
    unrelated = TileLayout((20_000_000,), (11,), 1)
    with pytest.raises(TooLargeError, match="not multiples"):
        Tile("x", 0, unrelated).shared_bytes(Tile("x", 0, TileLayout((40_000_000,), (7,), 1)))
