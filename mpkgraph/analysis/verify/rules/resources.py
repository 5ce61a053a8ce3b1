"""Rules about resources."""

from __future__ import annotations

from mpkgraph.analysis.verify.rule import CheckRow

CHECKS: tuple[CheckRow, ...] = ()
