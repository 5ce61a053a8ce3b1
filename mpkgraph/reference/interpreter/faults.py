"""What went wrong while tasks ran, whatever the values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

FaultKind = Literal["read-outside", "write-outside", "guard-broken", "failed"]

TEXT: dict[FaultKind, str] = {
    "read-outside": "reads past its tensor",
    "write-outside": "writes past its tensor",
    "guard-broken": "wrote into the guard zone of a tensor",
    "failed": "could not be executed",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that one operator's tasks did wrong; on a GPU a crash or silent corruption."""

    kind: FaultKind
    rank: int
    operator: int
    operator_name: str
    task_id: int
    """The first one."""
    tensor: str | None
    message: str
    count: int = 1
    """Tasks of the operator that did."""

    def __str__(self) -> str:
        return f"task {self.task_id} ({self.operator_name}) {TEXT[self.kind]}: {self.message}"

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "rank": self.rank,
            "operator": self.operator,
            "operator_name": self.operator_name,
            "task_id": self.task_id,
            "tensor": self.tensor,
            "message": self.message,
            "count": self.count,
        }


class FaultLog:
    """Faults of one run, those of one operator and tensor as one."""

    def __init__(self) -> None:
        self._found: dict[tuple[object, ...], Fault] = {}

    def add(self, fault: Fault) -> None:
        key = fault.kind, fault.rank, fault.operator, fault.tensor
        known = self._found.get(key)
        self._found[key] = (
            fault if known is None else replace(known, count=known.count + fault.count)
        )

    @property
    def faults(self) -> tuple[Fault, ...]:
        return tuple(sorted(self._found.values(), key=lambda x: (x.rank, x.operator, x.task_id)))
