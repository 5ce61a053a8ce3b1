"""From graphs, costs and a placement to a schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

import numpy as np

from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.cost.durations import BOUNDS, TaskCosts, model_costs
from mpkgraph.analysis.cost.model import CostModel
from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.schedule.account import Account
from mpkgraph.analysis.schedule.bounds import lower_bounds
from mpkgraph.analysis.schedule.critical import CriticalPath, find_critical_path
from mpkgraph.analysis.schedule.hang import find_hang
from mpkgraph.analysis.schedule.operators import operator_rows
from mpkgraph.analysis.schedule.result import Schedule
from mpkgraph.analysis.schedule.rows import Measured, TypeRow, WorkerTimes
from mpkgraph.analysis.schedule.simulate import simulate
from mpkgraph.analysis.schedule.stalls import find_stalls, group_stalls
from mpkgraph.analysis.schedule.system import System, build_system
from mpkgraph.analysis.schedule.times import never_run
from mpkgraph.analysis.schedule.what_if import (
    NOTHING,
    WhatIf,
    scaled,
    with_counts_repaired,
    with_events_split,
)
from mpkgraph.analysis.workers import WORKER_QUEUE_LENGTH
from mpkgraph.frozen import dataclass

MAX_TASKS_TO_VARY = 200_000
"""Beyond as many tasks no type is tried at half its durations: each try is a whole simulation."""
MAX_STALLS = 100
"""Events of the result at most; the groups count all."""


@dataclass(frozen=True)
class MeasuredTimes:
    """Of a run that was profiled; by task, in ns."""

    path: str
    num_workers: int
    starts: IntArray = field(repr=False)
    ends: IntArray = field(repr=False)
    known: IntArray = field(repr=False)
    """Tasks that the profile has, ascending."""


@dataclass(frozen=True)
class ScheduleOptions:
    """Where the graph runs, and what is changed."""

    num_workers: int
    num_schedulers: int
    model: CostModel
    what_if: WhatIf = NOTHING
    measured: MeasuredTimes | None = None
    """Durations in place of the model's, of a graph of one rank."""
    vary: bool = True
    """Whether each type on the critical path is tried at half its durations."""


def schedule(contexts: Sequence[GraphContext], options: ScheduleOptions) -> Schedule:
    """The schedule of one rank, or of all ranks of a pipeline together.

    Raises UsageError for what can't be simulated as asked.
    """
    runtime = options.model.runtime
    system = build_system(
        [context.graph for context in contexts], options.num_workers, options.num_schedulers
    )
    costs = [model_costs(context, options.model, options.num_workers) for context in contexts]
    durations = np.concatenate([cost.durations for cost in costs])
    limits = np.concatenate([cost.limits for cost in costs])
    if options.measured is not None:
        known = options.measured.known
        durations[known] = (options.measured.ends - options.measured.starts)[known]
        limits[known] = BOUNDS.index("measured")
    types = np.concatenate([context.graph.tasks.task_types for context in contexts])
    what_if, unchanged = options.what_if, None
    measured = None
    if what_if or options.measured is not None:
        plain = simulate(system, durations, runtime)
        if what_if and not never_run(system, plain).any():
            unchanged = plain.makespan
        if options.measured is not None:
            measured = _measured(options.measured, plain.starts, plain.ends)
    if what_if.repair_counts:
        system = with_counts_repaired(system)
    if what_if.split_all or what_if.split_events:
        system = with_events_split(system, contexts, what_if)
    durations = scaled(durations, types, what_if)
    times = simulate(system, durations, runtime)
    account = Account(system, runtime, durations, times)
    path = find_critical_path(account)
    hang = find_hang(system, times)
    vary = options.vary and hang is None and system.num_tasks <= MAX_TASKS_TO_VARY
    stalls = find_stalls(account, contexts)
    return Schedule(
        contexts=tuple(contexts),
        account=account,
        model=options.model,
        limits=limits,
        makespan_ns=times.makespan,
        unchanged_ns=unchanged,
        what_ifs=what_if.texts,
        bounds=lower_bounds(system, durations, runtime),
        path=path,
        hang=hang,
        types=_type_rows(contexts[0], account, path, types, TaskCosts(durations, limits), vary),
        operators=operator_rows(account, contexts),
        stalls=tuple(stalls[:MAX_STALLS]),
        stall_groups=group_stalls(stalls),
        workers=_worker_times(account),
        hand_outs=_hand_outs(account),
        overfull_workers=_overfull(system),
        measured=measured,
    )


def _type_rows(
    context: GraphContext,
    account: Account,
    path: CriticalPath,
    types: IntArray,
    costs: TaskCosts,
    vary: bool,
) -> tuple[TypeRow, ...]:
    """Of all types that run, those with most time on the path first, then those with most work."""
    on_path = np.zeros(len(types), dtype=np.bool_)
    on_path[path.tasks] = True
    running = account.runs & (account.system.workers >= 0)
    rows = []
    for task_type in np.unique(types[running]).tolist():
        mine = np.flatnonzero(running & (types == task_type))
        spent = np.bincount(
            costs.limits[mine], weights=costs.durations[mine], minlength=len(BOUNDS)
        )
        path_ns = int(costs.durations[mine[on_path[mine]]].sum())
        halved = None
        if vary and path_ns:
            faster = costs.durations.copy()
            faster[mine] //= 2
            halved = simulate(account.system, faster, account.runtime).makespan
        rows.append(
            TypeRow(
                task_type,
                context.catalog.layer_kind(task_type),
                len(mine),
                int(costs.durations[mine].sum()),
                BOUNDS[int(np.argmax(spent))],
                int(on_path[mine].sum()),
                path_ns,
                halved,
            )
        )
    return tuple(sorted(rows, key=lambda row: (-row.path_ns, -row.kernel_ns, row.task_type)))


def _worker_times(account: Account) -> WorkerTimes:
    return WorkerTimes(
        kernels=account.by_worker(account.durations),
        overhead=account.by_worker(account.overheads),
        blocked=account.by_worker(account.blocked),
        starved=account.by_worker(account.starved),
        idle=account.times.makespan - account.times.free,
    )


def _hand_outs(account: Account) -> tuple[tuple[int, int], ...]:
    system, runtime = account.system, account.runtime
    num_all = system.num_ranks * system.num_schedulers
    mine = system.schedulers >= 0
    counts = np.bincount(system.schedulers[mine], minlength=num_all)
    last = np.zeros(num_all, dtype=np.int64)
    np.maximum.at(
        last,
        system.schedulers[mine],
        runtime.start_ns + (system.turns[mine] + 1) * runtime.hand_out_ns,
    )
    return tuple(zip(counts.tolist(), last.tolist(), strict=True))


def _overfull(system: System) -> tuple[int, ...]:
    mine = system.workers[system.workers >= 0]
    lengths = np.bincount(mine, minlength=system.num_all_workers)
    # The begin task is in the first worker's queue too
    lengths[:: system.num_workers] += 1
    return tuple(np.flatnonzero(lengths > WORKER_QUEUE_LENGTH).tolist())


def _measured(measured: MeasuredTimes, starts: IntArray, ends: IntArray) -> Measured:
    known = measured.known
    return Measured(
        measured.path,
        measured.num_workers,
        len(known),
        int(measured.ends[known].max() - measured.starts[known].min()),
        int(ends[known].max() - starts[known].min()),
    )
