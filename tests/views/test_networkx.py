"""The networkx views, against the JSON itself and the order of tasks found without networkx."""

from __future__ import annotations

import io
import json
import sys
from collections import Counter, defaultdict

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings

from mpkgraph.analysis.event_graph import EventGraph
from mpkgraph.analysis.structure import operator_edges
from mpkgraph.catalog import DEFAULT
from mpkgraph.errors import SelectionError
from mpkgraph.model import ids
from mpkgraph.model.graph import NULL_TENSOR
from mpkgraph.model.operator import OperatorSet
from mpkgraph.views.networkx import node_numbers, to_networkx
from mpkgraph.views.operators import recover_operators
from tests import goldens, strategies
from tests.amount import examples
from tests.naive import document_from_graph, graph_from_document

SMALL = 300_000
"""Bytes of JSON: graphs small enough to be walked task by task."""


def _load(golden):
    document = json.loads(golden.graph_bytes())
    return document, graph_from_document(document, golden.rank)


def _event_key(event_id):
    """(rank, index) of an encoded id, from its bits; None for no event."""
    if event_id == 0x7FFFFFFFFFFFFFFE:
        return None
    return event_id >> 32 & 0xFFFF, event_id & 0xFFFFFFFF


def _check_tasks(document, graph):
    """Every node and edge, by names made from the JSON."""
    network = to_networkx(graph)
    numbers = node_numbers(graph)
    named = {}
    for node, data in network.nodes(data=True):
        if data["kind"] == "task":
            named[node] = ("task", data["task_id"])
            assert numbers.task_id(node) == data["task_id"]
            assert numbers.task_node(data["task_id"]) == node
            assert numbers.event(node) is None
        else:
            named[node] = ("event", data["rank"], data["event_index"])
            event = ids.EventId(data["rank"], data["event_index"], nvshmem=False)
            assert numbers.event(node) == event
            assert numbers.event_node(event.event_index, event.rank) == node
            assert numbers.task_id(node) is None
    assert sorted(network) == list(range(numbers.num_nodes))
    tasks, events = document["all_tasks"] or [], document["all_events"] or []
    expected, nodes = set(), {("task", i) for i in range(len(tasks))}
    nodes |= {("event", graph.rank, i) for i in range(len(events))}
    for i, task in enumerate(tasks):
        for key in ("dependent_event", "trigger_event"):
            found = _event_key(task[key]) if task else None
            if found is not None:
                event = ("event", *found)
                nodes.add(event)
                ends = (event, ("task", i)) if key == "dependent_event" else (("task", i), event)
                tag = task[key] & 0x1E00000000000000 != 0
                expected.add((*ends, "waits" if key == "dependent_event" else "triggers", tag))
    assert set(named.values()) == nodes
    assert len(named) == len(nodes)
    edges = [
        (named[u], named[v], data["kind"], data["is_nvshmem"])
        for u, v, data in network.edges(data=True)
    ]
    assert set(edges) == expected
    assert len(edges) == len(expected)
    first = set(document["first_tasks"] or [])
    for i, task in enumerate(tasks):
        data = network.nodes[i]
        assert data["is_null"] == (task is None)
        assert data["is_first"] == (i in first)
        assert data["rank"] == graph.rank
        if task is not None:
            assert data["type_number"] == task["task_type"]
            assert data["type_name"] == DEFAULT.task_type_name(task["task_type"])
            assert data["variant_id"] == task["variant_id"]
            assert data["num_inputs"] == len(task["inputs"] or [])
            assert data["num_outputs"] == len(task["outputs"] or [])
        else:
            assert network.degree(i) == 0
    for i, event in enumerate(events):
        data = network.nodes[len(tasks) + i]
        assert not data["is_outside"]
        assert data["type_number"] == event["event_type"]
        for key in ("num_triggers", "first_task_id", "last_task_id"):
            assert data[key] == event[key]
    for node in range(len(tasks) + len(events), len(named)):
        assert network.nodes[node]["is_outside"]
        assert "num_triggers" not in network.nodes[node]
    return network


@given(strategies.task_graphs())
@settings(max_examples=examples(60), deadline=None)
def test_any_graph(graph):
    network = _check_tasks(document_from_graph(graph), graph)
    for data in [d for _, d in network.nodes(data=True)] + [
        d for *_, d in network.edges(data=True)
    ]:
        assert {type(value) for value in data.values()} <= {int, str, bool}


@pytest.mark.parametrize("golden", goldens.graphs(max_bytes=SMALL, one_target=True), ids=str)
def test_goldens(golden):
    document, graph = _load(golden)
    network = _check_tasks(document, graph)
    assert network.graph == {
        "kind": "tasks",
        "rank": golden.rank,
        "num_tasks": golden.num_tasks,
        "num_events": golden.num_events,
    }
    assert nx.is_directed_acyclic_graph(network)
    assert nx.is_bipartite(network)
    assert (
        sum(d.get("is_null", False) for _, d in network.nodes(data=True)) == golden.num_null_tasks
    )


@pytest.mark.parametrize("golden", goldens.graphs(max_bytes=SMALL, one_target=True), ids=str)
def test_paths_are_the_order_of_tasks(golden):
    _, graph = _load(golden)
    network, order = to_networkx(graph), EventGraph.of(graph)
    random = np.random.default_rng(golden.num_bytes)
    for task in random.integers(0, graph.num_tasks, 4).tolist():
        after = {n for n in nx.descendants(network, task) if n < graph.num_tasks}
        before = {n for n in nx.ancestors(network, task) if n < graph.num_tasks}
        start, goal = int(order.trigger_nodes[task]), int(order.dependent_nodes[task])
        ahead = order.reachable(np.array([start] if start >= 0 else [], np.int64))
        behind = order.reachable(np.array([goal] if goal >= 0 else [], np.int64), backward=True)
        # -1 (no event) looks at the last entry: masked out.
        waits, fires = order.dependent_nodes, order.trigger_nodes
        assert after == set(np.flatnonzero((waits >= 0) & ahead[waits]).tolist())
        assert before == set(np.flatnonzero((fires >= 0) & behind[fires]).tolist())


def test_remote_events_have_nodes_of_their_own():
    _, graph = _load(
        goldens.get("models/qwen3_demo-Qwen3-8B-ws2-ag-L2-cc90", "task_graph_rank1.json")
    )
    network, numbers = to_networkx(graph), node_numbers(graph)
    outside = [n for n, d in network.nodes(data=True) if d.get("is_outside")]
    assert len(outside) == len(numbers.outside_events) > 0
    assert {network.nodes[n]["rank"] for n in outside} == {0}
    assert all(network.in_degree(n) > 0 and network.out_degree(n) == 0 for n in outside)
    edges = network.in_edges(outside, data=True)
    assert len(edges) == 256
    assert all(data["kind"] == "triggers" and data["is_nvshmem"] for *_, data in edges)
    here = numbers.event_node(numbers.outside_events[0].event_index)
    there = numbers.event_node(numbers.outside_events[0].event_index, rank=0)
    assert here != there
    assert network.nodes[here]["rank"] == 1


def test_a_null_task_is_marked_and_has_no_edges():
    golden = goldens.get("bad/fork_duplicate_edges_second-cc80")
    _, graph = _load(golden)
    network = to_networkx(graph)
    (null,) = [n for n, d in network.nodes(data=True) if d.get("is_null")]
    assert network.degree(null) == 0
    assert network.nodes[null]["type_name"] == "null"


@pytest.mark.parametrize("golden", goldens.graphs(max_bytes=SMALL, group="tests"), ids=str)
def test_operators_on_tasks(golden):
    _, graph = _load(golden)
    operators = recover_operators(graph)
    network = to_networkx(graph, operators=operators)
    owner = operators.task_operators
    for task in range(graph.num_tasks):
        data = network.nodes[task]
        if owner[task] < 0:
            assert "operator" not in data
            continue
        assert data["operator"] == owner[task]
        assert (data["grid_x"], data["grid_y"], data["grid_z"]) == operators.grid_position(task)


@pytest.mark.parametrize("golden", goldens.graphs(max_bytes=SMALL, one_target=True), ids=str)
def test_operator_network(golden):
    document, graph = _load(golden)
    operators = recover_operators(graph)
    network = to_networkx(graph, kind="operators", event_edges=True)
    names = {n: d["name"] for n, d in network.nodes(data=True) if d["kind"] == "tensor"}
    assert sorted(names.values()) == sorted(graph.tensors)
    count, size = Counter(), defaultdict(int)
    for i, task in enumerate(document["all_tasks"]):
        for key, kind in (("inputs", "reads"), ("outputs", "writes")):
            for slot in (task and task[key]) or []:
                if slot["base_ptr"] == NULL_TENSOR:
                    continue
                edge = (int(operators.task_operators[i]), slot["base_ptr"], kind)
                count[edge] += 1
                size[edge] += int(np.prod(slot["dims"])) * DEFAULT.data_type_size(slot["data_type"])
    found, orders = {}, {}
    for u, v, data in network.edges(data=True):
        if data["kind"] == "orders":
            orders[u, v] = (data["num_events"], data["num_remote_events"])
        else:
            edge = (u, names[v]) if data["kind"] == "writes" else (v, names[u])
            found[(*edge, data["kind"])] = (data["num_tiles"], data["tile_bytes"])
    assert found == {edge: (count[edge], size[edge]) for edge in count}
    edges = operator_edges(graph, operators)
    expected = defaultdict(lambda: [0, 0])
    for row in edges.to_json():
        expected[row["producer"], row["consumer"]][row["is_remote"]] += row["num_events"]
    assert orders == {pair: tuple(counts) for pair, counts in expected.items()}
    for operator in operators:
        data = network.nodes[operator.index]
        assert data["kind"] == "operator"
        assert data["num_tasks"] == operator.num_tasks
        assert (data["grid_x"], data["grid_y"], data["grid_z"]) == operator.grid_dim
        assert data["first_task_id"] == operator.task_ids.min()


def test_slots_without_size_or_tensor():
    slot = {"base_ptr": "w", "data_type": 920, "dims": [8], "offset": 0, "strides": [1]}
    known = slot | {"base_ptr": "x", "data_type": 941}
    none = {"base_ptr": NULL_TENSOR, "data_type": 999, "dims": [], "offset": 0, "strides": []}
    document, _ = _load(goldens.get("tests/test_rmsnorm-cc80"))
    for task in document["all_tasks"]:
        if task["inputs"]:
            task["inputs"] = [slot, known, none]
    network = to_networkx(graph_from_document(document), kind="operators")
    reads = {
        network.nodes[u]["name"]: data
        for u, _, data in network.edges(data=True)
        if data["kind"] == "reads"
    }
    assert set(reads) == {"w", "x"}
    assert network.number_of_edges() == 3
    assert "tile_bytes" not in reads["w"]
    assert reads["x"]["tile_bytes"] == reads["x"]["num_tiles"] * 16


@pytest.mark.parametrize("kind", ["tasks", "operators"])
def test_writers_of_networkx_take_it(kind):
    _, graph = _load(goldens.get("tests/test_fork_point-cc90"))
    network = to_networkx(graph, kind=kind, operators=recover_operators(graph))
    stream = io.BytesIO()
    nx.write_graphml(network, stream)
    stream.seek(0)
    again = nx.read_graphml(stream, node_type=int)
    assert dict(again.nodes(data=True)) == dict(network.nodes(data=True))
    assert again.number_of_edges() == network.number_of_edges()
    assert list(nx.generate_gml(network))


def test_tasks_of_no_operator_have_no_edges():
    _, graph = _load(goldens.get("tests/test_fork_point-cc90"))
    operators = recover_operators(graph)
    first = OperatorSet(operators.operators[:1], graph.num_tasks)
    network = to_networkx(graph, kind="operators", operators=first)
    whole = to_networkx(graph, kind="operators", operators=operators)
    assert network.number_of_nodes() == 1 + len(graph.tensors)
    assert network.degree(0) == whole.degree(0)
    assert network.number_of_edges() == network.degree(0)


def test_nodes_of_encoded_ids():
    _, graph = _load(goldens.get("tests/test_fork_point-cc90"))
    column = np.array([3, ids.EVENT_INVALID_ID, ids.EVENT_NVSHMEM_TAG | 4], np.uint64)
    assert node_numbers(graph).event_nodes(column).tolist() == [53, -1, 54]


def test_nodes_that_are_not_there():
    _, graph = _load(goldens.get("tests/test_fork_point-cc90"))
    numbers = node_numbers(graph)
    with pytest.raises(SelectionError, match="no task 50"):
        numbers.task_node(50)
    with pytest.raises(SelectionError, match="no event 19 of rank 0"):
        numbers.event_node(19)
    with pytest.raises(SelectionError, match="of rank 3"):
        numbers.event_node(0, rank=3)
    with pytest.raises(SelectionError, match="no node 69"):
        numbers.event(69)


def test_networkx_is_imported_when_asked_for():
    import subprocess

    code = "import sys, mpkgraph.views.networkx as m; sys.exit('networkx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
