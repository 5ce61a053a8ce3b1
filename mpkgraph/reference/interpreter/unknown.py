"""Operators that can't be run, and what hangs on them: their values are not known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

from mpkgraph.reference.interpreter.program import Program
from mpkgraph.reference.table import unexecutable_types

NONE_FAILING: Mapping[tuple[int, int], str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Skipped:
    """One operator whose tasks do not run."""

    rank: int
    operator: int
    operator_name: str
    task_type: str
    num_tasks: int
    reason: str

    def to_json(self) -> dict[str, Any]:
        return {
            "rank": self.rank,
            "operator": self.operator,
            "operator_name": self.operator_name,
            "task_type": self.task_type,
            "num_tasks": self.num_tasks,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Unexecuted:
    """All of them, and the tensors whose values no one knows."""

    operators: tuple[Skipped, ...] = ()
    tensors: Mapping[int, frozenset[str]] = field(default_factory=dict)
    """By rank."""

    def has(self, rank: int, operator: int) -> bool:
        return (rank, operator) in self._keys

    @cached_property
    def _keys(self) -> frozenset[tuple[int, int]]:
        return frozenset((x.rank, x.operator) for x in self.operators)

    @property
    def num_tasks(self) -> int:
        return sum(x.num_tasks for x in self.operators)

    @property
    def causes(self) -> tuple[Skipped, ...]:
        """Those whose own type has no function."""
        return tuple(x for x in self.operators if not x.reason.startswith("reads"))


def unexecuted(
    program: Program,
    given: Iterable[str] = (),
    failing: Mapping[tuple[int, int], str] = NONE_FAILING,
) -> Unexecuted:
    """What has no function, and in program order all that reads what it should have written.

    `failing` are further operators, by (rank, index), that can't be run, and why.

    A tensor that is unknown on one rank is unknown on all: they exchange values.
    """
    reasons = unexecutable_types()
    known = frozenset(given)
    unknown: dict[str, str] = {}
    found: list[Skipped] = []
    for rank in program.ranks:
        for plan in rank.order:
            reason = failing.get((rank.rank, plan.operator.index))
            if plan.function is None:
                reason = reasons.get(plan.task_type, "there is no function of this task type")
            for slot in plan.slots:
                names = [x for x in slot.base_ptrs if x in unknown and slot.effect.reads]
                if names and reason is None:
                    reason = f"reads {names[0]}, which {unknown[names[0]]} should have written"
            name = rank.name(plan.operator)
            for slot in plan.slots:
                if not (slot.is_output or slot.effect.writes):
                    continue
                for tensor in slot.base_ptrs:
                    if reason is not None and tensor not in known:
                        unknown[tensor] = name
                    elif reason is None and slot.effect.is_complete:
                        unknown.pop(tensor, None)
            if reason is not None and not all(
                x in known for slot in plan.slots if slot.is_output for x in slot.base_ptrs
            ):
                found.append(
                    Skipped(
                        rank.rank,
                        plan.operator.index,
                        name,
                        plan.task_type,
                        plan.operator.num_tasks,
                        reason,
                    )
                )
    tensors = frozenset(unknown)
    return Unexecuted(tuple(found), {x.rank: tensors for x in program.ranks})
