"""Task names that Mirage's tables lack, registered by a user who adds a task to Mirage."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from mpkgraph.catalog.registered import RegisteredTaskRow, TaskFacts, VariantKey
from mpkgraph.errors import UsageError

MAX_INPUTS, MAX_OUTPUTS = 7, 3
"""`MAX_INPUTS_PER_TASK`, `MAX_OUTPUTS_PER_TASK` of runtime_header.h."""
LAST_TASK_TYPE = (1 << 31) - 1
_NAME = re.compile(r"[A-Za-z0-9_]+")


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
    for what, word in (("name", name), ("task type", kind)):
        if not _NAME.fullmatch(word):
            raise UsageError(
                f"--register {text!r}: {word!r} is no {what}",
                remedy="Letters, digits and _ are what names in Mirage's code have",
            )
    if int(inputs) > MAX_INPUTS or int(outputs) > MAX_OUTPUTS:
        raise UsageError(
            f"--register {text!r}: a task has at most {MAX_INPUTS} inputs, {MAX_OUTPUTS} outputs",
            remedy="The runtime has no room for more (runtime_header.h)",
        )
    if kind.isdecimal() and int(kind) > LAST_TASK_TYPE:
        raise UsageError(
            f"--register {text!r}: task types are numbers up to {LAST_TASK_TYPE}",
            remedy="Name the type, or its number in runtime_header.h",
        )
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
