"""Tasks whose kernel is not among those that the target is compiled with."""

from __future__ import annotations

from collections.abc import Iterator

from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.layer_facts import architecture, registered_row, target_cc
from mpkgraph.analysis.verify.rule import CheckRow, Rule
from mpkgraph.catalog.registered import REGISTERED_TASKS, RegisteredTaskRow

NO_KERNEL = Rule(
    "MPK431",
    "no-kernel",
    "warning",
    "a task whose kernel the target's headers do not have",
    "The generated code calls a function that is not declared, so nvcc refuses the graph. Some "
    "layers of Mirage have kernels that no header includes. A warning, since the graph itself may "
    "be right: it is known of one version of Mirage, and seen as soon as nvcc runs.",
    "Use another layer, or another target.",
)
NO_CODE = Rule(
    "MPK432",
    "no-code",
    "error",
    "a task that Mirage registers no code for",
    "Its tasks run, do nothing and signal that they are done: what they should write stays as it "
    "was.",
    "Use another layer.",
)


def check_kernels(context: VerifyContext) -> Iterator[Finding]:
    """Every operator's registered name against the kernels of the target."""
    target = target_cc(context)
    for operator in context.operators:
        row = registered_row(context, operator)
        found = None if row is None else _problem(context, row, target)
        if row is None or found is None:
            continue
        rule, what, remedy = found
        yield Finding(
            rule,
            f"{context.name(operator)} is registered as {row.name}, {what}",
            context.location(operator),
            remedy,
            witness=tuple(context.task_ref(int(x)) for x in operator.task_ids[:1]),
            count=operator.num_tasks,
            key=(row.name, target),
        )


def _problem(
    context: VerifyContext, row: RegisteredTaskRow, target: int | None
) -> tuple[Rule, str, str] | None:
    """(rule, what is wrong, remedy) with a name on a target."""
    if row.variant_key is None:
        what = "for which there is no code: its tasks do nothing"
        return NO_CODE, what, "Use argmax_partial and argmax_reduce"  # argmax is the only one
    if not row.compiled_for:
        what = "whose kernel no header of Mirage includes"
        return NO_KERNEL, what, "Use another layer: no target has this kernel"
    kernels = None if target is None else architecture(target)
    if kernels is not None and kernels not in row.compiled_for:
        what = (
            f"whose kernel is there for {_and(row.compiled_for)} only; cc {target} is compiled "
            f"with {kernels.capitalize()}'s"
        )
        return NO_KERNEL, what, _instead(row.task_type, kernels)
    if row.needs_nvshmem and context.record is not None and context.record.num_gpus < 2:
        what = "whose kernel is there only where several GPUs run together; this pipeline has one"
        return NO_KERNEL, what, "Leave the layer out on one GPU"
    return None


def _instead(task_type: str, kernels: str) -> str:
    """Names of the target whose task type has the same stem."""
    stem = _stem(task_type)
    names = [
        row.name
        for row in REGISTERED_TASKS.values()
        if kernels in row.compiled_for and _stem(row.task_type) == stem
    ]
    return f"Register {' or '.join(names)} instead" if names else "Use another layer or target"


def _stem(task_type: str) -> str:
    for ending in ("_HOPPER", "_SM100", "_SM90"):
        task_type = task_type.removesuffix(ending)
    return task_type.replace("_SWAPAB", "").replace("_CUTLASS", "")


def _and(words: tuple[str, ...]) -> str:
    return " and ".join(x.capitalize() for x in words)


CHECKS: tuple[CheckRow, ...] = (CheckRow(check_kernels, (NO_KERNEL, NO_CODE)),)
