"""Graphs in which some tasks were edited where they stand.

Recovery of operators may fall apart on such a graph, while the other one tells which tasks belong
together: the operators of the whole one then serve for both.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mpkgraph.analysis.diff.hashing import HashArray, combined
from mpkgraph.analysis.diff.side import Side
from mpkgraph.model.operator import OperatorSet

MAX_EDITED = 0.25
"""Beyond that share of the tasks a graph is another one, not an edited one."""


def with_common_operators(left: Side, right: Side) -> tuple[Side, Side] | None:
    """Both sides with the operators of the one that has fewer; None where that is not called for:
    operators agree, or tasks have moved, come or gone.
    """
    if left.graph.num_tasks != right.graph.num_tasks or _same_partition(left, right):
        return None
    ones, others = _full(left), _full(right)
    num_edited = int((ones != others).sum())
    if num_edited > MAX_EDITED * len(ones) or num_edited != _num_missing(ones, others):
        return None
    if len(left.operators) <= len(right.operators):
        return left, _with_operators_of(right, left)
    return _with_operators_of(left, right), right


def _with_operators_of(side: Side, other: Side) -> Side:
    null = side.graph.tasks.is_null
    if not null.any():
        return side.with_operators(other.operators)
    kept = []
    for operator in other.operators:
        present = ~null[operator.task_ids]
        if present.all():
            kept.append(operator)
        elif present.any():
            points = [operator.grid_position(x) for x in np.flatnonzero(present).tolist()]
            positions = np.array(points, dtype=np.int32)
            ids = operator.task_ids[present]
            kept.append(replace(operator, task_ids=ids, grid_positions=positions))
    numbered = tuple(replace(x, index=i) for i, x in enumerate(kept))
    return side.with_operators(OperatorSet(numbered, side.graph.num_tasks))


def _same_partition(left: Side, right: Side) -> bool:
    if len(left.operators) != len(right.operators):
        return False
    return bool((left.task_operators == right.task_operators).all())


def _full(side: Side) -> HashArray:
    hashes = side.hashes
    return combined(hashes.tiles, hashes.metadata, hashes.names)


def _num_missing(left: HashArray, right: HashArray) -> int:
    """Tasks of the left that the right has no equal of, each equal used once."""
    values, places = np.unique(np.concatenate((left, right)), return_inverse=True)
    counts = np.bincount(places[: len(left)], minlength=len(values))
    counts -= np.bincount(places[len(left) :], minlength=len(values))
    return int(counts[counts > 0].sum())
