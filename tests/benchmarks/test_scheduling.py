"""The peer of the schedule's simulation gives the same makespans."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import scheduling
from benchmarks.generate import generate, spec_for_size
from benchmarks.heap_schedule import makespan
from mpkgraph.analysis.event_graph import EventGraph
from mpkgraph.analysis.schedule.simulate import simulate
from mpkgraph.analysis.schedule.system import RuntimeCosts, build_system
from tests.analysis.graphs import acyclic_links, graph_of

COSTS = RuntimeCosts(
    start_ns=50,
    hand_out_ns=7,
    queue_ns=5,
    fetch_ns=11,
    wait_ns=3,
    trigger_ns=2,
    resume_ns=4,
    count_ns=1,
)


@given(acyclic_links(max_tasks=40), st.integers(1, 6), st.data())
def test_makespans_agree(made, workers, data):
    graph = graph_of(*made)
    schedulers = data.draw(st.integers(1, workers))
    durations = np.random.default_rng(1).integers(0, 100, graph.num_tasks)
    events = EventGraph.of(graph, mirror=True)
    found = makespan(
        events.dependent_nodes.tolist(),
        events.trigger_nodes.tolist(),
        graph.events.num_triggers.tolist(),
        durations.tolist(),
        (workers, schedulers),
        asdict(COSTS),
    )
    system = build_system([graph], workers, schedulers)
    assert found == simulate(system, durations, COSTS).makespan


@pytest.mark.parametrize("way", scheduling.ONCE_WAYS)
def test_ways_on_a_generated_graph(way, tmp_path):
    path = tmp_path / "graph.json"
    with path.open("wb") as stream:
        generate(stream, spec_for_size(0.3))
    facts = scheduling.ONCE_WAYS[way](path)
    assert facts["makespan"] == scheduling.ONCE_WAYS["simulation"](path)["makespan"]
