"""Read, show and check Mirage Persistent Kernel (MPK) task graphs.

>>> import mpkgraph
>>> mpkgraph.EventId(rank=1, event_index=7, nvshmem=True).encode()
2161727825432805383

Everything here is imported when it is first used, so that `import mpkgraph` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mpkgraph._version import __version__

if TYPE_CHECKING:
    from mpkgraph.api import (
        compile,  # noqa: A004
        diff,
        operators,
        read,
        read_all,
        save_page,
        schedule,
        summarise,
        verify,
    )
    from mpkgraph.catalog import Catalog
    from mpkgraph.errors import MpkGraphError
    from mpkgraph.io.reader import stream_graph as stream
    from mpkgraph.io.writer import save_graph as save
    from mpkgraph.model.graph import TaskGraph
    from mpkgraph.model.ids import EventId
    from mpkgraph.model.operator import Operator, OperatorSet
    from mpkgraph.model.tile import Tile
    from mpkgraph.planner.plan import plan
    from mpkgraph.schemas import json_schema
    from mpkgraph.views.networkx import to_networkx

__all__ = [
    "Catalog",
    "EventId",
    "MpkGraphError",
    "Operator",
    "OperatorSet",
    "TaskGraph",
    "Tile",
    "__version__",
    "compile",
    "diff",
    "json_schema",
    "operators",
    "plan",
    "read",
    "read_all",
    "save",
    "save_page",
    "schedule",
    "stream",
    "summarise",
    "to_networkx",
    "verify",
]

_HOMES = {
    "Catalog": ("mpkgraph.catalog", "Catalog"),
    "EventId": ("mpkgraph.model.ids", "EventId"),
    "MpkGraphError": ("mpkgraph.errors", "MpkGraphError"),
    "Operator": ("mpkgraph.model.operator", "Operator"),
    "OperatorSet": ("mpkgraph.model.operator", "OperatorSet"),
    "TaskGraph": ("mpkgraph.model.graph", "TaskGraph"),
    "Tile": ("mpkgraph.model.tile", "Tile"),
    "compile": ("mpkgraph.api", "compile"),
    "diff": ("mpkgraph.api", "diff"),
    "json_schema": ("mpkgraph.schemas", "json_schema"),
    "operators": ("mpkgraph.api", "operators"),
    "plan": ("mpkgraph.planner.plan", "plan"),
    "read": ("mpkgraph.api", "read"),
    "read_all": ("mpkgraph.api", "read_all"),
    "save": ("mpkgraph.io.writer", "save_graph"),
    "schedule": ("mpkgraph.api", "schedule"),
    "save_page": ("mpkgraph.api", "save_page"),
    "stream": ("mpkgraph.io.reader", "stream_graph"),
    "summarise": ("mpkgraph.api", "summarise"),
    "to_networkx": ("mpkgraph.views.networkx", "to_networkx"),
    "verify": ("mpkgraph.api", "verify"),
}


def __getattr__(name: str) -> Any:
    try:
        module, attribute = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
