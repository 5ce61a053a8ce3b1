"""A report as workflow commands of GitHub Actions: one annotation a finding."""

from __future__ import annotations

from mpkgraph.analysis.verify.report import Place, VerifyReport
from mpkgraph.analysis.verify.rule import SEVERITIES, Severity
from mpkgraph.render.escape import printable
from mpkgraph.render.verify.words import (
    finding_words,
    operator_words,
    place_words,
    summary_lines,
    witness_words,
)

COMMANDS: dict[Severity, str] = {"error": "error", "warning": "warning", "advice": "notice"}


def report_github(report: VerifyReport) -> bytes:
    """The worst come first: GitHub shows the first ten of a kind. A summary line follows."""
    lines = []
    for severity in SEVERITIES:
        for pipeline in report.pipelines:
            for finding in pipeline.result.findings:
                if finding.severity != severity:
                    continue
                place = pipeline.place(finding)
                properties = {
                    "file": place_words(Place(place.file)),
                    "line": str(place.line or 1),
                    "title": f"{finding.rule.code} {finding.rule.name}: {operator_words(finding)}",
                }
                text = finding_words(finding)
                if finding.witness:
                    text += f" Witness: {witness_words(finding)}."
                given = ",".join(f"{name}={_property(x)}" for name, x in properties.items())
                lines.append(f"::{COMMANDS[severity]} {given}::{_data(text)}")
    lines += [f"mpkgraph verify: {_data(line)}" for line in summary_lines(report)]
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")


def _data(text: str) -> str:
    """What ends a line or begins an escape is escaped; control characters are made visible."""
    return printable(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
