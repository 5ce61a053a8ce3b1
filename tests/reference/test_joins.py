import pytest

from mpkgraph.reference import Joins

ATTENTION = Joins((".h", "..h.", "..h.", ".h"), walked="x")


@pytest.mark.parametrize(
    ("maps", "grid", "expected"),
    [
        # Requests along x, heads along y
        ([(-1, 1, -1), (-1, 2, -1), (-1, 2, -1), (-1, 1, -1)], (2, 8, 1), (True, True, True)),
        # The caches are not split with the heads
        ([(-1, 1, -1), (-1, -1, -1), (-1, 2, -1), (-1, 1, -1)], (2, 8, 1), (True, False, True)),
        # A dim that has no letter
        ([(0, 1, -1), (-1, 2, -1), (-1, 2, -1), (-1, 1, -1)], (2, 8, 1), (False, True, True)),
        # Two axes split one dim
        ([(-1, 1, 1), (-1, 2, -1), (-1, 2, -1), (-1, 1, -1)], (1, 8, 2), (True, False, False)),
        # Nothing tells tasks along z apart
        ([(-1, -1, -1)] * 4, (1, 1, 3), (True, True, False)),
        # A slot is missing
        ([(-1, 1, -1)] * 3, (1, 8, 1), (True, False, True)),
    ],
)
def test_axes(maps, grid, expected):
    assert ATTENTION.joinable_axes(maps, grid) == expected


def test_axis_that_metadata_tells_apart():
    joins = Joins(("b.", "b."), by_metadata="x")
    assert joins.joinable_axes([(0, -1, -1)] * 2, (4, 1, 1)) == (False, True, True)
