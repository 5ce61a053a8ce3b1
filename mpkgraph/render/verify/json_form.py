"""A report as one JSON object, schema `mpkgraph-verify/1`."""

from __future__ import annotations

from typing import Any

import orjson

from mpkgraph.analysis.integers import json_integers
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


def json_bytes(document: dict[str, Any]) -> bytes:
    """JSON of any values; names that are no Unicode (a path, a script's tensor) are escaped."""
    try:
        text = orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_STRICT_INTEGER)
    except orjson.JSONEncodeError:
        text = orjson.dumps(_unicode(json_integers(document)), option=orjson.OPT_INDENT_2)
    return text + b"\n"


def _unicode(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_unicode(key): _unicode(item) for key, item in value.items()}
    return [_unicode(item) for item in value] if isinstance(value, list) else value


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
