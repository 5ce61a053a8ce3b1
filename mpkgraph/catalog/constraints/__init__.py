"""Sizes that kernels take for granted: what a layer must be so that its kernel does its work.

Mirage checks few of them, and none in its default build. Facts read from the kernels
(`include/mirage/persistent_kernel/tasks`) and from what their calls are given
(`src/kernel/task_register.cc`) at `de8745d`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mpkgraph.catalog.constraints import attention, experts, linear, others
from mpkgraph.catalog.constraints.row import ConstraintRow, Requirement, Setting, Size

__all__ = ["CONSTRAINTS", "CONSTRAINTS_BY_NAME", "ConstraintRow", "Requirement", "Setting", "Size"]

CONSTRAINTS: tuple[ConstraintRow, ...] = (
    *linear.ROWS,
    *attention.ROWS,
    *experts.ROWS,
    *others.ROWS,
)

CONSTRAINTS_BY_NAME: Mapping[str, tuple[ConstraintRow, ...]] = MappingProxyType(
    {
        name: tuple(row for row in CONSTRAINTS if name in row.names)
        for name in sorted({x for row in CONSTRAINTS for x in row.names})
    }
)
"""By registered name."""
