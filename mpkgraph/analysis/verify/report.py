"""The verdict on all that was asked to be verified: what renderers take."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.rule import SEVERITIES, Rule, Severity
from mpkgraph.analysis.verify.run import Suppress, VerifyResult, verify
from mpkgraph.frozen import dataclass
from mpkgraph.model.record import CallSite


@dataclass(frozen=True)
class Pipeline:
    """The graphs of one pipeline, in order of rank, ready to be verified."""

    name: str
    """What the user calls it: a path or a function."""
    ranks: tuple[VerifyContext, ...]
    site: CallSite | None = None
    """The line that compiled it."""


@dataclass(frozen=True)
class CheckedRank:
    """One rank's graph, as far as a report speaks of it."""

    rank: int
    graph_file: str | None
    """None for a graph that was planned here."""
    record_file: str | None
    has_record: bool
    num_tasks: int
    num_operators: int

    @classmethod
    def of(cls, context: VerifyContext) -> CheckedRank:
        record = context.record
        return cls(
            rank=context.graph.rank,
            graph_file=context.graph.source.path,
            record_file=None if record is None else record.path,
            has_record=record is not None,
            num_tasks=context.graph.num_tasks,
            num_operators=len(context.operators),
        )

    @property
    def file(self) -> str | None:
        """Where what has no line of its own is."""
        return self.graph_file or self.record_file


@dataclass(frozen=True)
class Place:
    """A line of a file; None where only the file is known."""

    file: str
    line: int | None = None


@dataclass(frozen=True)
class CheckedPipeline:
    """One pipeline and what was found in it."""

    name: str
    site: CallSite | None
    ranks: tuple[CheckedRank, ...]
    result: VerifyResult

    def place(self, finding: Finding) -> Place:
        """The layer's line where it is known, else that of compile(), else the graph's file."""
        site = finding.location.site or self.site
        if site is not None:
            return Place(site.file, site.line)
        files = {x.rank: x.file for x in self.ranks}
        return Place(files.get(finding.location.rank) or self.name)


@dataclass(frozen=True)
class VerifyReport:
    """All pipelines that were verified together."""

    pipelines: tuple[CheckedPipeline, ...]
    fail_on: Severity = "error"
    stale: int = 0
    """Findings that the baseline knows and that are no more."""
    notes: tuple[str, ...] = ()
    """What else the user should know."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        return tuple(x for pipeline in self.pipelines for x in pipeline.result.findings)

    @property
    def fails(self) -> bool:
        """Whether a finding is as bad as `fail_on` or worse."""
        return any(pipeline.result.fails(self.fail_on) for pipeline in self.pipelines)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules that ran on some pipeline, by code."""
        ran = {rule for pipeline in self.pipelines for rule in pipeline.result.rules}
        return tuple(sorted(ran, key=lambda rule: rule.code))

    @property
    def skipped(self) -> tuple[tuple[Rule, str], ...]:
        """Rules that could not run on some pipeline, and why; by code, each once."""
        found = {x: None for pipeline in self.pipelines for x in pipeline.result.skipped}
        return tuple(sorted(found, key=lambda x: (x[0].code, x[1])))

    @property
    def suppressed(self) -> dict[str, int]:
        """How many findings the user has left out, by how."""
        total: dict[str, int] = {}
        for pipeline in self.pipelines:
            for way, number in pipeline.result.suppressed.items():
                total[way] = total.get(way, 0) + number
        return dict(sorted(total.items()))

    def count(self, severity: Severity) -> int:
        return sum(pipeline.result.count(severity) for pipeline in self.pipelines)

    @property
    def counts(self) -> dict[Severity, int]:
        """Findings by severity, worst first."""
        return {severity: self.count(severity) for severity in SEVERITIES}


def check(
    pipeline: Pipeline,
    *,
    select: Iterable[str] = (),
    ignore: Iterable[str] = (),
    suppress: Sequence[Suppress] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> CheckedPipeline:
    """Verify one pipeline. Of `suppress`, the first that knows a finding has it.

    Raises UsageError for a word of `select` or `ignore` that is no rule.
    """

    def first_way(finding: Finding) -> str | None:
        ways = (way(finding) for way in suppress)
        return next((x for x in ways if x is not None), None)

    result = verify(
        pipeline.ranks, select=select, ignore=ignore, suppress=first_way, progress=progress
    )
    ranks = tuple(CheckedRank.of(x) for x in pipeline.ranks)
    return CheckedPipeline(pipeline.name, pipeline.site, ranks, result)
