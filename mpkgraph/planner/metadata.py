"""The metadata of a layer's tasks: eight bytes that five JSON fields are views of.

The union starts with all bits set; the generator then writes fields by task type, in an order in
which a later one can overwrite an earlier (`build_tasks_bid_lex` in `src/kernel/runtime.cc` at
`de8745d`; what it writes per type is `TaskTypeRow.metadata`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mpkgraph.catalog.task_types import MetadataProfile
from mpkgraph.model.operator import Grid
from mpkgraph.planner.tiles import grid_points

Int32Array = npt.NDArray[np.int32]

REMEMBERED = 256
"""Layers repeat from one model layer to the next."""

_UNION = np.dtype(
    {
        "names": ["request_id", "kv_idx", "merge_task_offset", "expert_offset", "task_offset"],
        "formats": ["<i2", "<u2", "<i4", "<i4", "<i4"],
        "offsets": [0, 2, 4, 0, 0],
        "itemsize": 8,
    }
)


class Metadata(NamedTuple):
    """The five fields of each task as the JSON shows them."""

    request_ids: Int32Array
    kv_idxs: Int32Array
    merge_task_offsets: Int32Array
    expert_offsets: Int32Array
    task_offsets: Int32Array


@lru_cache(maxsize=REMEMBERED)
def metadata_columns(profile: MetadataProfile, grid: Grid, num_subtasks: int = 1) -> Metadata:
    """The fields of a layer's tasks in grid order; `profile` says what its type holds.

    >>> found = metadata_columns((("request_id", "x"),), (2, 1, 1))
    >>> found.request_ids.tolist(), found.kv_idxs.tolist(), found.expert_offsets.tolist()
    ([0, 1], [65535, 65535], [-65536, -65535])
    """
    points = grid_points(grid, num_subtasks)
    union = np.full(points.shape[1], -1, dtype=np.int64).view(_UNION)
    sources = {
        "x": points[0],
        "y": points[1],
        "z": points[2],
        "linear": points[0] + points[1] * grid[0] + points[2] * (grid[0] * grid[1]),
    }
    for name, source in profile:
        union[name] = sources[source]
    columns = Metadata(*(union[name].astype(np.int32) for name in _UNION.names or ()))
    for column in columns:
        column.flags.writeable = False
    return columns
