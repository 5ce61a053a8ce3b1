"""Triggers that cross ranks: each must find a waiting event, and none too many or too few."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.rule import Rule
from mpkgraph.analysis.verify.rules.kind import RankCheckRow
from mpkgraph.analysis.verify.rules.structure.triggers import Triggers, by_operator, subject
from mpkgraph.model import ids

UNMATCHED_TRIGGER = Rule(
    code="MPK601",
    name="unmatched-remote-trigger",
    severity="error",
    summary="a task triggers an event of another rank on which nothing waits there",
    why="The put signals a counter that is something else's, or nobody's: the rank that should wait"
    " for the data does not, and reads it too early.",
    remedy="Generate all ranks from one pipeline, so that their events have the same indices.",
)
REMOTE_COUNT = Rule(
    code="MPK602",
    name="remote-trigger-count",
    severity="error",
    summary="an event gets another number of triggers from all ranks than it needs",
    why="With too few the waiting tasks never start. With too many they hang too: the wait for an "
    "NVSHMEM signal ends only when the counter is equal to what is expected.",
    remedy="Let num_triggers be the number of puts of all other ranks that signal the event.",
)


def find_unmatched_triggers(ranks: Sequence[VerifyContext]) -> Iterator[Finding]:
    """Triggers of events that the other rank does not have, or on which no task waits there."""
    by_rank = _by_rank(ranks)
    waiting = {rank: Triggers.of(context).waiting for rank, context in by_rank.items()}
    for context in ranks:
        tasks = context.graph.tasks
        targets, indices = ids.event_ranks(tasks.trigger_events), tasks.trigger_indices
        away = (indices >= 0) & (targets != context.graph.rank) & ~tasks.is_null
        for target in np.unique(targets[away]).tolist():
            if target not in by_rank:
                continue  # a missing rank is another rule's
            mine = np.flatnonzero(away & (targets == target))
            there = waiting[target]
            inside = indices[mine] < len(there)
            waited = np.append(there, 0)[np.where(inside, indices[mine], len(there))]
            for operator, found in by_operator(context, mine[waited == 0]):
                task = int(found[0])
                event = int(indices[task])
                has = "has no such event" if event >= len(there) else "has no task that waits on it"
                yield Finding(
                    rule=UNMATCHED_TRIGGER,
                    message=f"rank {context.graph.rank}: {subject(context, operator, found)} has "
                    f"{len(found)} tasks that trigger events of rank {target} in vain: task {task} "
                    f"triggers event {event}, and rank {target} {has}",
                    location=context.location(operator, event=event),
                    remedy="Generate both ranks from one pipeline",
                    witness=(context.task_ref(task),),
                    count=len(found),
                )


def find_remote_counts(ranks: Sequence[VerifyContext]) -> Iterator[Finding]:
    """Events that other ranks trigger, counted over all ranks; one finding an operator.

    Where a rank is missing, the ranks that are given stand for it: they have the same graph.
    """
    by_rank = _by_rank(ranks)
    for context in ranks:
        triggers = Triggers.of(context)
        needs = context.graph.events.num_triggers
        puts = _puts(by_rank, context) if _is_complete(by_rank) else triggers.from_peers
        total = triggers.fired + puts
        remote = (puts > 0) | (triggers.from_peers > 0)
        wrong = np.flatnonzero(remote & (total != needs))
        columns = context.graph.tasks
        dependent = columns.dependent_indices
        own = ids.event_ranks(columns.dependent_events) == context.graph.rank
        waiting = np.flatnonzero(np.isin(dependent, wrong) & own & ~columns.is_null)
        for operator, tasks in by_operator(context, waiting):
            event = int(dependent[tasks[0]])
            mine = len(np.unique(dependent[tasks]))
            yield Finding(
                rule=REMOTE_COUNT,
                message=f"rank {context.graph.rank}: {subject(context, operator, tasks)} waits for "
                f"{mine} events that get another number of triggers than they need: event {event} "
                f"needs {int(needs[event])} and gets {int(total[event])} ({int(puts[event])} of "
                "them from other ranks)",
                location=context.location(operator, event=event),
                remedy=f"Make num_triggers of event {event} {int(total[event])}, or let each rank "
                "put what it waits for",
                witness=(context.task_ref(int(tasks[0])),),
                count=mine,
                count_of="events",
            )


def _by_rank(ranks: Sequence[VerifyContext]) -> dict[int, VerifyContext]:
    return {context.graph.rank: context for context in ranks}


def named_ranks(context: VerifyContext) -> IntArray:
    """Ranks whose events a graph names, its own included."""
    columns = context.graph.tasks
    found = [ids.event_ranks(x) for x in (columns.trigger_events, columns.dependent_events)]
    numbers = np.unique(np.concatenate([*found, [context.graph.rank]]))
    return numbers[numbers >= 0]


def _is_complete(by_rank: dict[int, VerifyContext]) -> bool:
    return all(set(named_ranks(x).tolist()) <= set(by_rank) for x in by_rank.values())


def _puts(by_rank: dict[int, VerifyContext], context: VerifyContext) -> IntArray:
    """For each event of a rank the triggers that tasks of other ranks give it."""
    total = np.zeros(context.graph.num_events, dtype=np.int64)
    for rank, other in by_rank.items():
        if rank == context.graph.rank:
            continue
        tasks = other.graph.tasks
        indices = tasks.trigger_indices
        mine = (ids.event_ranks(tasks.trigger_events) == context.graph.rank) & ~tasks.is_null
        mine &= (indices >= 0) & (indices < len(total))
        total += np.bincount(indices[mine], minlength=len(total))
    return total


CHECKS = (
    RankCheckRow(find_unmatched_triggers, (UNMATCHED_TRIGGER,)),
    RankCheckRow(find_remote_counts, (REMOTE_COUNT,)),
)
