"""The simulation against loops written out, against itself, and against the runtime's rules."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpkgraph.analysis.execution.legality import ScheduledTasks, schedule_faults
from mpkgraph.analysis.schedule import runs as module
from mpkgraph.analysis.schedule.exact import simulate_exactly
from mpkgraph.analysis.schedule.runs import find_barriers
from mpkgraph.analysis.schedule.simulate import simulate
from mpkgraph.analysis.schedule.system import RuntimeCosts, build_system
from mpkgraph.analysis.schedule.times import NEVER, never_run
from mpkgraph.io.reader import read_graph
from tests import goldens
from tests.amount import examples
from tests.analysis.graphs import acyclic_links, graph_of, links
from tests.analysis.schedule.oracle import deal, slow_times
from tests.goldens import FOLDER

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
placements = st.integers(1, 9).flatmap(
    lambda workers: st.tuples(st.just(workers), st.integers(1, workers))
)
costs = st.builds(RuntimeCosts, *(st.integers(0, 40) for _ in range(8)))


@st.composite
def emitted(draw: st.DrawFn):
    """Links in an order that Mirage emits: every task after those that it waits for."""
    pairs, num_events = draw(acyclic_links(max_tasks=60, max_events=8))
    return sorted(pairs, key=lambda x: (x[0] or 0, x[1] or 99)), num_events


def durations_of(graph, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 100, graph.num_tasks)


def same(left, right) -> bool:
    return all(
        np.array_equal(getattr(left, name), getattr(right, name))
        for name in ("starts", "ends", "raised", "free")
    )


@st.composite
def with_nulls(draw: st.DrawFn):
    """Links, some of whose tasks the file holds as null."""
    pairs, num_events = draw(links(max_tasks=40))
    return [None if draw(st.integers(0, 9)) == 0 else pair for pair in pairs], num_events


@given(with_nulls(), placements, costs, st.integers(0, 99))
def test_exact_simulation_is_that_of_the_loops(made, placement, runtime, seed):
    graph = graph_of(*made)
    durations = durations_of(graph, seed)
    system = build_system([graph], *placement)
    times = simulate_exactly(system, durations, runtime)
    placed = deal(graph, *placement, runtime)
    expected = slow_times(graph, placed, dict(enumerate(durations.tolist())), runtime)
    ran = {
        task: (int(times.starts[task]), int(times.ends[task]))
        for task in np.flatnonzero(times.starts != NEVER).tolist()
    }
    assert ran == expected
    queues = [
        sorted(np.flatnonzero(system.workers == worker).tolist(), key=lambda x: system.places[x])
        for worker in range(placement[0])
    ]
    assert queues == placed.queues
    handed = system.handed_out(runtime)
    assert {task: int(handed[task]) for task in placed.handed} == placed.handed


@given(emitted(), placements, costs, st.integers(0, 99), st.sampled_from([1, 3, 24, 1000]))
def test_quick_way_agrees_with_the_exact_one(made, placement, runtime, seed, short):
    graph = graph_of(*made)
    durations = durations_of(graph, seed)
    system = build_system([graph], *placement)
    if find_barriers(system) is None:
        return
    before, module.SHORT_RUN = module.SHORT_RUN, short
    try:
        quick = simulate(system, durations, runtime)
    finally:
        module.SHORT_RUN = before
    assert same(quick, simulate_exactly(system, durations, runtime))


def test_quick_way_is_taken_by_what_mirage_emits():
    # Five layers of 8 tasks on 3 workers, each event of two tasks: 40 tasks in runs of 8
    pairs = [
        (None if layer == 0 else 2 + (layer - 1) * 4 + i // 2, 2 + layer * 4 + i // 2)
        for layer in range(5)
        for i in range(8)
    ]
    graph = graph_of(pairs, 2 + 5 * 4 + 1)
    assert find_barriers(build_system([graph], 3, 2)) is not None


@given(links(max_tasks=40), placements, st.integers(0, 99))
@settings(max_examples=examples(200))
def test_what_runs_obeys_every_event(made, placement, seed):
    graph = graph_of(*made)
    durations = durations_of(graph, seed)
    system = build_system([graph], *placement)
    times = simulate(system, durations, COSTS)
    ran = np.flatnonzero(times.starts != NEVER)
    schedule = ScheduledTasks(
        ran,
        times.starts[ran].astype(float),
        times.ends[ran].astype(float),
        workers=system.workers[ran],
    )
    complete = not never_run(system, times).any()
    assert list(schedule_faults(graph, schedule, is_complete=complete)) == []


def test_an_event_is_complete_at_its_count_and_not_later():
    graph = graph_of([(None, 2), (None, 2), (2, 3)], 4)
    graph.events.num_triggers.flags.writeable = True
    graph.events.num_triggers[2] = 1
    system = build_system([graph], 3, 3)
    durations = np.array([0, 0, 10, 1000, 10])
    times = simulate(system, durations, COSTS)
    # Task 4 starts after task 2, whatever task 3 does
    assert times.starts[4] < times.ends[3]
    assert times.starts[4] >= times.ends[2] + COSTS.trigger_ns + COSTS.wait_ns


def test_a_later_task_on_the_same_worker_is_a_deadlock():
    graph = graph_of([(2, 3), (None, 2)], 4)
    times = simulate(build_system([graph], 1, 1), np.zeros(4, dtype=np.int64), COSTS)
    assert (times.starts[2:] == NEVER).all()
    assert times.makespan == 0
    placed_apart = simulate(build_system([graph], 2, 1), np.zeros(4, dtype=np.int64), COSTS)
    assert (placed_apart.starts[2:] != NEVER).all()


def test_an_event_with_triggers_in_a_long_run_and_in_a_short_one():
    # 40 tasks at once, of which the last is slow; then task 42 alone; task 43 waits for both
    pairs = [*[(None, 2)] * 39, (None, 3), (2, 3), (3, 4)]
    graph = graph_of(pairs, 5)
    system = build_system([graph], 7, 2)
    durations = np.full(graph.num_tasks, 10)
    durations[41] = 5000
    quick = simulate(system, durations, COSTS)
    assert find_barriers(system) is not None
    assert same(quick, simulate_exactly(system, durations, COSTS))
    assert quick.starts[43] > quick.ends[41] > quick.ends[42]


def test_runs_longer_than_a_pass():
    graph = graph_of([(None, 2)] * 300 + [(2, 3)] * 300, 4)
    system = build_system([graph], 7, 3)
    durations = durations_of(graph, 5)
    before, module.MAX_RUN = module.MAX_RUN, 64
    try:
        quick = simulate(system, durations, COSTS)
    finally:
        module.MAX_RUN = before
    assert same(quick, simulate_exactly(system, durations, COSTS))


@pytest.mark.parametrize(
    "golden_graph", goldens.graphs(max_bytes=3_000_000, group="models", one_target=True), ids=str
)
def test_goldens_run_by_the_rules(golden_graph):
    graph = read_graph(golden_graph.graph_path)
    system = build_system([graph], 128, 16)
    durations = np.random.default_rng(1).integers(500, 20_000, graph.num_tasks)
    times = simulate(system, durations, COSTS)
    assert same(times, simulate_exactly(system, durations, COSTS))
    if graph.rank or graph.num_tasks == 0 or "ws2" in golden_graph.case:
        return
    ran = np.flatnonzero(times.starts != NEVER)
    schedule = ScheduledTasks(
        ran,
        times.starts[ran].astype(float),
        times.ends[ran].astype(float),
        workers=system.workers[ran],
    )
    complete = len(ran) == int((system.workers >= 0).sum())
    assert list(schedule_faults(graph, schedule, is_complete=complete)) == []


@pytest.mark.parametrize("ranks", goldens.multi_rank()[:6])
def test_all_ranks_together_run_by_the_rules(ranks):
    if ranks is None:
        return
    graphs = [read_graph(golden.graph_path) for golden in ranks]
    system = build_system(graphs, 128, 16)
    durations = np.random.default_rng(2).integers(500, 20_000, system.num_tasks)
    times = simulate(system, durations, COSTS)
    assert same(times, simulate_exactly(system, durations, COSTS))
    ran = np.flatnonzero(times.starts != NEVER)
    rank = np.searchsorted(system.rank_starts, ran, side="right") - 1
    schedule = ScheduledTasks(
        ran - system.rank_starts[rank],
        times.starts[ran].astype(float),
        times.ends[ran].astype(float),
        ranks=rank,
        workers=system.workers[ran] - rank * 128,
    )
    complete = len(ran) == int((system.workers >= 0).sum())
    assert list(schedule_faults(graphs, schedule, is_complete=complete)) == []


def test_a_rank_alone_takes_as_long_as_all_together():
    golden = goldens.get("models/qwen3_demo-Qwen3-8B-ws2-ag-L2-cc90")
    graphs = [
        read_graph(FOLDER / golden.case / f"task_graph_rank{rank}.json.zst") for rank in (0, 1)
    ]
    alone, both = build_system(graphs[:1], 128, 16), build_system(graphs, 128, 16)
    durations = np.random.default_rng(3).integers(500, 20_000, alone.num_tasks)
    one = simulate(alone, durations, COSTS)
    two = simulate(both, np.concatenate((durations, durations)), COSTS)
    assert one.makespan == two.makespan
    assert replace(both, num_workers=128).num_all_workers == 256
