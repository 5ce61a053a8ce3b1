"""Workers that never started, told from event counters."""

from __future__ import annotations

import numpy as np
import pytest

from mpkgraph.analysis.execution.tasks import NOTHING, RankedTasks
from mpkgraph.mirage.absent_workers import absent_workers
from mpkgraph.mirage.hang import diagnose_hang
from mpkgraph.model import ids
from mpkgraph.planner.plan import plan
from tests.pipelines.table import PIPELINES

WORKERS, SCHEDULERS = 8, 3
BY_NAME = {x.name: x for x in PIPELINES}


@pytest.fixture
def graph():
    return plan(BY_NAME["small_mlp"].record(90)).graph


def counters(graph, runs):
    """What events have counted when no further task can run; a worker takes its tasks in turn."""
    tasks = RankedTasks.of([graph])
    counted = np.zeros(graph.num_events, dtype=np.int64)
    waiting = [x for x in range(graph.num_tasks) if tasks.is_run[x]]
    queues = {}
    for task in waiting:  # the begin task is 1, and the rest is dealt out
        queues.setdefault(NOTHING if task == 1 else (task - 2) % WORKERS, []).append(task)
    moved = True
    while moved:
        moved = False
        for worker, queue in queues.items():
            while queue and runs(worker):
                event = tasks.dependents[queue[0]]
                if event != NOTHING and counted[event] < tasks.needed[event]:
                    break
                trigger = tasks.triggers[queue.pop(0)]
                if trigger != NOTHING:
                    counted[trigger] += 1
                moved = True
    return counted


@pytest.mark.parametrize("first", [5, 6, 7])
def test_last_workers(graph, first):
    counted = counters(graph, lambda worker: worker < first)
    assert absent_workers(graph, counted, WORKERS, SCHEDULERS) == range(first, WORKERS)
    hang = diagnose_hang(graph, None, counted.tolist(), WORKERS, SCHEDULERS)
    assert f"all tasks of workers {first} to 7, which never started" in hang.lines[-1]
    assert hang.to_json()["absent_workers"] == list(range(first, WORKERS))


def test_more_than_schedulers_displace(graph):
    counted = counters(graph, lambda worker: worker < 4)
    assert absent_workers(graph, counted, WORKERS, SCHEDULERS) is None


def test_another_worker(graph):
    counted = counters(graph, lambda worker: worker != 2)
    assert absent_workers(graph, counted, WORKERS, SCHEDULERS) is None


def test_all_ran(graph):
    counted = counters(graph, lambda _: True)
    assert (counted[1:-1] == graph.events.num_triggers[1:-1]).all()
    assert absent_workers(graph, counted, WORKERS, SCHEDULERS) is None


def test_numbers_that_are_not_known(graph):
    counted = counters(graph, lambda worker: worker < 7)
    assert absent_workers(graph, counted, None, None) is None
    assert int(ids.EVENT_INVALID_ID) > graph.num_events
