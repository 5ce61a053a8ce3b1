"""Events that wait for each other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.rule import CheckRow, Rule

CYCLE = Rule(
    code="MPK304",
    name="event-cycle",
    severity="error",
    summary="events wait for each other in a circle",
    why="Each task of the circle waits for an event that a task behind it triggers: none of them "
    "ever starts, and the kernel hangs.",
    remedy="Take the edge out that leads back; a task must not trigger what it waits for.",
)
MAX_SHOWN = 8
"""Events and tasks of a circle that are named."""


def find_cycles(context: VerifyContext) -> Iterator[Finding]:
    """One circle of the graph."""
    cycle = context.view.levels.cycle
    if not cycle:
        return
    events = context.view.all_ranks
    tasks = []
    for event, following in zip(cycle[:MAX_SHOWN], (*cycle[1:], cycle[0]), strict=False):
        waiting = events.tasks_waiting_on(event)
        tasks.append(int(waiting[np.argmax(events.trigger_nodes[waiting] == following)]))
    path = " -> ".join(
        map(str, (*cycle[:MAX_SHOWN], *(() if len(cycle) > MAX_SHOWN else cycle[:1])))
    )
    stuck = int((context.view.levels.event_levels < 0).sum())
    yield Finding(
        rule=CYCLE,
        message=f"events {path}{' ...' if len(cycle) > MAX_SHOWN else ''} wait for each other "
        f"through tasks {', '.join(map(str, tasks))}: {stuck} events are in or behind the circle",
        location=context.location(context.operators.of_task(tasks[0]), event=cycle[0]),
        remedy=f"Let task {tasks[-1]} trigger an event after event {cycle[-1]}",
        witness=tuple(context.task_ref(x) for x in tasks),
        count=len(cycle),
        count_of="events",
    )


CHECKS = (CheckRow(find_cycles, (CYCLE,)),)
