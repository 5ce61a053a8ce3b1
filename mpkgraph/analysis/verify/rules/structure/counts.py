"""Events that get another number of triggers than they wait for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.rule import CheckRow, Rule
from mpkgraph.analysis.verify.rules.structure.triggers import (
    Triggers,
    by_operator,
    end_events,
    subject,
)

NEVER_COMPLETE = Rule(
    code="MPK301",
    name="event-never-completes",
    severity="error",
    summary="an event needs more triggers than tasks give it",
    why="A task triggers one event, once. Whoever waits for an event that gets too few triggers "
    "waits for ever, blocks its worker, and the kernel hangs. Mirage's generator makes such events "
    "where a layer joins two tensors of one producer: it counts that producer twice.",
    remedy="Join a producer through one tensor, or put an identity layer between.",
)
EARLY = Rule(
    code="MPK302",
    name="event-completes-early",
    severity="error",
    summary="an event gets more triggers than it needs",
    why="It is complete before all tasks that trigger it are done, so those that wait start too "
    "early; counters are compared for equality across ranks, so there the overshoot hangs.",
    remedy="Let num_triggers be the number of tasks whose trigger_event it is.",
)


def find_wrong_counts(context: VerifyContext) -> Iterator[Finding]:
    """Events whose `num_triggers` is not the number of tasks that trigger them.

    Events that other ranks trigger are left to the rules about ranks.
    """
    triggers = Triggers.of(context)
    needs = context.graph.events.num_triggers
    matters = triggers.waiting.astype(np.bool_)
    matters[end_events(context)] = True
    matters &= triggers.from_peers == 0
    stuck = np.flatnonzero(matters & (needs > triggers.fired))
    early = np.flatnonzero(matters & (needs < triggers.fired))
    if len(stuck):
        yield from _stuck(context, triggers, stuck)
    if len(early):
        yield from _grouped(context, triggers, early, EARLY)


def _stuck(context: VerifyContext, triggers: Triggers, events: IntArray) -> Iterator[Finding]:
    behind = context.view.all_ranks.reachable(events)
    waits = context.view.all_ranks.dependent_nodes
    blocked = int(behind[waits[waits >= 0]].sum())
    yield from _grouped(context, triggers, events, NEVER_COMPLETE, blocked)


def _grouped(
    context: VerifyContext, triggers: Triggers, events: IntArray, rule: Rule, blocked: int = 0
) -> Iterator[Finding]:
    """One finding for each operator that waits, one for the end."""
    graph = context.graph
    dependent = graph.tasks.dependent_indices
    waiting = np.flatnonzero(np.isin(dependent, events) & ~graph.tasks.is_null)
    for operator, tasks in by_operator(context, waiting):
        mine = np.unique(dependent[tasks])
        one = len(mine) == 1
        event = int(dependent[tasks[0]])
        need, got = int(graph.events.num_triggers[event]), int(triggers.fired[event])
        sources = _sources(context, event)
        numbers = f"event {event} needs {need} triggers and gets {got}{sources}"
        if rule is NEVER_COMPLETE:
            fault = "an event that never completes" if one else "events that never complete"
            text = f"waits for {fault}: {numbers}. {blocked} tasks never start"
            remedy = f"A task triggers one event, once: num_triggers of event {event} can be {got}"
        else:
            fault = "an event that completes early" if one else "events that complete early"
            text = f"waits for {fault}: {numbers}"
            remedy = f"Make num_triggers of event {event} {got}"
        first = context.view.all_ranks.tasks_triggering(event)[:1].tolist()
        yield Finding(
            rule=rule,
            message=f"{subject(context, operator, tasks)} {text}",
            location=context.location(operator, event=event),
            remedy=remedy,
            witness=tuple(context.task_ref(x) for x in (*first, int(tasks[0]))),
            count=len(mine),
            count_of="events",
            key=()
            if operator is None
            else (operator.task_type, operator.grid_dim, need, got, len(mine)),
        )
    for event in np.intersect1d(events, end_events(context)).tolist():
        need, got = int(graph.events.num_triggers[event]), int(triggers.fired[event])
        then = "the kernel never ends" if rule is NEVER_COMPLETE else "the graph ends too early"
        yield Finding(
            rule=rule,
            message=f"the end of the graph (event {event}) needs {need} triggers and gets {got}: "
            f"{then}",
            location=context.location(event=event),
            remedy=f"Make num_triggers of event {event} {got}, or let every last task trigger it",
            witness=tuple(
                context.task_ref(x)
                for x in context.view.all_ranks.tasks_triggering(event)[-1:].tolist()
            ),
            count_of="events",
        )


def _sources(context: VerifyContext, event: int) -> str:
    tasks = context.view.all_ranks.tasks_triggering(event)
    names = [
        f"{subject(context, operator, found)} ({len(found)} tasks)"
        for operator, found in by_operator(context, tasks)
    ]
    return f" from {', '.join(names)}" if names else ""


CHECKS = (CheckRow(find_wrong_counts, (NEVER_COMPLETE, EARLY)),)
