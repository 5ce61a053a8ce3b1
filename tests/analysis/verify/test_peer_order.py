"""Order across two ranks, against networkx over both ranks' own graphs."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from mpkgraph.analysis.verify.happens_before import HappensBefore
from mpkgraph.analysis.verify.peer_order import PeerOrder
from mpkgraph.model import ids
from tests.analysis.verify.rules.test_ranks import rank


@pytest.fixture(scope="module")
def both():
    return rank(0), rank(1)


def network(contexts):
    """(rank, event) to (rank, event), an edge a task, of the ids in the two files."""
    found = nx.DiGraph()
    for number, context in enumerate(contexts):
        found.add_nodes_from((number, event) for event in range(context.graph.num_events))
        tasks = context.graph.tasks
        for task in range(ids.NUM_FIXED_TASKS, context.graph.num_tasks):
            waits, fires = (int(x[task]) for x in (tasks.dependent_events, tasks.trigger_events))
            if ids.EVENT_INVALID_ID not in {waits, fires}:
                ends = [ids.decode_event_id(x) for x in (waits, fires)]
                found.add_edge(*((x.rank, x.event_index) for x in ends))
    return found


@pytest.mark.parametrize("here", [0, 1])
def test_a_peer_is_ordered_as_its_own_graph_says(both, here):
    peer = PeerOrder.of(both[here].view)
    size = both[here].graph.num_events
    assert peer.events.num_nodes == 2 * size
    assert peer.is_remote.sum() == len(both[here].operators[1].task_ids)
    order = HappensBefore.of(peer.events)
    told = network(both)
    nodes = np.arange(2 * size)
    found = order.ordered(nodes[:, None], nodes[None, :])
    waited_on = {x for x, _ in told.edges}

    def node(event):
        return event[1] + size * (event[0] != here)

    for event in told:
        behind = nx.descendants(told, event) | {event}
        for other in waited_on:
            expected = event in waited_on and other in behind
            assert found[node(event), node(other)] == expected, (event, other)


def test_a_peer_has_the_tasks_of_this_rank_again(both):
    peer = PeerOrder.of(both[0].view)
    size, num_tasks = both[0].graph.num_events, both[0].graph.num_tasks
    waits, fires = peer.events.dependent_nodes, peer.events.trigger_nodes
    own = both[0].view.all_ranks
    assert waits[:num_tasks].tolist() == own.dependent_nodes.tolist()
    for number in range(num_tasks):
        mine, its = number, num_tasks + number
        assert waits[its] == (-1 if waits[mine] < 0 else waits[mine] + size)
        target = own.trigger_nodes[number]
        if target < 0:
            assert fires[mine] == fires[its] == -1
            continue
        away, at_home = target + size, target
        expected = (away, at_home) if peer.is_remote[number] else (at_home, away)
        assert (fires[mine], fires[its]) == expected
