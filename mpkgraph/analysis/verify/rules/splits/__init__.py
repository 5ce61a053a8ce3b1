"""Rules about splits: how grids cut tensors into tiles, and whether the tiles fit each other."""

from __future__ import annotations

from mpkgraph.analysis.verify.rule import CheckRow
from mpkgraph.analysis.verify.rules.splits import (
    bounds,
    fit,
    grids,
    interleave,
    maps,
    patterns,
    writes,
)

CHECKS: tuple[CheckRow, ...] = (
    *grids.CHECKS,
    *maps.CHECKS,
    *bounds.CHECKS,
    *writes.CHECKS,
    *fit.CHECKS,
    *interleave.CHECKS,
    *patterns.CHECKS,
)
