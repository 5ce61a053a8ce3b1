"""The page's tile algebra against the library's, which is tested against brute force."""

from __future__ import annotations

import json
import random

import pytest

from mpkgraph.errors import TooLargeError
from mpkgraph.model.tile import Tile, TileLayout

NUM_CASES = 1500


def random_layout(dice):
    """Half of them tiles of a row-major tensor, half of any strides."""
    rank = dice.randint(0, 3)
    dims = tuple(dice.randint(1, 9) for _ in range(rank))
    size = dice.choice([1, 2, 4])
    if dice.random() < 0.5:
        return TileLayout(dims, tuple(dice.randint(-3, 70) for _ in range(rank)), size)
    strides = []
    step = 1
    for dim in reversed(dims):
        strides.append(step)
        step *= dim * dice.randint(1, 4)
    return TileLayout(dims, tuple(reversed(strides)), size)


def call(page, function, cases):
    """Results of a function of the page's modules for each case."""
    return page.evaluate(
        f"(() => {{ const f = {function}; return {json.dumps(cases)}.map(f); }})()"
    )


@pytest.mark.parametrize("seed", [1, 2])
def test_shared_bytes_and_boxes_equal_the_librarys(example, seed):
    dice = random.Random(seed)
    pairs = [
        (random_layout(dice), dice.randint(0, 400), random_layout(dice), dice.randint(0, 400))
        for _ in range(NUM_CASES)
    ]
    cases = [
        [
            *(list(a.dims), list(a.strides), a.element_bytes, at_a),
            *(list(b.dims), list(b.strides), b.element_bytes, at_b),
        ]
        for a, at_a, b, at_b in pairs
    ]
    found = call(
        example,
        "([d, s, z, o, e, t, y, p]) => mpkgraph.tiles.sharedBytes("
        "mpkgraph.tiles.levelsOf(d, s, z), o, mpkgraph.tiles.levelsOf(e, t, y), p)",
        cases,
    )
    wanted = [shared(a, at_a, b, at_b) for a, at_a, b, at_b in pairs]
    assert found == wanted
    assert sum(x > 0 for x in wanted) > NUM_CASES / 5
    boxes = call(
        example,
        "([d, s, z, o]) => o % z ? null : mpkgraph.tiles.elementBox(o / z, d, s, null)",
        cases,
    )
    for (a, at_a, _, _), box in zip(pairs, boxes, strict=True):
        expected = Tile("x", at_a, a).box()
        assert (box is None) == (expected is None)
        if expected is not None:
            assert tuple(box["starts"]) == expected.starts
            assert tuple(box["stops"]) == expected.stops


def shared(a, at_a, b, at_b):
    try:
        return Tile("x", at_a, a).shared_bytes(Tile("x", at_b, b))
    except TooLargeError:
        return -1


def test_rectangles_cover_exactly_the_elements_of_a_box(example):
    """Each element of a box is in one rectangle of the flattened tensor, no other is in any."""
    cases = [
        ([0, 0], [2, 3], [4, 6]),
        ([1, 2], [3, 6], [4, 6]),
        ([1, 0, 2], [3, 4, 5], [4, 4, 8]),
        ([1, 1, 2], [3, 3, 5], [4, 4, 8]),
        ([0, 1, 0], [4, 2, 8], [4, 4, 8]),
        ([0, 0, 0], [2, 3, 1], [2, 3, 1]),
        ([1], [3], [5]),
        ([], [], []),
        ([1, 0, 1, 0], [2, 3, 2, 4], [3, 3, 2, 4]),
    ]
    found = call(
        example,
        "([a, b, dims]) => [mpkgraph.tiles.boxRects({ starts: a, stops: b }, dims),"
        " mpkgraph.tiles.planeOf(dims)]",
        cases,
    )
    for (starts, stops, dims), (rects, plane) in zip(cases, found, strict=True):
        covered = [
            (row, column)
            for x, y, width, height in rects
            for row in range(y, y + height)
            for column in range(x, x + width)
        ]
        wanted = set()
        for index in indices(starts, stops):
            across = plane["across"]
            row = 0
            for d in range(max(across, 0)):
                row = row * dims[d] + index[d]
            wanted.add((row, index[across] if dims else 0))
        assert len(covered) == len(set(covered))
        assert set(covered) == wanted


def indices(starts, stops):
    if not starts:
        return [()]
    rest = indices(starts[1:], stops[1:])
    return [(i, *more) for i in range(starts[0], stops[0]) for more in rest]
