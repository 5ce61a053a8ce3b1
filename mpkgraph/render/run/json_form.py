"""A run for programs."""

from __future__ import annotations

from collections.abc import Sequence

from mpkgraph.analysis.json_text import json_bytes
from mpkgraph.reference.validation.result import SCHEMA, RunReport


def run_json(reports: Sequence[RunReport]) -> bytes:
    """One object: that of the only report, else `pipelines` with one each."""
    if len(reports) == 1:
        document = reports[0].to_json()
    else:
        document = {
            "schema": SCHEMA,
            "fails": any(x.fails for x in reports),
            "pipelines": [x.to_json() for x in reports],
        }
    return json_bytes(document)
