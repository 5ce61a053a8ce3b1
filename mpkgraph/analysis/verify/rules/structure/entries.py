"""Entries that every graph has, what is launched, and entries that the file lacks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.rule import CheckRow, Rule
from mpkgraph.analysis.verify.rules.structure.triggers import by_operator, subject
from mpkgraph.catalog import (
    EVENT_EMPTY,
    EVENT_END_OF_TASK_GRAPH,
    EVENT_LAUNCH_DEPENDENT_TASKS,
    EVENT_TERMINATION,
)
from mpkgraph.model import ids

LAUNCH_EVENT = 1
TERMINATE, BEGIN = 0, 10
"""Types of tasks 0 and 1."""

NOT_LAUNCHED = Rule(
    code="MPK303",
    name="task-not-launched",
    severity="error",
    summary="a task is outside the range that event 1 hands to workers",
    why="Workers get tasks from event 1 alone. One outside its range is in no queue: it never runs,"
    " and what waits for it hangs.",
    remedy="Let event 1 have the range [2, number of tasks).",
)
FIXED_ENTRY = Rule(
    code="MPK310",
    name="fixed-entry",
    severity="error",
    summary="an entry that every graph has is not what the runtime takes it for",
    why="The runtime starts from tasks 0 and 1 and events 0 and 1 by position, and acts on the "
    "types of events: another entry in their place launches nothing, twice, or ends at once.",
    remedy="Leave the first two tasks and events, and the types of the others, as they were.",
)
NULL_TASKS = Rule(
    code="MPK311",
    name="null-task",
    severity="error",
    summary="the file holds null in place of a task",
    why="The runtime can't load such a graph. The generator emits a layer twice that reads a fork "
    "through two slots, and keeps the second copy only.",
    remedy="Let the layer read the fork's result through one slot, or copy the tensor.",
)
FIRST_TASKS = Rule(
    code="MPK312",
    name="first-tasks",
    severity="warning",
    summary="first_tasks is not the list of tasks that wait for nothing",
    why="The runtime at de8745d launches tasks by event 1 and copies this list without use; tools, "
    "and schedulers that start from it, take a wrong one for the truth.",
    remedy="List the tasks without a dependent event, each once.",
)


def find_not_launched(context: VerifyContext) -> Iterator[Finding]:
    """Tasks that event 1 does not hand out, by operator."""
    graph = context.graph
    if graph.num_events <= LAUNCH_EVENT:
        return
    first = int(graph.events.first_task_ids[LAUNCH_EVENT])
    last = int(graph.events.last_task_ids[LAUNCH_EVENT])
    numbers = np.arange(ids.NUM_FIXED_TASKS, graph.num_tasks)
    outside = numbers[(numbers < first) | (numbers >= last)]
    for operator, tasks in by_operator(context, outside):
        yield Finding(
            rule=NOT_LAUNCHED,
            message=f"{subject(context, operator, tasks)} has {len(tasks)} tasks that are never "
            f"launched, the first is task {int(tasks[0])}: event 1 hands out [{first}, {last}) of "
            f"{graph.num_tasks} tasks",
            location=context.location(operator, event=LAUNCH_EVENT),
            remedy=f"Make the range of event 1 [{ids.NUM_FIXED_TASKS}, {graph.num_tasks})",
            witness=(context.task_ref(int(tasks[0])),),
            count=len(tasks),
        )


def find_fixed_entries(context: VerifyContext) -> Iterator[Finding]:
    """What is wrong with the entries that the runtime knows by position or type."""
    graph = context.graph
    for task, event, text, remedy in _fixed(context):
        yield Finding(
            rule=FIXED_ENTRY,
            message=text,
            location=context.location(event=event),
            remedy=remedy,
            witness=() if task is None or task >= graph.num_tasks else (context.task_ref(task),),
        )


def _fixed(context: VerifyContext) -> Iterator[tuple[int | None, int | None, str, str]]:
    graph, tasks, events = context.graph, context.graph.tasks, context.graph.events
    names = context.catalog.task_types
    for task, wanted in enumerate((TERMINATE, BEGIN)):
        found = int(tasks.task_types[task]) if task < graph.num_tasks else None
        if found != wanted:
            is_what = "missing" if found is None else context.catalog.task_type_name(found)
            text = f"task {task} is {is_what}, the runtime takes it for {names.get(wanted)}"
            yield task, None, text, f"Put a {names.get(wanted)} task there"
    if graph.num_events <= LAUNCH_EVENT:
        yield (
            None,
            None,
            f"there are {graph.num_events} events, events 0 and 1 are needed",
            ("Put the termination and launch events first"),
        )
        return
    for event, wanted in enumerate((EVENT_TERMINATION, EVENT_LAUNCH_DEPENDENT_TASKS)):
        found = int(events.event_types[event])
        if found != wanted:
            type_names = context.catalog.event_types
            yield (
                None,
                event,
                (
                    f"event {event} is of type {type_names.get(found, found)}, the runtime needs "
                    f"{type_names.get(wanted)} there"
                ),
                f"Make its type {wanted}",
            )
    if graph.num_tasks > 1 and (
        int(tasks.trigger_indices[1]) != LAUNCH_EVENT or events.num_triggers[LAUNCH_EVENT] != 1
    ):
        yield (
            1,
            LAUNCH_EVENT,
            (
                f"task 1 triggers event {int(tasks.trigger_indices[1])} and event 1 needs "
                f"{int(events.num_triggers[LAUNCH_EVENT])} triggers: task 1 must launch all "
                "others by triggering event 1, which needs 1"
            ),
            "Let task 1 trigger event 1, with num_triggers 1",
        )
    first, last = int(events.first_task_ids[1]), int(events.last_task_ids[1])
    if first < ids.NUM_FIXED_TASKS or last > graph.num_tasks:
        yield (
            None,
            LAUNCH_EVENT,
            (
                f"event 1 launches [{first}, {last}), which is more than tasks "
                f"{ids.NUM_FIXED_TASKS} to {graph.num_tasks - 1}"
            ),
            f"Make its range [{ids.NUM_FIXED_TASKS}, {graph.num_tasks})",
        )
    others = np.flatnonzero(
        ~np.isin(events.event_types[2:], (EVENT_EMPTY, EVENT_END_OF_TASK_GRAPH))
    )
    if len(others):
        event = int(others[0]) + 2
        kind = context.catalog.event_types.get(int(events.event_types[event]), "an unknown type")
        yield (
            None,
            event,
            (
                f"{len(others)} events after event 1 are neither empty nor the end: event {event} "
                f"is {kind}, so the runtime acts on it although event 1 has launched all tasks"
            ),
            f"Make the type of event {event} {EVENT_EMPTY}",
        )
    reserved = np.flatnonzero(
        (tasks.trigger_indices[2:] >= 0) & (tasks.trigger_indices[2:] <= LAUNCH_EVENT)
    )
    if len(reserved):
        task = int(reserved[0]) + 2
        yield (
            task,
            int(tasks.trigger_indices[task]),
            (
                f"{len(reserved)} tasks trigger event 0 or 1: task {task} triggers event "
                f"{int(tasks.trigger_indices[task])}, which is the runtime's"
            ),
            "Trigger the event of the tasks that wait, or the end",
        )
    ends = np.flatnonzero(events.event_types == EVENT_END_OF_TASK_GRAPH)
    if len(ends) > 1:
        yield (
            None,
            int(ends[0]),
            (f"{len(ends)} events end the graph: {', '.join(map(str, ends[:4].tolist()))}"),
            "Keep the last one",
        )


def find_null_tasks(context: VerifyContext) -> Iterator[Finding]:
    """Null entries of the file, all in one finding."""
    null = np.flatnonzero(context.graph.tasks.is_null)
    if not len(null):
        return
    yield Finding(
        rule=NULL_TASKS,
        message=f"{len(null)} of {context.graph.num_tasks} tasks are null, the first is task "
        f"{int(null[0])}: the runtime can't load the graph",
        location=context.location(),
        remedy="Let the layer whose tasks they are read the fork's result through one slot",
        witness=(context.task_ref(int(null[0])),),
        count=len(null),
    )


def find_first_tasks(context: VerifyContext) -> Iterator[Finding]:
    """first_tasks against the tasks that wait for nothing."""
    graph = context.graph
    listed = graph.first_tasks
    waits = graph.tasks.dependent_indices >= 0
    expected = np.flatnonzero(~waits & ~graph.tasks.is_null)
    expected = expected[expected >= ids.NUM_FIXED_TASKS]
    numbers, counts = np.unique(listed, return_counts=True)
    inside = numbers[(numbers >= ids.NUM_FIXED_TASKS) & (numbers < graph.num_tasks)]
    wrong = (
        ("are no tasks of a layer", np.setdiff1d(numbers, inside)),
        ("wait for an event", inside[waits[inside]]),
        ("are listed twice", numbers[counts > 1]),
        ("wait for nothing and are missing", np.setdiff1d(expected, numbers)),
    )
    for what, found in wrong:
        if not len(found):
            continue
        task = int(found[0])
        is_task = 0 <= task < graph.num_tasks
        yield Finding(
            rule=FIRST_TASKS,
            message=f"first_tasks has {len(listed)} entries; {len(found)} tasks {what}, the first "
            f"is task {task}",
            location=context.location(context.operators.of_task(task) if is_task else None),
            remedy=f"List the {len(expected)} tasks without a dependent event",
            witness=(context.task_ref(task),) if is_task else (),
            count=len(found),
        )


CHECKS = (
    CheckRow(find_not_launched, (NOT_LAUNCHED,)),
    CheckRow(find_fixed_entries, (FIXED_ENTRY,)),
    CheckRow(find_null_tasks, (NULL_TASKS,)),
    CheckRow(find_first_tasks, (FIRST_TASKS,)),
)
