"""Run rules over the graphs of one pipeline: one call, one result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field, replace
from typing import Any

from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.rule import SEVERITIES, Rule, Severity
from mpkgraph.analysis.verify.rules import CHECKS, RANK_CHECKS, RULES
from mpkgraph.errors import UsageError
from mpkgraph.frozen import dataclass

SCHEMA = "mpkgraph-verify-result/1"
MIN_PREFIX = 4
"""`--select MPK2` takes a family: a prefix of a code has at least this many characters."""


Suppress = Callable[[Finding], "str | None"]
"""Says of a finding how the user has suppressed it, in a word; None when it is to be reported."""


@dataclass(frozen=True)
class VerifyResult:
    """Findings, worst first within each rank, and what could not be looked for."""

    findings: tuple[Finding, ...]
    rules: tuple[Rule, ...]
    """The rules that ran."""
    skipped: tuple[tuple[Rule, str], ...] = ()
    """Rules that could not run, and why."""
    suppressed: Mapping[str, int] = field(default_factory=dict)
    """Findings that the user has said to leave out, counted by how that was said."""
    unfolded: tuple[Finding, ...] = field(default=(), repr=False)
    """`findings` before repeats are counted with the first: what a baseline is made of."""

    def _repr_html_(self) -> str:
        from mpkgraph.notebook import findings_html

        return findings_html(self)

    def __repr__(self) -> str:
        counts = ", ".join(
            f"{n} {severity}{'s' if n > 1 and severity != 'advice' else ''}"
            for severity in SEVERITIES
            if (n := self.count(severity))
        )
        return f"<VerifyResult: {counts or 'nothing found'}, by {len(self.rules)} rules>"

    def to_json(self) -> dict[str, Any]:
        """Findings, and what could not be looked for, by the names of `mpkgraph verify --json`."""
        return {
            "schema": SCHEMA,
            "counts": {severity: self.count(severity) for severity in SEVERITIES},
            "suppressed": dict(self.suppressed),
            "rules": [rule.code for rule in self.rules],
            "skipped": [{"code": x.code, "name": x.name, "why": why} for x, why in self.skipped],
            "findings": [finding.to_json() for finding in self.findings],
        }

    def count(self, severity: Severity) -> int:
        return sum(finding.severity == severity for finding in self.findings)

    def fails(self, fail_on: Severity) -> bool:
        """Whether there is a finding as bad as `fail_on` or worse."""
        limit = SEVERITIES.index(fail_on)
        return any(SEVERITIES.index(x.severity) <= limit for x in self.findings)


def verify(
    ranks: Sequence[VerifyContext],
    *,
    select: Iterable[str] = (),
    ignore: Iterable[str] = (),
    suppress: Suppress = lambda _: None,
    progress: Callable[[str], None] = lambda _: None,
) -> VerifyResult:
    """All that the selected rules find in the graphs of one pipeline, one context a rank.

    `select` and `ignore` hold codes, names, families or prefixes of codes; with nothing selected
    the default rules run. `suppress` sees each finding before repeats are folded, so that one that
    the user knows does not hide another. Raises UsageError for a word that is no rule.
    """
    wanted = select_rules(select, ignore)
    has_record = all(context.record is not None for context in ranks)
    skipped = tuple(
        (rule, "it needs the pipeline record")
        for rule in wanted
        if rule.needs_record and not has_record
    )
    running = {rule for rule in wanted if has_record or not rule.needs_record}
    found: list[Finding] = []
    for row in CHECKS:
        if running.isdisjoint(row.rules):
            continue
        progress(row.rules[0].family)
        for context in ranks:
            found += [x for x in row.check(context) if x.rule in running]
    for rank_row in RANK_CHECKS:
        if not running.isdisjoint(rank_row.rules):
            found += [x for x in rank_row.check(ranks) if x.rule in running]
    ways = [suppress(finding) for finding in found]
    kept = [finding for finding, way in zip(found, ways, strict=True) if way is None]
    return VerifyResult(
        findings=tuple(sorted(_fold(kept), key=_order)),
        rules=tuple(x for x in wanted if x in running),
        skipped=skipped,
        suppressed=Counter(way for way in ways if way is not None),
        unfolded=tuple(kept),
    )


def select_rules(select: Iterable[str], ignore: Iterable[str]) -> tuple[Rule, ...]:
    """The rules that are meant. Raises UsageError for a word that means none."""
    chosen = [rule for word in select for rule in find_rules(word)]
    if not chosen:
        chosen = [rule for rule in RULES if rule.is_default]
    ignored = {rule for word in ignore for rule in find_rules(word)}
    return tuple(rule for rule in RULES if rule in chosen and rule not in ignored)


def find_rules(word: str) -> list[Rule]:
    """The rules of a code, a name, a family or a prefix of a code; `all` are all.

    Raises UsageError when there are none.
    """
    text = word.strip()
    found = [
        rule
        for rule in RULES
        if text in {rule.name, rule.family, "all"}
        or (len(text) >= MIN_PREFIX and rule.code.startswith(text.upper()))
    ]
    if not found:
        import difflib

        names = [x for rule in RULES for x in (rule.code, rule.name)]
        close = difflib.get_close_matches(text, names, n=2)
        raise UsageError(
            f"no rule is called {word!r}",
            remedy=f"Did you mean {' or '.join(close)}?" if close else "See --list-rules",
        )
    return found


def _fold(findings: list[Finding]) -> list[Finding]:
    """Repeats in further operators (model layers) and ranks are counted with the first."""
    firsts: dict[tuple[object, ...], int] = {}
    folded: list[Finding] = []
    for finding in findings:
        if not finding.key:
            folded.append(finding)
            continue
        key = (finding.rule.code, finding.severity, *finding.key)
        if key in firsts:
            first = folded[firsts[key]]
            folded[firsts[key]] = replace(first, num_operators=first.num_operators + 1)
        else:
            firsts[key] = len(folded)
            folded.append(finding)
    return folded


def _order(finding: Finding) -> tuple[int, int, int, str]:
    where = finding.location
    operator = -1 if where.operator is None else where.operator
    return (SEVERITIES.index(finding.severity), where.rank, operator, finding.rule.code)
