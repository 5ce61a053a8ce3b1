"""Orders in which tasks may run: each a scheduler that is told what is ready and picks the next.

A step is a list of tasks that are ready together; steps and the tasks in them run one after
another. What a scheduler never picks while something is ready it can't pick: a worker's queue has
it behind a task that waits.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np

from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.execution.counters import Counters
from mpkgraph.analysis.execution.tasks import NOTHING, RankedTasks
from mpkgraph.analysis.workers import assign_workers
from mpkgraph.errors import UsageError

SCHEDULES = ("batched", "program", "fifo", "reversed", "adversarial", "random")
"""Names of the orders that need nothing but a graph; see `make_scheduler`."""


class Scheduler(Protocol):
    """Chooses among what is ready."""

    def add(self, task: int) -> None:
        """A task may run from now on."""

    def pick(self) -> list[int]:
        """The next step; empty when nothing can run."""


def steps(counters: Counters, scheduler: Scheduler) -> Iterator[list[int]]:
    """Steps until nothing can run any more; `counters.num_left` then says how many tasks hang.

    A step is complete when the next one is asked for.
    """
    for task in counters.first():
        scheduler.add(task)
    while step := scheduler.pick():
        yield step
        for task in step:
            for ready in counters.finish(task):
                scheduler.add(ready)


def order_of(tasks: RankedTasks, scheduler: Scheduler) -> IntArray:
    """All that a scheduler runs, in its order."""
    return np.array([x for step in steps(Counters(tasks), scheduler) for x in step], dtype=np.int64)


class ByPriority:
    """The ready task with the lowest key first."""

    def __init__(self, keys: Callable[[int], object]) -> None:
        self._keys = keys
        self._heap: list[tuple[object, int]] = []

    def add(self, task: int) -> None:
        heapq.heappush(self._heap, (self._keys(task), task))

    def pick(self) -> list[int]:
        return [heapq.heappop(self._heap)[1]] if self._heap else []


class Random:
    """Any ready task, by a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  no secret
        self._ready: list[int] = []

    def add(self, task: int) -> None:
        self._ready.append(task)

    def pick(self) -> list[int]:
        if not self._ready:
            return []
        place = self._random.randrange(len(self._ready))
        self._ready[place], self._ready[-1] = self._ready[-1], self._ready[place]
        return [self._ready.pop()]


class ByOperator:
    """All ready tasks of one group (the tasks of an operator) as one step, lowest group first."""

    def __init__(self, groups: Sequence[int]) -> None:
        self._groups = groups
        self._ready: dict[int, list[int]] = {}
        self._heap: list[int] = []

    def add(self, task: int) -> None:
        group = self._groups[task]
        if group not in self._ready:
            self._ready[group] = []
            heapq.heappush(self._heap, group)
        self._ready[group].append(task)

    def pick(self) -> list[int]:
        if not self._heap:
            return []
        return sorted(self._ready.pop(heapq.heappop(self._heap)))


class Fifo:
    """Workers with a queue each, all ranks alike; they take turns, and a head that waits blocks.

    `heads` tells after the end who is blocked by what.
    """

    def __init__(self, tasks: RankedTasks, num_workers: int, num_schedulers: int | None) -> None:
        self.num_workers = num_workers
        self.queues: list[deque[int]] = []
        self._worker: dict[int, int] = {}
        for start, graph in zip(tasks.starts.tolist(), tasks.graphs, strict=False):
            workers = assign_workers(graph.num_tasks, num_workers, num_schedulers)
            mine = [deque[int]() for _ in range(num_workers)]
            for task, worker in enumerate(workers.tolist()):
                if worker >= 0 and tasks.is_run[start + task]:
                    mine[worker].append(start + task)
                    self._worker[start + task] = len(self.queues) + worker
            self.queues += mine
        self._is_ready = bytearray(len(tasks))
        self._turn: deque[int] = deque()

    def worker_of(self, task: int) -> int:
        """The queue that a task is in: rank position times workers, and the worker."""
        return self._worker[task]

    @property
    def heads(self) -> list[tuple[int, int]]:
        """(queue, task) of each that has not run empty."""
        return [(number, queue[0]) for number, queue in enumerate(self.queues) if queue]

    def add(self, task: int) -> None:
        self._is_ready[task] = 1
        queue = self._worker[task]
        if self.queues[queue][0] == task:
            self._turn.append(queue)

    def pick(self) -> list[int]:
        if not self._turn:
            return []
        queue = self.queues[self._turn.popleft()]
        task = queue.popleft()
        if queue and self._is_ready[queue[0]]:
            self._turn.append(self._worker[task])
        return [task]


def delaying(tasks: Iterable[int]) -> ByPriority:
    """Some tasks at the last legal moment: when nothing else may run; the others by number."""
    delayed = frozenset(tasks)
    return ByPriority(lambda task: (task in delayed, task))


def hurrying(first: Iterable[int], last: Iterable[int], order: Sequence[int]) -> ByPriority:
    """Some tasks as soon as may be, some at the last moment; the others as in `order`."""
    early, late = frozenset(first), frozenset(last)
    place = {task: number for number, task in enumerate(order)}
    return ByPriority(lambda task: (task in late, task not in early, place.get(task, task)))


def make_scheduler(
    name: str,
    tasks: RankedTasks,
    *,
    seed: int = 0,
    groups: Sequence[int] | None = None,
    num_workers: int | None = None,
    num_schedulers: int | None = None,
) -> Scheduler:
    """The scheduler of a name.

    `batched`: operator by operator, the ready tasks of each together (needs `groups`). `program`:
    the ready task with the lowest id (ranks take turns). `fifo`: as the runtime deals tasks out to
    workers. `reversed`: the highest id. `adversarial`: the deepest task, so that what others do
    not wait for comes last. `random`: any, by `seed`.

    Raises UsageError for another name, or when what it needs was not given.
    """
    if name == "batched" and groups is not None:
        return ByOperator(groups)
    if name in {"program", "batched"}:
        ids = _ids(tasks)
        return ByPriority(ids.__getitem__)
    if name == "reversed":
        ids = _ids(tasks)
        return ByPriority(lambda task: -ids[task])
    if name == "adversarial":
        depths = task_depths(tasks).tolist()
        return ByPriority(lambda task: (-depths[task], -task))
    if name == "random":
        return Random(seed)
    if name == "fifo":
        if num_workers is None:
            raise UsageError(
                "the schedule fifo needs the number of workers", remedy="Add --workers N"
            )
        return Fifo(tasks, num_workers, num_schedulers)
    raise UsageError(f"no schedule is called {name!r}", remedy=f"Known: {', '.join(SCHEDULES)}")


def task_depths(tasks: RankedTasks) -> IntArray:
    """By task the number of tasks on the longest chain before it; -1 for those that hang."""
    counters = Counters(tasks)
    of_event = [0] * tasks.num_events
    depths = [-1] * len(tasks)
    for step in steps(counters, ByPriority(lambda task: task)):
        for task in step:
            event = counters.dependents[task]
            depths[task] = 0 if event == NOTHING else of_event[event]
            trigger = counters.triggers[task]
            if trigger != NOTHING:
                of_event[trigger] = max(of_event[trigger], depths[task] + 1)
    return np.array(depths, dtype=np.int64)


def _ids(tasks: RankedTasks) -> list[int]:
    """By task its id, so that ranks keep step."""
    parts = [np.arange(graph.num_tasks) for graph in tasks.graphs]
    numbers: list[int] = np.concatenate(parts).tolist() if parts else []
    return numbers
