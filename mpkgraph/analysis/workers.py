"""Which worker runs which task: the static assignment of the runtime's first iteration.

Facts from Mirage `include/mirage/persistent_kernel/persistent_kernel.cuh` at `de8745d`: event 1
prelaunches tasks 2, 3, ... Scheduler s serves a contiguous block of workers (the first schedulers
one more where they do not divide) and hands each row of `num_workers` tasks round robin to its
block. Scheduler 0 has handed out the begin task before, so its round robin is one worker ahead.
In later iterations the round robin goes on from where the last row ended.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any

import numpy as np

from mpkgraph.analysis.csr import IntArray
from mpkgraph.errors import UsageError
from mpkgraph.frozen import dataclass
from mpkgraph.model import ids

MAX_WORKERS = 160
"""`MAX_NUM_WORKERS` of the runtime."""
WORKER_QUEUE_LENGTH = 8192
"""Tasks that one worker's queue holds (`per_worker_queue_len`)."""


@dataclass(frozen=True)
class WorkerLoad:
    """How many tasks each worker gets. Workers' counts differ by at most one."""

    num_workers: int
    num_schedulers: int | None
    tasks_per_worker: IntArray = field(repr=False)
    """Prelaunched tasks; the begin task in worker 0's queue is not counted."""

    @property
    def min_tasks(self) -> int:
        return int(self.tasks_per_worker.min())

    @property
    def max_tasks(self) -> int:
        return int(self.tasks_per_worker.max())

    @property
    def overfull_workers(self) -> tuple[int, ...]:
        """Workers whose queue is too short for one iteration, the begin task included: the ring
        buffer would overwrite tasks that have not run.
        """
        lengths = self.tasks_per_worker.copy()
        lengths[0] += 1
        return tuple(np.flatnonzero(lengths > WORKER_QUEUE_LENGTH).tolist())

    def to_json(self) -> dict[str, Any]:
        return {
            "num_workers": self.num_workers,
            "num_schedulers": self.num_schedulers,
            "min_tasks": self.min_tasks,
            "max_tasks": self.max_tasks,
            "queue_limit": WORKER_QUEUE_LENGTH,
            "overfull_workers": list(self.overfull_workers),
            "tasks_per_worker": self.tasks_per_worker.tolist(),
        }


def worker_load(num_tasks: int, num_workers: int, num_schedulers: int | None = None) -> WorkerLoad:
    """Tasks of each worker in a graph of `num_tasks` tasks, terminate and begin included.

    Raises UsageError for a number of workers or schedulers that the runtime can't have.

    >>> worker_load(2 + 10, num_workers=4).tasks_per_worker.tolist()
    [3, 3, 2, 2]
    """
    columns = _worker_of_column(num_workers, num_schedulers)
    rows, rest = divmod(max(num_tasks - ids.NUM_FIXED_TASKS, 0), num_workers)
    counts = np.full(num_workers, rows, dtype=np.int64)
    counts[columns[:rest]] += 1
    return WorkerLoad(num_workers, num_schedulers, counts)


def assign_workers(num_tasks: int, num_workers: int, num_schedulers: int | None = None) -> IntArray:
    """For each task its worker in the first iteration; 0 for begin, -1 for terminate.

    A worker runs its tasks in ascending order. Without `num_schedulers` task i is worker
    (i - 2) mod `num_workers`'s.

    Raises UsageError for a number of workers or schedulers that the runtime can't have.

    >>> assign_workers(8, num_workers=4).tolist()
    [-1, 0, 0, 1, 2, 3, 0, 1]
    >>> assign_workers(8, num_workers=4, num_schedulers=2).tolist()
    [-1, 0, 1, 0, 2, 3, 1, 0]
    """
    columns = _worker_of_column(num_workers, num_schedulers)
    workers = columns[(np.arange(num_tasks) - ids.NUM_FIXED_TASKS) % num_workers]
    workers[: ids.BEGIN_TASK_ID] = -1
    workers[ids.BEGIN_TASK_ID : ids.NUM_FIXED_TASKS] = 0
    return workers


def _worker_of_column(num_workers: int, num_schedulers: int | None) -> IntArray:
    """The worker that gets each task of a row of `num_workers` tasks."""
    if not 1 <= num_workers <= MAX_WORKERS:
        raise UsageError(
            f"{num_workers} workers are not possible",
            remedy=f"Give a number of workers from 1 to {MAX_WORKERS}, one for each SM used",
        )
    columns = np.arange(num_workers, dtype=np.int64)
    if num_schedulers is not None:
        if not 1 <= num_schedulers <= num_workers:
            raise UsageError(
                f"{num_schedulers} schedulers can't serve {num_workers} workers",
                remedy=f"Give a number of schedulers from 1 to {num_workers}",
            )
        first_block = -(-num_workers // num_schedulers)
        columns[:first_block] = np.roll(columns[:first_block], -1)
    return columns
