"""Sizes that a layer's kernel takes for granted, and the shared memory that it needs."""

from __future__ import annotations

from collections.abc import Iterator

from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.layer_facts import (
    registered_row,
    setting,
    target_cc,
    task_facts,
)
from mpkgraph.analysis.verify.rule import CheckRow, Rule
from mpkgraph.catalog.constraints import CONSTRAINTS_BY_NAME, ConstraintRow
from mpkgraph.catalog.constraints.shared_memory import dynamic_limit_bytes, needed_bytes
from mpkgraph.catalog.registered import TaskFacts, UndefinedVariantError
from mpkgraph.model.operator import Operator, OperatorSlot

KERNEL_SIZE = Rule(
    "MPK411",
    "kernel-size",
    "error",
    "a size that the task's kernel does not support",
    "Kernels are written for certain tiles, heads, pages and grids. Mirage compiles any layer for "
    "them without a check in its default build; the result is wrong, nvcc refuses it, or it dies.",
    "Choose one of the sizes that the finding names.",
)
SHARED_MEMORY = Rule(
    "MPK412",
    "shared-memory",
    "error",
    "a task that needs more shared memory than a worker has",
    "All tasks of a worker share the dynamic shared memory that the target allows; a kernel that "
    "needs more writes past its end.",
    "Use smaller rows, or a target with more.",
)


def check_sizes(context: VerifyContext) -> Iterator[Finding]:
    """Every operator against the constraints of its registered name."""
    given = setting(context)
    for operator in context.operators:
        row = registered_row(context, operator)
        constraints = () if row is None else CONSTRAINTS_BY_NAME.get(row.name, ())
        if not constraints:
            continue
        facts = task_facts(context, operator)
        for constraint in constraints:
            slot = _slot(operator, constraint)
            if constraint.size.needs_dims and slot is not None and not all(slot.known_dims):
                continue
            try:
                if constraint.only_if is not None and not constraint.only_if(facts, given):
                    continue
                value = constraint.size.value(facts)
            except (UndefinedVariantError, ZeroDivisionError):
                continue
            if not constraint.requirement.holds(value):
                yield _finding(context, operator, constraint, slot, facts, value)


def check_shared_memory(context: VerifyContext) -> Iterator[Finding]:
    """Kernels whose shared memory grows with a size, against what the target has."""
    target = target_cc(context)
    record = context.record
    if target is None or record is None:
        return
    limit = dynamic_limit_bytes(target, str(record.init.get("mode", "offline")))
    for operator in context.operators:
        row = registered_row(context, operator)
        needed = None if row is None else needed_bytes(row.name, task_facts(context, operator))
        if needed is not None and needed > limit:
            yield Finding(
                SHARED_MEMORY,
                f"{context.name(operator)} needs {needed:,} bytes of shared memory; cc {target} "
                f"has {limit:,}",
                context.location(operator),
                f"Use rows of at most {limit * operator.inputs[0].tile_dims[-1] // needed:,} "
                "elements",
                witness=tuple(context.task_ref(int(x)) for x in operator.task_ids[:1]),
                count=operator.num_tasks,
                key=(operator.task_type, needed),
            )


def _slot(operator: Operator, constraint: ConstraintRow) -> OperatorSlot | None:
    if constraint.size.slot is None:
        return None
    side, position = constraint.size.slot
    slots = operator.inputs if side == "in" else operator.outputs
    return slots[position] if position < len(slots) else None


def _finding(
    context: VerifyContext,
    operator: Operator,
    constraint: ConstraintRow,
    slot: OperatorSlot | None,
    facts: TaskFacts,
    value: int,
) -> Finding:
    size, requirement = constraint.size, constraint.requirement
    name = context.name(operator)
    return Finding(
        KERNEL_SIZE,
        f"{size.label} is {value} in {name}; its kernel needs {requirement.text}: "
        f"{constraint.consequence}",
        context.location(operator, slot),
        _remedy(constraint, slot),
        witness=tuple(context.task_ref(int(x)) for x in operator.task_ids[:1]),
        count=operator.num_tasks,
        severity_here=constraint.severity,
        key=(operator.task_type, size.label, value, requirement.text, facts.grid_dim),
    )


def _remedy(constraint: ConstraintRow, slot: OperatorSlot | None) -> str:
    """The grids that make the size fit, where a grid axis decides it; else the sizes."""
    size, requirement = constraint.size, constraint.requirement
    if slot is not None and size.dim is not None and size.dim < len(slot.tensor_dims):
        extent = slot.tensor_dims[size.dim]
        axes = [a for a, dim in enumerate(slot.input_map) if dim == size.dim]
        if len(axes) == 1:
            fits = [
                parts
                for parts in range(1, extent + 1)
                if extent % parts == 0 and requirement.holds(extent // parts)
            ]
            if fits:
                shown = ", ".join(map(str, fits[:8])) + (", ..." if len(fits) > 8 else "")
                return f"Make grid.{'xyz'[axes[0]]} one of {shown}, or choose another layer"
    return f"Make {size.label} {requirement.text}, or choose another layer"


CHECKS: tuple[CheckRow, ...] = (
    CheckRow(check_sizes, (KERNEL_SIZE,)),
    CheckRow(check_shared_memory, (SHARED_MEMORY,)),
)
