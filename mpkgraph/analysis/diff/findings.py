"""What static verify finds on one side only, told by matched operators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mpkgraph.analysis.diff.changes import FindingChange
from mpkgraph.analysis.diff.compare import Comparison
from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.run import verify

Key = tuple[object, ...]


def with_findings(
    comparisons: Sequence[Comparison],
    left: Sequence[VerifyContext],
    right: Sequence[VerifyContext],
) -> list[Comparison]:
    """The comparisons, each with the findings that its rank gained and lost.

    A finding is the same on both sides when rule, severity, operator, slot and tensor are. The
    ranks of a side are verified together.
    """
    found = [list(verify(side).unfolded) for side in (left, right)]
    made = []
    for comparison in comparisons:
        ranks = comparison.left.graph.rank, comparison.right.graph.rank
        own = [
            [x for x in side if x.location.rank == rank]
            for side, rank in zip(found, ranks, strict=True)
        ]
        changes = _compare(comparison, own[0], own[1])
        made.append(replace(comparison, result=replace(comparison.result, findings=changes)))
    return made


def _compare(
    comparison: Comparison, left: Sequence[Finding], right: Sequence[Finding]
) -> tuple[FindingChange, ...]:
    lefts, rights = _by_key(comparison, left, side=0), _by_key(comparison, right, side=1)
    changes = []
    for is_gained, mine, others in ((True, rights, lefts), (False, lefts, rights)):
        for key, findings in mine.items():
            more = len(findings) - len(others.get(key, ()))
            if more > 0:
                first = findings[0]
                changes.append(
                    FindingChange(
                        is_gained,
                        first.rule.code,
                        first.rule.name,
                        first.severity,
                        first.message,
                        first.location.operator,
                        more,
                    )
                )
    return _folded(changes)


def _by_key(
    comparison: Comparison, findings: Sequence[Finding], *, side: int
) -> dict[Key, list[Finding]]:
    """Findings by what they are of, in terms of the right side."""
    partner = comparison.matching.right_of
    by_index = comparison.is_original
    grouped: dict[Key, list[Finding]] = {}
    for finding in findings:
        where = finding.location
        operator: object = where.operator_name
        if by_index and where.operator is not None:
            operator = where.operator if side else partner.get(where.operator, ("left", where))
        tensor = where.tensor
        if tensor is not None and not side:
            names = [comparison.names.right_of.get(x, x) for x in tensor.split("+")]
            tensor = "+".join(names)
        key = (finding.rule.code, finding.severity, operator, where.slot, tensor)
        grouped.setdefault(key, []).append(finding)
    return grouped


def _folded(changes: Sequence[FindingChange]) -> tuple[FindingChange, ...]:
    """Findings of one rule that operators repeat, once."""
    groups: dict[tuple[bool, str, str], list[FindingChange]] = {}
    for change in changes:
        groups.setdefault((change.is_gained, change.code, change.severity), []).append(change)
    return tuple(replace(group[0], count=sum(x.count for x in group)) for group in groups.values())
