"""The verdict on a run: what renderers take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mpkgraph.analysis.execution.hang import Hang
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.reference.interpreter.faults import Fault
from mpkgraph.reference.interpreter.unknown import Skipped
from mpkgraph.reference.validation.blame import Blame
from mpkgraph.reference.validation.compare import Difference
from mpkgraph.reference.validation.error_map import TaskErrors
from mpkgraph.reference.validation.limits import Limits
from mpkgraph.reference.validation.origin import Origin

SCHEMA = "mpkgraph-run/1"


@dataclass(frozen=True, slots=True)
class TensorVerdict:
    """One tensor of one rank, held against what it should be."""

    rank: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    """`bf16` and the like."""
    operator: int | None
    """The operator that is meant to write it last."""
    operator_name: str | None
    limits: Limits
    difference: Difference
    is_output: bool
    """Whether no operator reads it: a result of the pipeline."""

    @property
    def passes(self) -> bool:
        return self.difference.passes

    def to_json(self) -> dict[str, Any]:
        return {
            "rank": self.rank,
            "name": self.name,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "operator": self.operator,
            "operator_name": self.operator_name,
            "is_output": self.is_output,
            "passes": self.passes,
            "limits": self.limits.to_json(),
            **self.difference.to_json(),
        }


@dataclass(frozen=True, slots=True)
class Unchecked:
    """A tensor that was written and could not be held against anything."""

    rank: int
    name: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        return {"rank": self.rank, "name": self.name, "reason": self.reason}


@dataclass(frozen=True)
class RunOutcome:
    """One run in one order."""

    schedule: str
    """`batched`, `random (seed 3)`, `task 2 of rank 0 as late as may be`."""
    num_tasks: int
    num_calls: int
    seconds: float
    verdicts: tuple[TensorVerdict, ...]
    unchecked: tuple[Unchecked, ...] = ()
    faults: tuple[Fault, ...] = ()
    hang: Hang | None = None
    blame: Blame | None = None
    task_errors: tuple[TaskErrors, ...] = ()
    """Of each wrong tensor the tasks behind its wrong elements; the blamed tensor first."""
    findings: tuple[Finding, ...] = ()
    """What static verify says of a hang or fault, where no tensor is to blame, or of the origin
    besides what it says of the blame."""
    origin: Origin | None = None
    """The first wrong result on the way to the blamed tensor."""

    @property
    def wrong(self) -> tuple[TensorVerdict, ...]:
        return tuple(x for x in self.verdicts if not x.passes)

    @property
    def passes(self) -> bool:
        return not (self.wrong or self.faults or self.hang)

    def to_json(self) -> dict[str, Any]:
        return {
            "schedule": self.schedule,
            "passes": self.passes,
            "num_tasks": self.num_tasks,
            "num_calls": self.num_calls,
            "num_wrong": len(self.wrong),
            "faults": [x.to_json() for x in self.faults],
            "hang": None if self.hang is None else self.hang.to_json(),
            "blame": None if self.blame is None else self.blame.to_json(),
            "origin": None if self.origin is None else self.origin.to_json(),
            "findings": [x.to_json() for x in self.findings],
            "tensors": [x.to_json() for x in self.verdicts],
            "unchecked": [x.to_json() for x in self.unchecked],
            "task_errors": [x.to_json() for x in self.task_errors],
        }


@dataclass(frozen=True)
class Replayed:
    """A finding and the order that was to show it."""

    finding: Finding
    outcome: RunOutcome | None
    """The run that shows a wrong value; None when none did."""
    num_tried: int

    @property
    def is_shown(self) -> bool:
        return self.outcome is not None

    def to_json(self) -> dict[str, Any]:
        return {
            "finding": self.finding.to_json(),
            "is_shown": self.is_shown,
            "num_tried": self.num_tried,
            "run": None if self.outcome is None else self.outcome.to_json(),
        }


@dataclass(frozen=True)
class RunReport:
    """All that running one pipeline came to."""

    name: str
    graph_hashes: Mapping[int, str]
    """By rank sha256 of the graph's JSON text."""
    seed: int
    source: str
    """Where inputs came from: `made up (seed 0)`, a file, the script."""
    against: str
    """What values were held against: `whole layers`, a file, a function."""
    outcomes: tuple[RunOutcome, ...]
    skipped: tuple[Skipped, ...] = ()
    """Operators that did not run."""
    replays: tuple[Replayed, ...] = ()
    is_replay: bool = False
    notes: tuple[str, ...] = ()
    num_layers: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)
    """By step; not part of the JSON, which is the same each time."""

    @property
    def failing(self) -> RunOutcome | None:
        """The first run that went wrong."""
        return next((x for x in self.outcomes if not x.passes), None)

    @property
    def num_checked(self) -> int:
        return max((len(x.verdicts) for x in self.outcomes), default=0)

    @property
    def fails(self) -> bool:
        """Whether some order gives wrong values, a fault or a hang, or nothing could be checked."""
        if self.is_replay:
            return any(x.is_shown for x in self.replays)
        nothing = bool(self.skipped) and not self.num_checked
        return self.failing is not None or any(x.is_shown for x in self.replays) or nothing

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "name": self.name,
            "fails": self.fails,
            "graphs": {str(rank): text for rank, text in sorted(self.graph_hashes.items())},
            "seed": self.seed,
            "inputs": self.source,
            "against": self.against,
            "runs": [x.to_json() for x in self.outcomes],
            "replays": [x.to_json() for x in self.replays],
            "unexecuted": [x.to_json() for x in self.skipped],
            "notes": list(self.notes),
        }
