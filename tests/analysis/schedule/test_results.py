"""Critical path, accounts, bounds, stalls, hangs and what-ifs of small and of real graphs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.cost.model import CostModel, TypeCost
from mpkgraph.analysis.schedule.account import EVENT, SCHEDULER, WORKER
from mpkgraph.analysis.schedule.run import ScheduleOptions, schedule
from mpkgraph.analysis.schedule.system import RuntimeCosts, build_system
from mpkgraph.analysis.schedule.times import NEVER
from mpkgraph.analysis.schedule.what_if import parse_what_if
from mpkgraph.catalog import DEFAULT
from mpkgraph.errors import SelectionError, TooLargeError, UsageError
from mpkgraph.io.reader import read_graph
from mpkgraph.views.operators import recover_operators
from tests import goldens
from tests.analysis.graphs import acyclic_links, context_of, graph_of, links, slot, task
from tests.cli.conftest import EXAMPLE

RUNTIME = RuntimeCosts(
    start_ns=50,
    hand_out_ns=7,
    queue_ns=5,
    fetch_ns=11,
    wait_ns=3,
    trigger_ns=2,
    resume_ns=4,
    count_ns=1,
)
LINEAR, NORM = 120, 119


def model_of(**durations: int) -> CostModel:
    """Every task type takes a given time; linear tasks 100 ns unless told."""
    types = {"TASK_LINEAR": 100, "TASK_RMS_NORM": 20, **durations}
    return replace(
        CostModel.of_gpu("h100"),
        runtime=RUNTIME,
        task_types={name: TypeCost(duration_ns=value) for name, value in types.items()},
    )


def run(context, workers=2, schedulers=1, what_if=(), model=None, **options):
    contexts = context if isinstance(context, list) else [context]
    return schedule(
        contexts,
        ScheduleOptions(
            workers,
            schedulers,
            model or model_of(),
            what_if=parse_what_if(what_if, contexts[0]),
            **options,
        ),
    )


def real(case: str, path: str = "task_graph_rank0.json") -> GraphContext:
    graph = read_graph(goldens.get(case, path).graph_path)
    return GraphContext(graph, recover_operators(graph))


@given(links(max_tasks=40), st.integers(1, 6), st.data())
def test_every_worker_accounts_for_the_whole_makespan(made, workers, data):
    found = run(context_of(graph_of(*made)), workers, data.draw(st.integers(1, workers)))
    parts = found.workers
    sums = parts.kernels + parts.overhead + parts.blocked + parts.starved + parts.idle
    assert (sums == found.makespan_ns).all()
    assert min(map(int, parts.idle), default=0) >= 0


@given(acyclic_links(max_tasks=40), st.integers(1, 6), st.data())
def test_the_critical_path_explains_the_makespan(made, workers, data):
    found = run(context_of(graph_of(*made)), workers, data.draw(st.integers(1, workers)))
    path = found.path
    total = path.kernel_ns + path.wait_ns + path.trigger_ns + path.fetch_ns + path.hand_out_ns
    total += path.count_ns + path.resume_ns
    assert total == found.makespan_ns
    account = found.account
    for before, after, cause in zip(
        path.tasks[:-1].tolist(), path.tasks[1:].tolist(), path.causes[1:].tolist(), strict=True
    ):
        counted = account.times.ends[before] + RUNTIME.trigger_ns
        assert cause in {WORKER, EVENT}
        if cause == WORKER:
            assert account.system.workers[before] == account.system.workers[after]
        else:
            node = account.system.dependents[after]
            assert account.system.triggers[before] == node
            delay = RUNTIME.count_ns * min(int(account.system.needs[node]), workers)
            assert account.times.raised[node] == counted + delay
    if len(path.tasks):
        assert path.causes[0] in {WORKER, SCHEDULER}


@given(acyclic_links(max_tasks=40), st.integers(1, 6))
def test_no_bound_is_beaten(made, workers):
    found = run(context_of(graph_of(*made)), workers)
    if found.hang is None:
        bounds = found.bounds
        assert max(bounds.work_ns, bounds.path_ns, bounds.hand_out_ns) <= found.makespan_ns
    if workers == 1:
        assert found.bounds.work_ns == int(
            (found.account.durations + 9)[found.account.system.workers >= 0].sum()
        )


def test_stalls_name_the_event_and_who_came_last():
    # Tasks 2 and 3 trigger event 2; task 3 is a slow one. Tasks 4 and 5 wait.
    slow = task(None, 2, task_type=NORM)
    found = run(
        context_of(graph_of([(None, 2), slow, (2, 3), (2, 3)], 4), [[2], [3], [4, 5]]),
        workers=4,
        schedulers=4,
        model=model_of(TASK_RMS_NORM=900),
    )
    (stall,) = found.stalls
    assert (stall.event_index, stall.producer_task, stall.num_waits) == (2, 3, 2)
    assert (stall.waiting, stall.producer) == ("linear", "rms_norm")
    assert stall.spread_ns == 800
    assert stall.blocked_ns == int(found.account.blocked.sum())
    (group,) = found.stall_groups
    assert (group.num_waits, group.blocked_ns) == (2, stall.blocked_ns)


def test_a_starved_worker_is_no_stall():
    found = run(context_of(graph_of([(None, 2)] * 6, 3)), workers=2, model=model_of(TASK_LINEAR=0))
    assert found.stalls == ()
    assert found.workers.starved.sum() > 0


def test_waves_of_an_operator():
    found = run(context_of(graph_of([(None, 2)] * 5, 3)), workers=2)
    (row,) = found.operators
    assert (row.num_tasks, row.num_waves, row.last_wave_tasks) == (5, 3, 1)
    assert (row.start_ns, row.end_ns) == (
        int(found.account.times.starts[2:].min()),
        int(found.account.times.ends[2:].max()),
    )


def test_twice_as_fast_is_what_a_what_if_says():
    context = real("models/qwen3_demo-Qwen3-0.6B-b1-L2-cc90")
    model = CostModel.of_gpu("h100")
    found = run(context, 128, 16, model=model)
    for row in found.types:
        if row.halved_ns is None:
            continue
        halved = run(context, 128, 16, [f"{row.name}=0.5"], model=model)
        assert abs(halved.makespan_ns - row.halved_ns) <= len(found.path.tasks)
        assert halved.unchanged_ns == found.makespan_ns


def test_more_workers_are_no_slower_here():
    context = real("models/qwen3_demo-Qwen3-0.6B-b1-L2-cc90")
    few, many = (run(context, n, 4, model=CostModel.of_gpu("h100")) for n in (16, 128))
    assert many.makespan_ns < few.makespan_ns


def test_event_counted_twice_hangs_and_repaired_does_not():
    context = real("models/deepseek_v3-L0,3-b1-cc100")
    model = CostModel.of_gpu("b200")
    found = run(context, 128, 80, model=model)
    (link,) = found.hang.chain
    assert not found.hang.is_ring
    assert link.is_short
    assert found.hang.num_never_run == int((found.account.times.starts[2:] == NEVER).sum())
    repaired = run(context, 128, 80, ["counts=repair"], model=model)
    assert repaired.hang is None
    assert repaired.unchanged_ns is None


def test_a_deadlock_of_queues_is_a_ring():
    # Worker of task 2 waits for task 5, which is behind task 3, which waits for task 4 behind 2
    pairs = [(3, 4), (2, 4), (None, 2), (None, 3)]
    found = run(context_of(graph_of(pairs, 5)), workers=2, schedulers=2)
    assert found.hang.is_ring
    assert len(found.hang.chain) in {1, 2}
    for link, following in zip(
        found.hang.chain, [*found.hang.chain[1:], found.hang.chain[0]], strict=True
    ):
        assert found.account.system.workers[link.missing_task] == following.worker


def columns(places, waits, triggers, **slots):
    """Tasks that each have the column of 16 bytes at their place of one tensor."""
    return [
        task(
            waits,
            triggers,
            **{key: [slot(name, (1, 8), (64, 1), 16 * i)] for key, name in slots.items()},
        )
        for i in places
    ]


def test_a_split_event_lets_each_task_wait_for_its_producer_only():
    made = columns(range(3), None, 2, outputs="y")
    made[2]["task_type"] = NORM
    tasks = [*made, *columns(range(3), 2, 3, inputs="y")]
    graph = graph_of(tasks, 4)
    slow = model_of(TASK_RMS_NORM=5000)
    context = context_of(graph, [[2, 3], [4], [5, 6, 7]])
    whole = run(context, 6, 6, model=slow)
    split = run(context, 6, 6, ["event:2=split"], model=slow)
    ends = whole.account.times.ends
    assert (whole.account.times.starts[5:8] > ends[4]).all()
    starts = split.account.times.starts
    assert (starts[5:7] < ends[4]).all()
    assert starts[7] > ends[4]
    everything = run(context, 6, 6, ["events=split"], model=slow)
    assert np.array_equal(everything.account.times.starts, starts)
    with pytest.raises(SelectionError, match="no event 9"):
        run(context, 6, 6, ["event:9=split"])


def test_split_of_all_events_never_slows_a_real_graph():
    context = real("models/qwen3_demo-Qwen3-0.6B-b1-L2-cc90")
    model = CostModel.of_gpu("h100")
    split = run(context, 128, 16, ["events=split"], model=model)
    assert split.makespan_ns <= split.unchanged_ns


def test_too_many_pairs_to_split(monkeypatch):
    monkeypatch.setattr("mpkgraph.analysis.schedule.what_if.MAX_TILE_PAIRS", 8)
    context = context_of(graph_of([(None, 2)] * 3 + [(2, 3)] * 3, 4))
    with pytest.raises(TooLargeError, match="9 pairs"):
        run(context, what_if=["event:2=split"])


@pytest.mark.parametrize("text", ["", "x", "linear", "linear=fast", "linear=-1", "event:x=split"])
def test_what_is_no_change(text):
    with pytest.raises((UsageError, SelectionError)):
        run(context_of(graph_of([(None, 2)], 3)), what_if=[text])


def test_ranks_must_be_all():
    graphs = [graph_of([(None, 2)], 3, rank) for rank in (0, 2)]
    with pytest.raises(UsageError, match="not all ranks"):
        run([context_of(graph) for graph in graphs])


def test_a_graph_of_no_tasks():
    found = run(context_of(graph_of([], 3), []))
    assert (found.makespan_ns, found.hang, found.types) == (0, None, ())


def test_overfull_queues_are_told(monkeypatch):
    monkeypatch.setattr("mpkgraph.analysis.schedule.run.WORKER_QUEUE_LENGTH", 3)
    found = run(context_of(graph_of([(None, 2)] * 6, 3)), workers=2)
    assert found.overfull_workers == (0,)


@pytest.mark.parametrize("golden_graph", goldens.graphs(max_bytes=1_200_000)[::3], ids=str)
def test_json_of_goldens_is_plain(golden_graph):
    if golden_graph is None:
        return
    import orjson

    graph = read_graph(golden_graph.graph_path)
    context = GraphContext(graph, recover_operators(graph), DEFAULT)
    found = run(context, 128, 16, model=CostModel.of_gpu("h100"))
    document = orjson.loads(orjson.dumps(found.to_json()))
    assert document["num_tasks"] + (document["hang"] or {"num_never_run": 0})[
        "num_never_run"
    ] == int((found.account.system.workers >= 0).sum())
    assert sum(row["num_tasks"] for row in document["types"]) == document["num_tasks"]
    assert len(document["time_of_workers"]["workers"]) == 128


@pytest.mark.parametrize("workers", [64, 96])
def test_a_worker_waits_for_a_round_of_its_scheduler(workers):
    """Why a small graph can take longer on more workers."""
    system = build_system([read_graph(EXAMPLE / "task_graph_rank0.json")], workers, 4)
    first = 2 + int(np.argmax(system.workers[2:] == 0))  # worker 0 is the last one of its round
    round_ns = workers // 4 * RUNTIME.hand_out_ns
    assert system.handed_out(RUNTIME)[first] == RUNTIME.start_ns + round_ns + RUNTIME.queue_ns
