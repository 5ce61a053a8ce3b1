"""One task that writes the same bytes through two of its slots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.happens_before import BoolArray
from mpkgraph.analysis.verify.rules.hazards import table
from mpkgraph.analysis.verify.rules.hazards.access import Access
from mpkgraph.analysis.verify.rules.hazards.places import label, shared_place
from mpkgraph.frozen import dataclass
from mpkgraph.model.overlap import overlapping_pairs
from mpkgraph.model.tile import TileLayout


@dataclass(frozen=True)
class OwnConflict:
    """Two slots of one operator, and the tasks that write the same through both."""

    first: Access
    second: Access
    tasks: IntArray


def own_conflicts(accesses: Sequence[Access]) -> Iterator[OwnConflict]:
    """Pairs of written slots whose tiles share bytes in the same task."""
    written = [x for x in accesses if x.kind == "write" and not x.is_remote]
    for first, second in combinations(written, 2):
        if first.tensor != second.tensor or first.use.slot is second.use.slot:
            continue
        tasks, left, right = np.intersect1d(
            first.tasks, second.tasks, assume_unique=True, return_indices=True
        )
        gaps, which = np.unique(second.offsets[right] - first.offsets[left], return_inverse=True)
        met = _meeting_gaps(first.layout, second.layout, gaps)
        if met[which].any():
            yield OwnConflict(first, second, tasks[met[which]])


def _meeting_gaps(left: TileLayout, right: TileLayout, gaps: IntArray) -> BoolArray:
    """For each distance in bytes whether two tiles that far apart share a byte."""
    _, met = overlapping_pairs(left, np.zeros(1, dtype=np.int64), right, gaps)
    found = np.zeros(len(gaps), dtype=np.bool_)
    found[met] = True
    return found


def own_finding(context: VerifyContext, conflict: OwnConflict) -> Finding:
    """One finding of an operator and two slots."""
    first, second = conflict.first, conflict.second
    operator, slot = first.operator, second.use.slot
    task = int(conflict.tasks[0])
    place = shared_place(first, task, second, task)
    return Finding(
        rule=table.OWN_WRITES,
        message=(
            f"{context.task_ref(task)} writes {first.tensor}{place} through slot "
            f"{first.use.slot.position} and through slot {slot.position}: one result "
            "overwrites the other"
        ),
        location=context.location(
            operator,
            slot,
            tensor=first.tensor,
            elements=place.elements,
            byte_range=place.byte_range,
        ),
        remedy=f"Give {label(context, operator)} another tensor for one of the two slots",
        witness=(context.task_ref(task),),
        count=len(conflict.tasks),
        count_of="tasks",
        key=(
            operator.task_type,
            operator.grid_dim,
            first.use.slot.position,
            slot.position,
            slot.tile_dims,
            len(conflict.tasks),
        ),
    )
