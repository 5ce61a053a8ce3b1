"""Tasks that wait for work behind them in their own worker's queue.

A worker runs its tasks in ascending order of ids, and its head blocks it. If each task waits only
for tasks of lower ids, no number of workers hangs: of the tasks that are not done, the one with the
lowest id is at the head of its queue, and all that it waits for is done. Otherwise one worker
hangs, and whether several do depends on how tasks are dealt out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.rule import CheckRow, Rule
from mpkgraph.analysis.verify.rules.structure.triggers import by_operator, subject
from mpkgraph.analysis.workers import MAX_WORKERS, assign_workers
from mpkgraph.model import ids

QUEUE_ORDER = Rule(
    code="MPK305",
    name="waits-on-later-task",
    severity="error",
    summary="a task waits for one with a higher id, which may be queued behind it",
    why="Every worker runs its queue in order of task ids, and a task that waits blocks the worker."
    " If the task it waits for comes later in the same queue, the kernel hangs.",
    remedy="List tasks in an order in which each comes after those that it waits for.",
)


def find_queue_order(context: VerifyContext) -> Iterator[Finding]:
    """Dependencies from a higher task id to a lower one, by operator that waits."""
    if context.view.levels.cycle:
        return  # every circle has such a dependency
    events = context.view.all_ranks
    latest = np.zeros(events.num_nodes, dtype=np.int64)
    has_trigger = np.flatnonzero(events.trigger_nodes >= 0)
    np.maximum.at(latest, events.trigger_nodes[has_trigger], has_trigger)
    waits = np.flatnonzero(events.dependent_nodes >= 0)
    late = waits[latest[events.dependent_nodes[waits]] > waits]
    if not len(late):
        return
    placement = _placement(context)
    stuck = None if placement is None else hanging_tasks(context, *placement)
    for operator, tasks in by_operator(context, late):
        task = int(tasks[0])
        event = int(events.dependent_nodes[task])
        later = int(latest[event])
        text, severity = _verdict(later - task, placement, stuck)
        yield Finding(
            rule=QUEUE_ORDER,
            message=f"{subject(context, operator, tasks)} has {len(tasks)} tasks that wait for "
            f"tasks with higher ids: task {task} waits for task {later} (event {event}){text}",
            location=context.location(operator, event=event),
            remedy=f"List task {later} before task {task}",
            witness=(context.task_ref(task), context.task_ref(later)),
            count=len(tasks),
            severity_here=severity,
            key=()
            if operator is None
            else (operator.task_type, operator.grid_dim, later - task, len(tasks)),
        )


def _placement(context: VerifyContext) -> tuple[int, int | None] | None:
    """Workers and schedulers, as the user or the record says; None when nobody does."""
    options = context.options
    if options.num_workers is not None:
        return options.num_workers, options.num_schedulers
    init = {} if context.record is None else context.record.init
    workers, schedulers = _count(init, "num_workers"), _count(init, "num_local_schedulers")
    if workers is None or workers > MAX_WORKERS:
        return None
    return workers, schedulers if schedulers is not None and schedulers <= workers else None


def _count(init: Any, key: str) -> int | None:
    value = init.get(key)
    return value if isinstance(value, int) and value > 0 else None


def _verdict(
    distance: int, placement: tuple[int, int | None] | None, stuck: IntArray | None
) -> tuple[str, Any]:
    if placement is None or stuck is None:
        numbers = [n for n in range(2, MAX_WORKERS + 1) if distance % n == 0]
        some = f", and with {', '.join(map(str, numbers[:4]))}" if numbers else ""
        more = " ... workers, which share a queue" if len(numbers) > 4 else ""
        return f". One worker hangs{some}{more}", None
    if len(stuck):
        return f". With {placement[0]} workers {len(stuck)} tasks never run, and it hangs", None
    return f". With {placement[0]} workers it runs; with one it hangs", "warning"


def hanging_tasks(context: VerifyContext, num_workers: int, num_schedulers: int | None) -> IntArray:
    """Tasks that never run when each worker runs its queue in order; none in a sound graph."""
    events, graph = context.view.all_ranks, context.graph
    workers = assign_workers(graph.num_tasks, num_workers, num_schedulers).tolist()
    dependents, triggers = events.dependent_nodes.tolist(), events.trigger_nodes.tolist()
    missing = np.bincount(
        events.trigger_nodes[events.trigger_nodes >= 0], minlength=events.num_nodes
    ).tolist()
    queues: list[list[int]] = [[] for _ in range(num_workers)]
    for task in range(graph.num_tasks - 1, ids.BEGIN_TASK_ID - 1, -1):
        queues[workers[task]].append(task)
    blocked: dict[int, list[int]] = {}
    running = list(range(num_workers))
    while running:
        worker = running.pop()
        queue = queues[worker]
        while queue:
            task = queue[-1]
            event = dependents[task]
            if event >= 0 and missing[event]:
                blocked.setdefault(event, []).append(worker)
                break
            queue.pop()
            trigger = triggers[task]
            if trigger >= 0:
                missing[trigger] -= 1
                if not missing[trigger]:
                    running += blocked.pop(trigger, ())
    return np.array(sorted(task for queue in queues for task in queue), dtype=np.int64)


CHECKS = (CheckRow(find_queue_order, (QUEUE_ORDER,)),)
