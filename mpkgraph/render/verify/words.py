"""What all forms of a report say alike: where a finding is, what shows it, how often."""

from __future__ import annotations

from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.report import Place, VerifyReport
from mpkgraph.analysis.verify.rule import SEVERITIES, Severity
from mpkgraph.model.record import CallSite
from mpkgraph.render.text import count

MAX_SHOWN_SKIPPED = 8
"""Skipped rules that a summary names."""


def where_words(finding: Finding) -> str:
    """`slot 2, tensor out [0:8, 4080:4096], bytes 8160:8192`; nothing when only the operator is
    known.
    """
    place = finding.location
    parts = []
    if place.slot is not None:
        parts.append(f"slot {place.slot}")
    elements = ""
    if place.elements is not None:
        elements = f" [{', '.join(f'{first}:{end}' for first, end in place.elements)}]"
    if place.tensor is not None:
        parts.append(f"tensor {place.tensor}{elements}")
    elif elements:
        parts.append(f"elements{elements}")
    if place.byte_range is not None:
        parts.append(f"bytes {place.byte_range[0]}:{place.byte_range[1]}")
    if place.event is not None:
        parts.append(f"event {place.event}")
    return ", ".join(parts)


def operator_words(finding: Finding) -> str:
    """`operator 3 linear_hopper`, `rank 1` and the like; what the finding is grouped under."""
    place = finding.location
    if place.operator is None:
        return "the graph as a whole"
    return f"operator {place.operator} {place.operator_name or ''}".rstrip()


def witness_words(finding: Finding) -> str:
    return ", ".join(map(str, finding.witness))


def repeat_words(finding: Finding) -> str:
    """`60 tasks, and 27 more operators like this one`; nothing for what is found once."""
    found = f"{finding.count:,} {finding.count_of}" if finding.count > 1 else ""
    more = finding.num_operators - 1
    others = f"{count(more, 'more operator')} like this one" if more else ""
    return f"{found}, and {others}" if found and others else found or others


def place_words(place: Place) -> str:
    """`my_test.py:31`; a file under the working folder is named from there."""
    text = str(CallSite(place.file, place.line or 0))
    return text if place.line is not None else text.removesuffix(":0")


def finding_words(finding: Finding) -> str:
    """Message and remedy in one line, for forms that have one text."""
    repeats = repeat_words(finding)
    text = sentence(f"{finding.message.rstrip('.')} ({repeats})" if repeats else finding.message)
    if finding.remedy:
        text += f" {sentence(finding.remedy)}"
    return text


def sentence(text: str) -> str:
    """Text that ends as a sentence does."""
    return text if text.endswith((".", "?", "!")) else f"{text}."


_NOUNS: dict[Severity, tuple[str, str]] = {
    "error": ("error", "errors"),
    "warning": ("warning", "warnings"),
    "advice": ("piece of advice", "pieces of advice"),
}


def count_words(report: VerifyReport) -> str:
    """`2 errors, 1 warning`, or `nothing found`."""
    counts = report.counts
    parts = [
        f"{counts[severity]:,} {_NOUNS[severity][counts[severity] != 1]}"
        for severity in SEVERITIES
        if counts[severity]
    ]
    return ", ".join(parts) or "nothing found"


def summary_lines(report: VerifyReport) -> list[str]:
    """What a report ends with: counts, what was not looked for, what was left out."""
    tasks = sum(rank.num_tasks for pipeline in report.pipelines for rank in pipeline.ranks)
    graphs = sum(len(pipeline.ranks) for pipeline in report.pipelines)
    asked = f"{count(graphs, 'graph')} of {count(tasks, 'task')}"
    lines = [f"{count_words(report)} in {asked}, by {count(len(report.rules), 'rule')}"]
    reasons: dict[str, list[str]] = {}
    for rule, why in report.skipped:
        reasons.setdefault(why, []).append(rule.code)
    for why, codes in reasons.items():
        rest = len(codes) - MAX_SHOWN_SKIPPED
        shown = ", ".join(codes[:MAX_SHOWN_SKIPPED]) + (f" and {rest} more" if rest > 0 else "")
        lines.append(f"skipped {shown}: {why}")
    if report.suppressed:
        ways = ", ".join(f"{number} by {way}" for way, number in report.suppressed.items())
        lines.append(f"suppressed: {ways}")
    if report.stale:
        lines.append(
            f"{count(report.stale, 'finding')} of the baseline not found any more: write it anew "
            "with --write-baseline"
        )
    return lines
