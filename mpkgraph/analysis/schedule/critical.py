"""The critical path: the chain of waits that ends with the last task; what to make faster."""

from __future__ import annotations

from dataclasses import field

import numpy as np

from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.schedule.account import EVENT, SCHEDULER, WORKER, Account
from mpkgraph.frozen import dataclass


@dataclass(frozen=True)
class CriticalPath:
    """Tasks in order of time. Each starts as soon as the one before it lets it.

    `kernel_ns + wait_ns + trigger_ns + count_ns + resume_ns + fetch_ns + hand_out_ns` is the
    makespan.
    """

    tasks: IntArray = field(repr=False)
    causes: IntArray = field(repr=False)
    """By task of the path what it waited for last (`CAUSES`): the one before it by its worker or
    by an event; the first one for its hand-out, or for its worker, which was idle."""
    kernel_ns: int
    """Of the tasks' own kernels."""
    wait_ns: int
    trigger_ns: int
    count_ns: int
    resume_ns: int
    fetch_ns: int
    hand_out_ns: int
    """Until the first task was handed out."""


def find_critical_path(account: Account) -> CriticalPath:
    """The path to the task that is counted last; of several with equal times the lowest ids."""
    times, runtime = account.times, account.runtime
    running = np.flatnonzero(account.runs & (account.system.workers >= 0))
    none = np.empty(0, dtype=np.int64)
    if not len(running):
        return CriticalPath(none, none, 0, 0, 0, 0, 0, 0, 0)
    task = int(running[np.argmax(times.ends[running])])
    before, last_triggers = account.before, account.last_triggers
    dependents, all_causes = account.system.dependents, account.causes
    path, causes = [], []
    while task >= 0:
        cause = int(all_causes[task])
        path.append(task)
        causes.append(cause)
        if cause == EVENT:
            task = int(last_triggers[dependents[task]])
        else:
            task = int(before[task]) if cause == WORKER else -1
    path.reverse()
    causes.reverse()
    tasks, of = np.array(path, dtype=np.int64), np.array(causes, dtype=np.int64)
    fetches = account.system.fetches(runtime)[tasks]
    return CriticalPath(
        tasks,
        of,
        kernel_ns=int(account.durations[tasks].sum()),
        wait_ns=runtime.wait_ns * len(tasks),
        trigger_ns=runtime.trigger_ns * len(tasks),
        count_ns=int(account.system.count_delays(runtime)[dependents[tasks[of == EVENT]]].sum()),
        # After each task that its own worker went on from, and after the last
        resume_ns=runtime.resume_ns * (int((of[1:] == WORKER).sum()) + 1),
        fetch_ns=int(fetches[of == WORKER].sum()),
        hand_out_ns=int(account.handed[tasks[0]]) if of[0] == SCHEDULER else 0,
    )
