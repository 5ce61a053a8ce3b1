"""Neighbourhoods and paths against networkx."""

from __future__ import annotations

import contextlib
import itertools
import sys
from unittest import mock

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpkgraph.analysis import reach
from mpkgraph.analysis.neighbourhood import neighbourhood
from mpkgraph.analysis.paths import find_paths
from mpkgraph.errors import SelectionError
from mpkgraph.model.ids import EventId
from tests.analysis import graphs


def slow_hops(network, starts, limit, *, backward):
    """Fewest hops to each task."""
    directed = network.reverse() if backward else network
    found = {}
    for start in starts:
        lengths = nx.single_source_shortest_path_length(directed, ("task", start))
        for (kind, number), length in lengths.items():
            if kind == "task" and (limit is None or length <= 2 * limit):
                found[number] = min(found.get(number, length), length // 2)
    return found


@given(graphs.links(), st.data())
def test_neighbourhoods_are_those_of_networkx(drawn, data):
    tasks, num_events = drawn
    graph = graphs.graph_of(tasks, num_events)
    every = range(2, graph.num_tasks)
    if not every:
        return
    starts = sorted(data.draw(st.sets(st.sampled_from(every), min_size=1, max_size=3)))
    limit = data.draw(st.none() | st.integers(0, 4))
    direction = data.draw(st.sampled_from(["up", "down", "both"]))
    events = graphs.context_of(graph).events
    found = neighbourhood(events, np.array(starts), max_hops=limit, direction=direction)
    network = graphs.slow_network(tasks)
    down = slow_hops(network, starts, limit, backward=False) if direction != "up" else {}
    up = slow_hops(network, starts, limit, backward=True) if direction != "down" else {}
    expected = {}
    for number in {*starts, *down, *up}:
        below, above = down.get(number, 99), up.get(number, 99)
        expected[number] = 0 if number in starts else (below if below <= above else -above)
    assert dict(zip(found.task_ids.tolist(), found.hops.tolist(), strict=True)) == expected
    # An event is between when a hop leads through it.
    through = set()
    for hops, directed in ((down, network), (up, network.reverse())):
        for number, hop in hops.items():
            for node in directed.successors(("task", number)):
                if directed.out_degree(node) and (limit is None or hop < limit):
                    through.add(node[1])
    assert set(found.event_nodes.tolist()) == through


def test_siblings_are_not_neighbours():
    events = graphs.context_of(graphs.graph_of([(None, 2), (2, 3), (2, 3)], 4)).events
    found = neighbourhood(events, np.array([3]), direction="both")
    assert found.task_ids.tolist() == [2, 3]
    assert found.to_json()["tasks_by_hops"] == [
        {"hops": -1, "task_ids": "2"},
        {"hops": 0, "task_ids": "3"},
    ]


def test_in_a_cycle_downwards_goes_before_upwards():
    events = graphs.context_of(graphs.graph_of([(2, 3), (3, 2)], 5)).events
    found = neighbourhood(events, np.array([2]), direction="both")
    assert dict(zip(found.task_ids.tolist(), found.hops.tolist(), strict=True)) == {2: 0, 3: 1}


def slow_paths(tasks, source, target):
    network = graphs.slow_network(tasks)
    if source == target:
        return []
    found = nx.all_simple_paths(network, ("task", source), ("task", target))
    return sorted((tuple(number for _, number in path) for path in found), key=path_order)


def path_order(path):
    """Length, then events, then tasks."""
    return len(path), path[1::2], path[::2]


@contextlib.contextmanager
def layers_at_once(*, yes: bool):
    """Searches go through all edges of a layer at once, or through one after the other."""
    with mock.patch.object(reach, "MIN_LAYER_EDGES", 0 if yes else sys.maxsize):
        yield


@pytest.mark.parametrize("wide", [False, True])
@given(graphs.acyclic_links(), st.data())
def test_all_paths_in_order(wide, drawn, data):
    tasks, num_events = drawn
    if not tasks:
        return
    context = graphs.context_of(graphs.graph_of(tasks, num_events))
    every = st.integers(2, len(tasks) + 1)
    source, target = data.draw(every), data.draw(every)
    expected = slow_paths(tasks, source, target)
    with layers_at_once(yes=wide):
        found = find_paths(context, source, target, limit=1000)
        some = find_paths(context, source, target, limit=2)
    assert list(found.paths) == expected
    assert found.num_paths == len(expected)
    assert found.is_complete
    assert list(some.paths) == expected[:2]
    assert some.num_paths == len(expected)
    assert found.reverse == (not expected and bool(slow_paths(tasks, target, source)))


@st.composite
def mazes(draw):
    """A first task, a last one, and many ways through six events in between."""
    pairs = [(a, b) for a in range(2, 8) for b in range(a + 1, 8)]
    middle = draw(st.lists(st.sampled_from(pairs), min_size=6, max_size=14))
    return [(None, 2), *middle, (7, 8)]


@pytest.mark.parametrize("wide", [False, True])
@given(mazes(), st.integers(1, 9))
def test_all_paths_of_a_maze_in_order(wide, tasks, limit):
    context = graphs.context_of(graphs.graph_of(tasks, 9))
    expected = slow_paths(tasks, 2, len(tasks) + 1)
    with layers_at_once(yes=wide):
        found = find_paths(context, 2, len(tasks) + 1, limit=limit)
    assert list(found.paths) == expected[:limit]
    assert found.num_paths == len(expected)


@given(graphs.links(), st.data())
def test_a_shortest_path_where_there_are_cycles(drawn, data):
    tasks, num_events = drawn
    if not tasks:
        return
    context = graphs.context_of(graphs.graph_of(tasks, num_events))
    every = st.integers(2, len(tasks) + 1)
    source, target = data.draw(every), data.draw(every)
    expected = slow_paths(tasks, source, target)
    found = find_paths(context, source, target, limit=3)
    # A task that repeats only because its event does (in a cycle) is no simple path of tasks.
    if expected:
        assert found.paths
        assert len(found.paths[0]) == len(expected[0])
    if found.num_paths is None:
        assert len(found.paths) == 1
        assert found.num_paths_text == "infinitely many"
        assert not found.is_complete


def ladder(num_steps: int, width: int):
    """A chain of events with `width` tasks in between: width ** num_steps paths."""
    middle = [(event, event + 1) for event in range(2, 2 + num_steps) for _ in range(width)]
    tasks = [(None, 2), *middle, (2 + num_steps, 3 + num_steps)]
    return graphs.context_of(graphs.graph_of(tasks, 4 + num_steps)), len(tasks) + 1


@pytest.mark.parametrize("wide", [False, True])
def test_numbers_of_paths_beyond_any_listing(wide):
    context, last = ladder(num_steps=3000, width=10)
    with layers_at_once(yes=wide):
        found = find_paths(context, 2, last, limit=5)
    assert found.num_paths == 10**3000
    assert len(found.paths) == 5
    assert len(set(found.paths)) == 5
    assert found.num_paths_text == "about 10^3000"
    assert found.to_json()["num_paths"] == "about 10^3000"
    context, last = ladder(num_steps=30, width=10)
    assert find_paths(context, 2, last).to_json()["num_paths"] == str(10**30)


def test_numbers_beyond_floats_without_an_event_that_all_paths_pass():
    middle = [(event, event + 1) for event in range(2, 42) for _ in range(3)]
    tasks = [(None, 2), *middle, (2, 42), (42, 43)]
    context = graphs.context_of(graphs.graph_of(tasks, 44))
    with layers_at_once(yes=True):
        assert find_paths(context, 2, len(tasks) + 1).num_paths == 3**40 + 1


def test_depth_is_not_limited_by_the_interpreter():
    num_steps = sys.getrecursionlimit() + 500
    context, last = ladder(num_steps, width=1)
    found = find_paths(context, 2, last, limit=3)
    assert (found.num_paths, len(found.paths)) == (1, 1)
    assert len(found.paths[0]) == 2 * (num_steps + 2) - 1
    assert all(a < b for a, b in itertools.pairwise(found.paths[0][::2]))


def test_dead_ends_cost_nothing():
    # From event 2 on, a wide maze that never reaches the target, and one way that does.
    maze = [(event, event + 1) for event in range(4, 60) for _ in range(6)]
    tasks = [(None, 2), (2, 3), (2, 4), *maze, (3, 61)]
    context = graphs.context_of(graphs.graph_of(tasks, 62))
    found = find_paths(context, 2, len(tasks) + 1, limit=10)
    assert found.paths == ((2, 2, 3, 3, len(tasks) + 1),)
    assert found.num_paths == 1


def test_paths_through_other_ranks_say_so():
    tasks = [(None, EventId(1, 2, nvshmem=True)), (2, 3)]
    context = graphs.context_of(graphs.graph_of(tasks, 4))
    found = find_paths(context, 2, 3)
    assert (found.paths, found.across_ranks) == (((2, 2, 3),), True)


def test_no_path_says_whether_it_goes_the_other_way():
    context = graphs.context_of(graphs.graph_of([(None, 2), (2, 3), (None, 3)], 4))
    assert find_paths(context, 3, 2).reverse
    assert not find_paths(context, 2, 4).reverse
    assert find_paths(context, 3, 2).to_json()["num_paths"] == 0


def test_missing_task():
    context = graphs.context_of(graphs.graph_of([(None, 2)], 3))
    with pytest.raises(SelectionError, match="tasks 0 to 2"):
        find_paths(context, 2, 3)
