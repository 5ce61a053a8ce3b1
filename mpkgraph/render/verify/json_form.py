"""A report as one JSON object, schema `mpkgraph-verify/1`."""

from __future__ import annotations

from typing import Any

from mpkgraph.analysis.json_text import json_bytes
from mpkgraph.analysis.verify.report import CheckedPipeline, VerifyReport
from mpkgraph.analysis.verify.rule import Rule

SCHEMA = "mpkgraph-verify/1"


def report_json(report: VerifyReport) -> bytes:
    """Integers that JSON readers would change are text, as in all our JSON."""
    return json_bytes(report_document(report))


def report_document(report: VerifyReport) -> dict[str, Any]:
    """What `report_json` writes."""
    return {
        "schema": SCHEMA,
        "fail_on": report.fail_on,
        "fails": report.fails,
        "counts": dict(report.counts),
        "suppressed": report.suppressed,
        "stale": report.stale,
        "notes": list(report.notes),
        "rules": [rule_json(rule) for rule in report.rules],
        "skipped": [
            {"code": rule.code, "name": rule.name, "why": why} for rule, why in report.skipped
        ],
        "pipelines": [_pipeline(x) for x in report.pipelines],
    }


def rule_json(rule: Rule) -> dict[str, Any]:
    return {
        "code": rule.code,
        "name": rule.name,
        "family": rule.family,
        "severity": rule.severity,
        "summary": rule.summary,
        "needs_record": rule.needs_record,
        "is_default": rule.is_default,
    }


def _pipeline(pipeline: CheckedPipeline) -> dict[str, Any]:
    site = pipeline.site
    return {
        "name": pipeline.name,
        "site": None if site is None else {"file": site.file, "line": site.line},
        "ranks": [
            {
                "rank": rank.rank,
                "graph_file": rank.graph_file,
                "record_file": rank.record_file,
                "has_record": rank.has_record,
                "num_tasks": rank.num_tasks,
                "num_operators": rank.num_operators,
            }
            for rank in pipeline.ranks
        ],
        "findings": [finding.to_json() for finding in pipeline.result.findings],
    }
