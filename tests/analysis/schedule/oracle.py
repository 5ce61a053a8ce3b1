"""A second opinion on schedules, in plain Python: one task object at a time, one ns at a time.

Nothing here is the simulation's: placement is dealt card by card as the runtime's loops do it,
times come of repeating the three conditions of a start until nothing changes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mpkgraph.analysis.schedule.system import FETCH_BATCH, RuntimeCosts
from mpkgraph.model.graph import TaskGraph
from mpkgraph.model.ids import EVENT_INVALID_ID, decode_event_id


@dataclass
class Placed:
    """Where tasks run, and when they are handed out."""

    queues: list[list[int]]
    handed: dict[int, int] = field(default_factory=dict)


def deal(graph: TaskGraph, num_workers: int, num_schedulers: int, costs: RuntimeCosts) -> Placed:
    """The loops of the schedulers in the first iteration, as the runtime writes them."""
    size, rest = divmod(num_workers, num_schedulers)
    placed = Placed([[] for _ in range(num_workers)])
    first = 0
    for scheduler in range(num_schedulers):
        last = first + size + (scheduler < rest)
        # Scheduler 0 has given the begin task to its first worker
        next_worker = first + 1 if scheduler == 0 else first
        next_worker = first if next_worker == last else next_worker
        now = costs.start_ns
        rows = -(-(graph.num_tasks - 2) // num_workers)
        for row in range(rows):
            for column in range(first, last):
                task = 2 + row * num_workers + column
                if task >= graph.num_tasks:
                    continue
                now += costs.hand_out_ns
                if not graph.tasks.is_null[task]:
                    placed.queues[next_worker].append(task)
                    placed.handed[task] = now + costs.queue_ns
                next_worker = first if next_worker == last - 1 else next_worker + 1
        first = last
    return placed


def slow_times(
    graph: TaskGraph, placed: Placed, durations: dict[int, int], costs: RuntimeCosts
) -> dict[int, tuple[int, int]]:
    """Start and end of every task that runs, by id: time goes on to the next end of a task."""
    counters: dict[int, int] = {}
    for event in _events(graph, "trigger_events")[1]:
        counters[event] = counters.get(event, 0) + 1
    waits, triggers = _events(graph, "dependent_events"), _events(graph, "trigger_events")
    raised = {
        event: 0
        for event, need in enumerate(graph.events.num_triggers.tolist())
        if counters.get(event, 0) >= need
    }
    heads, free = [0] * len(placed.queues), [0] * len(placed.queues)
    done: dict[int, tuple[int, int]] = {}
    counted: list[tuple[int, int]] = []
    while True:
        for worker, queue in enumerate(placed.queues):
            while heads[worker] < len(queue):
                task = queue[heads[worker]]
                if any(event not in raised for event in waits[task]):
                    break
                fetch = costs.fetch_ns if heads[worker] % FETCH_BATCH == 0 else 0
                ready = max(
                    free[worker] + fetch,
                    placed.handed[task],
                    *(raised[event] for event in waits[task]),
                )
                start = ready + costs.wait_ns
                done[task] = (start, start + durations[task])
                free[worker] = start + durations[task] + costs.trigger_ns + costs.resume_ns
                counted.append((start + durations[task] + costs.trigger_ns, task))
                heads[worker] += 1
        if not counted:
            return done
        # The earliest trigger of all that are known comes next: later ones can't be before it
        now, task = min(counted)
        counted.remove((now, task))
        for event in triggers[task]:
            counters[event] = counters.get(event, 0) + 1
            if event not in raised and counters[event] == graph.events.num_triggers[event]:
                need = int(graph.events.num_triggers[event])
                raised[event] = now + costs.count_ns * min(need, len(placed.queues))


def _events(graph: TaskGraph, column: str) -> list[list[int]]:
    """By task the index of its event, in a list of one; empty for none."""
    values = getattr(graph.tasks, column).tolist()
    return [
        [] if value == EVENT_INVALID_ID else [decode_event_id(value).event_index]
        for value in values
    ]
