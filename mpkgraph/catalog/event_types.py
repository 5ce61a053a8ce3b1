"""Event types of Mirage at `de8745d` (`runtime_header.h`)."""

from __future__ import annotations

from mpkgraph.frozen import dataclass


@dataclass(frozen=True, slots=True)
class EventTypeRow:
    """One event type and what the runtime does with it."""

    value: int
    name: str
    about: str


EVENT_EMPTY = 900
EVENT_LAUNCH_DEPENDENT_TASKS = 903
EVENT_END_OF_TASK_GRAPH = 910
EVENT_TERMINATION = 911

EVENT_TYPES: tuple[EventTypeRow, ...] = (
    EventTypeRow(EVENT_EMPTY, "EVENT_EMPTY", "gates the tasks whose dependent_event it is"),
    EventTypeRow(901, "EVENT_LAUNCH_TASKS", "hands its range of tasks to workers"),
    EventTypeRow(902, "EVENT_LAUNCH_MASSIVE_TASKS", "hands its range of tasks to all workers"),
    EventTypeRow(
        EVENT_LAUNCH_DEPENDENT_TASKS,
        "EVENT_LAUNCH_DEPENDENT_TASKS",
        "prelaunches every task at the start of an iteration",
    ),
    EventTypeRow(EVENT_END_OF_TASK_GRAPH, "EVENT_END_OF_TASK_GRAPH", "ends an iteration"),
    EventTypeRow(EVENT_TERMINATION, "EVENT_TERMINATION", "ends the kernel"),
    EventTypeRow(999, "EVENT_INVALID", "placeholder"),
)
