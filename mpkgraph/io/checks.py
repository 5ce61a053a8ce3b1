"""Checks that need more than one record: ids against the numbers of tasks and events."""

from __future__ import annotations

import re
from pathlib import PurePath

import numpy as np
import numpy.typing as npt

from mpkgraph.errors import GraphReadError
from mpkgraph.model import ids
from mpkgraph.model.graph import EventColumns, TaskColumns

_RANK_IN_NAME = re.compile(r"task_graph_rank(\d{1,5})(?!\d)")
CHECKED_TASKS = 1 << 14
_REMEDY = "The graph is damaged or was edited: generate it again."


def rank_in_name(path: str | None) -> int | None:
    """N of `task_graph_rank{N}.json` and the like; None when the name has none.

    >>> rank_in_name("out/task_graph_rank3.json.zst")
    3
    """
    match = _RANK_IN_NAME.search(PurePath(path).name) if path else None
    return int(match[1]) if match else None


def rank_in_tasks(tasks: TaskColumns) -> int | None:
    """The rank that owns the event of task 1, which every rank's graph begins with."""
    if len(tasks) <= ids.BEGIN_TASK_ID:
        return None
    event = ids.decode_event_id(int(tasks.trigger_events[ids.BEGIN_TASK_ID]))
    return event.rank if event is not None else None


class EventIdCheck:
    """Largest event index of the graph's own rank that tasks use; they may come in batches."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rank = 0
        self.worst = -1
        self.message = ""

    def add(self, tasks: TaskColumns, first_task_id: int) -> None:
        # pieces that stay in the processor's caches, and add nothing to the peak of memory
        for begin in range(0, len(tasks), CHECKED_TASKS):
            piece = slice(begin, begin + CHECKED_TASKS)
            first = first_task_id + begin
            self._add("dependent_event", tasks.dependent_events[piece], first)
            self._add("trigger_event", tasks.trigger_events[piece], first)

    def _add(self, field: str, column: npt.NDArray[np.uint64], first_task_id: int) -> None:
        indices = ids.event_indices(column)
        indices[ids.event_ranks(column) != self.rank] = -1
        at = int(indices.argmax())
        if indices[at] > self.worst:
            self.worst = int(indices[at])
            self.message = (
                f"task {first_task_id + at}: {field} {int(column[at])} is event {self.worst}"
            )

    def finish(self, num_events: int) -> None:
        """Raises GraphReadError when a task uses an event that the graph does not have."""
        if self.worst >= num_events:
            raise GraphReadError(
                f"{self.message}, but the graph has {num_events} events",
                where=self.name,
                remedy=_REMEDY,
            )


def check_events(name: str, events: EventColumns, num_tasks: int) -> None:
    """Raises GraphReadError when an event's range of tasks goes past the last task."""
    for field, column in (
        ("first_task_id", events.first_task_ids),
        ("last_task_id", events.last_task_ids),
    ):
        bad = np.flatnonzero(column > np.uint64(num_tasks))
        if len(bad):
            at = int(bad[0])
            raise GraphReadError(
                f"event {at}: {field} is {int(column[at])}, but the graph has {num_tasks} tasks",
                where=name,
                remedy=_REMEDY,
            )


def check_first_tasks(name: str, first_tasks: npt.NDArray[np.int64], num_tasks: int) -> None:
    """Raises GraphReadError when `first_tasks` names a task that the graph does not have."""
    bad = np.flatnonzero(first_tasks >= num_tasks)
    if len(bad):
        at = int(bad[0])
        raise GraphReadError(
            f"first_tasks[{at}] is {int(first_tasks[at])}, but the graph has {num_tasks} tasks",
            where=name,
            remedy=_REMEDY,
        )
