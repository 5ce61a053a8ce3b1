"""The diff of all ranks of two pipelines: what renderers take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mpkgraph.analysis.diff.compare import DEFAULT_OPTIONS, Comparison, compare
from mpkgraph.analysis.diff.options import DiffOptions
from mpkgraph.analysis.diff.result import SCHEMA, DiffResult
from mpkgraph.analysis.diff.side import Side
from mpkgraph.frozen import dataclass


@dataclass(frozen=True)
class DiffReport:
    """One result for each rank that both sides have."""

    results: tuple[DiffResult, ...]
    left_name: str
    right_name: str
    left_only: tuple[int, ...] = ()
    """Ranks that the right lacks."""
    right_only: tuple[int, ...] = ()
    ignores_ranks: bool = False
    sha256: str | None = None
    """Of the content of both sides, where that is the same and nothing was compared."""
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        told = "equal" if self.is_equal else f"{self.num_differences} differences"
        return f"<DiffReport {self.left_name} -> {self.right_name}: {told}>"

    @property
    def is_equal(self) -> bool:
        same_ranks = self.ignores_ranks or not (self.left_only or self.right_only)
        return same_ranks and all(x.is_equal for x in self.results)

    @property
    def num_differences(self) -> int:
        """Of the rank that differs most: ranks of one pipeline differ alike."""
        ranks = 0 if self.ignores_ranks else bool(self.left_only) + bool(self.right_only)
        return max((x.num_differences for x in self.results), default=0) + ranks

    def _repr_html_(self) -> str:
        from mpkgraph.notebook import diff_html

        return diff_html(self)

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "is_equal": self.is_equal,
            "num_differences": self.num_differences,
            "left": self.left_name,
            "right": self.right_name,
            "sha256": self.sha256,
            "left_only_ranks": list(self.left_only),
            "right_only_ranks": list(self.right_only),
            "notes": list(self.notes),
            "ranks": [x.to_json() for x in self.results],
        }


def compare_ranks(
    left: Mapping[int, Side], right: Mapping[int, Side], options: DiffOptions = DEFAULT_OPTIONS
) -> list[Comparison]:
    """Each rank that both sides have, in order; the only rank of either side, whatever they are."""
    right = _as_ranks_of(left, right)
    return [compare(left[x], right[x], options) for x in sorted(left.keys() & right.keys())]


def report_of(
    comparisons: Sequence[Comparison],
    left: Mapping[int, Side],
    right: Mapping[int, Side],
    names: tuple[str, str],
    options: DiffOptions,
    notes: Sequence[str] = (),
) -> DiffReport:
    """The report on what `compare_ranks` found."""
    right = _as_ranks_of(left, right)
    return DiffReport(
        results=tuple(x.result for x in comparisons),
        left_name=names[0],
        right_name=names[1],
        left_only=tuple(sorted(left.keys() - right.keys())),
        right_only=tuple(sorted(right.keys() - left.keys())),
        ignores_ranks="ranks" in options.ignored,
        notes=tuple(notes),
    )


def _as_ranks_of(left: Mapping[int, Side], right: Mapping[int, Side]) -> Mapping[int, Side]:
    """The right side, where one rank is compared with one by the number of the left."""
    if len(left) == len(right) == 1:
        return dict(zip(left, right.values(), strict=True))
    return right
