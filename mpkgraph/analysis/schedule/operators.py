"""Operators in time: when each runs, and in how many waves over the workers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.schedule.account import Account
from mpkgraph.analysis.schedule.rows import OperatorRow
from mpkgraph.analysis.schedule.times import NEVER


def task_owners(contexts: Sequence[GraphContext]) -> tuple[IntArray, IntArray]:
    """By task over all ranks its operator over all ranks (-1 for none), and where each rank's
    operators start.
    """
    starts = np.cumsum([0, *(len(context.operators) for context in contexts)])
    owners = [
        np.where(context.operators.task_operators < 0, -1, context.operators.task_operators + start)
        for context, start in zip(contexts, starts.tolist(), strict=False)
    ]
    return np.concatenate(owners).astype(np.int64), starts


def operator_rows(account: Account, contexts: Sequence[GraphContext]) -> tuple[OperatorRow, ...]:
    """A row for each operator of which a task runs, in order of rank and emission."""
    owners, firsts = task_owners(contexts)
    system, times = account.system, account.times
    tasks = np.flatnonzero(account.runs & (system.workers >= 0) & (owners >= 0))
    num_operators, mine = int(firsts[-1]), owners[tasks]
    counts = np.bincount(mine, minlength=num_operators)
    kernel = np.bincount(mine, weights=account.durations[tasks], minlength=num_operators)
    starts = np.full(num_operators, NEVER, dtype=np.int64)
    ends = np.zeros(num_operators, dtype=np.int64)
    np.minimum.at(starts, mine, times.starts[tasks])
    np.maximum.at(ends, mine, times.ends[tasks])
    pairs = mine * system.num_all_workers + system.workers[tasks]
    keys, per_worker = np.unique(pairs, return_counts=True)
    waves = np.zeros(num_operators, dtype=np.int64)
    np.maximum.at(waves, keys // system.num_all_workers, per_worker)
    rows = []
    ranks = np.searchsorted(firsts, np.arange(num_operators), side="right") - 1
    for index in np.flatnonzero(counts).tolist():
        rank = int(ranks[index])
        own, count = index - int(firsts[rank]), int(counts[index])
        rows.append(
            OperatorRow(
                rank=contexts[rank].graph.rank,
                index=own,
                name=contexts[rank].operator_names[own],
                num_tasks=count,
                num_waves=int(waves[index]),
                last_wave_tasks=(count - 1) % system.num_workers + 1,
                start_ns=int(starts[index]),
                end_ns=int(ends[index]),
                kernel_ns=int(kernel[index]),
            )
        )
    return tuple(rows)
