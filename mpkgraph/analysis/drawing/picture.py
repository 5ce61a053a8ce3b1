"""What a picture shows: nodes, edges, clusters. No colour, no text escaping, no file."""

from __future__ import annotations

from typing import Literal

from mpkgraph.errors import TooLargeError
from mpkgraph.frozen import dataclass

MAX_NODES = 2000
"""`dot` lays 1,000 nodes out in 0.25 s, 2,000 in 1 s, 5,000 in 7 s, 10,000 in 52 s; and nobody
reads a picture of more."""
MAX_EDGES = 8000
"""Beyond some 4 edges a node `dot` spends its time on crossings, and the lines are a blot."""
MAX_TASKS = 500
"""A task is drawn with its slots: 500 make a page of 7 x 12 thousand points."""

LARGE_REMEDY = (
    "Draw the operator graph instead of tasks, select less, leave --full out, "
    "or give --force to draw it all the same"
)

NodeShape = Literal["card", "event", "note"]
"""A card is an operator or a task with a row per slot; a note stands for what is not drawn."""

EdgeStyle = Literal["order", "remote", "repeat", "outside", "layout"]
"""`order`: the head waits for the tail. `remote`: through an event that another rank owns.
`repeat`: from one of the folded model layers to the next. `outside`: tasks that are not drawn.
`layout`: not seen; it keeps the head below the tail where the drawn path is through other ranks."""

Direction = Literal["down", "right"]


@dataclass(frozen=True, slots=True)
class DrawnSlot:
    """A row of a card: one tensor slot."""

    is_output: bool
    tensor: str
    tile: str
    """Extents (`8x64 of 8x4096`) or a range in elements (`[0:8, 64:128]`)."""
    detail: str = ""
    """Data type, or bytes."""


@dataclass(frozen=True, slots=True)
class DrawnNode:
    """An operator, a task, an event, or a note on what is not drawn."""

    node_id: str
    shape: NodeShape
    kind: str
    """A kind of the catalog, which gives the colour; "event" or "note" for the other shapes."""
    title: str
    lines: tuple[str, ...] = ()
    slots: tuple[DrawnSlot, ...] = ()
    cluster: str | None = None
    remote: bool = False
    """An event that another rank owns."""


@dataclass(frozen=True, slots=True)
class DrawnEdge:
    """`head` waits for `tail`."""

    tail: str
    head: str
    tensors: tuple[str, ...] = ()
    """What the tail writes and the head reads."""
    note: str = ""
    style: EdgeStyle = "order"


@dataclass(frozen=True, slots=True)
class DrawnCluster:
    """A frame around nodes: a model layer or a rank."""

    cluster_id: str
    title: str
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture of a graph, ready to be rendered."""

    title: str
    facts: tuple[str, ...]
    """Counts and the like, for the line under the title."""
    nodes: tuple[DrawnNode, ...]
    edges: tuple[DrawnEdge, ...]
    clusters: tuple[DrawnCluster, ...] = ()
    notes: tuple[str, ...] = ()
    """What was left out or could not be done, a sentence each."""
    direction: Direction = "down"

    @property
    def kinds(self) -> frozenset[str]:
        """Kinds of the cards, for the legend."""
        return frozenset(node.kind for node in self.nodes if node.shape == "card")

    @property
    def edge_styles(self) -> frozenset[EdgeStyle]:
        """How the edges are drawn that are seen, for the legend."""
        return frozenset(edge.style for edge in self.edges if edge.style != "layout")


def check_size(num_nodes: int, num_edges: int) -> None:
    """Refuse a picture that nobody can read and `dot` can hardly lay out.

    Raises TooLargeError above `MAX_NODES` or `MAX_EDGES`.
    """
    if num_nodes > MAX_NODES or num_edges > MAX_EDGES:
        raise TooLargeError(
            f"the picture would have {num_nodes:,} nodes and {num_edges:,} edges "
            f"(at most {MAX_NODES:,} and {MAX_EDGES:,})",
            remedy=LARGE_REMEDY,
        )


def check_num_tasks(num_tasks: int) -> None:
    """Refuse to draw more tasks one by one than a picture holds. Raises TooLargeError."""
    if num_tasks > MAX_TASKS:
        raise TooLargeError(
            f"the selection has {num_tasks:,} tasks (at most {MAX_TASKS:,} are drawn one by one)",
            remedy=LARGE_REMEDY,
        )
