"""Ids out of range, and ranges of events that are not what tasks say."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.rule import CheckRow, Rule
from mpkgraph.analysis.verify.rules.structure.triggers import by_operator, subject
from mpkgraph.catalog import EVENT_END_OF_TASK_GRAPH, EVENT_LAUNCH_DEPENDENT_TASKS
from mpkgraph.model import ids

ID_OUT_OF_RANGE = Rule(
    code="MPK308",
    name="event-id-out-of-range",
    severity="error",
    summary="a task names an event that does not exist, or that it can't wait for",
    why="The runtime uses the index without a check: it counts in memory that is something else's, "
    "and a wait for an event of another rank is never answered.",
    remedy="Name an event of this file; only an NVSHMEM put triggers one of another rank.",
)
RANGE_MISMATCH = Rule(
    code="MPK309",
    name="event-range-mismatch",
    severity="warning",
    summary="an event's range of tasks is not the tasks that wait for it",
    why="The runtime goes by each task's dependent_event, tools and later generators by the range: "
    "one of the two is not what was meant.",
    remedy="Let [first_task_id, last_task_id) be the tasks whose dependent_event it is.",
)


def find_bad_ids(context: VerifyContext) -> Iterator[Finding]:
    """Events that tasks name and this file (or the pipeline's other ranks) can't have."""
    graph, tasks = context.graph, context.graph.tasks
    num_ranks = None if context.record is None else context.record.num_gpus
    for column, verb in ((tasks.dependent_events, "wait for"), (tasks.trigger_events, "trigger")):
        indices, ranks = ids.event_indices(column), ids.event_ranks(column)
        bad = indices >= graph.num_events
        if verb == "wait for":
            bad |= (indices >= 0) & (ranks != graph.rank)
        else:
            away = (indices >= 0) & (ranks != graph.rank)
            bad |= away & ~ids.event_is_nvshmem(column)
            if num_ranks is not None:
                bad |= away & (ranks >= max(num_ranks, 1))
        found = np.flatnonzero(bad & ~tasks.is_null)
        for operator, mine in by_operator(context, found):
            task = int(mine[0])
            index, rank = int(indices[task]), int(ranks[task])
            of = "" if rank == graph.rank else f" of rank {rank}"
            yield Finding(
                rule=ID_OUT_OF_RANGE,
                message=f"{subject(context, operator, mine)} has {len(mine)} tasks that {verb} "
                f"events they can't: task {task} names event {index}{of} ({int(column[task]):#x}); "
                f"this is rank {graph.rank} with events 0 to {graph.num_events - 1}",
                location=context.location(operator, event=index),
                remedy=f"Name an event from 0 to {graph.num_events - 1} of rank {graph.rank}",
                witness=(context.task_ref(task),),
                count=len(mine),
            )


def find_range_mismatches(context: VerifyContext) -> Iterator[Finding]:
    """Events whose range is not the tasks that wait for them; null tasks may be missing."""
    graph = context.graph
    events = graph.events
    first = events.first_task_ids.astype(np.int64)
    last = events.last_task_ids.astype(np.int64)
    plain = np.arange(graph.num_events) >= ids.NUM_FIXED_TASKS
    plain &= ~np.isin(events.event_types, (EVENT_END_OF_TASK_GRAPH, EVENT_LAUNCH_DEPENDENT_TASKS))
    dependent = graph.tasks.dependent_indices
    own = ids.event_ranks(graph.tasks.dependent_events) == graph.rank
    waits = np.flatnonzero(
        (dependent >= 0) & (dependent < graph.num_events) & own & ~graph.tasks.is_null
    )
    lowest = np.full(graph.num_events, graph.num_tasks, dtype=np.int64)
    highest = np.full(graph.num_events, -1, dtype=np.int64)
    np.minimum.at(lowest, dependent[waits], waits)
    np.maximum.at(highest, dependent[waits], waits)
    waiting = np.bincount(dependent[waits], minlength=graph.num_events)
    valid = (first >= 0) & (last >= first) & (last <= graph.num_tasks)
    nulls = np.concatenate([[0], np.cumsum(graph.tasks.is_null)])
    inside = np.where(valid, last, 0) - np.where(valid, first, 0)
    inside -= nulls[np.where(valid, last, 0)] - nulls[np.where(valid, first, 0)]
    good = valid & (waiting == inside) & (lowest >= first) & (highest < last)
    bad = np.flatnonzero(plain & ~good)
    witnesses = np.where(waiting, lowest, np.clip(first, 0, graph.num_tasks - 1))[bad]
    for operator, tasks in by_operator(context, witnesses):
        mine = bad[np.isin(witnesses, tasks)]
        event = int(mine[0])
        count, low, high = int(waiting[event]), int(lowest[event]), int(highest[event])
        who = f"{count} tasks from {low} to {high} wait"
        if count < 2:
            who = f"task {low} waits" if count else "no task waits"
        yield Finding(
            rule=RANGE_MISMATCH,
            message=f"{subject(context, operator, tasks)} waits for {len(mine)} events whose range "
            f"says otherwise: event {event} has [{int(events.first_task_ids[event])}, "
            f"{int(events.last_task_ids[event])}), and {who} for it "
            f"({graph.num_tasks} tasks in all)",
            location=context.location(operator, event=event),
            remedy=f"Make the range [{low}, {high + 1})" if count else "Make the range empty",
            witness=(context.task_ref(int(tasks[0])),),
            count=len(mine),
            count_of="events",
        )


CHECKS = (
    CheckRow(find_bad_ids, (ID_OUT_OF_RANGE,)),
    CheckRow(find_range_mismatches, (RANGE_MISMATCH,)),
)
