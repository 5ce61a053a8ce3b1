"""What events and queues order together, against networkx: a task after all behind it."""

from __future__ import annotations

import itertools

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpkgraph.analysis.verify import placement
from mpkgraph.analysis.verify.placement import PlacementOrder
from mpkgraph.model import ids
from tests.amount import examples
from tests.analysis.verify.test_hazards_oracle import SEEDS, event_graph


@st.composite
def placed(draw):
    """(links of tasks in a queue's order, events, workers); a few links are out of order."""
    num_events, num_tasks = draw(st.integers(2, 12)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(SEEDS))
    lows = np.sort(rng.integers(-1, num_events - 1, num_tasks))
    made = [(int(low), int(rng.integers(low + 1, num_events))) for low in lows]
    made = [(low, high if rng.random() < 0.9 else -1) for low, high in made]
    for _ in range(draw(st.integers(0, 2))):
        one, other = rng.integers(0, num_tasks, 2)
        made[one], made[other] = made[other], made[one]
    fixed = [(-1, -1)] * ids.NUM_FIXED_TASKS
    return fixed + made, num_events, draw(st.integers(1, 5))


@given(placed())
@settings(max_examples=examples(60))
def test_precedes_what_events_and_queues_order(drawn):
    made, num_events, num_workers = drawn
    order = PlacementOrder.of(event_graph(made, num_events), num_workers)
    tasks = range(ids.NUM_FIXED_TASKS, len(made))
    told = nx.DiGraph()
    told.add_nodes_from(tasks)
    for a, b in itertools.product(tasks, tasks):
        if made[a][1] == made[b][0] >= 0:
            told.add_edge(a, b)
    for worker in range(num_workers):
        queue = [x for x in tasks if order.workers[x] == worker]
        assert order.places[queue].tolist() == list(range(len(queue)))
        told.add_edges_from(itertools.pairwise(queue))
    hangs = set()
    for part in nx.strongly_connected_components(told):
        if len(part) > 1 or any(told.has_edge(x, x) for x in part):
            hangs |= part.union(*(nx.descendants(told, x) for x in part))
    run = [x for x in tasks if x not in hangs]
    pairs = np.array(list(itertools.product(run, run)), dtype=np.int64).reshape(-1, 2)
    found = order.precede(pairs[:, 0], pairs[:, 1])
    behind = {x: nx.descendants(told, x) for x in run}
    assert found.tolist() == [b in behind[a] for a, b in pairs.tolist()]


def test_chains_through_other_workers_count_only_in_small_graphs(monkeypatch):
    # Worker 0: tasks 2 and 4, worker 1: 3 and 5; 2 is waited for by 3, so 5 is behind it too
    events = event_graph([(-1, -1), (-1, -1), (-1, 0), (0, -1), (-1, -1), (-1, -1)], 1)
    whole = PlacementOrder.of(events, 2)
    by_worker = [np.flatnonzero(whole.workers == x).tolist() for x in (0, 1)]
    first = int(np.flatnonzero(events.trigger_nodes == 0)[0])
    waits = int(np.flatnonzero(events.dependent_nodes == 0)[0])
    (others,) = [x for x in by_worker if waits in x]
    behind = np.array([x for x in others if x > waits], dtype=np.int64)
    assert len(behind)
    assert first not in others
    assert whole.precede(np.full(len(behind), first), behind).all()
    monkeypatch.setattr(placement, "MAX_CLOCKS", 11)
    large = PlacementOrder.of(events, 2)
    assert not large.precede(np.full(len(behind), first), behind).any()
    assert large.precede(np.array([waits]), behind[:1]).all()


@pytest.mark.parametrize("fixed", range(ids.NUM_FIXED_TASKS))
def test_fixed_tasks_are_in_no_queue(fixed):
    order = PlacementOrder.of(event_graph([(-1, -1)] * 4, 1), 1)
    assert order.workers[fixed] == -1
    assert not order.precede(np.array([fixed]), np.array([3])).any()
