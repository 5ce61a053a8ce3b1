"""A simulated schedule as overlays: when each task starts, how long it runs and waits, what is
critical.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.page.overlay import Category, Overlay, OverlayItem
from mpkgraph.analysis.schedule.result import Schedule
from mpkgraph.analysis.schedule.rows import StallRow

MAX_STALLS = 200
"""Events listed at most, those that cost most first."""
_NS_PER_US = 1000.0


def schedule_overlays(schedule: Schedule, rank: int) -> tuple[Overlay, ...]:
    """`start`, `duration` and `wait` (microseconds), and `path`, of one rank's tasks.

    A task that does not run has no value. Raises ValueError for a rank that was not simulated.
    """
    ranks = [context.graph.rank for context in schedule.contexts]
    place = ranks.index(rank)
    first = int(schedule.account.system.rank_starts[place])
    mine = slice(first, first + schedule.contexts[place].graph.num_tasks)
    account, times = schedule.account, schedule.account.times
    workers = account.system.workers[mine]
    runs = account.runs[mine] & (workers >= 0)

    def column(values: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        return np.where(runs, values[mine] / _NS_PER_US, np.nan)

    critical = np.full(len(runs), -1, dtype=np.int64)
    on_path = schedule.path.tasks - first
    critical[on_path[(on_path >= 0) & (on_path < len(runs))]] = 0
    makespan = f"makespan {schedule.makespan_ns / _NS_PER_US:,.1f} us, simulated"
    return (
        Overlay(
            "start",
            "Start time",
            makespan,
            values=column(times.starts),
            unit="us",
            labels=tuple(f"worker {n}" for n in range(int(workers.max(initial=-1)) + 1)),
            label_codes=np.where(runs, workers, -1).astype(np.int64),
            rank=rank,
        ),
        Overlay(
            "duration",
            "Duration",
            "of the kernel, without waiting",
            values=column(np.where(account.runs, times.ends - times.starts, 0)),
            unit="us",
            scale="log",
            rank=rank,
        ),
        Overlay(
            "wait",
            "Wait for the event",
            "how long a worker stands still before a task; listed: the events that cost most",
            values=column(account.blocked),
            unit="us",
            items=tuple(_stall(x) for x in schedule.stalls[:MAX_STALLS] if x.rank == rank),
            rank=rank,
        ),
        Overlay(
            "path",
            "Critical path",
            f"{len(schedule.path.tasks)} tasks; {makespan}",
            codes=critical,
            categories=(Category("on the critical path", "warning"),),
            rank=rank,
        ),
    )


def _stall(row: StallRow) -> OverlayItem:
    own = row.producer_rank == row.rank and row.producer_task >= 0
    return OverlayItem(
        title=f"{row.blocked_ns / _NS_PER_US:,.1f} us at event {row.event_index}",
        text=f"{row.waiting} waits for {row.producer}, {row.num_waits} times; complete at "
        f"{row.raised_ns / _NS_PER_US:,.1f} us, last by task {row.producer_task}",
        tasks=(row.producer_task,) if own else (),
        events=(row.event_index,),
    )
