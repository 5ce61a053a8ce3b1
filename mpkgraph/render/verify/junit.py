"""A report as JUnit XML: a suite a pipeline, a test case a rule."""

from __future__ import annotations

from html import escape

from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.report import CheckedPipeline, VerifyReport
from mpkgraph.analysis.verify.rule import SEVERITIES, Rule
from mpkgraph.render.escape import printable
from mpkgraph.render.text import count
from mpkgraph.render.verify.words import (
    finding_words,
    operator_words,
    place_words,
    where_words,
    witness_words,
)


def report_junit(report: VerifyReport) -> bytes:
    """A case fails when its rule has a finding as bad as `fail_on`; milder ones are its output."""
    suites = [_suite(x, report) for x in report.pipelines]
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f"<testsuites {_attributes(name='mpkgraph verify', **_totals(report))}>",
        *(line for suite in suites for line in suite),
        "</testsuites>",
    ]
    return "".join(f"{line}\n" for line in lines).encode("utf-8")


def _totals(report: VerifyReport) -> dict[str, int]:
    results = [x.result for x in report.pipelines]
    failures = sum(len(_failing(x, report)) for x in report.pipelines)
    skipped = sum(len(x.skipped) for x in results)
    return {
        "tests": sum(len(x.rules) for x in results) + skipped,
        "failures": failures,
        "errors": 0,
        "skipped": skipped,
    }


def _failing(pipeline: CheckedPipeline, report: VerifyReport) -> set[Rule]:
    return {x.rule for x in pipeline.result.findings if _is_failure(x, report)}


def _is_failure(finding: Finding, report: VerifyReport) -> bool:
    return SEVERITIES.index(finding.severity) <= SEVERITIES.index(report.fail_on)


def _suite(pipeline: CheckedPipeline, report: VerifyReport) -> list[str]:
    result = pipeline.result
    one = VerifyReport((pipeline,), report.fail_on)
    skipped = dict(result.skipped)
    rules = sorted([*result.rules, *skipped], key=lambda rule: rule.code)
    lines = [f"  <testsuite {_attributes(name=pipeline.name, **_totals(one))}>"]
    for rule in rules:
        found = [x for x in result.findings if x.rule == rule]
        name = f"{rule.code} {rule.name}"
        head = f"testcase {_attributes(classname=f'mpkgraph.{rule.family}', name=name)}"
        inside = [
            *(
                [f"      <skipped {_attributes(message=skipped[rule])}/>"]
                if rule in skipped
                else ()
            ),
            *_failure(pipeline, [x for x in found if _is_failure(x, report)]),
            *_output(pipeline, [x for x in found if not _is_failure(x, report)]),
        ]
        if inside:
            lines += [f"    <{head}>", *inside, "    </testcase>"]
        else:
            lines.append(f"    <{head}/>")
    lines.append("  </testsuite>")
    return lines


def _failure(pipeline: CheckedPipeline, findings: list[Finding]) -> list[str]:
    """All of one case in one element: readers of JUnit expect no second."""
    if not findings:
        return []
    message = f"{count(len(findings), 'finding')}: {findings[0].message}"
    text = "\n".join(_lines(pipeline, findings))
    attributes = _attributes(message=message, type=findings[0].severity)
    return [f"      <failure {attributes}>{text}</failure>"]


def _output(pipeline: CheckedPipeline, findings: list[Finding]) -> list[str]:
    if not findings:
        return []
    text = "\n".join(_lines(pipeline, findings))
    return [f"      <system-out>{text}</system-out>"]


def _lines(pipeline: CheckedPipeline, findings: list[Finding]) -> list[str]:
    lines = []
    for finding in findings:
        place = place_words(pipeline.place(finding))
        subject = f"{place}: {finding.severity}: {operator_words(finding)}"
        lines.append(_text(f"{subject}: {finding_words(finding)}"))
        details = (("where", where_words(finding)), ("witness", witness_words(finding)))
        lines += [_text(f"  {label}: {words}") for label, words in details if words]
    return lines


def _attributes(**values: object) -> str:
    return " ".join(f'{name}="{_text(str(value))}"' for name, value in values.items())


def _text(text: str) -> str:
    """What XML forbids is not printable, and `]]>` can't come of an escaped `>`."""
    return escape(printable(text), quote=True)
