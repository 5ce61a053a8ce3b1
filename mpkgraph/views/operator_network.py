"""Operators and tensors as a networkx DiGraph (`to_networkx(graph, kind="operators")`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mpkgraph.catalog import Catalog
from mpkgraph.model.graph import TaskGraph
from mpkgraph.model.operator import OperatorSet
from mpkgraph.model.tile import tile_layouts

if TYPE_CHECKING:
    import networkx as nx


def operator_network(
    graph: TaskGraph, operators: OperatorSet | None, catalog: Catalog, *, event_edges: bool
) -> nx.DiGraph:
    """The network that `mpkgraph.views.networkx.to_networkx` documents."""
    import networkx as nx

    if operators is None:
        from mpkgraph.views.operators import recover_operators

        operators = recover_operators(graph, catalog)
    network = nx.DiGraph(
        kind="operators",
        rank=graph.rank,
        num_operators=len(operators),
        num_tensors=len(graph.tensors),
    )
    for operator in operators:
        x, y, z = operator.grid_dim
        network.add_node(
            operator.index,
            kind="operator",
            operator=operator.index,
            type_number=operator.task_type,
            type_name=catalog.task_type_name(operator.task_type),
            layer_kind=catalog.layer_kind(operator.task_type),
            num_tasks=operator.num_tasks,
            first_task_id=int(operator.task_ids.min(initial=graph.num_tasks)),
            grid_x=x,
            grid_y=y,
            grid_z=z,
        )
    for position, name in enumerate(graph.tensors, len(operators)):
        network.add_node(position, kind="tensor", name=name)
    for source, target, attributes in _slot_edges(graph, operators, catalog):
        network.add_edge(source, target, **attributes)
    if event_edges:
        for source, target, attributes in _event_edges(graph, operators):
            network.add_edge(source, target, **attributes)
    return network


def _slot_edges(
    graph: TaskGraph, operators: OperatorSet, catalog: Catalog
) -> list[tuple[int, int, dict[str, Any]]]:
    """One edge per (operator, tensor, direction) that some slot has."""
    tasks = graph.tasks
    owner = operators.task_operators[tasks.slot_tasks].astype(np.int64)
    tensor = graph.layout_tensors[tasks.slot_layouts]
    used = (owner >= 0) & (tensor >= 0)
    sizes = [
        -1 if layout is None or not layout.has_bytes else layout.num_bytes
        for layout in tile_layouts(graph, catalog)
    ]
    tile_bytes = np.array(sizes, np.int64)[tasks.slot_layouts[used]]
    # One number per (operator, tensor, direction): sorting numbers is faster than sorting rows.
    num_tensors = len(graph.tensors)
    row = (owner[used] * num_tensors + tensor[used]) * 2 + tasks.slot_is_output[used]
    keys, inverse, num_tiles = np.unique(row, return_inverse=True, return_counts=True)
    totals = np.zeros(len(keys), np.int64)
    np.add.at(totals, inverse.ravel(), tile_bytes)
    unknown = np.zeros(len(keys), dtype=np.bool_)
    unknown[inverse.ravel()[tile_bytes < 0]] = True
    edges = []
    for key, tiles, total, is_unknown in zip(
        keys.tolist(), num_tiles.tolist(), totals.tolist(), unknown.tolist(), strict=True
    ):
        pair, is_output = divmod(key, 2)
        index, position = divmod(pair, num_tensors)
        attributes = {"kind": "writes" if is_output else "reads", "num_tiles": tiles}
        if not is_unknown:
            attributes["tile_bytes"] = total
        node = len(operators) + position
        edges.append((index, node, attributes) if is_output else (node, index, attributes))
    return edges


def _event_edges(graph: TaskGraph, operators: OperatorSet) -> list[tuple[int, int, dict[str, Any]]]:
    # analysis builds on views: imported when asked for, not with this module.
    from mpkgraph.analysis.structure import operator_edges

    found = operator_edges(graph, operators)
    edges: dict[tuple[int, int], dict[str, Any]] = {}
    for producer, consumer, num_events, is_remote in zip(
        found.producers.tolist(),
        found.consumers.tolist(),
        found.num_events.tolist(),
        found.is_remote.tolist(),
        strict=True,
    ):
        counts = edges.setdefault(
            (producer, consumer), {"kind": "orders", "num_events": 0, "num_remote_events": 0}
        )
        counts["num_remote_events" if is_remote else "num_events"] += num_events
    return [(producer, consumer, counts) for (producer, consumer), counts in edges.items()]
