"""Some tasks of a graph as a graph of their own, valid and renumbered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.csr import IntArray, expand_ranges
from mpkgraph.analysis.event_graph import EventGraph
from mpkgraph.catalog import EVENT_END_OF_TASK_GRAPH
from mpkgraph.errors import SelectionError, UsageError
from mpkgraph.frozen import dataclass
from mpkgraph.model import ids
from mpkgraph.model.distinct import numbered
from mpkgraph.model.graph import (
    EventColumns,
    ExtraField,
    GraphSource,
    SlotLayout,
    TaskColumns,
    TaskGraph,
)


@dataclass(frozen=True)
class Extraction:
    """An extracted graph and where its tasks and events come from."""

    graph: TaskGraph
    task_ids: IntArray = field(repr=False)
    """For each task of `graph` its id in the whole graph."""
    event_indices: IntArray = field(repr=False)
    """For each event of `graph` its index in the whole graph."""
    new_first_tasks: IntArray = field(repr=False)
    """Tasks of `graph` that wait on nothing because all that they waited on was left out."""
    new_last_tasks: IntArray = field(repr=False)
    """Tasks of `graph` that trigger END because all that waited on their event was left out."""


def extract(graph: TaskGraph, task_ids: npt.NDArray[np.integer]) -> Extraction:
    """The tasks given, with terminate and begin, as a graph that Mirage's runtime could run.

    Tasks and events keep their order and are renumbered; so tasks of one event stay next to each
    other if they were, and event ranges are cut to the tasks that stay. An event stays when a
    task that triggers it and one that waits on it stay (terminate, begin and END always do).
    Otherwise its waiting tasks wait on nothing and become first tasks, and its triggering tasks
    trigger END. An event that keeps all its triggering tasks keeps its num_triggers, right or
    wrong, so a fault stays visible; else they are counted anew.

    Two tasks that were ordered only through tasks that are left out are not ordered in the
    result. Events of other ranks are renumbered as the events of the same index here: extract the
    same tasks of every rank.

    Raises SelectionError when no task of a layer is given, and UsageError for a graph without the
    fixed first tasks and events or without END.
    """
    _check_fixed(graph)
    if not (np.asarray(task_ids) >= ids.NUM_FIXED_TASKS).any():
        raise SelectionError(
            "no task is selected, so there is nothing to extract",
            remedy="Mirage's runtime hangs on a graph without tasks: choose some",
        )
    keep = np.zeros(graph.num_tasks, dtype=np.bool_)
    keep[: ids.NUM_FIXED_TASKS] = True
    keep[task_ids] = True
    kept = np.flatnonzero(keep)
    links = _Links.of(graph, kept)
    kept_events = np.flatnonzero(links.keep_event)
    new_event = np.full(graph.num_events, -1, dtype=np.int64)
    new_event[kept_events] = np.arange(len(kept_events))

    tasks = graph.tasks
    dependent, unwaiting = _renumbered(
        graph, tasks.values("dependent_events", kept), links.dependent, new_event
    )
    trigger, ending = _renumbered(
        graph, tasks.values("trigger_events", kept), links.trigger, new_event
    )
    dependent[unwaiting] = ids.EVENT_INVALID_ID
    end = ids.EventId(graph.rank, int(new_event[links.end]), nvshmem=False).encode()
    trigger[ending] = end
    columns, layouts = _task_columns(graph, kept, dependent, trigger)
    new_first = np.flatnonzero(unwaiting)
    return Extraction(
        graph=TaskGraph(
            tasks=columns,
            events=_event_columns(graph, kept, kept_events, links, int(ending.sum())),
            first_tasks=_first_tasks(graph, kept, new_first),
            layouts=layouts,
            rank=graph.rank,
            source=GraphSource(),
            extras=graph.extras,
        ),
        task_ids=kept,
        event_indices=kept_events,
        new_first_tasks=new_first,
        new_last_tasks=np.flatnonzero(ending),
    )


@dataclass(frozen=True)
class _Links:
    """Events by index, those of other ranks as the ones of the same index here."""

    dependent: IntArray
    """For each task that is kept the event that it waits on; -1 for none."""
    trigger: IntArray
    keep_event: npt.NDArray[np.bool_]
    num_triggering: IntArray
    """For each event the tasks of the whole graph that trigger it."""
    num_triggering_kept: IntArray
    end: int

    @classmethod
    def of(cls, graph: TaskGraph, kept: IntArray) -> _Links:
        events = EventGraph.of(graph, mirror=True)
        count = graph.num_events
        dependent, trigger = events.dependents_of(kept), events.triggers_of(kept)

        def counted(nodes: IntArray) -> IntArray:
            return np.bincount(nodes[(nodes >= 0) & (nodes < count)], minlength=count)

        waiting = events.num_tasks_of("dependent")[:count]
        triggering = events.num_tasks_of("trigger")[:count]
        waiting_kept, triggering_kept = counted(dependent), counted(trigger)
        # What had no such task to begin with has lost none
        keep_event = (waiting_kept > 0) | (waiting == 0)
        keep_event &= (triggering_kept > 0) | (triggering == 0)
        keep_event &= (waiting_kept + triggering_kept > 0) | (waiting + triggering == 0)
        end = int(np.flatnonzero(graph.events.event_types == EVENT_END_OF_TASK_GRAPH)[-1])
        keep_event[[0, 1, end]] = True
        return cls(dependent, trigger, keep_event, triggering, triggering_kept, end)


def _renumbered(
    graph: TaskGraph, event_ids: npt.NDArray[np.uint64], nodes: IntArray, new_event: IntArray
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
    """Event ids with new indices, and a mask of the tasks whose event is left out."""
    named = nodes >= 0
    inside = named & (nodes < graph.num_events)
    fresh = np.full(len(nodes), -1, dtype=np.int64)
    fresh[inside] = new_event[nodes[inside]]
    high = event_ids & ~np.uint64(ids.EVENT_INDEX_MASK)
    stays = fresh >= 0
    result = event_ids.copy()
    result[stays] = high[stays] | fresh[stays].astype(np.uint64)
    return result, named & ~stays


def _task_columns(
    graph: TaskGraph,
    kept: IntArray,
    dependent: npt.NDArray[np.uint64],
    trigger: npt.NDArray[np.uint64],
) -> tuple[TaskColumns, tuple[SlotLayout, ...]]:
    tasks = graph.tasks
    sizes = tasks.slot_counts(kept)
    places = expand_ranges(tasks.starts_of(kept), sizes)
    slot_starts = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(sizes)))
    codes, layouts = _used_layouts(graph, tasks.values("slot_layouts", places))
    # Not a copy with changes: columns that come from the cache are of a class of their own
    columns = TaskColumns(
        task_types=tasks.values("task_types", kept),
        variant_ids=tasks.values("variant_ids", kept),
        dependent_events=dependent,
        trigger_events=trigger,
        request_ids=tasks.values("request_ids", kept),
        kv_idxs=tasks.values("kv_idxs", kept),
        merge_task_offsets=tasks.values("merge_task_offsets", kept),
        expert_offsets=tasks.values("expert_offsets", kept),
        task_offsets=tasks.values("task_offsets", kept),
        num_inputs=tasks.values("num_inputs", kept),
        slot_starts=slot_starts,
        slot_layouts=codes,
        slot_offsets=tasks.values("slot_offsets", places),
        extras=_extras(tasks.extras, kept),
    )
    return columns, layouts


def _used_layouts(
    graph: TaskGraph, codes: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.int32], tuple[SlotLayout, ...]]:
    """Layouts in order of first use, as a reader of the new file would number them."""
    used, inverse = numbered(codes)
    first = np.full(len(used), len(codes), dtype=np.int64)
    first[inverse[::-1]] = np.arange(len(codes) - 1, -1, -1)  # the last assignment wins
    order = np.argsort(first)
    rank_of = np.empty(len(used), dtype=np.int32)
    rank_of[order] = np.arange(len(used), dtype=np.int32)
    return rank_of[inverse], tuple(graph.layouts[i] for i in used[order].tolist())


def _event_columns(
    graph: TaskGraph, kept: IntArray, kept_events: IntArray, links: _Links, num_ending: int
) -> EventColumns:
    events = graph.events
    lost = links.num_triggering != links.num_triggering_kept
    num_triggers = np.where(lost, links.num_triggering_kept, events.num_triggers)
    if num_ending or lost[links.end]:
        num_triggers[links.end] = links.num_triggering_kept[links.end] + num_ending
    return EventColumns(
        event_types=events.event_types[kept_events],
        first_task_ids=_cut(events.first_task_ids[kept_events], kept),
        last_task_ids=_cut(events.last_task_ids[kept_events], kept),
        num_triggers=num_triggers[kept_events],
        extras=_extras(events.extras, kept_events),
    )


def _cut(bounds: npt.NDArray[np.uint64], kept: IntArray) -> npt.NDArray[np.uint64]:
    """Bounds of half-open ranges over tasks, moved to the tasks that stay."""
    return np.searchsorted(kept.astype(np.uint64), bounds).astype(np.uint64)


def _first_tasks(graph: TaskGraph, kept: IntArray, new_first: IntArray) -> IntArray:
    """The old first tasks that stay, in their order, and the new ones."""
    position = np.searchsorted(kept, graph.first_tasks)
    found = kept[np.minimum(position, len(kept) - 1)] == graph.first_tasks
    old = position[found]
    # Not np.setdiff1d, which imports numpy.ma
    is_old = np.zeros(len(kept), dtype=np.bool_)
    is_old[old] = True
    fresh = new_first[~is_old[new_first]]
    both = np.concatenate((old, fresh))
    ascending = bool((np.diff(old) > 0).all())
    return np.sort(both) if ascending else both


def _extras(extras: Mapping[str, ExtraField], kept: IntArray) -> dict[str, ExtraField]:
    return {
        key: ExtraField(values=column.values, codes=column.codes[kept])
        for key, column in extras.items()
        if bool((column.codes[kept] >= 0).any())
    }


def _check_fixed(graph: TaskGraph) -> None:
    ends = graph.events.event_types == EVENT_END_OF_TASK_GRAPH
    if graph.num_tasks < ids.NUM_FIXED_TASKS or graph.num_events < 3 or not ends.any():
        raise UsageError(
            "the graph lacks the tasks and events that every graph of Mirage starts and ends with",
            where=graph.source.path,
            remedy="Extract from a graph that Mirage generated",
        )
