"""Orders of execution, the check of schedules, and hangs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpkgraph.analysis.execution.counters import Counters
from mpkgraph.analysis.execution.exhaustive import Conflicts, all_orders
from mpkgraph.analysis.execution.hang import explain_hang
from mpkgraph.analysis.execution.legality import ScheduledTasks, order_faults, schedule_faults
from mpkgraph.analysis.execution.schedulers import (
    SCHEDULES,
    Fifo,
    delaying,
    make_scheduler,
    order_of,
    steps,
    task_depths,
)
from mpkgraph.analysis.execution.tasks import RankedTasks
from mpkgraph.errors import UsageError
from mpkgraph.io.reader import read_graph, read_graphs
from tests import goldens
from tests.amount import examples
from tests.analysis.graphs import acyclic_links, graph_of, links

SEVERAL = [x for x in goldens.multi_rank() if "L2-cc90" in str(x.id)] or goldens.multi_rank()


def _ranked(pairs, num_events=8, rank=0):
    return RankedTasks.of([graph_of(pairs, num_events, rank)])


def _runs(tasks, name, **options):
    groups = list(range(len(tasks)))
    order = order_of(tasks, make_scheduler(name, tasks, groups=groups, num_workers=2, **options))
    return [tasks.task(int(x)) for x in order]


FORK = [(None, 2), (2, 3), (2, 4), (3, 5), (4, 5), (5, None)]


@pytest.mark.parametrize("name", SCHEDULES)
def test_each_order_is_legal(name):
    tasks = _ranked(FORK)
    order = _runs(tasks, name)
    assert not list(order_faults(tasks.graphs, order))
    assert len(order) == 7


@given(links(), st.sampled_from(SCHEDULES), st.integers(0, 3))
@settings(max_examples=examples(150), deadline=None)
def test_random_graphs_run_legally(drawn, name, seed):
    tasks = _ranked(*drawn)
    order = _runs(tasks, name, seed=seed)
    faults = [x for x in order_faults(tasks.graphs, order) if x.kind != "missing"]
    assert not faults
    if name == "fifo":
        return
    # All orders but that of queues run whatever can run
    assert sorted(order) == sorted(_runs(tasks, "program"))


@pytest.mark.parametrize("golden", goldens.graphs(max_bytes=150_000, one_target=True), ids=str)
def test_each_order_of_a_golden_is_legal(golden, tmp_path):
    task_graph = read_graph(golden.write_graph(tmp_path))
    tasks = RankedTasks.of([task_graph])
    for name in SCHEDULES:
        assert not [x for x in order_faults(task_graph, _runs(tasks, name)) if x.kind != "missing"]


@pytest.mark.parametrize("several", SEVERAL)
def test_ranks_run_together(several, tmp_path):
    for golden in several:
        golden.write_graph(tmp_path)
    graphs = read_graphs(tmp_path)
    tasks = RankedTasks.of(graphs)
    for name in SCHEDULES:
        counters = Counters(tasks)
        scheduler = make_scheduler(name, tasks, groups=[0] * len(tasks), num_workers=16)
        order = [tasks.task(x) for step in steps(counters, scheduler) for x in step]
        assert not counters.num_left, name
        assert not list(order_faults(graphs, order))
    rows = tasks.partners
    if not len(rows):
        # One alone waits for the other
        alone = RankedTasks.of(graphs[:1])
        counters = Counters(alone)
        list(steps(counters, make_scheduler("program", alone)))
        hang = explain_hang(counters)
        assert hang.waits[0].num_counted < hang.waits[0].num_triggers
        return
    # A barrier in the kernel: no rank's task starts before the other's may
    mine, other = rows[0].tolist()
    triggers = tasks.triggering().row(int(tasks.dependents[other])).tolist()
    late = {tasks.task(x) for x in triggers}
    order = [x for x in _runs(tasks, "program") if x not in late]
    found = [x for x in order_faults(graphs, order) if x.kind == "early"]
    assert tasks.task(mine) in {(x.rank, x.task_id) for x in found}


def test_delayed_tasks_run_last():
    tasks = _ranked(FORK)
    order = order_of(tasks, delaying([3])).tolist()
    assert order.index(4) < order.index(3)
    assert order.index(3) < order.index(5)


def test_depths():
    assert task_depths(_ranked(FORK)).tolist() == [-1, 0, 0, 1, 1, 2, 2, 3]


def test_an_early_task_is_a_fault():
    tasks = _ranked(FORK)
    order = [(0, x) for x in (1, 2, 3, 5, 6, 4, 7)]
    faults = list(order_faults(tasks.graphs, order))
    assert [(x.kind, x.task_id) for x in faults] == [("early", 6)]
    assert "event 4" in str(faults[0])
    assert not list(order_faults(tasks.graphs, [(0, x) for x in (2, 3, 4, 5, 6, 7)]))


def test_faults_of_workers_and_runs():
    tasks = _ranked(FORK)
    ids = np.array([2, 3, 4, 5, 6, 7, 7, 99])
    starts = np.array([0, 1, 1, 2, 2, 3, 5, 0], dtype=float)
    schedule = ScheduledTasks(ids, starts, starts + 1.5, workers=np.zeros(8, dtype=np.int64))
    kinds = {x.kind for x in schedule_faults(tasks.graphs, schedule)}
    assert kinds == {"unknown", "twice", "early", "worker-busy"}
    later = ScheduledTasks(
        np.array([3, 2]), np.array([1.0, 2.0]), np.array([2.0, 3.0]), workers=np.array([0, 0])
    )
    found = [x.kind for x in schedule_faults(tasks.graphs, later, is_complete=False)]
    assert found == ["early", "queue-order"]
    missing = schedule_faults(tasks.graphs, ScheduledTasks(ids[:1], starts[:1], starts[:1]))
    assert [x.task_id for x in missing if x.kind == "missing"] == [3, 4, 5, 6, 7]


def test_a_hang_of_queues_is_explained():
    # Task 2 waits for task 4: with two workers both are in worker 0's queue
    tasks = _ranked([(3, None), (None, None), (None, 3)])
    counters = Counters(tasks)
    fifo = Fifo(tasks, 2, None)
    assert [x for step in steps(counters, fifo) for x in step] == [1, 3]
    hang = explain_hang(counters, fifo)
    assert hang.num_tasks == 2
    (wait,) = hang.waits
    assert (wait.task_id, wait.worker, wait.event_index) == (2, 0, 3)
    assert wait.blockers[0].place == "behind task 2 in the queue of worker 0"
    assert hang.cycle == ((0, 2), (0, 4))
    # With three workers it runs
    assert len(order_of(tasks, Fifo(tasks, 3, None))) == 4


def test_a_hang_of_events_is_explained():
    tasks = _ranked([(2, 3), (3, 2)])
    counters = Counters(tasks)
    list(steps(counters, make_scheduler("program", tasks)))
    hang = explain_hang(counters)
    assert sorted(hang.cycle) == [(0, 2), (0, 3)]
    assert hang.to_json()["num_tasks"] == 2


def test_schedules_are_known_by_name():
    tasks = _ranked(FORK)
    with pytest.raises(UsageError, match="no schedule"):
        make_scheduler("sideways", tasks)
    with pytest.raises(UsageError, match="workers"):
        make_scheduler("fifo", tasks)


@given(acyclic_links(max_tasks=5), st.integers(0, 1000))
@settings(max_examples=examples(60), deadline=None)
def test_all_orders_are_the_classes_of_all_linear_extensions(drawn, seed):
    tasks = _ranked(*drawn)
    rng = np.random.default_rng(seed)
    numbers = tasks.is_run.nonzero()[0]
    pairs = [x for x in itertools.combinations(numbers.tolist(), 2) if rng.random() < 0.4]
    earlier, later = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    conflicts = Conflicts.of(earlier, later)

    def shape(order):
        place = {task: i for i, task in enumerate(order)}
        return frozenset(order), tuple(
            (a in place, b in place, place.get(a, -1) < place.get(b, -1)) for a, b in pairs
        )

    def extensions(prefix):
        counters = Counters(tasks)
        for task in prefix:
            counters.finish(task)
        following = [x for x in numbers.tolist() if not counters.is_done[x] and counters.may_run(x)]
        if not following:
            yield prefix
        for task in following:
            yield from extensions([*prefix, task])

    wanted = {shape(x) for x in extensions([])}
    found = [shape(x) for x in all_orders(tasks, conflicts, 10_000)]
    assert set(found) == wanted
    assert len(found) == len(wanted)


def test_orders_are_limited():
    tasks = _ranked([(None, None)] * 6)
    every = list(itertools.combinations(range(2, 8), 2))
    conflicts = Conflicts.of(*(np.array(x) for x in zip(*every, strict=True)))
    assert len(list(all_orders(tasks, conflicts, 50))) == 50
    assert len(list(all_orders(tasks, conflicts, 1000))) == 720
