"""One thing that is wrong, where, and the smallest pair or task that shows it."""

from __future__ import annotations

from typing import Any

from mpkgraph.analysis.verify.rule import Rule, Severity
from mpkgraph.frozen import dataclass
from mpkgraph.model.operator import Grid
from mpkgraph.model.record import CallSite


@dataclass(frozen=True, slots=True)
class TaskRef:
    """A task, with its operator and place in the operator's grid where these are known."""

    task_id: int
    operator: int | None = None
    """Index of the operator."""
    operator_name: str | None = None
    grid_position: Grid | None = None

    def __str__(self) -> str:
        if self.operator_name is None:
            return f"task {self.task_id}"
        place = "" if self.grid_position is None else f" {self.grid_position}"
        return f"task {self.task_id} ({self.operator_name}{place})"

    def to_json(self) -> dict[str, Any]:
        return {
            "task_id": self.task_id,
            "operator": self.operator,
            "operator_name": self.operator_name,
            "grid_position": None if self.grid_position is None else list(self.grid_position),
        }


@dataclass(frozen=True, slots=True)
class Location:
    """Where a finding is; what does not apply is None. Byte and element ranges are half-open."""

    rank: int = 0
    operator: int | None = None
    operator_name: str | None = None
    slot: int | None = None
    """Position among the operator's slots, inputs first."""
    tensor: str | None = None
    elements: tuple[tuple[int, int], ...] | None = None
    """For each tensor dim the range of elements that is concerned."""
    byte_range: tuple[int, int] | None = None
    event: int | None = None
    """Index of the event."""
    record_path: str | None = None
    """JSON path of the layer in the record."""
    site: CallSite | None = None
    """The user's line that asked for the layer."""

    def to_json(self) -> dict[str, Any]:
        elements = None if self.elements is None else [list(x) for x in self.elements]
        return {
            "rank": self.rank,
            "operator": self.operator,
            "operator_name": self.operator_name,
            "slot": self.slot,
            "tensor": self.tensor,
            "elements": elements,
            "byte_range": None if self.byte_range is None else list(self.byte_range),
            "event": self.event,
            "record_path": self.record_path,
            "site": None if self.site is None else {"file": self.site.file, "line": self.site.line},
        }


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule found in one place. `count` findings of one operator are collapsed into one."""

    rule: Rule
    message: str
    """What is wrong, with its numbers; one sentence or two, no full stop at the end."""
    location: Location
    remedy: str
    """What to do here: the valid grids, say."""
    witness: tuple[TaskRef, ...] = ()
    """The smallest set of tasks that shows it: (earlier, later), or one task."""
    count: int = 1
    """How many pairs, tasks or events show the same."""
    count_of: str = "tasks"
    """What is counted: `tasks`, `task pairs`, `events`, ..."""
    num_operators: int = 1
    """Operators that repeat the same finding (model layers); this is the first."""
    severity_here: Severity | None = None
    """Where it differs from the rule's."""
    key: tuple[Any, ...] = ()
    """What repeats of one finding share across operators (task type, slot, grid, numbers): equal
    keys of one rule are folded into the first. Empty: never folded."""

    @property
    def severity(self) -> Severity:
        return self.severity_here or self.rule.severity

    @property
    def fingerprint(self) -> str:
        """What a baseline knows a finding by: stable under renumbering and repetition."""
        import hashlib

        where = self.location
        text = "\0".join(
            str(x) for x in (self.rule.code, where.operator_name, where.slot, where.tensor)
        )
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        return {
            "code": self.rule.code,
            "name": self.rule.name,
            "severity": self.severity,
            "message": self.message,
            "remedy": self.remedy,
            "location": self.location.to_json(),
            "witness": [x.to_json() for x in self.witness],
            "count": self.count,
            "count_of": self.count_of,
            "num_operators": self.num_operators,
            "fingerprint": self.fingerprint,
        }
