"""The peer of the schedule's simulation: events in time, an object a task, a heap, no numpy.

As one writes it down first. It has its own placement and shares only the numbers with mpkgraph's,
so that equal makespans say something.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

FETCH_BATCH = 16


@dataclass
class Task:
    """One task as the simulation sees it."""

    number: int
    waits: int
    triggers: int
    duration: int
    handed: int = 0
    fetch: bool = False
    start: int = -1


@dataclass
class Worker:
    queue: deque[Task] = field(default_factory=deque)
    free: int = 0


@dataclass
class Event:
    missing: int
    needed: int
    raised: int = -1
    blocked: list[Worker] = field(default_factory=list)


def makespan(
    waits: Sequence[int],
    triggers: Sequence[int],
    needs: Sequence[int],
    durations: Sequence[int],
    placement: tuple[int, int],
    costs: dict[str, int],
) -> int:
    """When the last task has been counted, in ns.

    Columns go by task id (0 and 1 are the fixed ones) and by event; -1 stands for no event.
    """
    num_workers, num_schedulers = placement
    workers = [Worker() for _ in range(num_workers)]
    _deal(workers, waits, triggers, durations, num_schedulers, costs)
    events = [Event(need, need) for need in needs]
    for event in events:
        if event.missing <= 0:
            event.raised = 0
    heap: list[tuple[int, int, Worker, Task]] = []

    def begin(worker: Worker) -> None:
        if not worker.queue:
            return
        task = worker.queue[0]
        ready = max(worker.free + (costs["fetch_ns"] if task.fetch else 0), task.handed)
        if task.waits >= 0:
            event = events[task.waits]
            if event.raised < 0:
                event.blocked.append(worker)
                return
            ready = max(ready, event.raised)
        worker.queue.popleft()
        task.start = ready + costs["wait_ns"]
        counted = task.start + task.duration + costs["trigger_ns"]
        worker.free = counted + costs["resume_ns"]
        heapq.heappush(heap, (counted, task.number, worker, task))

    for worker in workers:
        begin(worker)
    while heap:
        now, _, worker, task = heapq.heappop(heap)
        if task.triggers >= 0:
            event = events[task.triggers]
            event.missing -= 1
            if event.missing == 0:
                event.raised = now + costs["count_ns"] * min(event.needed, num_workers)
                for waiting in event.blocked:
                    begin(waiting)
                event.blocked.clear()
        begin(worker)
    return max((worker.free for worker in workers), default=0)


def _deal(
    workers: list[Worker],
    waits: Sequence[int],
    triggers: Sequence[int],
    durations: Sequence[int],
    num_schedulers: int,
    costs: dict[str, int],
) -> None:
    """Each scheduler hands row after row to its block of workers, scheduler 0 one ahead."""
    num_workers, num_tasks = len(workers), len(waits)
    size, rest = divmod(num_workers, num_schedulers)
    first = 0
    for scheduler in range(num_schedulers):
        last = first + size + (scheduler < rest)
        turn = 1 if scheduler == 0 else 0
        now = costs["start_ns"]
        for row in range(2, num_tasks, num_workers):
            for number in range(row + first, min(row + last, num_tasks)):
                worker = workers[first + turn % (last - first)]
                now += costs["hand_out_ns"]
                task = Task(number, waits[number], triggers[number], durations[number])
                task.handed = now + costs["queue_ns"]
                task.fetch = len(worker.queue) % FETCH_BATCH == 0
                worker.queue.append(task)
                turn += 1
        first = last
