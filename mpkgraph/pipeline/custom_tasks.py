"""Task names that Mirage's tables lack, registered by a user who adds a task to Mirage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mpkgraph.catalog.registered import RegisteredTaskRow, TaskFacts, VariantKey
from mpkgraph.errors import UsageError


def custom_task(text: str) -> RegisteredTaskRow:
    """The row of `NAME:INPUTS:OUTPUTS:TASK_TYPE`; the type is a name or a number.

    Layers of such a name share a variant when all that a registrar can see of them is equal.
    Raises UsageError for another form.

    >>> row = custom_task("my_norm:2:1:4242")
    >>> row.name, row.num_inputs, row.num_outputs, row.task_type
    ('my_norm', 2, 1, 'TASK_4242')
    """
    name, *rest = text.split(":")
    if not name or len(rest) != 3 or not all(x.isdecimal() for x in rest[:2]) or not rest[2]:
        raise UsageError(
            f"--register {text!r} is not NAME:INPUTS:OUTPUTS:TASK_TYPE",
            remedy="For example --register my_norm:2:1:TASK_MY_NORM, or a number as the type",
        )
    inputs, outputs, kind = rest
    task_type = kind.upper()
    if not task_type.startswith("TASK_"):
        task_type = f"TASK_{task_type}"
    return RegisteredTaskRow(
        name,
        task_type,
        num_inputs=int(inputs),
        num_outputs=int(outputs),
        params=(),
        variant_key=_everything,
    )


def with_custom_tasks(
    tasks: Mapping[str, RegisteredTaskRow], rows: Sequence[RegisteredTaskRow]
) -> Mapping[str, RegisteredTaskRow]:
    """The table with further rows; one of a known name takes its place."""
    return {**tasks, **{row.name: row for row in rows}} if rows else tasks


def _everything(facts: TaskFacts) -> VariantKey:
    """Equal for layers that no registrar can tell apart."""
    return (facts,)
