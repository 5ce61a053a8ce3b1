"""Element types: what a kernel takes a slot for, and what others take the same tensor for."""

from __future__ import annotations

from collections.abc import Iterator

from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.rule import CheckRow, Rule, Severity
from mpkgraph.model.operator import Operator, OperatorSlot
from mpkgraph.model.record import RECORD_DATA_TYPES

WRONG_TYPE = Rule(
    "MPK461",
    "wrong-element-type",
    "error",
    "a tensor of another element type than the kernel takes it for",
    "Kernels are compiled for one element type, whatever the tensor was declared with: the bytes "
    "are taken for other numbers, or other elements are meant.",
    "Give a tensor of the type that the kernel takes.",
)
DISAGREEMENT = Rule(
    "MPK462",
    "element-types-disagree",
    "error",
    "operators that take one tensor for different element types",
    "What one writes, the other reads as other numbers, and their tiles lie elsewhere.",
    "Declare the tensor with one type.",
)

SAME_BITS = (
    # Types that stand for each other: a kernel that packs or moves bits does not mind
    frozenset({"DT_INT32", "DT_UINT32"}),
    frozenset({"DT_INT64", "DT_UINT64"}),
    frozenset({"DT_INT8", "DT_UINT8", "DT_FLOAT8"}),
    frozenset({"DT_INT16", "DT_UINT16"}),
)
INTEGERS = frozenset({"DT_INT32", "DT_UINT32", "DT_INT64", "DT_UINT64"})


def check_kernel_types(context: VerifyContext) -> Iterator[Finding]:
    """Declared types of slots against those that the kernels are compiled for."""
    for operator in context.operators:
        row = context.effects(operator)
        if not row.data_types:
            continue
        for slot, effect, words in zip(operator.slots, row.slots, row.data_types, strict=True):
            if words == "any" or effect.access == "none" or not slot.base_ptrs:
                continue
            wanted = [RECORD_DATA_TYPES[x] for x in words.split("|")]
            declared = context.catalog.data_types.get(slot.data_type, "")
            if not declared or any(_same(declared, x) for x in wanted):
                continue
            yield _wrong(context, operator, slot, wanted, declared)


def check_agreement(context: VerifyContext) -> Iterator[Finding]:
    """Each tensor has one element type in all slots."""
    for tensor, uses in context.uses_by_tensor.items():
        first = next((x for x in uses if x.effect.writes), uses[0])
        for use in uses:
            if use.slot.data_type == first.slot.data_type:
                continue
            names = [context.catalog.data_type_name(x.slot.data_type) for x in (first, use)]
            yield Finding(
                DISAGREEMENT,
                f"{tensor!r} is {names[0]} in {context.name(first.operator)} and {names[1]} in "
                f"{context.name(use.operator)}",
                context.location(use.operator, use.slot, tensor=tensor),
                f"Let both take {names[0]}",
                witness=(
                    context.task_ref(int(first.tasks[0])),
                    context.task_ref(int(use.tasks[0])),
                ),
                count=len(use.tasks),
            )
            break


def _same(declared: str, wanted: str) -> bool:
    return declared == wanted or any({declared, wanted} <= group for group in SAME_BITS)


def _wrong(
    context: VerifyContext,
    operator: Operator,
    slot: OperatorSlot,
    wanted: list[str],
    declared: str,
) -> Finding:
    numbers = {name: number for number, name in context.catalog.data_types.items()}
    kinds = " or ".join(context.catalog.data_type_name(numbers[x]) for x in wanted)
    short = context.catalog.data_type_name(slot.data_type)
    sizes = [context.catalog.data_type_size(numbers[x]) or 0 for x in wanted]
    declared_size = context.catalog.data_type_size(slot.data_type) or 0
    role = "writes" if context.effects(operator).slots[slot.position].writes else "reads"
    past = " and runs past its end" if min(sizes) > declared_size else ""
    return Finding(
        WRONG_TYPE,
        f"{context.name(operator)} {role} {slot.name!r} as {kinds}, but it is {short}: "
        f"elements of {max(sizes)} bytes are taken for those of {declared_size}{past}"
        if declared_size not in sizes
        else f"{context.name(operator)} {role} {slot.name!r} as {kinds}, but it is {short}: the "
        "bits mean other numbers",
        context.location(operator, slot),
        f"Declare it as {kinds}",
        witness=tuple(context.task_ref(int(x)) for x in operator.task_ids[:1]),
        count=operator.num_tasks,
        severity_here=_severity(declared, wanted, declared_size, max(sizes)),
        key=(operator.task_type, slot.position, slot.data_type),
    )


def _severity(declared: str, wanted: list[str], size: int, wanted_size: int) -> Severity:
    """Half of each wide integer: right where only the first element counts and none is negative."""
    narrow = declared in INTEGERS and INTEGERS.issuperset(wanted) and wanted_size < size
    return "warning" if narrow else "error"


CHECKS: tuple[CheckRow, ...] = (
    CheckRow(check_kernel_types, (WRONG_TYPE,)),
    CheckRow(check_agreement, (DISAGREEMENT,)),
)
