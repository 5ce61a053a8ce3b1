"""A drawing as bytes, to be rendered again without the graph, and without numpy."""

from __future__ import annotations

from typing import Any, get_args

import orjson

from mpkgraph.analysis.drawing.picture import (
    Direction,
    Drawing,
    DrawnCluster,
    DrawnEdge,
    DrawnNode,
    DrawnSlot,
    EdgeStyle,
    NodeShape,
)
from mpkgraph.analysis.kept_values import (
    KeptResultError,
    as_flag,
    as_list,
    as_one_of,
    as_str,
    as_texts,
)
from mpkgraph.catalog import KINDS

_SHAPES, _STYLES, _DIRECTIONS = map(get_args, (NodeShape, EdgeStyle, Direction))


def drawing_to_bytes(drawing: Drawing) -> bytes:
    """Raises KeptResultError when the drawing holds what JSON does not keep."""
    nodes = [
        [
            node.node_id,
            node.shape,
            node.kind,
            node.title,
            node.lines,
            [[x.is_output, x.tensor, x.tile, x.detail] for x in node.slots],
            node.cluster,
            node.remote,
        ]
        for node in drawing.nodes
    ]
    edges = [[x.tail, x.head, x.tensors, x.note, x.style] for x in drawing.edges]
    clusters = [[x.cluster_id, x.title, x.parent] for x in drawing.clusters]
    heads = [drawing.title, drawing.facts, drawing.notes, drawing.direction]
    try:
        return orjson.dumps([*heads, nodes, edges, clusters])
    except TypeError as error:
        raise KeptResultError(f"the drawing holds what is no JSON: {error}") from error


def drawing_from_bytes(data: bytes) -> Drawing:
    """The drawing that `drawing_to_bytes` was given.

    Raises KeptResultError for any bytes but those of a drawing.
    """
    try:
        title, facts, notes, direction, nodes, edges, clusters = as_list(orjson.loads(data), 7)
        return Drawing(
            title=as_str(title),
            facts=as_texts(facts),
            nodes=tuple([_node(*as_list(item, 8)) for item in as_list(nodes)]),
            edges=tuple([_edge(*as_list(item, 5)) for item in as_list(edges)]),
            clusters=tuple([_cluster(*as_list(item, 3)) for item in as_list(clusters)]),
            notes=as_texts(notes),
            direction=as_one_of(direction, _DIRECTIONS),
        )
    except ValueError as error:
        raise KeptResultError(f"no drawing: {error}") from error


def _node(
    node_id: Any,
    shape: Any,
    kind: Any,
    title: Any,
    lines: Any,
    slots: Any,
    cluster: Any,
    remote: Any,
) -> DrawnNode:
    return DrawnNode(
        node_id=as_str(node_id),
        shape=as_one_of(shape, _SHAPES),
        kind=as_one_of(kind, KINDS if shape == "card" else _SHAPES),
        title=as_str(title),
        lines=as_texts(lines),
        slots=tuple([_slot(*as_list(item, 4)) for item in as_list(slots)]),
        cluster=None if cluster is None else as_str(cluster),
        remote=as_flag(remote),
    )


def _slot(is_output: Any, tensor: Any, tile: Any, detail: Any) -> DrawnSlot:
    return DrawnSlot(as_flag(is_output), as_str(tensor), as_str(tile), as_str(detail))


def _edge(tail: Any, head: Any, tensors: Any, note: Any, style: Any) -> DrawnEdge:
    return DrawnEdge(
        as_str(tail), as_str(head), as_texts(tensors), as_str(note), as_one_of(style, _STYLES)
    )


def _cluster(cluster_id: Any, title: Any, parent: Any) -> DrawnCluster:
    return DrawnCluster(
        as_str(cluster_id), as_str(title), None if parent is None else as_str(parent)
    )
