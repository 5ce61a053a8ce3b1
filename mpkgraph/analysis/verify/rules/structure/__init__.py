"""Rules about structure: events, tasks, ids and ranges of one graph file."""

from __future__ import annotations

from mpkgraph.analysis.verify.rule import CheckRow
from mpkgraph.analysis.verify.rules.structure import (
    counts,
    cycles,
    ends,
    entries,
    metadata,
    queues,
    ranges,
)

CHECKS: tuple[CheckRow, ...] = (
    *counts.CHECKS,
    *cycles.CHECKS,
    *queues.CHECKS,
    *ends.CHECKS,
    *ranges.CHECKS,
    *entries.CHECKS,
    *metadata.CHECKS,
)
