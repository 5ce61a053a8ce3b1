"""Whether a schedule is one that the runtime could have run: each task once, and none too early."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.execution.tasks import NOTHING, RankedTasks
from mpkgraph.model.graph import TaskGraph

FaultKind = Literal[
    "unknown", "twice", "missing", "early", "negative", "worker-busy", "queue-order"
]


@dataclass(frozen=True, slots=True)
class ScheduleFault:
    """One thing that the runtime would never do."""

    kind: FaultKind
    rank: int
    task_id: int
    message: str

    def __str__(self) -> str:
        return f"rank {self.rank}, task {self.task_id}: {self.message}"


@dataclass(frozen=True)
class ScheduledTasks:
    """When and where tasks ran: columns, one entry a run of a task, in any order.

    `task_ids` index the graph of `ranks`; `starts` and `ends` are in any unit of time, a task is
    complete at its end. `workers` are numbered within their rank; without them the tasks of a rank
    are not held against any queue.
    """

    task_ids: IntArray
    starts: npt.NDArray[np.float64]
    ends: npt.NDArray[np.float64]
    ranks: IntArray | None = None
    """None: all of the only graph's rank."""
    workers: IntArray | None = None

    def __post_init__(self) -> None:
        columns = [self.starts, self.ends, self.ranks, self.workers]
        if any(x is not None and len(x) != len(self.task_ids) for x in columns):
            raise ValueError("columns of a schedule differ in length")


def schedule_faults(
    graphs: TaskGraph | Sequence[TaskGraph],
    schedule: ScheduledTasks,
    *,
    in_queue_order: bool = True,
    is_complete: bool = True,
) -> Iterator[ScheduleFault]:
    """All that is wrong with a schedule of one iteration; nothing for one that can happen.

    A task runs once; it starts when its dependent event has `num_triggers` triggers by tasks that
    have ended (at the same instant will do); a worker runs one task at a time and, with
    `in_queue_order`, lower ids before higher ones. With `is_complete` every task must have run,
    terminate and null tasks aside; the begin task may be left out.

    >>> import numpy as np
    >>> from mpkgraph.analysis.execution.legality import ScheduledTasks
    >>> ScheduledTasks(np.array([2, 3]), np.array([0.0, 1.0]), np.array([1.0, 2.0])).workers
    """
    several = (graphs,) if isinstance(graphs, TaskGraph) else tuple(graphs)
    tasks = RankedTasks.of(several)
    check = _Check(tasks, schedule)
    numbers, faults = check.numbers()
    yield from faults
    known = numbers >= 0
    yield from check.runs_once(numbers[known], is_complete=is_complete)
    yield from check.times(numbers, known)
    if schedule.workers is not None:
        yield from check.workers(numbers, known, schedule.workers, in_queue_order=in_queue_order)


def order_faults(
    graphs: TaskGraph | Sequence[TaskGraph], order: Sequence[tuple[int, int]]
) -> Iterator[ScheduleFault]:
    """`schedule_faults` of tasks that run one after another: (rank, task id) in their order."""
    times = np.arange(len(order), dtype=np.float64)
    ranks = np.array([rank for rank, _ in order], dtype=np.int64)
    task_ids = np.array([task for _, task in order], dtype=np.int64)
    yield from schedule_faults(graphs, ScheduledTasks(task_ids, times, times + 1, ranks))


@dataclass(frozen=True)
class _Check:
    tasks: RankedTasks
    schedule: ScheduledTasks

    def numbers(self) -> tuple[IntArray, list[ScheduleFault]]:
        """By run the task's number, -1 for what is no task of these graphs."""
        schedule, tasks = self.schedule, self.tasks
        numbers = np.full(len(schedule.task_ids), -1, dtype=np.int64)
        ranks = self._ranks
        for start, graph in zip(tasks.starts.tolist(), tasks.graphs, strict=False):
            mine = (ranks == graph.rank) & (schedule.task_ids >= 0)
            mine &= schedule.task_ids < graph.num_tasks
            numbers[mine] = start + schedule.task_ids[mine]
        numbers[numbers >= 0] = np.where(
            tasks.is_run[numbers[numbers >= 0]], numbers[numbers >= 0], -1
        )
        faults = [
            ScheduleFault(
                "unknown",
                int(ranks[i]),
                int(schedule.task_ids[i]),
                "there is no such task that a worker runs",
            )
            for i in np.flatnonzero(numbers < 0).tolist()
        ]
        return numbers, faults

    @property
    def _ranks(self) -> IntArray:
        if self.schedule.ranks is not None:
            return self.schedule.ranks
        rank = self.tasks.graphs[0].rank if self.tasks.graphs else 0
        return np.full(len(self.schedule.task_ids), rank, dtype=np.int64)

    def runs_once(self, numbers: IntArray, *, is_complete: bool) -> Iterator[ScheduleFault]:
        tasks = self.tasks
        counts = np.bincount(numbers, minlength=len(tasks))
        for number in np.flatnonzero(counts > 1).tolist():
            yield self._fault("twice", number, f"it runs {int(counts[number])} times")
        if not is_complete:
            return
        expected = tasks.is_run.copy()
        # A simulation may take the begin task for granted
        expected[tasks.starts[:-1] + 1] = False
        for number in np.flatnonzero(expected & (counts == 0)).tolist():
            yield self._fault("missing", number, "it never runs")

    def times(self, numbers: IntArray, known: npt.NDArray[np.bool_]) -> Iterator[ScheduleFault]:
        """Tasks that start before what they wait for is complete."""
        schedule, tasks = self.schedule, self.tasks
        for i in np.flatnonzero(known & ~(schedule.ends >= schedule.starts)).tolist():
            yield self._fault("negative", int(numbers[i]), "it ends before it starts")
        complete = self._completions(numbers, known)
        runs = np.flatnonzero(known)
        events = tasks.dependents[numbers[runs]]
        if len(tasks.partners):
            runs, events = self._with_partners(numbers, runs, events)
        waits = events != NOTHING
        runs, events = runs[waits], events[waits]
        early = schedule.starts[runs] < complete[events]
        for i, event in zip(runs[early].tolist(), events[early].tolist(), strict=True):
            when = float(complete[event])
            text = "is never complete" if np.isinf(when) else f"is complete at {when:g}"
            index = tasks.event(event)
            yield self._fault(
                "early",
                int(numbers[i]),
                f"it starts at {float(schedule.starts[i]):g} and waits for event "
                f"{index.event_index} of rank {index.rank}, which {text}",
            )

    def _with_partners(
        self, numbers: IntArray, runs: IntArray, events: IntArray
    ) -> tuple[IntArray, IntArray]:
        """Runs of collective tasks once for the event of each partner."""
        row_of = np.full(len(self.tasks), -1, dtype=np.int64)
        row_of[self.tasks.partners] = np.arange(len(self.tasks.partners))[:, None]
        rows = row_of[numbers[runs]]
        collective = rows >= 0
        theirs = self.tasks.dependents[self.tasks.partners[rows[collective]]]
        width = self.tasks.partners.shape[1]
        return (
            np.concatenate((runs[~collective], np.repeat(runs[collective], width))),
            np.concatenate((events[~collective], theirs.ravel())),
        )

    def _completions(
        self, numbers: IntArray, known: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.float64]:
        """By event when it has been triggered often enough; infinity for never."""
        tasks = self.tasks
        runs = np.flatnonzero(known)
        events = tasks.triggers[numbers[runs]]
        begins = tasks.starts[:-1] + 1
        absent = begins[~np.isin(begins, numbers[runs])]
        events = np.concatenate((events, tasks.triggers[absent]))
        ends = np.concatenate((self.schedule.ends[runs], np.full(len(absent), -np.inf)))
        has = events != NOTHING
        events, ends = events[has], ends[has]
        order = np.lexsort((ends, events))
        events, ends = events[order], ends[order]
        starts = np.searchsorted(events, np.arange(tasks.num_events + 1))
        complete = np.full(tasks.num_events, np.inf)
        complete[tasks.needed <= 0] = -np.inf
        enough = (tasks.needed > 0) & (np.diff(starts) >= tasks.needed)
        complete[enough] = ends[starts[:-1][enough] + tasks.needed[enough] - 1]
        return complete

    def workers(
        self,
        numbers: IntArray,
        known: npt.NDArray[np.bool_],
        workers: IntArray,
        *,
        in_queue_order: bool,
    ) -> Iterator[ScheduleFault]:
        """Tasks that overlap on one worker, or run out of its queue's order."""
        schedule = self.schedule
        runs = np.flatnonzero(known)
        order = runs[np.lexsort((schedule.ends[runs], schedule.starts[runs], workers[runs]))]
        order = order[np.argsort(self._ranks[order], kind="stable")]
        same = self._ranks[order][1:] == self._ranks[order][:-1]
        same &= workers[order][1:] == workers[order][:-1]
        before, after = order[:-1][same], order[1:][same]
        for i, j in zip(before.tolist(), after.tolist(), strict=True):
            other = int(schedule.task_ids[i])
            if schedule.starts[j] < schedule.ends[i]:
                text = f"worker {int(workers[j])} still runs task {other} when it starts"
                yield self._fault("worker-busy", int(numbers[j]), text)
            elif in_queue_order and schedule.task_ids[j] < other:
                text = f"it runs after task {other}, which worker {int(workers[j])} has behind it"
                yield self._fault("queue-order", int(numbers[j]), text)

    def _fault(self, kind: FaultKind, number: int, message: str) -> ScheduleFault:
        rank, task_id = self.tasks.task(number)
        return ScheduleFault(kind, rank, task_id, message)
