"""What tasks are told of their place in the grid."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.rule import CheckRow, Rule
from mpkgraph.catalog.task_types import DEFAULT_METADATA
from mpkgraph.model.operator import Operator
from mpkgraph.planner.metadata import metadata_columns

METADATA = Rule(
    code="MPK313",
    name="metadata-mismatch",
    severity="error",
    summary="a task's metadata names another grid point than its own",
    why="Kernels that split work by request, key chunk or expert find their part by the metadata, "
    "not by the tile: two tasks with the same metadata do the same part, and another is left out.",
    remedy="Let the metadata follow the grid point, as the generator writes it.",
)
FIELDS = ("request_ids", "kv_idxs", "merge_task_offsets", "expert_offsets", "task_offsets")
"""Columns of the metadata, in the order of `Metadata`."""


def find_metadata_mismatches(context: VerifyContext) -> Iterator[Finding]:
    """Tasks whose metadata is not that of their grid point, by operator."""
    for operator in context.operators:
        if operator.origin != "recorded" and not all(operator.known_grid):
            continue
        profile = context.catalog.task_type_row(operator.task_type).metadata
        expected = metadata_columns(profile, operator.grid_dim, operator.num_subtasks)
        place = _places(operator)
        wrong = np.zeros(operator.num_tasks, dtype=np.bool_)
        field = ""
        for name, column in zip(FIELDS, expected, strict=True):
            found = getattr(context.graph.tasks, name)[operator.task_ids]
            differs = found != (column if place is None else column[place])
            if differs.any():
                field = field or name
                wrong |= differs
        if not field:
            continue
        at = int(np.argmax(wrong))
        task = int(operator.task_ids[at])
        has = int(getattr(context.graph.tasks, field)[task])
        column = expected[FIELDS.index(field)]
        wanted = int(column[at if place is None else int(place[at])])
        point = operator.grid_position(at)
        effects = context.effects(operator)
        is_told_apart = bool(effects.varies_by) or any(x.disjoint_by for x in effects.slots)
        yield Finding(
            rule=METADATA,
            message=f"{context.name(operator)} has {int(wrong.sum())} tasks whose metadata is of "
            f"another grid point: task {task} at {point} has {field[:-1]} {has}, its place in the "
            f"grid makes it {wanted}",
            location=context.location(operator),
            remedy=f"Make {field[:-1]} of task {task} {wanted}",
            witness=(context.task_ref(task),),
            count=int(wrong.sum()),
            # Kernels that work on their tile alone do not look
            severity_here=None if is_told_apart or profile != DEFAULT_METADATA else "warning",
        )


def _places(operator: Operator) -> np.ndarray[tuple[int], np.dtype[np.int64]] | None:
    """Position of each task among those of the whole grid; None where all are there."""
    if operator.grid_positions is None:
        return None
    _, y, z = operator.grid_dim
    points = operator.grid_positions.astype(np.int64)
    point: np.ndarray[tuple[int], np.dtype[np.int64]] = (
        points[:, 0] * y + points[:, 1]
    ) * z + points[:, 2]
    return point * operator.num_subtasks  # subtasks of a point have the same metadata


CHECKS = (CheckRow(find_metadata_mismatches, (METADATA,)),)
