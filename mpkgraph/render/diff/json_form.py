"""A diff as one JSON object, schema `mpkgraph-diff/1`."""

from __future__ import annotations

from mpkgraph.analysis.diff.report import DiffReport
from mpkgraph.analysis.json_text import json_bytes


def report_json(report: DiffReport) -> bytes:
    """Integers that JSON readers would change are text, as in all our JSON."""
    return json_bytes(report.to_json())
