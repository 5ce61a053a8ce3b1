"""What pictures show: operators of one rank or several, selected tasks. Rendered elsewhere.

What computes a drawing is imported when it is first used: one that the cache kept needs none of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mpkgraph.analysis.drawing.picture import (
    MAX_EDGES,
    MAX_NODES,
    MAX_TASKS,
    Drawing,
    DrawnCluster,
    DrawnEdge,
    DrawnNode,
    DrawnSlot,
    check_num_tasks,
    check_size,
)

if TYPE_CHECKING:
    from mpkgraph.analysis.drawing.operators import RankPart, draw_operators
    from mpkgraph.analysis.drawing.ranks import draw_ranks
    from mpkgraph.analysis.drawing.tasks import draw_tasks

__all__ = [
    "MAX_EDGES",
    "MAX_NODES",
    "MAX_TASKS",
    "Drawing",
    "DrawnCluster",
    "DrawnEdge",
    "DrawnNode",
    "DrawnSlot",
    "RankPart",
    "check_num_tasks",
    "check_size",
    "draw_operators",
    "draw_ranks",
    "draw_tasks",
]

_HOMES = {
    "RankPart": "operators",
    "draw_operators": "operators",
    "draw_ranks": "ranks",
    "draw_tasks": "tasks",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
