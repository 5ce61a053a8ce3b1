"""Why a run stands still: who waits for what, and where that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mpkgraph.analysis.csr import Csr
from mpkgraph.analysis.execution.counters import Counters
from mpkgraph.analysis.execution.schedulers import Fifo, Scheduler
from mpkgraph.analysis.execution.tasks import NOTHING, RankedTasks

MAX_WAITS = 64
"""Tasks that are told one by one."""


@dataclass(frozen=True, slots=True)
class Blocker:
    """A task that would have to run first: where it is."""

    rank: int
    task_id: int
    place: str
    """`behind task 9 in the queue of worker 3`, `waits for event 7 itself`, ..."""


@dataclass(frozen=True, slots=True)
class Wait:
    """One task that can't run, and the event that it waits for."""

    rank: int
    task_id: int
    worker: int | None
    """None where the order knows no workers."""
    event_rank: int
    event_index: int
    num_triggers: int
    """What completes the event."""
    num_counted: int
    blockers: tuple[Blocker, ...]
    """Tasks that trigger it and have not run (some of them)."""
    num_blockers: int

    def to_json(self) -> dict[str, Any]:
        return {
            "rank": self.rank,
            "task_id": self.task_id,
            "worker": self.worker,
            "event_rank": self.event_rank,
            "event_index": self.event_index,
            "num_triggers": self.num_triggers,
            "num_counted": self.num_counted,
            "num_blockers": self.num_blockers,
            "blockers": [
                {"rank": x.rank, "task_id": x.task_id, "place": x.place} for x in self.blockers
            ],
        }


@dataclass(frozen=True)
class Hang:
    """A run that stands still."""

    num_tasks: int
    """Tasks that never run."""
    waits: tuple[Wait, ...]
    """By worker what stands at its head; without workers the tasks that others wait for first."""
    cycle: tuple[tuple[int, int], ...] = ()
    """(rank, task id): each waits for the next, the last for the first; empty when none does."""

    def to_json(self) -> dict[str, Any]:
        return {
            "num_tasks": self.num_tasks,
            "waits": [x.to_json() for x in self.waits],
            "cycle": [{"rank": rank, "task_id": task} for rank, task in self.cycle],
        }


def explain_hang(counters: Counters, scheduler: Scheduler | None = None) -> Hang | None:
    """What a run that can't go on waits for; None when all tasks have run."""
    if not counters.num_left:
        return None
    return _Explainer(counters, scheduler if isinstance(scheduler, Fifo) else None).hang()


class _Explainer:
    def __init__(self, counters: Counters, fifo: Fifo | None) -> None:
        self.counters = counters
        self.fifo = fifo
        self.tasks: RankedTasks = counters.tasks
        self._triggering: Csr = self.tasks.triggering()
        self._place_in_queue: dict[int, tuple[int, int | None]] = {}
        if fifo is not None:
            for number, queue in enumerate(fifo.queues):
                before: int | None = None
                for task in queue:
                    self._place_in_queue[task] = number, before
                    before = task

    def hang(self) -> Hang:
        stuck = self._stuck()
        waits = tuple(self._wait(task) for task in stuck[:MAX_WAITS])
        return Hang(self.counters.num_left, waits, self._cycle(stuck))

    def _stuck(self) -> list[int]:
        """Heads of queues; else tasks of events that no waiting task is to complete, then all."""
        if self.fifo is not None:
            return [task for _, task in self.fifo.heads if not self.counters.may_run(task)]
        left = self._left()
        firsts = [x for x in left if not self._blockers(self.counters.dependents[x])]
        return firsts or left

    def _left(self) -> list[int]:
        done = self.counters.is_done
        return [x for x in self.tasks.is_run.nonzero()[0].tolist() if not done[x]]

    def _blockers(self, event: int) -> list[int]:
        """Tasks that trigger an event and have not run."""
        return [
            x for x in self._triggering.row(event).tolist() if not self.counters.is_done[int(x)]
        ]

    def _wait(self, task: int) -> Wait:
        event = self.counters.dependents[task]
        index = self.tasks.event(event)
        is_foreign = event >= int(self.tasks.event_starts[-1])
        needed = 0 if is_foreign else int(self.tasks.needed[event])
        blockers = self._blockers(event)
        rank, task_id = self.tasks.task(task)
        return Wait(
            rank=rank,
            task_id=task_id,
            worker=self._worker(task),
            event_rank=index.rank,
            event_index=index.event_index,
            num_triggers=needed,
            num_counted=0 if is_foreign else needed - self.counters.left[event],
            blockers=tuple(self._blocker(x) for x in blockers[:4]),
            num_blockers=len(blockers),
        )

    def _worker(self, task: int) -> int | None:
        if self.fifo is None:
            return None
        return self.fifo.worker_of(task) % self.fifo.num_workers

    def _blocker(self, task: int) -> Blocker:
        rank, task_id = self.tasks.task(task)
        waits = self.counters.dependents[task]
        behind = self._place_in_queue.get(task, (0, None))[1]
        if behind is not None:
            head = self._head(task)
            place = f"behind task {self.tasks.task(head)[1]} in the queue of worker "
            return Blocker(rank, task_id, f"{place}{self._worker(task)}")
        if waits != NOTHING and not self.counters.may_run(task):
            event = self.tasks.event(waits)
            return Blocker(rank, task_id, f"waits for event {event.event_index} itself")
        return Blocker(rank, task_id, "has not run")

    def _head(self, task: int) -> int:
        fifo = self.fifo
        return task if fifo is None else fifo.queues[fifo.worker_of(task)][0]

    def _cycle(self, stuck: list[int]) -> tuple[tuple[int, int], ...]:
        """Tasks that wait for each other in a circle, by events and by queues."""
        seen: dict[int, int] = {}
        for start in stuck:
            path: list[int] = []
            task: int | None = start
            while task is not None and task not in seen:
                seen[task] = start
                path.append(task)
                task = self._next(task)
            if task is not None and seen[task] == start:
                return tuple(self.tasks.task(x) for x in path[path.index(task) :])
        return ()

    def _next(self, task: int) -> int | None:
        """One task that must run before this one."""
        head = self._head(task)
        if head != task:
            return head
        event = self.counters.dependents[task]
        if event == NOTHING or self.counters.may_run(task):
            return None
        return next(iter(self._blockers(event)), None)
