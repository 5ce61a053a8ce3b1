"""The rows of the table by heading, in the order of the documentation."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mpkgraph.reference.row import TaskFunction
from mpkgraph.reference.rows import basic

FAMILIES: Mapping[str, tuple[TaskFunction, ...]] = MappingProxyType(
    {
        "Ampere and common": basic.ROWS,
    }
)
