"""What a diff finds: a tree of frozen records with a JSON form. Renderers take only this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from mpkgraph.analysis.diff.changes import (
    Change,
    EdgeChange,
    FindingChange,
    OperatorChange,
    OrderChange,
    TensorChange,
)
from mpkgraph.frozen import dataclass

SCHEMA = "mpkgraph-diff/1"


@dataclass(frozen=True)
class Cost:
    """A number of both sides; None where it is not known."""

    name: str
    left: int | float | None
    right: int | float | None
    unit: str = ""

    @property
    def is_changed(self) -> bool:
        return self.left != self.right

    @property
    def ratio(self) -> float | None:
        """Right / left - 1; None where that is no number."""
        if not self.left or self.right is None:
            return None
        return self.right / self.left - 1

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "left": self.left, "right": self.right, "unit": self.unit}


@dataclass(frozen=True)
class SideFacts:
    """A graph of one side, as far as a report speaks of it."""

    name: str
    rank: int
    num_tasks: int
    num_operators: int
    num_events: int
    origin: str
    """Where its operators are from: `recorded` or `recovered`."""

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "rank": self.rank,
            "num_tasks": self.num_tasks,
            "num_operators": self.num_operators,
            "num_events": self.num_events,
            "origin": self.origin,
        }


@dataclass(frozen=True)
class DiffResult:
    """Two graphs compared. Equal means: no difference but numbering, order of independent
    operators, and names that differ alike everywhere.
    """

    left: SideFacts
    right: SideFacts
    operators: tuple[OperatorChange, ...] = ()
    tensors: tuple[TensorChange, ...] = ()
    events: tuple[EdgeChange, ...] = ()
    orderings: tuple[OrderChange, ...] = ()
    other: tuple[Change, ...] = ()
    """Of the whole graph: first tasks, null tasks, fields that the format lacks."""
    renamed: tuple[tuple[str, str], ...] = ()
    """Tensors that have another name in all places (left, right)."""
    costs: tuple[Cost, ...] = ()
    findings: tuple[FindingChange, ...] | None = None
    """None where they were not asked for."""
    num_matched: int = 0
    matched_by: Mapping[str, int] = field(default_factory=dict)
    pairs: tuple[tuple[int, int], ...] = field(default=(), repr=False)
    """Matched operators."""
    ignored: tuple[str, ...] = ()
    num_lost_orders: int = 0
    """All pairs of operators that only the left orders, those that follow from others too."""
    num_new_orders: int = 0
    is_identical: bool = False
    """Whether the files are the same bytes, so that nothing was compared."""
    is_numbered_alike: bool = True
    """Whether operators come in the same order."""
    notes: tuple[str, ...] = ()

    @property
    def is_equal(self) -> bool:
        return not (
            self.operators or self.tensors or self.events or self.orderings or self.other
        ) and ("names" in self.ignored or not self.renamed)

    @property
    def own_events(self) -> tuple[EdgeChange, ...]:
        """Events that differ with no operator that explains it."""
        return tuple(x for x in self.events if not x.because)

    @property
    def num_differences(self) -> int:
        """What differs by itself, repetitions over model layers counted once."""
        names = 0 if "names" in self.ignored else len(self.renamed)
        found = len(self.operators) + len(self.tensors) + len(self.own_events) + len(self.other)
        return found + names or len(self.events) + len(self.orderings)

    def to_json(self) -> dict[str, Any]:
        return {
            "is_equal": self.is_equal,
            "is_identical": self.is_identical,
            "num_differences": self.num_differences,
            "left": self.left.to_json(),
            "right": self.right.to_json(),
            "num_matched": self.num_matched,
            "matched_by": dict(self.matched_by),
            "operators": [x.to_json() for x in self.operators],
            "tensors": [x.to_json() for x in self.tensors],
            "events": [x.to_json() for x in self.events],
            "orderings": {
                "num_lost": self.num_lost_orders,
                "num_new": self.num_new_orders,
                "changes": [x.to_json() for x in self.orderings],
            },
            "other": [x.to_json() for x in self.other],
            "renamed": [{"left": x, "right": y} for x, y in self.renamed],
            "costs": [x.to_json() for x in self.costs],
            "findings": None if self.findings is None else [x.to_json() for x in self.findings],
            "ignored": list(self.ignored),
            "notes": list(self.notes),
        }
