"""Whether two graphs that no hash tells apart are equal: every column, value by value.

What is compared is the left graph as it is seen through the pairs of tasks, events and tensors.
"""

from __future__ import annotations

import numpy as np

from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.diff.changes import Change
from mpkgraph.analysis.diff.correspondence import Correspondence
from mpkgraph.analysis.diff.names import TensorNames
from mpkgraph.analysis.diff.prediction import PLAIN, Predictor
from mpkgraph.analysis.diff.side import Side
from mpkgraph.model.graph import TaskGraph

_OWN_NUMBERS = {"variant_ids"}
"""Columns of numbers that only count what is different: `variants` compares them."""


def unequal_columns(
    left: Side, right: Side, pairs: Correspondence, names: TensorNames
) -> list[Change]:
    """Columns that differ between paired tasks and events; none where the graphs are equal."""
    one, other = left.graph, right.graph
    tasks = pairs.left_of_task[: other.num_tasks]
    known = np.flatnonzero(tasks >= 0)
    predicted = Predictor(one, tasks, pairs.left_of_event[: other.num_events])
    counts = {
        name: _count(predicted.plain(name)[known], getattr(other.tasks, name)[known])
        for name in PLAIN
        if name not in _OWN_NUMBERS
    }
    num_slots = np.diff(other.tasks.slot_starts)
    counts["number of slots"] = _count(predicted.num_slots()[known], num_slots[known])
    if not counts["number of slots"]:
        layouts, offsets = predicted.slots(num_slots)
        mine = np.isin(other.tasks.slot_tasks, known)
        codes = _codes(one, other, names)
        counts["slots"] = _count(codes[0][layouts[mine]], codes[1][other.tasks.slot_layouts[mine]])
        counts["slot offsets"] = _count(offsets[mine], other.tasks.slot_offsets[mine])
    return [
        Change("tiles", f"column {name}", None, None, num_tasks=number)
        for name, number in counts.items()
        if number
    ]


def _count(left: np.ndarray, right: np.ndarray) -> int:
    return int((left != right).sum())


def _codes(one: TaskGraph, other: TaskGraph, names: TensorNames) -> tuple[IntArray, IntArray]:
    """By layout a number for all that it says, in terms of the right's names."""
    numbers: dict[object, int] = {}
    found = []
    for graph, right_of in ((one, names.right_of), (other, {})):
        rows = [
            (
                x.base_ptr if x.is_null else right_of.get(x.base_ptr, x.base_ptr),
                x.data_type,
                x.dims,
                x.strides,
            )
            for x in graph.layouts
        ]
        codes = [numbers.setdefault(row, len(numbers)) for row in rows]
        found.append(np.array([*codes, -1], dtype=np.int64))
    return found[0], found[1]
