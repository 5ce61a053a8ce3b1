"""Stalls: time that workers spend blocked, blamed on an event and on the task that came last."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.schedule.account import Account
from mpkgraph.analysis.schedule.rows import StallGroup, StallRow
from mpkgraph.model import ids


def find_stalls(account: Account, contexts: Sequence[GraphContext]) -> list[StallRow]:
    """A row for each event on which any worker was blocked, the costliest first."""
    system, blocked = account.system, account.blocked
    tasks = np.flatnonzero(blocked > 0)
    if not len(tasks):
        return []
    nodes, places, counts = np.unique(
        system.dependents[tasks], return_inverse=True, return_counts=True
    )
    sums = np.bincount(places.ravel(), weights=blocked[tasks]).astype(np.int64)
    firsts = np.full(len(nodes), system.num_tasks, dtype=np.int64)
    np.minimum.at(firsts, places.ravel(), tasks)
    last = account.last_triggers[nodes]
    raised = account.times.raised[nodes]
    counted = raised - system.count_delays(account.runtime)[nodes]
    spread = counted - np.minimum(account.first_counted[nodes], counted)
    order = np.lexsort((nodes, -sums))
    return [
        _row(
            account,
            contexts,
            int(nodes[i]),
            int(firsts[i]),
            int(last[i]),
            (int(counts[i]), int(sums[i]), int(raised[i]), int(spread[i])),
        )
        for i in order.tolist()
    ]


def _row(
    account: Account,
    contexts: Sequence[GraphContext],
    node: int,
    first: int,
    last: int,
    numbers: tuple[int, int, int, int],
) -> StallRow:
    system = account.system
    rank, own = system.local_task(first)
    num_local = contexts[rank].graph.num_events
    if node < int(system.node_starts[-1]):
        event_rank, event = system.local_event(node)
    else:
        # A split event: the one that its waiting tasks name
        event_rank, event = rank, int(contexts[rank].graph.tasks.dependent_indices[own])
    if event >= num_local:
        event = int(contexts[rank].graph.tasks.dependent_events[own] & ids.EVENT_INDEX_MASK)
    producer_rank, producer = system.local_task(last) if last >= 0 else (rank, -1)
    num_waits, blocked_ns, raised_ns, spread_ns = numbers
    return StallRow(
        rank=contexts[event_rank].graph.rank,
        event_index=event,
        waiting=contexts[rank].owner_name(own),
        producer="" if last < 0 else contexts[producer_rank].owner_name(producer),
        producer_rank=contexts[producer_rank].graph.rank,
        producer_task=producer,
        num_waits=num_waits,
        blocked_ns=blocked_ns,
        raised_ns=raised_ns,
        spread_ns=spread_ns,
    )


def group_stalls(stalls: Sequence[StallRow]) -> tuple[StallGroup, ...]:
    """Stalls by the names of both sides, the costliest group first."""
    groups: dict[tuple[str, str], list[StallRow]] = {}
    for stall in stalls:
        groups.setdefault((stall.waiting, stall.producer), []).append(stall)
    rows = [
        StallGroup(
            waiting,
            producer,
            len(mine),
            sum(stall.num_waits for stall in mine),
            sum(stall.blocked_ns for stall in mine),
            max(mine, key=lambda stall: (stall.blocked_ns, -stall.event_index)),
        )
        for (waiting, producer), mine in groups.items()
    ]
    return tuple(sorted(rows, key=lambda row: (-row.blocked_ns, row.waiting, row.producer)))
