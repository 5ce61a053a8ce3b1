"""One event: what it is, who triggers it, who waits on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mpkgraph.analysis.context import MAX_REMEMBERED, GraphContext
from mpkgraph.analysis.groups import TaskGroup, group_tasks
from mpkgraph.analysis.integers import json_integer
from mpkgraph.analysis.ranges import check_id
from mpkgraph.frozen import dataclass
from mpkgraph.model import ids
from mpkgraph.model.ids import EventId


@dataclass(frozen=True)
class EventDetail:
    """One event as this rank's graph tells it.

    The fields after `event_id` up to `level` are None for an event that another rank owns.
    """

    event_index: int
    rank: int
    nvshmem: bool
    """Whether tasks name it with the NVSHMEM tag."""
    event_id: int
    """The 64-bit id by which tasks name it."""
    is_local: bool
    event_type: int | None
    event_type_name: str | None
    first_task_id: int | None
    last_task_id: int | None
    """The range `[first_task_id, last_task_id)` that the event gates."""
    num_triggers: int | None
    """Triggers that complete it."""
    level: int | None
    """Tasks on the longest chain that ends by triggering it; -1 in or behind a cycle."""
    triggered_by: tuple[TaskGroup, ...]
    """Tasks of this rank that trigger it."""
    waiting: tuple[TaskGroup, ...]
    """Tasks of this rank that wait on it."""
    triggering_elsewhere: tuple[TaskGroup, ...]
    """For an event of this rank: tasks here that trigger the event of this index on other ranks.
    Their counterparts on those ranks, which have the same graph, trigger this one."""
    waiting_elsewhere: tuple[TaskGroup, ...]
    """For an event of another rank: tasks here that wait on the event of this index here. Their
    counterparts on that rank wait on this one."""
    extras: Mapping[str, Any]
    """Fields that this version of mpkgraph does not know."""

    @property
    def num_triggering(self) -> int:
        """Tasks of this rank that trigger it."""
        return sum(group.num_tasks for group in self.triggered_by)

    @property
    def num_waiting(self) -> int:
        """Tasks of this rank that wait on it."""
        return sum(group.num_tasks for group in self.waiting)

    def to_json(self) -> dict[str, Any]:
        return {
            "event_index": self.event_index,
            "rank": self.rank,
            "nvshmem": self.nvshmem,
            "event_id": json_integer(self.event_id),
            "is_local": self.is_local,
            "event_type": self.event_type,
            "event_type_name": self.event_type_name,
            "first_task_id": json_integer(self.first_task_id),
            "last_task_id": json_integer(self.last_task_id),
            "num_triggers": json_integer(self.num_triggers),
            "num_triggering": self.num_triggering,
            "num_waiting": self.num_waiting,
            "level": self.level,
            "triggered_by": [group.to_json() for group in self.triggered_by],
            "waiting": [group.to_json() for group in self.waiting],
            "triggering_elsewhere": [group.to_json() for group in self.triggering_elsewhere],
            "waiting_elsewhere": [group.to_json() for group in self.waiting_elsewhere],
            "extras": dict(self.extras),
        }


def event_detail(context: GraphContext, event_index: int) -> EventDetail:
    """One event of this graph. Raises SelectionError when there is no such event."""
    graph = context.graph
    index = check_id(event_index, graph.num_events, "event")
    tagged = any(
        bool(ids.event_is_nvshmem(graph.tasks.values(column, tasks)).any())
        for column, tasks in (
            ("dependent_events", context.events.tasks_waiting_on(index)),
            ("trigger_events", context.events.tasks_triggering(index)),
        )
    )
    return _detail(context, index, EventId(graph.rank, index, tagged))


def event_by_id(context: GraphContext, event_id: int) -> EventDetail | None:
    """The event that a task names by a 64-bit id; None for the id of no event."""
    event = ids.decode_event_id(event_id)
    if event is None:
        return None
    known = context.event_details
    found = known.get(event_id)
    if found is None:
        if len(known) >= MAX_REMEMBERED:
            known.clear()
        found = known[event_id] = _named_event(context, event)
    return found


def _named_event(context: GraphContext, event: EventId) -> EventDetail:
    if event.rank == context.graph.rank and event.event_index < context.graph.num_events:
        return _detail(context, event.event_index, event)
    # Outside nodes are kept without the tag
    key = event._replace(nvshmem=False)
    node = context.events.num_local + context.events.outside_events.index(key)
    return _detail(context, node, event)


def _detail(context: GraphContext, node: int, event: EventId) -> EventDetail:
    graph, here, everywhere = context.graph, context.events, context.all_ranks
    columns = graph.events
    local = node < here.num_local
    index = event.event_index
    mirrored = index if index < graph.num_events else None
    triggering = here.tasks_triggering(node)
    waiting = here.tasks_waiting_on(node)
    elsewhere_triggering = elsewhere_waiting = waiting[:0]
    if local:
        everyone = everywhere.tasks_triggering(index)
        if len(everyone) > len(triggering):
            elsewhere_triggering = everyone[~np.isin(everyone, triggering)]
    elif mirrored is not None:
        elsewhere_waiting = here.tasks_waiting_on(mirrored)
    event_type = int(columns.event_types[index]) if local else None
    return EventDetail(
        event_index=index,
        rank=event.rank,
        nvshmem=event.nvshmem,
        event_id=event.encode(),
        is_local=local,
        event_type=event_type,
        event_type_name=None if event_type is None else context.catalog.event_type_name(event_type),
        first_task_id=int(columns.first_task_ids[index]) if local else None,
        last_task_id=int(columns.last_task_ids[index]) if local else None,
        num_triggers=int(columns.num_triggers[index]) if local else None,
        level=int(context.levels.event_levels[index]) if local else None,
        triggered_by=group_tasks(context, triggering),
        waiting=group_tasks(context, waiting),
        triggering_elsewhere=group_tasks(context, elsewhere_triggering),
        waiting_elsewhere=group_tasks(context, elsewhere_waiting),
        extras=extras_of(columns.extras, index) if local else {},
    )


def extras_of(extras: Mapping[str, Any], index: int) -> dict[str, Any]:
    """The unknown fields of one record by key."""
    return {key: field.get(index) for key, field in sorted(extras.items()) if field.has(index)}
