"""Why a kernel did not end: what its graph says of it, and what the event counters showed.

The graph may hang by itself, whatever kernels do: that is found by running it on counters. Else the
counters that were read while it hung tell which operators had begun and not finished.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mpkgraph.analysis.execution.counters import Counters
from mpkgraph.analysis.execution.hang import Hang as PlannedHang
from mpkgraph.analysis.execution.hang import explain_hang
from mpkgraph.analysis.execution.schedulers import Fifo, steps
from mpkgraph.analysis.execution.tasks import NOTHING, RankedTasks
from mpkgraph.catalog import DEFAULT
from mpkgraph.errors import GraphReadError
from mpkgraph.mirage.absent_workers import absent_workers
from mpkgraph.model.graph import TaskGraph
from mpkgraph.model.operator import Operator, OperatorSet
from mpkgraph.model.record import PipelineRecord
from mpkgraph.views.operators import recover_operators
from mpkgraph.views.recorded import recorded_operators

BEGIN_EVENT = 1
MAX_WAITS = 4
MAX_OPERATORS = 6


@dataclass(frozen=True)
class Unfinished:
    """An operator of which tasks could run and some had not finished."""

    operator: int
    """Its index."""
    name: str
    num_tasks: int
    num_begun: int
    """Tasks whose dependent event was complete."""
    num_unfinished: int
    """Of these, those that the counters have not seen finish, at least."""

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class Hang:
    """What is known about a launch that did not end."""

    planned: PlannedHang | None
    """The graph's own reason; None when the graph alone would run to its end."""
    has_counters: bool
    has_begun: bool | None
    """Whether the begin task had run; None without counters."""
    num_events: int
    num_complete: int | None
    unfinished: tuple[Unfinished, ...]
    absent: range | None = None
    """Workers that never started, where the counters show that."""

    @property
    def lines(self) -> tuple[str, ...]:
        """What it comes to, a sentence a line."""
        found = list(self._planned_lines())
        if not self.has_counters:
            found.append("The event counters could not be read")
        elif not self.has_begun:
            found.append(
                "Not even the begin task had run: the schedulers never started (something else "
                "uses the GPU, or a kernel before the launch is missing)"
            )
        else:
            found.append(f"{self.num_complete} of {self.num_events} events were complete")
            found += [
                f"{x.name}: {x.num_unfinished} of {x.num_begun} tasks that could run did not end "
                f"({x.num_tasks} in all)"
                for x in self.unfinished[:MAX_OPERATORS]
            ]
            if self.absent is not None:
                found.append(
                    f"These are all tasks of workers {self.absent[0]} to {self.absent[-1]}, which "
                    "never started: schedulers were placed on their SMs first, as happens when "
                    "the launch is queued behind other work. Call torch.cuda.synchronize() first"
                )
            elif self.planned is None and self.unfinished:
                found.append("The graph itself would end: a kernel of these operators does not")
        return tuple(found)

    def _planned_lines(self) -> list[str]:
        if self.planned is None:
            return []
        found = [f"The graph hangs by itself: {self.planned.num_tasks} tasks can never run"]
        for wait in self.planned.waits[:MAX_WAITS]:
            blockers = "; ".join(f"task {x.task_id} {x.place}" for x in wait.blockers[:2])
            missing = wait.num_triggers - wait.num_counted
            why = blockers or f"no task is left to give the {missing} triggers that it misses"
            found.append(
                f"task {wait.task_id} waits for event {wait.event_index} "
                f"({wait.num_counted} of {wait.num_triggers} triggers): {why}"
            )
        return found

    def to_json(self) -> dict[str, Any]:
        return {
            "planned": None if self.planned is None else self.planned.to_json(),
            "has_counters": self.has_counters,
            "has_begun": self.has_begun,
            "num_events": self.num_events,
            "num_complete": self.num_complete,
            "unfinished": [x.to_json() for x in self.unfinished],
            "absent_workers": None if self.absent is None else list(self.absent),
            "lines": list(self.lines),
        }


def diagnose_hang(
    graph: TaskGraph,
    record: PipelineRecord | None,
    counters: Sequence[int] | None,
    num_workers: int | None = None,
    num_schedulers: int | None = None,
) -> Hang:
    """Put together what is known. `counters` are by event what the GPU had counted."""
    if record is not None:
        num_workers = num_workers or record.init.get("num_workers")
        num_schedulers = num_schedulers or record.init.get("num_local_schedulers")
    planned = _planned(graph, num_workers, num_schedulers)
    if counters is None or len(counters) != graph.num_events:
        return Hang(
            planned=planned,
            has_counters=False,
            has_begun=None,
            num_events=graph.num_events,
            num_complete=None,
            unfinished=(),
        )
    counted = np.array(counters, dtype=np.uint64).astype(np.int64)
    needed = graph.events.num_triggers.astype(np.int64)
    complete = counted >= needed
    return Hang(
        planned=planned,
        has_counters=True,
        has_begun=bool(complete[BEGIN_EVENT]),
        num_events=graph.num_events,
        num_complete=int(complete.sum()),
        unfinished=_unfinished(graph, record, counted, complete),
        absent=absent_workers(graph, counted, num_workers, num_schedulers),
    )


def _planned(
    graph: TaskGraph, num_workers: int | None, num_schedulers: int | None
) -> PlannedHang | None:
    tasks = RankedTasks.of([graph])
    counters = Counters(tasks)
    workers = num_workers or max(1, min(graph.num_tasks, 160))
    schedulers = num_schedulers if num_schedulers and num_schedulers <= workers else None
    fifo = Fifo(tasks, workers, schedulers)
    deque(steps(counters, fifo), maxlen=0)
    return explain_hang(counters, fifo)


def _unfinished(
    graph: TaskGraph,
    record: PipelineRecord | None,
    counted: np.ndarray[Any, np.dtype[np.int64]],
    complete: np.ndarray[Any, np.dtype[np.bool_]],
) -> tuple[Unfinished, ...]:
    """Operators in the order of emission. An event counts tasks of several, so numbers are least
    numbers: tasks that could run, less all that its events have seen.
    """
    tasks = RankedTasks.of([graph])
    dependents, triggers = tasks.dependents, tasks.triggers
    could_run = np.ones(len(tasks), dtype=bool)
    waits = dependents != NOTHING
    could_run[waits] = complete[dependents[waits]]
    found = []
    for operator in _operators(graph, record).operators:
        ids = operator.task_ids
        begun = could_run[ids]
        events = np.unique(triggers[ids])
        events = events[events != NOTHING]
        seen = int(counted[events].sum())
        late = int(begun.sum()) - seen
        if late > 0:
            found.append(
                Unfinished(
                    operator.index, _name(operator), operator.num_tasks, int(begun.sum()), late
                )
            )
    return tuple(found)


def _operators(graph: TaskGraph, record: PipelineRecord | None) -> OperatorSet:
    if record is not None:
        try:
            return recorded_operators(graph, record)
        except GraphReadError:
            pass
    return recover_operators(graph)


def _name(operator: Operator) -> str:
    task = DEFAULT.task_types.get(operator.task_type, str(operator.task_type))
    outputs = ", ".join(x.name for x in operator.outputs)
    kind = operator.layer_method or task
    return f"{kind} -> {outputs}" if outputs else kind
