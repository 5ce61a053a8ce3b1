"""Boxes of blocks, against each block of each box."""

from __future__ import annotations

import itertools
from random import Random

import numpy as np
import pytest

from mpkgraph.planner import boxes
from mpkgraph.planner.boxes import TooManyBlocksError, _boxes, _events_of


@pytest.mark.parametrize("seed", range(30))
def test_blocks_of_boxes(seed):
    rng = Random(seed)
    grid = tuple(rng.randrange(1, 4) for _ in range(3))
    size = tuple(rng.randrange(1, 3) for _ in range(3))
    low = [tuple(rng.randrange(n + 1) for n in grid) for _ in range(4)]
    made = _boxes(np.array(low), size, grid)
    steps = list(itertools.product(*map(range, size)))
    points = [[tuple(map(sum, zip(first, x, strict=True))) for x in steps] for first in low]
    places = {point: n for n, point in enumerate(itertools.product(*map(range, grid)))}
    inside = [[point in places for point in box] for box in points]
    assert made.inside.tolist() == inside
    for event, box in enumerate(points):
        for block, point in enumerate(box):
            if point in places:
                assert made.blocks[event, block] == places[point]
    beyond = {point for box in points for point in box if point not in places}
    assert made.outside.tolist() == [list(x) for x in sorted(beyond)]
    assert (len(made), made.volume) == (4, len(points[0]))
    blocks = [places[point] for box in points for point in box if point in places]
    assert made.is_once == (not beyond and len(set(blocks)) == len(blocks))
    for column in (made.blocks, made.inside, made.outside):
        with pytest.raises(ValueError, match="read-only"):
            column[...] = 0


def test_events_along_the_axes():
    assert _events_of((4, 3, 2), (2, 3, 1)).tolist() == [
        [x, 0, z] for x in range(2) for z in range(2)
    ]


def test_too_many_blocks_are_refused(monkeypatch):
    low = np.zeros((4, 3), dtype=np.int64)
    monkeypatch.setattr(boxes, "MAX_BLOCKS", 8)
    assert _boxes(low, (2, 1, 1), (2, 1, 1)).volume == 2
    with pytest.raises(TooManyBlocksError):
        _boxes(low, (3, 1, 1), (3, 1, 1))
