"""The edges of a picture of operators: merged where layers are folded, and what they say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from mpkgraph.analysis.drawing.folding import LayerGroup, numbers_text
from mpkgraph.analysis.drawing.picture import DrawnEdge, EdgeStyle
from mpkgraph.analysis.layer_names import without_layer_number
from mpkgraph.frozen import dataclass
from mpkgraph.model import ids
from mpkgraph.model.distinct import distinct
from mpkgraph.model.graph import TaskGraph
from mpkgraph.model.operator import Operator


@dataclass(frozen=True, slots=True)
class OperatorEdge:
    """Operator `head` waits on events that operator `tail` triggers."""

    tail: int
    head: int
    num_events: int
    style: EdgeStyle


def drawn_edges(
    operators: Sequence[Operator],
    edges: Iterable[OperatorEdge],
    layers: Sequence[int | None],
    node_ids: Sequence[str],
    groups: Sequence[LayerGroup],
    graph: TaskGraph,
) -> list[DrawnEdge]:
    """One edge per pair of nodes and style, for all edges of operators that it stands for."""
    folded = {op: g for g in groups if len(g.layers) > 1 for m in g.members for op in m}
    merged: dict[tuple[str, str, EdgeStyle], list[OperatorEdge]] = {}
    for edge in edges:
        style = edge.style
        group = folded.get(edge.tail)
        if (
            group is not None
            and group is folded.get(edge.head)
            and layers[edge.tail] != layers[edge.head]
        ):
            style = "repeat"
        merged.setdefault((node_ids[edge.tail], node_ids[edge.head], style), []).append(edge)
    return [
        DrawnEdge(tail, head, style=style)
        if style == "layout"
        else DrawnEdge(
            tail=tail,
            head=head,
            tensors=_carried(operators, alike),
            note=_edge_note(alike, style, layers, folded, graph, operators),
            style=style,
        )
        for (tail, head, style), alike in merged.items()
    ]


def _carried(operators: Sequence[Operator], alike: Sequence[OperatorEdge]) -> tuple[str, ...]:
    """Tensors that the tails write and the heads read."""
    names: dict[str, None] = {}
    for edge in alike:
        read = {name for slot in operators[edge.head].inputs for name in slot.base_ptrs}
        for slot in operators[edge.tail].outputs:
            for name in slot.base_ptrs:
                if name in read:
                    names[name if len(alike) == 1 else without_layer_number(name)] = None
    return tuple(names)


def _edge_note(
    alike: Sequence[OperatorEdge],
    style: EdgeStyle,
    layers: Sequence[int | None],
    folded: dict[int, LayerGroup],
    graph: TaskGraph,
    operators: Sequence[Operator],
) -> str:
    """Number of events; through which ranks; from and to which of the folded layers."""
    parts = [events_text(edge.num_events for edge in alike)]
    if style == "remote":
        ranks = sorted({rank for edge in alike for rank in _ranks(graph, operators[edge.tail])})
        if ranks:
            parts[0] += f" of rank{'s' if len(ranks) > 1 else ''} {numbers_text(ranks)}"
    if style == "repeat":
        parts.append("next layer" if _all_next(alike, layers) else "later layer")
    elif folded.get(alike[0].tail) is not folded.get(alike[0].head):
        parts += [
            f"{word} layer{'s' if len(numbers) > 1 else ''} {numbers_text(numbers)}"
            for word, ends in (
                ("from", [edge.tail for edge in alike]),
                ("into", [edge.head for edge in alike]),
            )
            if (numbers := sorted({layers[op] or 0 for op in ends if op in folded}))
        ]
    return ", ".join(parts)


def _all_next(alike: Sequence[OperatorEdge], layers: Sequence[int | None]) -> bool:
    """Whether every edge leads from one known layer to the next known one."""
    known = sorted({layer for layer in layers if layer is not None})
    following = dict(pairwise(known))
    return all(following.get(layers[e.tail] or 0) == layers[e.head] for e in alike)


def _ranks(graph: TaskGraph, operator: Operator) -> list[int]:
    """The other ranks whose events an operator's tasks trigger."""
    ranks = distinct(ids.event_ranks(graph.tasks.trigger_events[operator.task_ids]))
    return [rank for rank in ranks.tolist() if rank not in {-1, graph.rank}]


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "event"), counted(1536, "task")
    ('1 event', '1,536 tasks')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def events_text(counts: Iterable[int]) -> str:
    """The number of events of one edge, or of several that are drawn as one.

    >>> events_text([64, 64]), events_text([8, 64])
    ('64 events', '8-64 events')
    """
    numbers = sorted(set(counts))
    if len(numbers) == 1:
        return counted(numbers[0], "event")
    return f"{numbers[0]:,}-{numbers[-1]:,} events"
