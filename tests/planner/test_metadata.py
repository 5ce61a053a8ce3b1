"""Metadata of a layer's tasks: what their type writes, over a union whose bits are all set."""

import itertools
import math
import struct

import numpy as np
import pytest

from mpkgraph.catalog import DEFAULT
from mpkgraph.planner.metadata import metadata_columns

FORMATS = {
    "request_id": ("<h", 0),
    "kv_idx": ("<H", 2),
    "merge_task_offset": ("<i", 4),
    "expert_offset": ("<i", 0),
    "task_offset": ("<i", 0),
}
GRID = (2, 3, 4)
PROFILES = sorted(
    {DEFAULT.task_type_row(x).metadata for x in DEFAULT.task_types}, key=lambda x: (len(x), x)
)


def by_hand(profile, point):
    """The eight bytes as the generator writes them, read as each field."""
    x, y, z = point
    places = {"x": x, "y": y, "z": z, "linear": x + y * GRID[0] + z * GRID[0] * GRID[1]}
    union = bytearray(b"\xff" * 8)
    for name, place in profile:
        layout, at = FORMATS[name]
        struct.pack_into(layout, union, at, places[place])
    return tuple(struct.unpack_from(layout, union, at)[0] for layout, at in FORMATS.values())


@pytest.mark.parametrize("profile", PROFILES, ids=lambda x: "-".join(itertools.chain(*x)) or "none")
@pytest.mark.parametrize("num_subtasks", [1, 2])
def test_fields_are_views_of_one_union(profile, num_subtasks):
    found = metadata_columns(profile, GRID, num_subtasks)
    points = list(itertools.product(*map(range, GRID)))
    expected = [by_hand(profile, x) for x in points for _ in range(num_subtasks)]
    names = ("request_ids", "kv_idxs", "merge_task_offsets", "expert_offsets", "task_offsets")
    rows = zip(*(getattr(found, name).tolist() for name in names), strict=True)
    assert list(rows) == expected


def test_what_is_shared_can_not_be_spoilt():
    for column in metadata_columns((("request_id", "x"),), GRID):
        assert len(column) == math.prod(GRID)
        with pytest.raises(ValueError, match="read-only"):
            column[0] = np.int32(1)
