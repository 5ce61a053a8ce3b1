"""Rules about ranks."""

from __future__ import annotations

from mpkgraph.analysis.verify.rules.kind import RankCheckRow

CHECKS: tuple[RankCheckRow, ...] = ()
