"""Bytes of strided boxes and elements by their bytes, against every index."""

from __future__ import annotations

import itertools
from random import Random

import pytest

from mpkgraph.errors import TooLargeError
from mpkgraph.model import byteset
from mpkgraph.model.box import find_element
from mpkgraph.model.region import Region, intersection
from mpkgraph.model.tile import Tile, TileError, TileLayout


def drawn(seed):
    """Dims, strides and the bytes of an element; strides may be 0, negative or too small."""
    rng = Random(seed)
    size = rng.choice([1, 2, 4])
    dims = tuple(rng.randrange(1, 5) for _ in range(rng.randrange(4)))
    strides = tuple(rng.choice([0, 1, 2, 3, 5, 8, 12, -1, -6]) for _ in dims)
    return dims, strides, size


def first_bytes(dims, strides, size):
    """By index the first byte of its element."""
    return {
        index: size * sum(i * s for i, s in zip(index, strides, strict=True))
        for index in itertools.product(*map(range, dims))
    }


@pytest.mark.parametrize("seed", range(60))
def test_elements_by_their_bytes(seed):
    dims, strides, size = drawn(seed)
    firsts = first_bytes(dims, strides, size)
    low, high = min(firsts.values()), max(firsts.values()) + size
    for byte in range(low - 3, high + 3):
        found = find_element(byte, dims, strides, size)
        touched = [x for x, first in firsts.items() if first <= byte < first + size]
        assert (found is None) == (not touched)
        assert found is None or found in touched


@pytest.mark.parametrize("seed", range(60))
def test_runs_of_bytes(seed):
    dims, strides, size = drawn(seed)
    touched = {
        first + k for first in first_bytes(dims, strides, size).values() for k in range(size)
    }
    lowest, levels = byteset.normalize((*dims, size), (*(x * size for x in strides), 1))
    starts, stops = byteset.byte_runs(levels)
    runs = list(zip(starts.tolist(), stops.tolist(), strict=True))
    assert sorted(lowest + b for low, high in runs for b in range(low, high)) == sorted(touched)
    assert all(before[1] < after[0] for before, after in itertools.pairwise(runs))
    assert byteset.num_bytes(levels) == len(touched)
    assert lowest == min(touched)
    assert byteset.extent_bytes(levels) == max(touched) - lowest + 1


@pytest.mark.parametrize(
    ("levels", "runs"),
    [
        (((1, 1), (6, 4)), 6),  # apart
        (((2, 1), (3, 3), (4, 5)), 6),  # one within another: twice the copies while they are made
    ],
)
def test_more_runs_than_are_listed(levels, runs, monkeypatch):
    monkeypatch.setattr(byteset, "MAX_RUNS", runs)
    byteset.byte_runs(levels)
    monkeypatch.setattr(byteset, "MAX_RUNS", runs - 1)
    with pytest.raises(TooLargeError, match="runs of bytes"):
        byteset.byte_runs(levels)


def row(offset, size=2, tensor="x", dims=(4,)):
    return Tile(tensor, offset, TileLayout(dims, (1,), size))


def test_a_tile_off_its_elements_is_no_box():
    assert str(row(4).box()) == "[2:6]"
    assert row(3).box() is None
    assert row(-1, size=1).box() is None
    assert row(-2).box() is None


@pytest.mark.parametrize("size", [0, -1, -4])
def test_an_element_has_bytes(size):
    with pytest.raises(TileError, match=f"an element of {size} bytes"):
        row(0, size)


def test_an_empty_tile_is_in_those_of_its_tensor_alone():
    empty = row(0, dims=(0,))
    assert row(8).contains(empty)
    assert not row(8, tensor="w").contains(empty)
    assert not row(8, tensor="y").contains(empty)


@pytest.mark.parametrize("offset", range(-12, 13))
def test_what_two_tiles_share_that_are_not_nested(offset):
    """Rows of three elements 4 apart, which reach over the next row, 5 further on."""
    layout = TileLayout((3, 3), (4, 5), 2)
    assert not byteset.is_nested(layout.levels)
    one, two = Tile("x", 15, layout), Tile("x", 15 + offset, layout)
    touched = [
        {
            tile.offset + first + k
            for first in first_bytes((3, 3), (4, 5), 2).values()
            for k in range(2)
        }
        for tile in (one, two)
    ]
    found = [
        region.offset + byte
        for region in intersection(one, two)
        for low, high in zip(*byteset.byte_runs(region.levels), strict=True)
        for byte in range(int(low), int(high))
    ]
    assert sorted(found) == sorted(touched[0] & touched[1])


def test_what_an_empty_tile_shares():
    empty, other = row(10, dims=(0,)), row(8)
    assert intersection(empty, other) == intersection(other, empty) == ()


def test_the_first_shared_byte_of_more_runs_than_are_listed():
    """Every other byte of 64 MiB: nested sets need no list."""
    layout = TileLayout((1 << 25,), (2,), 1)
    one, even, odd = (Tile("x", offset, layout) for offset in (0, 6, 7))
    assert (one.first_shared_byte(even), one.first_shared_byte(odd)) == (6, None)


@pytest.mark.parametrize("offset", range(-12, 13))
@pytest.mark.parametrize("dims", [(4,), (2, 3), (3, 3), (0,)])
def test_the_first_byte_that_two_tiles_share(offset, dims):
    """Of one that is nested and one that is not, whichever comes first."""
    irregular = Tile("x", 6, TileLayout((3, 3), (4, 5), 2))
    assert not byteset.is_nested(irregular.layout.levels)
    strides = (4, 5) if len(dims) == 2 else (1,)
    other = Tile("x", 6 + offset, TileLayout(dims, strides, 2))
    touched = [
        {tile.offset + first + k for first in first_bytes(d, s, 2).values() for k in range(2)}
        for tile, d, s in ((irregular, (3, 3), (4, 5)), (other, dims, strides))
    ]
    wanted = min(touched[0] & touched[1], default=None)
    assert irregular.first_shared_byte(other) == wanted
    assert other.first_shared_byte(irregular) == wanted


@pytest.mark.parametrize(
    ("strides", "boxes"),
    [((4, 1), ["[0:1, 0:4]"]), ((3, 2), None), ((4, 0), None), ((-4, 1), None), ((4, -1), None)],
)
def test_a_region_in_a_tensor_whose_strides_are_no_digits(strides, boxes):
    found = Region(0, ((4, 1),)).boxes(strides, 1, (4, 4))
    assert (None if found is None else [str(x) for x in found]) == boxes
