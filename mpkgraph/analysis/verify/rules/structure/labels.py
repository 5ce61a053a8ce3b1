"""What tasks and tensors are called: metadata that names another grid point, names of tensors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.rule import CheckRow, Rule
from mpkgraph.catalog.task_types import DEFAULT_METADATA
from mpkgraph.model.operator import Operator
from mpkgraph.model.record import PipelineRecord
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
DUPLICATE_NAME = Rule(
    code="MPK314",
    name="duplicate-name",
    severity="error",
    summary="two tensors have the same name",
    why="The generated code declares a variable for each tensor: nvcc rejects the second one, and "
    "the graph can't tell the tensors apart.",
    remedy="Give each tensor a name of its own.",
    needs_record=True,
)
BAD_NAME = Rule(
    code="MPK315",
    name="illegal-name",
    severity="error",
    summary="a tensor's name is no C++ identifier",
    why="The generated code declares a variable of that name, and nvcc rejects it. Mirage replaces "
    "dots only in names of tensors that it allocates itself.",
    remedy="Use letters, digits and underscores.",
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


def find_duplicate_names(context: VerifyContext) -> Iterator[Finding]:
    """Names that several tensors of the record have."""
    if context.record is None:
        return
    counts = Counter(_names(context.record))
    for name, count in counts.items():
        if count > 1:
            yield Finding(
                rule=DUPLICATE_NAME,
                message=f"{count} tensors are named {name!r}",
                location=context.location(tensor=name),
                remedy="Give each of them a name of its own",
                count=count,
                count_of="tensors",
            )


def find_bad_names(context: VerifyContext) -> Iterator[Finding]:
    """Names that no C++ variable can have, of the tensors that tasks use."""
    names = context.graph.tensors if context.record is None else _names(context.record)
    for name in dict.fromkeys(names):
        if name.isascii() and name.isidentifier():
            continue
        uses = context.uses_by_tensor.get(name, ())
        yield Finding(
            rule=BAD_NAME,
            message=f"tensor {name!r} is no C++ identifier",
            location=context.location(
                uses[0].operator if uses else None, uses[0].slot if uses else None, tensor=name
            ),
            remedy=f"Call it {_legal(name)!r}",
            witness=(context.task_ref(int(uses[0].tasks[0])),) if uses else (),
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


def _names(record: PipelineRecord) -> list[str]:
    """Names that become variables: parts of a shuffled tensor are looked up without one."""
    parts = {
        ref.tensor
        for call in record.calls.values()
        if call.op == "shuffle_tensors"
        for ref in call.inputs or ()
    }
    return [x.base_ptr for x in record.tensors if x.id not in parts]


def _legal(name: str) -> str:
    text = "".join(x if x.isascii() and (x.isalnum() or x == "_") else "_" for x in name)
    return text if text and not text[0].isdigit() else f"_{text}"


CHECKS = (
    CheckRow(find_metadata_mismatches, (METADATA,)),
    CheckRow(find_duplicate_names, (DUPLICATE_NAME,)),
    CheckRow(find_bad_names, (BAD_NAME,)),
)
