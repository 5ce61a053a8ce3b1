"""Rules about ranks: what the graphs of one pipeline must agree on."""

from __future__ import annotations

from mpkgraph.analysis.verify.rules.kind import RankCheckRow
from mpkgraph.analysis.verify.rules.ranks import agreement, remote

CHECKS: tuple[RankCheckRow, ...] = (*remote.CHECKS, *agreement.CHECKS)
