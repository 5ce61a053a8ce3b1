"""A report as SARIF 2.1.0 that GitHub's code scanning takes: its limits are kept.

Limits: https://docs.github.com/en/code-security/code-scanning (SARIF support). A log that would be
too large loses its last, that is mildest, results and says how many.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson

from mpkgraph._version import __version__
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.report import CheckedPipeline, Place, VerifyReport
from mpkgraph.analysis.verify.rule import SEVERITIES, Rule, Severity
from mpkgraph.render.escape import printable
from mpkgraph.render.verify.rules import rule_page
from mpkgraph.render.verify.words import (
    finding_words,
    sentence,
    where_words,
    witness_words,
)

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
MAX_RESULTS = 25_000
"""Of one run; a log with more is rejected."""
MAX_BYTES = 10_000_000
"""Of a log; GitHub's limit is 10 MB after gzip."""
MAX_TEXT = 1024
"""Characters of descriptions and messages."""
ROOT = "%SRCROOT%"
FINGERPRINT = "mpkgraph/v1"

LEVELS: dict[Severity, str] = {"error": "error", "warning": "warning", "advice": "note"}
PROBLEMS: dict[Severity, str] = {
    "error": "error",
    "warning": "warning",
    "advice": "recommendation",
}


def report_sarif(report: VerifyReport) -> bytes:
    """One run; results worst first."""
    rules = _rules(report)
    results = list(_results(report, rules))
    kept = results[:MAX_RESULTS]
    frame = len(_log(report, rules, [], len(results)))
    budget = MAX_BYTES - frame
    for number, result in enumerate(kept):
        # In a log a result is indented, with a comma
        budget -= len(orjson.dumps(result, option=orjson.OPT_INDENT_2)) + _indentation(result)
        if budget < 0:
            kept = kept[:number]
            break
    return _log(report, rules, kept, len(results) - len(kept))


def _indentation(result: dict[str, Any]) -> int:
    """Bytes that a result grows by inside of `runs[0].results`."""
    lines = orjson.dumps(result, option=orjson.OPT_INDENT_2).count(b"\n") + 1
    return 8 * lines + 2


def _log(
    report: VerifyReport, rules: list[Rule], results: list[dict[str, Any]], num_left_out: int
) -> bytes:
    document = {
        "$schema": SARIF_SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "mpkgraph",
                        "version": __version__,
                        "semanticVersion": __version__,
                        "rules": [_rule(rule) for rule in rules],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "originalUriBaseIds": {
                    ROOT: {"description": {"text": "The folder that mpkgraph was run in."}}
                },
                "invocations": [
                    {
                        "executionSuccessful": True,
                        "toolExecutionNotifications": list(_notifications(report, num_left_out)),
                    }
                ],
                "results": results,
            }
        ],
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n"


def _rules(report: VerifyReport) -> list[Rule]:
    """Those that ran, and those of findings."""
    rules = {*report.rules, *(x.rule for x in report.findings)}
    return sorted(rules, key=lambda rule: rule.code)


def _rule(rule: Rule) -> dict[str, Any]:
    text = f"{sentence(rule.why)} {sentence(rule.remedy)}"
    return {
        "id": rule.code,
        "name": "".join(part.capitalize() for part in rule.name.split("-")),
        "shortDescription": {"text": _short(sentence(rule.summary))},
        "fullDescription": {"text": _short(f"{sentence(rule.summary)} {sentence(rule.why)}")},
        "help": {"text": text, "markdown": rule_page(rule)},
        "defaultConfiguration": {"level": LEVELS[rule.severity]},
        "properties": {
            "tags": [rule.family, "mpk"],
            "precision": "very-high" if rule.severity == "error" else "medium",
            "problem.severity": PROBLEMS[rule.severity],
        },
    }


def _notifications(report: VerifyReport, num_left_out: int) -> Iterator[dict[str, Any]]:
    for rule, why in report.skipped:
        text = f"{rule.code} {rule.name} was skipped: {sentence(why)}"
        yield {"level": "note", "message": {"text": text}}
    for note in report.notes:
        yield {"level": "note", "message": {"text": _short(note)}}
    if num_left_out:
        text = f"{num_left_out} results are left out to keep the log within its limits."
        yield {"level": "warning", "message": {"text": text}}


def _results(report: VerifyReport, rules: list[Rule]) -> Iterator[dict[str, Any]]:
    places = {rule: number for number, rule in enumerate(rules)}
    seen: Counter[str] = Counter()
    for severity in SEVERITIES:
        for pipeline in report.pipelines:
            for finding in pipeline.result.findings:
                if finding.severity != severity:
                    continue
                fingerprint = finding.fingerprint
                seen[fingerprint] += 1
                yield {
                    "ruleId": finding.rule.code,
                    "ruleIndex": places[finding.rule],
                    "level": LEVELS[severity],
                    "message": {"text": _short(_message(finding))},
                    "locations": [_location(pipeline, finding)],
                    # GitHub takes results with equal fingerprints for one
                    "partialFingerprints": {FINGERPRINT: f"{fingerprint}:{seen[fingerprint]}"},
                    "occurrenceCount": finding.count,
                    "properties": {
                        "rank": finding.location.rank,
                        "pipeline": printable(pipeline.name),
                    },
                }


def _message(finding: Finding) -> str:
    parts = [finding_words(finding)]
    if where_words(finding):
        parts.append(f"Where: {where_words(finding)}.")
    if finding.witness:
        parts.append(f"Witness: {witness_words(finding)}.")
    return " ".join(parts)


def _location(pipeline: CheckedPipeline, finding: Finding) -> dict[str, Any]:
    place = pipeline.place(finding)
    where = finding.location
    logical = [
        {"name": _short(name), "kind": kind, **more}
        for name, kind, more in (
            (where.operator_name, "function", _given(where.record_path)),
            (where.tensor, "variable", {}),
        )
        if name is not None
    ]
    return {
        "physicalLocation": {
            "artifactLocation": _artifact(place),
            # Only layers that were asked for in a script have a line
            "region": {"startLine": place.line or 1},
        },
        **({"logicalLocations": logical} if logical else {}),
    }


def _given(path: str | None) -> dict[str, str]:
    return {} if path is None else {"fullyQualifiedName": path}


def _artifact(place: Place) -> dict[str, str]:
    """A path under the working folder from there, any other as a file URI."""
    path = Path.cwd() / place.file
    try:
        inside = path.relative_to(Path.cwd())
    except ValueError:
        return {"uri": "file://" + quote(os.fsencode(path.as_posix()))}
    return {"uri": quote(os.fsencode(inside.as_posix())), "uriBaseId": ROOT}


def _short(text: str) -> str:
    """Safe and short; what is cut is cut at the end."""
    safe = printable(text)
    return safe if len(safe) <= MAX_TEXT else f"{safe[: MAX_TEXT - 1]}…"
