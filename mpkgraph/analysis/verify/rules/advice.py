"""Rules about advice."""

from __future__ import annotations

from mpkgraph.analysis.verify.rule import CheckRow

CHECKS: tuple[CheckRow, ...] = ()
