"""What a simulated schedule says: the result that text, JSON, traces and charts are made of."""

from __future__ import annotations

from dataclasses import field
from typing import Any

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.cost.model import CostModel
from mpkgraph.analysis.schedule.account import CAUSES, Account
from mpkgraph.analysis.schedule.bounds import Bounds
from mpkgraph.analysis.schedule.critical import CriticalPath
from mpkgraph.analysis.schedule.hang import Hang
from mpkgraph.analysis.schedule.rows import (
    Measured,
    OperatorRow,
    StallGroup,
    StallRow,
    TypeRow,
    WorkerTimes,
)
from mpkgraph.frozen import dataclass


@dataclass(frozen=True)
class Schedule:
    """A simulated schedule of one rank, or of all ranks together.

    `account` and `contexts` hold the columns that traces and charts are drawn from.
    """

    contexts: tuple[GraphContext, ...] = field(repr=False)
    account: Account = field(repr=False)
    model: CostModel
    limits: npt.NDArray[np.int8] = field(repr=False)
    """By task the position in `BOUNDS` of what its duration is spent on."""
    makespan_ns: int
    unchanged_ns: int | None
    """The makespan without the what-ifs; None when there are none, or when it hangs then."""
    what_ifs: tuple[str, ...]
    bounds: Bounds
    path: CriticalPath = field(repr=False)
    hang: Hang | None
    types: tuple[TypeRow, ...]
    operators: tuple[OperatorRow, ...] = field(repr=False)
    stalls: tuple[StallRow, ...] = field(repr=False)
    """The events that cost the workers most, most first."""
    stall_groups: tuple[StallGroup, ...]
    workers: WorkerTimes = field(repr=False)
    hand_outs: tuple[tuple[int, int], ...] = field(repr=False)
    """By scheduler: how many tasks it hands out, and when it is done with them in ns."""
    overfull_workers: tuple[int, ...]
    """Workers that get more tasks than their queue holds."""
    measured: Measured | None = None

    def __repr__(self) -> str:
        told = f"{self.makespan_ns / 1000:.1f} us" if self.hang is None else "hangs"
        workers = f"{self.account.system.num_workers} workers"
        return f"<Schedule: {told} on {workers}, cost model {self.model.name}>"

    @property
    def is_mirrored(self) -> bool:
        """Whether one rank of several stands for all of them."""
        context = self.contexts[0]
        return len(self.contexts) == 1 and bool(len(context.events.outside_keys))

    def task_name(self, task: int) -> str:
        """Name of a task's operator, by its position over all ranks."""
        rank, own = self.account.system.local_task(task)
        return self.contexts[rank].owner_name(own)

    def task_json(self, task: int) -> dict[str, Any]:
        rank, own = self.account.system.local_task(task)
        return {
            "rank": self.contexts[rank].graph.rank,
            "task_id": own,
            "name": self.contexts[rank].owner_name(own),
        }

    def event_json(self, node: int) -> dict[str, Any]:
        rank, event = self.account.system.local_event(node)
        if rank >= len(self.contexts):
            return {"rank": None, "event": None}
        return {"rank": self.contexts[rank].graph.rank, "event": event}

    def to_json(self) -> dict[str, Any]:
        system = self.account.system
        return {
            "ranks": [context.graph.rank for context in self.contexts],
            "mirrored": self.is_mirrored,
            "num_workers": system.num_workers,
            "num_schedulers": system.num_schedulers,
            "num_tasks": int(self.account.runs.sum()),
            "makespan_ns": self.makespan_ns,
            "lower_bounds": self.bounds.to_json(),
            "what_if": list(self.what_ifs),
            "unchanged_makespan_ns": self.unchanged_ns,
            "measured": None if self.measured is None else self.measured.to_json(),
            "hang": self._hang_json(),
            "critical_path": self._path_json(),
            "types": [row.to_json() for row in self.types],
            "operators": [row.to_json() for row in self.operators],
            "stalls": {
                "groups": [group.to_json() for group in self.stall_groups],
                "events": [stall.to_json() for stall in self.stalls],
            },
            "time_of_workers": {**self.workers.totals(), "workers": self.workers.to_json()},
            "schedulers": [
                {"num_tasks": count, "last_hand_out_ns": last} for count, last in self.hand_outs
            ],
            "overfull_workers": list(self.overfull_workers),
            "costs": self.model.to_json(),
        }

    def _path_json(self) -> dict[str, Any]:
        path, times = self.path, self.account.times
        rows = zip(
            path.tasks.tolist(),
            path.causes.tolist(),
            times.starts[path.tasks].tolist(),
            times.ends[path.tasks].tolist(),
            self.account.system.workers[path.tasks].tolist(),
            strict=True,
        )
        return {
            "kernel_ns": path.kernel_ns,
            "wait_ns": path.wait_ns,
            "trigger_ns": path.trigger_ns,
            "count_ns": path.count_ns,
            "resume_ns": path.resume_ns,
            "fetch_ns": path.fetch_ns,
            "hand_out_ns": path.hand_out_ns,
            "tasks": [
                {
                    **self.task_json(task),
                    "worker": worker,
                    "after": CAUSES[cause],
                    "start_ns": start,
                    "end_ns": end,
                }
                for task, cause, start, end, worker in rows
            ],
        }

    def _hang_json(self) -> dict[str, Any] | None:
        if self.hang is None:
            return None
        return {
            "num_never_run": self.hang.num_never_run,
            "num_blocked_workers": self.hang.num_blocked_workers,
            "is_ring": self.hang.is_ring,
            "chain": [
                link.to_json(self.event_json(link.node), self.task_json) for link in self.hang.chain
            ],
        }
