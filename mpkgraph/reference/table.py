"""The task types that can be executed, and those that can't."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mpkgraph.catalog.task_types import TASK_TYPES, TaskTypeRow
from mpkgraph.reference.families import FAMILIES
from mpkgraph.reference.row import TaskFunction

TASK_FUNCTIONS: Mapping[str, TaskFunction] = MappingProxyType(
    {row.task_type: row for rows in FAMILIES.values() for row in rows}
)
"""By name of the task type."""


def task_function(task_type: str) -> TaskFunction | None:
    """The function of a task type; None for one that can't be executed.

    >>> task_function("TASK_RMS_NORM").function
    'norm.rmsnorm'
    """
    return TASK_FUNCTIONS.get(task_type)


def executable_types() -> tuple[str, ...]:
    """Names of the task types with a function, in the order of their numbers."""
    return tuple(row.name for row in TASK_TYPES if row.name in TASK_FUNCTIONS)


def unexecutable_types() -> Mapping[str, str]:
    """The task types without a function, in the order of their numbers, each with the reason."""
    return MappingProxyType(
        {row.name: _reason(row) for row in TASK_TYPES if row.name not in TASK_FUNCTIONS}
    )


def _reason(row: TaskTypeRow) -> str:
    if row.kind == "control":
        return "the runtime's own: it computes nothing"
    if row.register_names:
        return "its kernel is not known well enough"
    return "no layer emits it"
