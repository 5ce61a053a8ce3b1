"""Rows of a schedule's result: task types, operators, stalls, workers, what was measured."""

from __future__ import annotations

from dataclasses import field
from typing import Any

from mpkgraph.analysis.csr import IntArray
from mpkgraph.frozen import dataclass


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
