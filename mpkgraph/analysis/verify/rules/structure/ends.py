"""Whether the end of the graph waits for all work, and whether there is work at all."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.rule import CheckRow, Rule
from mpkgraph.analysis.verify.rules.structure.triggers import by_operator, end_events, subject
from mpkgraph.model import ids

END_NOT_REACHED = Rule(
    code="MPK306",
    name="end-not-reached",
    severity="error",
    summary="the end of the graph does not wait for a task",
    why="The runtime ends the iteration when the end event is complete. A task from which no chain "
    "of events leads there may still run, or write results, after that.",
    remedy="Let each task that nothing waits for trigger the end event.",
)
EMPTY_GRAPH = Rule(
    code="MPK307",
    name="empty-graph",
    severity="error",
    summary="the graph has no task",
    why="Nothing triggers the end of the graph, so its kernel waits for ever.",
    remedy="Add a layer before compile().",
)


def find_lost_ends(context: VerifyContext) -> Iterator[Finding]:
    """Tasks from which the end can't be reached, by operator; a missing end event."""
    if context.graph.num_tasks <= ids.NUM_FIXED_TASKS:
        return
    ends = end_events(context)
    if not len(ends):
        yield Finding(
            rule=END_NOT_REACHED,
            message=f"none of the {context.graph.num_events} events is the end of the graph: its "
            "kernel never ends",
            location=context.location(),
            remedy="Let the last event be EVENT_END_OF_TASK_GRAPH",
            count=context.graph.num_tasks - ids.NUM_FIXED_TASKS,
        )
        return
    events = context.view.all_ranks
    reaches = np.append(events.reachable(ends, backward=True), [False])
    lost = np.flatnonzero(~reaches[events.trigger_nodes] & ~events.null_tasks)
    lost = lost[lost >= ids.NUM_FIXED_TASKS]
    for operator, tasks in by_operator(context, lost):
        task = int(tasks[0])
        event = int(events.trigger_nodes[task])
        what = (
            "trigger no event"
            if event < 0
            else f"trigger events that lead nowhere (task {task} triggers event {event}, which "
            f"{len(events.tasks_waiting_on(event))} tasks wait for)"
        )
        yield Finding(
            rule=END_NOT_REACHED,
            message=f"{subject(context, operator, tasks)} has {len(tasks)} tasks that {what}: the "
            f"end (event {int(ends[0])}) does not wait for them",
            location=context.location(operator, event=event if event >= 0 else None),
            remedy=f"Let tasks that nothing waits for trigger event {int(ends[0])}",
            witness=(context.task_ref(task),),
            count=len(tasks),
            key=() if operator is None else (operator.task_type, operator.grid_dim, len(tasks)),
        )


def find_empty_graph(context: VerifyContext) -> Iterator[Finding]:
    """A graph of the two fixed tasks alone."""
    if context.graph.num_tasks > ids.NUM_FIXED_TASKS:
        return
    yield Finding(
        rule=EMPTY_GRAPH,
        message=f"the graph has no task but the {context.graph.num_tasks} fixed ones: nothing "
        "triggers its end, and the kernel hangs",
        location=context.location(),
        remedy="Add a layer before compile()",
    )


CHECKS = (
    CheckRow(find_lost_ends, (END_NOT_REACHED,)),
    CheckRow(find_empty_graph, (EMPTY_GRAPH,)),
)
