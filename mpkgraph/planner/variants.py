"""Numbers of kernel variants: the generator counts the distinct kernel-call texts of a task type.

One process counts through all the graphs that it makes, so a registry outlives a plan.
"""

from __future__ import annotations

from mpkgraph.catalog.registered import RegisteredTaskRow, TaskFacts, VariantKey


class VariantRegistry:
    """What one process has registered so far.

    >>> from mpkgraph.catalog.registered import REGISTERED_TASKS, SlotFacts
    >>> def facts(columns):
    ...     tile, dims = (1, columns, 0, 0), (8, columns, 0, 0)
    ...     slot = SlotFacts(tile, dims, (columns, 1, 0, 0), 2, (0, -1, -1))
    ...     return TaskFacts((slot, slot), (slot,), (), (8, 1, 1))
    >>> registry = VariantRegistry()
    >>> [registry.number(REGISTERED_TASKS["rmsnorm"], facts(n)) for n in (64, 128, 64)]
    [0, 1, 0]
    """

    def __init__(self) -> None:
        self._numbers: dict[str, dict[VariantKey, int]] = {}

    def number(self, row: RegisteredTaskRow, facts: TaskFacts) -> int:
        """The `variant_id` of a layer, given in program order; a new number for a new text.

        Raises UndefinedVariantError or ZeroDivisionError as `row.variant_key` does.
        """
        if row.variant_key is None:
            return 0
        numbers = self._numbers.setdefault(row.task_type, {})
        return numbers.setdefault(row.variant_key(facts), len(numbers))
