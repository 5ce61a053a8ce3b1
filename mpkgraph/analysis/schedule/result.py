"""What a simulated schedule says: the result that text, JSON, traces and charts are made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.cost.model import CostModel
from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.schedule.account import CAUSES, Account
from mpkgraph.analysis.schedule.bounds import Bounds
from mpkgraph.analysis.schedule.critical import CriticalPath
from mpkgraph.analysis.schedule.hang import Hang


@dataclass(frozen=True, slots=True)
class TypeRow:
    """All tasks of one task type."""

    task_type: int
    name: str
    """Short, as `--what-if` takes it."""
    num_tasks: int
    kernel_ns: int
    """Of all its tasks."""
    limit: str
    """What most of that is spent on: memory, tensor cores, the fixed part, ..."""
    num_on_path: int
    path_ns: int
    """Of its kernels on the critical path."""
    halved_ns: int | None
    """The makespan were its kernels twice as fast; None where that was not tried."""

    def to_json(self) -> dict[str, Any]:
        return {
            "task_type": self.task_type,
            "name": self.name,
            "num_tasks": self.num_tasks,
            "kernel_ns": self.kernel_ns,
            "limit": self.limit,
            "num_on_path": self.num_on_path,
            "path_ns": self.path_ns,
            "makespan_if_twice_as_fast_ns": self.halved_ns,
        }


@dataclass(frozen=True, slots=True)
class OperatorRow:
    """All tasks of one operator of one rank."""

    rank: int
    index: int
    name: str
    num_tasks: int
    num_waves: int
    """Most of its tasks that one worker has."""
    last_wave_tasks: int
    """Tasks beyond the full waves; as many as workers when all are full."""
    start_ns: int
    """When its first kernel starts."""
    end_ns: int
    """When its last kernel ends."""
    kernel_ns: int

    def to_json(self) -> dict[str, Any]:
        return {
            "rank": self.rank,
            "operator": self.index,
            "name": self.name,
            "num_tasks": self.num_tasks,
            "num_waves": self.num_waves,
            "last_wave_tasks": self.last_wave_tasks,
            "start_ns": self.start_ns,
            "end_ns": self.end_ns,
            "kernel_ns": self.kernel_ns,
        }


@dataclass(frozen=True, slots=True)
class StallRow:
    """Time that workers were blocked on one event."""

    rank: int
    event_index: int
    """Of an event that a what-if split the first task that waits says which."""
    waiting: str
    """Operator of the tasks that wait."""
    producer: str
    """Operator of the task that came last."""
    producer_rank: int
    producer_task: int
    num_waits: int
    blocked_ns: int
    """Of all workers."""
    raised_ns: int
    """When the event was complete."""
    spread_ns: int
    """From its first trigger to its last."""

    def to_json(self) -> dict[str, Any]:
        return {
            "rank": self.rank,
            "event": self.event_index,
            "waiting": self.waiting,
            "producer": self.producer,
            "last_trigger": {"rank": self.producer_rank, "task_id": self.producer_task},
            "num_waits": self.num_waits,
            "blocked_ns": self.blocked_ns,
            "raised_ns": self.raised_ns,
            "spread_ns": self.spread_ns,
        }


@dataclass(frozen=True, slots=True)
class StallGroup:
    """Stalls of operators of one name on producers of one name: model layers repeat."""

    waiting: str
    producer: str
    num_events: int
    num_waits: int
    blocked_ns: int
    worst: StallRow

    def to_json(self) -> dict[str, Any]:
        return {
            "waiting": self.waiting,
            "producer": self.producer,
            "num_events": self.num_events,
            "num_waits": self.num_waits,
            "blocked_ns": self.blocked_ns,
            "worst_event": {"rank": self.worst.rank, "event": self.worst.event_index},
        }


@dataclass(frozen=True)
class WorkerTimes:
    """By worker, in ns: the five add up to the makespan."""

    kernels: IntArray = field(repr=False)
    overhead: IntArray = field(repr=False)
    """Descriptors, getting past waits, triggers."""
    blocked: IntArray = field(repr=False)
    """Waiting for events."""
    starved: IntArray = field(repr=False)
    """Waiting for schedulers."""
    idle: IntArray = field(repr=False)
    """After the last task."""

    def totals(self) -> dict[str, int]:
        return {
            "kernels_ns": int(self.kernels.sum()),
            "overhead_ns": int(self.overhead.sum()),
            "blocked_ns": int(self.blocked.sum()),
            "starved_ns": int(self.starved.sum()),
            "idle_ns": int(self.idle.sum()),
        }

    def to_json(self) -> list[dict[str, int]]:
        columns = (self.kernels, self.overhead, self.blocked, self.starved, self.idle)
        names = ("kernels_ns", "overhead_ns", "blocked_ns", "starved_ns", "idle_ns")
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return [dict(zip(names, row, strict=True)) for row in rows]


@dataclass(frozen=True)
class Measured:
    """What a profile says about the run that it is of."""

    path: str
    num_workers: int
    num_tasks: int
    """Tasks that the profile has a duration of."""
    makespan_ns: int
    """From the first kernel's start to the last one's end, measured."""
    simulated_ns: int
    """The same of the simulation with the measured durations, before any what-if."""

    def to_json(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "num_workers": self.num_workers,
            "num_tasks": self.num_tasks,
            "makespan_ns": self.makespan_ns,
            "simulated_ns": self.simulated_ns,
        }


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
