"""What pictures show: operators of one rank or several, selected tasks. Rendered elsewhere."""

from mpkgraph.analysis.drawing.operators import RankPart, draw_operators
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
