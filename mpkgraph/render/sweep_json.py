"""A sweep as one JSON object, schema `mpkgraph-sweep/1`."""

from __future__ import annotations

from mpkgraph.analysis.json_text import json_bytes
from mpkgraph.sweep.result import SweepResult


def sweep_json(result: SweepResult) -> bytes:
    """The ranking with all that was found at each point."""
    return json_bytes(result.to_json())
