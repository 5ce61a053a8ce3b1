"""Tasks per worker: against a plain simulation of how schedulers hand out tasks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpkgraph.analysis.workers import WORKER_QUEUE_LENGTH, assign_workers, worker_load
from mpkgraph.errors import UsageError


def handed_out(num_tasks: int, num_workers: int, num_schedulers: int) -> list[int]:
    """Each scheduler walks over all rows of tasks and gives its columns to its workers in turn."""
    workers = [-1, 0, *[-2] * (num_tasks - 2)]
    first = 0
    for scheduler in range(num_schedulers):
        size = num_workers // num_schedulers + (scheduler < num_workers % num_schedulers)
        block = list(range(first, first + size))
        turn = 1 % size if scheduler == 0 else 0  # scheduler 0 gave its first worker the begin task
        for row in range(-(-max(num_tasks - 2, 0) // num_workers)):
            for column in block:
                task = 2 + row * num_workers + column
                if task < num_tasks:
                    workers[task] = block[turn]
                    turn = (turn + 1) % size
        first += size
    return workers


@given(st.integers(2, 60), st.integers(1, 12), st.data())
def test_schedulers_hand_out_round_robin(num_tasks, num_workers, data):
    num_schedulers = data.draw(st.integers(1, num_workers))
    workers = assign_workers(num_tasks, num_workers, num_schedulers)
    assert workers.tolist() == handed_out(num_tasks, num_workers, num_schedulers)
    load = worker_load(num_tasks, num_workers, num_schedulers)
    counts = [workers[2:].tolist().count(worker) for worker in range(num_workers)]
    assert load.tasks_per_worker.tolist() == counts
    assert (load.min_tasks, load.max_tasks) == (min(counts), max(counts))


@given(st.integers(2, 60), st.integers(1, 12))
def test_without_schedulers_the_worker_is_the_remainder(num_tasks, num_workers):
    workers = assign_workers(num_tasks, num_workers)
    assert workers[2:].tolist() == [(i - 2) % num_workers for i in range(2, num_tasks)]
    counts = [workers[2:].tolist().count(worker) for worker in range(num_workers)]
    assert worker_load(num_tasks, num_workers).tasks_per_worker.tolist() == counts


@pytest.mark.parametrize("num_tasks", [0, 1, 2])
def test_graphs_without_tasks(num_tasks):
    assert assign_workers(num_tasks, 4).tolist() == [-1, 0][:num_tasks]
    assert worker_load(num_tasks, 4).tasks_per_worker.tolist() == [0, 0, 0, 0]


def test_full_queue_is_told():
    # With the begin task worker 0 has one entry more than it has tasks.
    full = 2 + 2 * WORKER_QUEUE_LENGTH
    assert worker_load(full, 2).overfull_workers == (0,)
    assert worker_load(full - 2, 2).overfull_workers == ()
    assert worker_load(full + 2, 2).overfull_workers == (0, 1)
    assert worker_load(full, 2).to_json()["overfull_workers"] == [0]


@pytest.mark.parametrize(
    ("num_workers", "num_schedulers", "words"),
    [
        (0, None, "from 1 to 160"),
        (161, None, "from 1 to 160"),
        (4, 5, "from 1 to 4"),
        (4, 0, "from 1 to 4"),
    ],
)
def test_impossible_numbers_are_refused(num_workers, num_schedulers, words):
    with pytest.raises(UsageError, match=words):
        worker_load(10, num_workers, num_schedulers)
    with pytest.raises(UsageError, match=words):
        assign_workers(10, num_workers, num_schedulers)
