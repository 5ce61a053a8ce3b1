"""Rules about what the runtime, the GPU and the kernels have room for, and take for granted."""

from __future__ import annotations

from mpkgraph.analysis.verify.rule import CheckRow
from mpkgraph.analysis.verify.rules.resources import (
    alignment,
    compiled,
    kernels,
    limits,
    meta,
    names,
    types,
)

CHECKS: tuple[CheckRow, ...] = (
    *limits.CHECKS,
    *kernels.CHECKS,
    *alignment.CHECKS,
    *compiled.CHECKS,
    *names.CHECKS,
    *meta.CHECKS,
    *types.CHECKS,
)
