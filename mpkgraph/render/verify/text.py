"""A report for people: grouped by operator, the worst first."""

from __future__ import annotations

from typing import Any

from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.report import CheckedPipeline, VerifyReport
from mpkgraph.analysis.verify.rule import Severity
from mpkgraph.render.escape import printable
from mpkgraph.render.text import TextWriter, count
from mpkgraph.render.verify.words import (
    operator_words,
    place_words,
    repeat_words,
    summary_lines,
    where_words,
    witness_words,
)

STYLES: dict[Severity, dict[str, Any]] = {
    "error": {"fg": "red", "bold": True},
    "warning": {"fg": "yellow"},
    "advice": {"fg": "cyan"},
}


def report_text(out: TextWriter, report: VerifyReport) -> None:
    """All findings of all pipelines, then a summary."""
    for pipeline in report.pipelines:
        _pipeline(out, pipeline)
    out.line()
    for note in report.notes:
        out.line(f"note: {printable(note)}")
    first, *rest = summary_lines(report)
    style: dict[str, Any] = STYLES["error"] if report.fails else {"bold": True}
    out.line(out.style(first, **style))
    for line in rest:
        out.line(line)


def _pipeline(out: TextWriter, pipeline: CheckedPipeline) -> None:
    out.heading(pipeline.name, _pipeline_note(pipeline))
    groups: dict[tuple[int, int | None], list[Finding]] = {}
    for finding in pipeline.result.findings:
        groups.setdefault((finding.location.rank, finding.location.operator), []).append(finding)
    for (rank, _), findings in groups.items():
        subject = operator_words(findings[0])
        if len(pipeline.ranks) > 1:
            subject = f"rank {rank}, {subject}"
        out.line()
        place = printable(_place(pipeline, findings[0]))
        out.line(f"  {out.style(printable(subject), bold=True)}  {place}".rstrip())
        for finding in findings:
            _finding(out, finding)


def _place(pipeline: CheckedPipeline, finding: Finding) -> str:
    """The user's line, else the place in the record; the heading has named the files."""
    place = pipeline.place(finding)
    return finding.location.record_path or "" if place.line is None else place_words(place)


def _pipeline_note(pipeline: CheckedPipeline) -> str:
    ranks = pipeline.ranks
    names = ", ".join(str(x.rank) for x in ranks)
    operators = sum(x.num_operators for x in ranks)
    tasks = sum(x.num_tasks for x in ranks)
    origin = "recorded" if all(x.has_record for x in ranks) else "recovered"
    return (
        f"rank{'s' * (len(ranks) > 1)} {names}, {count(operators, 'operator')} ({origin}), "
        f"{count(tasks, 'task')}"
    )


def _finding(out: TextWriter, finding: Finding) -> None:
    rule = finding.rule
    head = out.style(f"{finding.severity} {rule.code} {rule.name}", **STYLES[finding.severity])
    out.line(f"    {head}: {printable(finding.message)}")
    details = (
        ("where", where_words(finding)),
        ("witness", witness_words(finding)),
        ("found", repeat_words(finding)),
        ("remedy", finding.remedy),
    )
    out.fields([(label, text) for label, text in details if text], indent=6)
