"""The picture of a graph's operators."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from mpkgraph.analysis.drawing.edges import OperatorEdge, counted, drawn_edges
from mpkgraph.analysis.drawing.folding import (
    FOLD_ABOVE,
    common_name,
    group_layers,
    numbers_text,
)
from mpkgraph.analysis.drawing.model_layers import model_layers
from mpkgraph.analysis.drawing.picture import (
    Drawing,
    DrawnCluster,
    DrawnEdge,
    DrawnNode,
    DrawnSlot,
    check_size,
)
from mpkgraph.analysis.drawing.reduction import transitive_reduction
from mpkgraph.analysis.structure import OperatorEdges
from mpkgraph.catalog import DEFAULT, EVENT_END_OF_TASK_GRAPH, Catalog
from mpkgraph.frozen import dataclass
from mpkgraph.model import ids
from mpkgraph.model.graph import TaskGraph
from mpkgraph.model.operator import Operator, OperatorSet, OperatorSlot


@dataclass(frozen=True, slots=True)
class RankPart:
    """A rank's graph, its operators and their edges."""

    graph: TaskGraph
    operators: OperatorSet
    edges: OperatorEdges


@dataclass(frozen=True, slots=True)
class OperatorOptions:
    catalog: Catalog
    reduce: bool
    fold: bool | None
    ends: bool


@dataclass(frozen=True, slots=True)
class DrawnRank:
    """The picture of one rank; `node_ids[i]` is the node that shows operator i."""

    nodes: tuple[DrawnNode, ...]
    edges: tuple[DrawnEdge, ...]
    clusters: tuple[DrawnCluster, ...]
    notes: tuple[str, ...]
    node_ids: tuple[str, ...]


def draw_operators(
    graph: TaskGraph,
    operators: OperatorSet,
    edges: OperatorEdges,
    *,
    catalog: Catalog = DEFAULT,
    reduce: bool = False,
    fold: bool | None = None,
    ends: bool = False,
    force: bool = False,
) -> Drawing:
    """A node per operator, an edge where tasks of one wait on events that tasks of another trigger.

    `reduce` leaves out edges that a longer path implies (not when there is a cycle: a note says
    so). `fold` draws runs of equal model layers once; by default from `FOLD_ABOVE` operators on.
    `ends` adds the begin of the graph and the event that ends it. A remote edge goes through
    events of another rank, whose tasks trigger the events of this one in the same place.

    Raises TooLargeError above the limits of `check_size`, unless `force`.
    """
    part = RankPart(graph, operators, edges)
    drawn = draw_rank(part, OperatorOptions(catalog, reduce, fold, ends), "", None, "remote")
    if not force:
        check_size(len(drawn.nodes), len(drawn.edges))
    return Drawing(
        title=title_of(graph),
        facts=facts_of(part),
        nodes=drawn.nodes,
        edges=drawn.edges,
        clusters=drawn.clusters,
        notes=drawn.notes,
    )


def title_of(graph: TaskGraph) -> str:
    return Path(graph.source.path or "").name or "task graph"


def facts_of(part: RankPart) -> tuple[str, ...]:
    return (
        f"rank {part.graph.rank}",
        counted(len(part.operators), "operator"),
        counted(part.graph.num_tasks, "task"),
        counted(part.graph.num_events, "event"),
    )


def draw_rank(
    part: RankPart,
    options: OperatorOptions,
    prefix: str,
    parent: str | None,
    mirrored: Literal["remote", "layout"],
) -> DrawnRank:
    """Nodes, edges and frames of one rank; `mirrored`: how edges through other ranks are drawn."""
    operators = part.operators.operators
    notes: list[str] = []
    edges = _edges(part.edges, mirrored)
    layers = model_layers(operators, ((edge.tail, edge.head) for edge in edges))
    if options.reduce:
        edges = _reduced(len(operators), edges, notes)
    fold = len(operators) > FOLD_ABOVE if options.fold is None else options.fold
    groups = group_layers(
        operators, layers, ((e.tail, e.head, e.num_events) for e in edges), fold=fold
    )
    stand_ins = {op: members for group in groups for members in group.members for op in members}
    node_ids = tuple(
        f"{prefix}op{stand_ins[i][0] if i in stand_ins else i}" for i in range(len(operators))
    )
    cluster_of = {
        members[0]: f"{prefix}layer{group.layers[0]}"
        for group in groups
        for members in group.members
    }
    nodes = [
        _node(
            [operators[op] for op in stand_ins.get(i, (i,))],
            node_ids[i],
            cluster_of.get(i, parent),
            options.catalog,
        )
        for i in range(len(operators))
        if stand_ins.get(i, (i,))[0] == i
    ]
    if len(nodes) < len(operators):
        notes.append(
            f"Equal model layers are drawn once: {len(operators)} operators in {len(nodes)} nodes"
        )
    elif options.fold:
        notes.append("Nothing to fold: no two consecutive model layers are known to be equal")
    lines = drawn_edges(operators, edges, layers, node_ids, groups, part.graph)
    if options.ends:
        end_nodes, end_edges = _ends(part, node_ids, prefix, parent)
        nodes += end_nodes
        lines += end_edges
    return DrawnRank(
        nodes=tuple(nodes),
        edges=tuple(lines),
        clusters=tuple(
            DrawnCluster(f"{prefix}layer{group.layers[0]}", group.title, parent) for group in groups
        ),
        notes=tuple(notes),
        node_ids=node_ids,
    )


def _edges(edges: OperatorEdges, mirrored: Literal["remote", "layout"]) -> list[OperatorEdge]:
    return [
        OperatorEdge(tail, head, num_events, mirrored if is_remote else "order")
        for tail, head, num_events, is_remote in zip(
            edges.producers.tolist(),
            edges.consumers.tolist(),
            edges.num_events.tolist(),
            edges.is_remote.tolist(),
            strict=True,
        )
    ]


def _reduced(num_operators: int, edges: list[OperatorEdge], notes: list[str]) -> list[OperatorEdge]:
    """The edges that no longer path implies; all of them, with a note, when there is a cycle."""
    shown = [edge for edge in edges if edge.style != "layout"]
    keep = transitive_reduction(
        num_operators, [edge.tail for edge in shown], [edge.head for edge in shown]
    )
    if keep is None:
        notes.append("Not reduced: the operators wait on each other in a cycle")
        return edges
    implied = {edge for edge, needed in zip(shown, keep, strict=True) if not needed}
    left_out = counted(len(implied), "edge")
    notes.append(f"Reduced: {left_out} of {len(shown)} that longer paths imply not drawn")
    return [edge for edge in edges if edge not in implied]


def _node(
    alike: Sequence[Operator], node_id: str, cluster: str | None, catalog: Catalog
) -> DrawnNode:
    """The card of one operator, or of equal ones of several model layers."""
    first = alike[0]
    name = first.register_name or catalog.layer_kind(first.task_type)
    x, y, z = first.grid_dim
    size = f"grid ({x},{y},{z}) · {counted(first.num_tasks, 'task')}"
    lines = [size if len(alike) == 1 else f"{size} each"]
    if len(alike) > 1:
        lines.append(f"operators {numbers_text([operator.index for operator in alike])}")
    return DrawnNode(
        node_id=node_id,
        shape="card",
        kind=catalog.task_type_row(first.task_type).kind,
        title=f"{first.index} {name}" if len(alike) == 1 else name,
        lines=tuple(lines),
        slots=tuple(
            DrawnSlot(
                is_output=slot.is_output,
                tensor=common_name([operator.slots[position] for operator in alike]),
                tile=extents(slot),
                detail="" if not slot.base_ptrs else catalog.data_type_name(slot.data_type),
            )
            for position, slot in enumerate(first.slots)
        ),
        cluster=cluster,
    )


def extents(slot: OperatorSlot) -> str:
    """The tile's extents, and the whole tensor's where they differ: `8x64 of 8x4096`.

    An extent that the tiles bound from below only has `≥` before it.
    """
    tile = "x".join(map(str, slot.tile_dims))
    if slot.tile_dims == slot.tensor_dims:
        return tile
    whole = "x".join(
        str(extent) if known else f"≥{extent}"
        for extent, known in zip(slot.tensor_dims, slot.known_dims, strict=True)
    )
    return f"{tile} of {whole}"


def _ends(
    part: RankPart, node_ids: Sequence[str], prefix: str, parent: str | None
) -> tuple[list[DrawnNode], list[DrawnEdge]]:
    """Where a graph begins (its `first_tasks`) and ends (its event END_OF_TASK_GRAPH)."""
    graph, owner = part.graph, part.operators.task_operators
    begin, end = f"{prefix}begin", f"{prefix}end"
    nodes = [DrawnNode(begin, "event", "event", "begin", cluster=parent)]
    firsts = graph.first_tasks[(graph.first_tasks >= 0) & (graph.first_tasks < graph.num_tasks)]
    edges = [
        DrawnEdge(begin, head, note=counted(number, "task"))
        for head, number in _count_nodes(owner[firsts], node_ids)
    ]
    ending = np.flatnonzero(graph.events.event_types == EVENT_END_OF_TASK_GRAPH)
    if len(ending):
        needed = counted(int(graph.events.num_triggers[ending[0]]), "trigger")
        nodes.append(DrawnNode(end, "event", "event", "end", (needed,), cluster=parent))
        last = np.isin(graph.tasks.trigger_indices, ending) & (
            ids.event_ranks(graph.tasks.trigger_events) == graph.rank
        )
        edges += [
            DrawnEdge(tail, end, note=counted(number, "task"))
            for tail, number in _count_nodes(owner[last], node_ids)
        ]
    return nodes, edges


def _count_nodes(owners: np.ndarray, node_ids: Sequence[str]) -> list[tuple[str, int]]:
    """(node, number of tasks) for the operators of some tasks, in order of operators."""
    totals: dict[str, int] = {}
    for operator, number in zip(*np.unique(owners[owners >= 0], return_counts=True), strict=True):
        node_id = node_ids[int(operator)]
        totals[node_id] = totals.get(node_id, 0) + int(number)
    return list(totals.items())
