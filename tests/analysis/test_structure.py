"""Order, levels and operator edges against networkx and by hand."""

from __future__ import annotations

import itertools
from collections import Counter

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpkgraph.analysis import levels as levels_module
from mpkgraph.analysis.csr import Csr, counted, expand_ranges, unique_pairs
from mpkgraph.analysis.event_graph import EventGraph
from mpkgraph.analysis.levels import Levels, find_levels, longest_chain
from mpkgraph.analysis.structure import edges_of_operator, find_structure, operator_edges
from mpkgraph.io.reader import read_graph
from mpkgraph.model.distinct import distinct
from mpkgraph.model.ids import EventId
from tests import goldens, strategies
from tests.analysis import graphs
from tests.naive import graph_from_document


def slow_levels(tasks):
    """(level of each task, level of each event) by longest paths; acyclic only."""
    network = graphs.slow_network(tasks)
    levels = {}
    for node in nx.topological_sort(network):
        before = [levels[x] for x in network.predecessors(node)]
        kind, _ = node
        # An event counts the task before it; a task is on the level of its event.
        levels[node] = max((x + (kind == "event") for x in before), default=0)
    return levels


@given(graphs.acyclic_links())
def test_levels_are_longest_paths(drawn):
    tasks, num_events = drawn
    graph = graphs.graph_of(tasks, num_events)
    levels = find_levels(EventGraph.of(graph))
    expected = slow_levels(tasks)
    assert levels.task_levels[:2].tolist() == [-1, -1]
    assert levels.task_levels[2:].tolist() == [
        expected["task", number] for number in range(2, graph.num_tasks)
    ]
    assert levels.event_levels.tolist() == [
        expected.get(("event", index), 0) for index in range(num_events)
    ]
    counts = Counter(expected["task", number] for number in range(2, graph.num_tasks))
    assert dict(enumerate(levels.tasks_per_level.tolist())) == dict(counts)
    assert levels.depth == len(counts)
    assert levels.width == max(counts.values(), default=0)
    assert levels.cycle == ()


@given(graphs.acyclic_links())
def test_longest_chain_is_a_path_of_full_depth(drawn):
    tasks, num_events = drawn
    graph = graphs.graph_of(tasks, num_events)
    events = EventGraph.of(graph)
    levels = find_levels(events)
    chain = longest_chain(events, levels)
    assert len(chain) == max(2 * levels.depth - 1, 0)
    network = graphs.slow_network(tasks)
    nodes = [("event" if i % 2 else "task", x) for i, x in enumerate(chain)]
    assert all(network.has_edge(a, b) for a, b in itertools.pairwise(nodes))


@given(graphs.links())
def test_cycles_are_reported_and_the_rest_keeps_its_levels(drawn):
    tasks, num_events = drawn
    graph = graphs.graph_of(tasks, num_events)
    levels = find_levels(EventGraph.of(graph))
    network = graphs.slow_network(tasks)
    looping = {
        x for part in nx.strongly_connected_components(network) for x in part if len(part) > 1
    }
    stuck = looping | {x for node in looping for x in nx.descendants(network, node)}
    assert bool(levels.cycle) == bool(looping)
    for number, (waits, _) in enumerate(tasks, start=2):
        assert (levels.task_levels[number] == -1) == (("event", waits) in stuck)
    for here, there in zip(levels.cycle, (*levels.cycle[1:], *levels.cycle[:1]), strict=True):
        assert any(pair == (here, there) for pair in tasks)
    assert len(set(levels.cycle)) == len(levels.cycle)
    free = [x for x in tasks if ("event", x[0]) not in stuck]
    expected = slow_levels([x if ("event", x[1]) not in stuck else (x[0], None) for x in free])
    depth = max((x for (kind, _), x in expected.items() if kind == "task"), default=-1) + 1
    assert levels.depth == depth


@given(graphs.links())
def test_levels_do_not_depend_on_how_edges_are_followed(drawn):
    events = EventGraph.of(graphs.graph_of(*drawn))
    one_by_one = find_levels(events)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(levels_module, "MAX_LISTED_EDGES", -1)
        in_layers = find_levels(events)
    assert one_by_one.event_levels.tolist() == in_layers.event_levels.tolist()
    assert one_by_one.cycle == in_layers.cycle


@given(graphs.links())
def test_tasks_of_one_event_are_a_row_of_all(drawn):
    graph = graphs.graph_of(*drawn)
    events, grouped = EventGraph.of(graph), EventGraph.of(graph)
    for node in [*range(events.num_nodes)] * 40:
        waiting, triggering = events.tasks_waiting_on(node), events.tasks_triggering(node)
        assert waiting.tolist() == grouped.waiting_tasks.row(node).tolist()
        assert triggering.tolist() == grouped.triggering_tasks.row(node).tolist()


@given(graphs.links())
def test_edges_of_one_operator_are_rows_of_all(drawn):
    graph = graphs.graph_of(*drawn)
    ids = list(range(2, graph.num_tasks))
    context = graphs.context_of(graph, [x for x in (ids[::2], ids[1::2]) if x])
    every = operator_edges(context.graph, context.operators)
    events = EventGraph.of(context.graph, mirror=True)
    for index in range(len(context.operators)):
        found = edges_of_operator(context.graph, context.operators, events, index)
        assert found.to_json() == every.of(index).to_json()


@given(graphs.links(), st.booleans())
def test_what_is_found_without_columns_is_what_they_hold(drawn, mirror):
    graph = graphs.graph_of(*drawn)
    whole = EventGraph.of(graph, mirror=mirror)
    tasks = np.arange(graph.num_tasks)
    nodes = np.arange(-1, whole.num_nodes, 2)
    dependent, trigger = whole.dependent_nodes, whole.trigger_nodes

    def lone() -> EventGraph:
        return EventGraph.of(graph, mirror=mirror, strict=EventGraph.of(graph))

    assert lone().dependents_of(tasks).tolist() == dependent.tolist()
    assert lone().triggers_of(tasks).tolist() == trigger.tolist()
    for task in tasks.tolist():
        assert lone().dependents_of(np.array([task])).tolist() == [dependent[task]]
    for side, owners in (("dependent", dependent), ("trigger", trigger)):
        wanted = np.flatnonzero(np.isin(owners, nodes[nodes >= 0]))
        assert lone().tasks_of(side, nodes).tolist() == wanted.tolist()
        assert whole.tasks_of(side, nodes).tolist() == wanted.tolist()
    levels = find_levels(whole)
    of_tasks = Levels(lone(), levels.event_levels, levels.cycle).of_tasks(tasks)
    assert of_tasks.tolist() == levels.task_levels.tolist()


@given(graphs.links())
def test_precedes_is_reachability(drawn):
    tasks, num_events = drawn
    graph = graphs.graph_of(tasks, num_events)
    events = EventGraph.of(graph)
    network = graphs.slow_network(tasks)
    for number, (_, triggers) in enumerate(tasks, start=2):
        after = (
            {("event", triggers)} | nx.descendants(network, ("event", triggers))
            if triggers is not None
            else set()
        )
        for other in range(2, graph.num_tasks):
            assert events.precedes(number, other) == (("task", other) in after)


def test_task_that_waits_on_what_it_triggers_is_a_cycle():
    structure = find_structure(graphs.graph_of([(None, 2), (2, 2), (2, 3)], 4))
    assert structure.cycle == (2,)
    assert structure.depth == 1


def test_null_tasks_are_on_no_level():
    graph = graphs.graph_of([(None, 2), None, (2, 3)], 4)
    structure = find_structure(graph)
    assert (structure.depth, structure.tasks_per_level.tolist()) == (2, [1, 1])
    assert structure.critical_chain == (2, 2, 4)


def test_empty_graph_has_no_depth():
    structure = find_structure(graphs.graph_of([], 3))
    assert (structure.depth, structure.width, structure.critical_chain) == (0, 0, ())


def test_graph_without_events_or_tasks():
    graph = graph_from_document({"all_events": None, "all_tasks": None, "first_tasks": None})
    assert find_structure(graph).to_json()["depth"] == 0


def test_odd_events_are_named():
    # Event 2: nobody triggers it; event 3: nobody waits on it.
    graph = graph_from_document(
        graphs.document([(2, 3), (None, 4)], 5)
        | {
            "all_events": [
                graphs.event(graphs.TERMINATION),
                graphs.event(graphs.LAUNCH, 2, 4),
                graphs.event(num=4),
                graphs.event(num=1),
                graphs.event(graphs.END, num=1),
            ]
        }
    )
    structure = find_structure(graph)
    assert structure.untriggered_events == (2,)
    assert structure.ungating_events == (3,)


RANK1_EVENT2 = EventId(1, 2, nvshmem=True)


def test_events_of_other_ranks_continue_chains_but_order_nothing_here():
    # Task 2 puts into rank 1; the counterpart there triggers event 2 here, on which 3 waits.
    graph = graphs.graph_of([(None, RANK1_EVENT2), (2, 3), (3, 4)], 5)
    strict = EventGraph.of(graph)
    assert strict.outside_events == (EventId(1, 2, nvshmem=False),)
    assert strict.outside(strict.num_local) == EventId(1, 2, nvshmem=False)
    assert strict.outside(2) is None
    assert not strict.precedes(2, 3)
    assert EventGraph.of(graph, mirror=True).precedes(2, 3)
    structure = find_structure(graph)
    assert structure.depth == 3
    assert structure.untriggered_events == ()
    assert structure.remote_events == (EventId(1, 2, nvshmem=False),)


def test_operator_edges_by_hand():
    # Operator 0: tasks 2, 3 -> event 2 -> operator 1: tasks 4-6 and operator 2: task 7.
    tasks = [(None, 2), (None, 2), (2, 3), (2, 3), (2, 4), (2, 4), (3, 4)]
    context = graphs.context_of(graphs.graph_of(tasks, 5), [[2, 3], [4, 5, 6], [7], [8]])
    rows = operator_edges(context.graph, context.operators).to_json()
    assert [
        (x["producer"], x["consumer"], x["num_events"], x["num_triggering"], x["num_waiting"])
        for x in rows
    ] == [(0, 1, 1, 2, 3), (0, 2, 1, 2, 1), (1, 3, 1, 2, 1)]
    assert not any(x["is_remote"] for x in rows)


def test_operator_edges_through_other_ranks_are_marked():
    tasks = [(None, RANK1_EVENT2), (None, 3), (2, 3), (3, 4)]
    context = graphs.context_of(graphs.graph_of(tasks, 5), [[2], [3], [4], [5]])
    edges = operator_edges(context.graph, context.operators)
    assert list(
        zip(
            edges.producers.tolist(),
            edges.consumers.tolist(),
            edges.is_remote.tolist(),
            strict=True,
        )
    ) == [(0, 2, True), (1, 3, False), (2, 3, False)]


@given(graphs.links(max_tasks=20))
def test_operator_edges_against_all_pairs_of_tasks(drawn):
    tasks, num_events = drawn
    graph = graphs.graph_of(tasks, num_events)
    groups = [
        list(range(start, min(start + 3, graph.num_tasks)))
        for start in range(2, graph.num_tasks, 3)
    ]
    context = graphs.context_of(graph, groups)
    edges = operator_edges(graph, context.operators)
    expected = {}
    for a, (_, made) in enumerate(tasks, start=2):
        for b, (waited, _) in enumerate(tasks, start=2):
            if made is not None and made == waited:
                row = expected.setdefault(((a - 2) // 3, (b - 2) // 3), (set(), set(), set()))
                row[0].add(made), row[1].add(a), row[2].add(b)
    assert {
        (x["producer"], x["consumer"]): (x["num_events"], x["num_triggering"], x["num_waiting"])
        for x in edges.to_json()
    } == {pair: tuple(map(len, row)) for pair, row in expected.items()}


@given(strategies.task_graphs())
def test_any_legal_graph_has_a_structure(graph):
    structure = find_structure(graph)
    assert structure.to_json()["depth"] == len(structure.tasks_per_level)
    assert 0 <= structure.width <= graph.num_tasks


@pytest.mark.parametrize(
    "golden", goldens.graphs(max_bytes=3_000_000, group="models", one_target=True), ids=str
)
def test_depth_of_goldens_is_the_longest_path_of_networkx(golden, tmp_path):
    graph = read_graph(golden.write_graph(tmp_path))
    structure = find_structure(graph)
    events = EventGraph.of(graph, mirror=True)
    network = nx.DiGraph()
    pairs = zip(events.dependent_nodes.tolist(), events.trigger_nodes.tolist(), strict=True)
    for number, (waits, triggers) in enumerate(pairs):
        if number > 1 and not graph.tasks.is_null[number]:
            network.add_node(-number)
            if waits >= 0:
                network.add_edge(waits, -number)
            if triggers >= 0:
                network.add_edge(-number, triggers)
    for node in list(network):
        if node >= 0 and not network.in_degree(node):
            network.remove_node(node)
    longest = nx.dag_longest_path(network)
    assert structure.depth == sum(node < 0 for node in longest)
    assert structure.cycle == ()


def test_csr_rows_and_gather():
    rows = Csr.from_edges(np.array([2, 0, 2]), np.array([5, 1, 4]), 4)
    assert [rows.row(i).tolist() for i in range(4)] == [[1], [], [4, 5], []]
    assert rows.gather(np.array([2, 1, 0])).tolist() == [4, 5, 1]
    assert rows.sizes().tolist() == [1, 0, 2, 0]


@given(
    strategies.st.lists(
        strategies.st.tuples(strategies.st.integers(0, 4), strategies.st.integers(0, 4))
    )
)
def test_unique_pairs_counts(pairs):
    first, second, counts = unique_pairs(
        np.array([a for a, _ in pairs], np.int64), np.array([b for _, b in pairs], np.int64)
    )
    found = dict(
        zip(zip(first.tolist(), second.tolist(), strict=True), counts.tolist(), strict=True)
    )
    assert found == dict(sorted(Counter(pairs).items()))
    assert list(found) == sorted(found)
    flat = np.array([a for a, _ in pairs], np.int64)
    values, numbers = counted(flat)
    assert values.tolist() == distinct(flat).tolist() == sorted(set(flat.tolist()))
    assert dict(zip(values.tolist(), numbers.tolist(), strict=True)) == Counter(flat.tolist())


def test_expand_ranges_with_empty_ones():
    assert expand_ranges(np.array([3, 7, 0]), np.array([0, 2, 1])).tolist() == [7, 8, 0]
