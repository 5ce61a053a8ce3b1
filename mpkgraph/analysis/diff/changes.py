"""One difference each: of an operator, a tensor, events, an order, findings. Plain, frozen records.

Each has a JSON form; `mpkgraph.analysis.diff.result` holds them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from mpkgraph.frozen import dataclass
from mpkgraph.model.operator import Grid

OperatorKind = Literal["changed", "added", "removed", "moved", "split", "fused"]
OrderKind = Literal["lost", "new", "reversed"]


@dataclass(frozen=True)
class OperatorRef:
    """An operator of one side, as far as a report speaks of it."""

    index: int
    name: str
    subject: str
    """A tensor that tells it from its like: a weight, else what it writes."""
    layer: int | None
    """Number of its model layer, where names tell."""
    grid_dim: Grid
    num_tasks: int
    first_task_id: int
    site: str | None = None
    """The user's line that asked for the layer."""

    def to_json(self) -> dict[str, Any]:
        return {
            "index": self.index,
            "name": self.name,
            "subject": self.subject,
            "layer": self.layer,
            "grid_dim": list(self.grid_dim),
            "num_tasks": self.num_tasks,
            "first_task_id": self.first_task_id,
            "site": self.site,
        }


@dataclass(frozen=True)
class Change:
    """One fact that differs. `left` and `right` are plain values of JSON."""

    aspect: str
    """A key of `mpkgraph.analysis.diff.options.ASPECTS`."""
    what: str
    left: Any
    right: Any
    slot: int | None = None
    """Position among the operator's slots, inputs first; the left one's."""
    tensor: str | None = None
    num_tasks: int | None = None
    """Tasks that it concerns, where not all of the operator's."""

    @classmethod
    def between(
        cls,
        aspect: str,
        what: str,
        sides: Sequence[Any],
        slot: int | None = None,
        tensor: str | None = None,
        num_tasks: int | None = None,
    ) -> Change:
        """A change between the two values of `sides`."""
        left, right = sides
        return cls(aspect, what, left, right, slot, tensor, num_tasks)

    def to_json(self) -> dict[str, Any]:
        return {
            "aspect": self.aspect,
            "what": self.what,
            "left": self.left,
            "right": self.right,
            "slot": self.slot,
            "tensor": self.tensor,
            "num_tasks": self.num_tasks,
        }


@dataclass(frozen=True)
class TileMove:
    """How one slot of an operator is cut otherwise, and what goes to other tasks for it."""

    slot: int
    tensor: str
    is_output: bool
    left_tile: tuple[int, ...]
    right_tile: tuple[int, ...]
    left_tiles: int
    """Different tiles."""
    right_tiles: int
    elements: int
    """Of the whole tensor, as far as tiles cover it on both sides."""
    moved: int
    """Elements that are in another task than before, however tasks are paired with tasks."""
    example: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "slot": self.slot,
            "tensor": self.tensor,
            "is_output": self.is_output,
            "left_tile": list(self.left_tile),
            "right_tile": list(self.right_tile),
            "left_tiles": self.left_tiles,
            "right_tiles": self.right_tiles,
            "elements": self.elements,
            "moved": self.moved,
            "example": self.example,
        }


@dataclass(frozen=True)
class Edge:
    """What orders one operator after another: events between them."""

    num_events: int
    num_triggering: int
    """Tasks of the producer that trigger these events."""
    num_waiting: int
    """Tasks of the consumer that wait on them."""
    triggers: tuple[int, int]
    """Fewest and most triggers that one of the events needs (`num_triggers`)."""

    def to_json(self) -> dict[str, Any]:
        return {
            "num_events": self.num_events,
            "num_triggering": self.num_triggering,
            "num_waiting": self.num_waiting,
            "triggers": list(self.triggers),
        }


@dataclass(frozen=True)
class EdgeChange:
    """The events between two operators differ; None on a side that has none."""

    producer: str
    consumer: str
    producer_left: int | None
    producer_right: int | None
    consumer_left: int | None
    consumer_right: int | None
    left: Edge | None
    right: Edge | None
    is_remote: bool
    because: bool
    """Whether a change of these operators or of those beside them explains it."""
    layers: tuple[int, ...] = ()
    num_alike: int = 1
    what: str | None = None
    """What differs where the numbers do not."""

    @property
    def ends_graph(self) -> bool:
        """Whether the consumer is the end of the graph, on which nothing waits."""
        return self.consumer_left is None and self.consumer_right is None

    def to_json(self) -> dict[str, Any]:
        return {
            "producer": self.producer,
            "consumer": self.consumer,
            "producer_left": self.producer_left,
            "producer_right": self.producer_right,
            "consumer_left": self.consumer_left,
            "consumer_right": self.consumer_right,
            "left": None if self.left is None else self.left.to_json(),
            "right": None if self.right is None else self.right.to_json(),
            "is_remote": self.is_remote,
            "because": self.because,
            "layers": list(self.layers),
            "num_alike": self.num_alike,
            "what": self.what,
        }


@dataclass(frozen=True)
class OperatorChange:
    """Operators that differ alike: those of several model layers are told once."""

    kind: OperatorKind
    left: tuple[OperatorRef, ...]
    """Of the first; several where it was fused."""
    right: tuple[OperatorRef, ...]
    changes: tuple[Change, ...] = ()
    """What differs by itself."""
    effects: tuple[Change, ...] = ()
    """What follows from that: tasks, tile dims, another kernel variant, who reads what."""
    tiles: tuple[TileMove, ...] = ()
    members: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = ()
    """Indices on the left and on the right of all that changed alike, this first."""
    layers: tuple[int, ...] = ()
    """Model layers of the members, ascending."""

    @property
    def first(self) -> OperatorRef:
        return (self.left or self.right)[0]

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "left": [x.to_json() for x in self.left],
            "right": [x.to_json() for x in self.right],
            "changes": [x.to_json() for x in self.changes],
            "effects": [x.to_json() for x in self.effects],
            "tiles": [x.to_json() for x in self.tiles],
            "members": [{"left": list(x), "right": list(y)} for x, y in self.members],
            "layers": list(self.layers),
        }


@dataclass(frozen=True)
class TensorChange:
    """A tensor that is otherwise in every operator that uses it; those that differ alike once."""

    change: Change
    left_name: str
    right_name: str
    num_uses: int
    """Slots of operators that name it, on the left."""
    names: tuple[str, ...] = ()
    """All that differ alike, this first; the left names."""
    layers: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            **self.change.to_json(),
            "left_name": self.left_name,
            "right_name": self.right_name,
            "num_uses": self.num_uses,
            "names": list(self.names),
            "layers": list(self.layers),
        }


@dataclass(frozen=True)
class OrderChange:
    """A pair of operators that only one side orders, or that the sides order otherwise."""

    kind: OrderKind
    earlier: OperatorRef
    """As the left orders them; of a new order as the right does."""
    later: OperatorRef
    num_alike: int = 1
    layers: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "earlier": self.earlier.to_json(),
            "later": self.later.to_json(),
            "num_alike": self.num_alike,
            "layers": list(self.layers),
        }


@dataclass(frozen=True)
class FindingChange:
    """What static verify finds on one side only."""

    is_gained: bool
    """On the right only; else on the left only."""
    code: str
    name: str
    severity: str
    message: str
    operator: int | None
    count: int = 1

    def to_json(self) -> dict[str, Any]:
        return {
            "is_gained": self.is_gained,
            "code": self.code,
            "name": self.name,
            "severity": self.severity,
            "message": self.message,
            "operator": self.operator,
            "count": self.count,
        }
