"""One fault in the columns of a graph.

A fault of events is one when the brute force of `behaviour` says so; the others are wrong by what
they do: a task works on another tile than its place in the grid, or the file contradicts itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np

from mpkgraph.catalog import DEFAULT, EVENT_END_OF_TASK_GRAPH
from mpkgraph.catalog.effects import effects_of
from mpkgraph.model import ids
from mpkgraph.model.graph import NULL_TASK_TYPE, SlotLayout, TaskGraph
from tests.mutations.behaviour import Behaviour
from tests.mutations.subjects import Subject


@dataclass(frozen=True)
class GraphMutant:
    """Rank 0's graph with a fault, and what was done to it."""

    graph: TaskGraph
    what: str


Make = Callable[[Random, Subject], "GraphMutant | None"]


@dataclass(frozen=True)
class GraphFault:
    """A class of faults. `make` gives None where a subject has no place for one."""

    name: str
    make: Make
    expected: tuple[str, ...]
    """Prefixes of codes, one of which must be found."""
    judged: bool = False
    """Whether brute force must say that the mutant behaves worse; the rest are wrong as made."""
    parallel: bool = False
    """Whether it takes graphs of several ranks."""

    def mutant(self, rng: Random, subject: Subject) -> GraphMutant | None:
        """A mutant that is a fault; None where this draw gave none."""
        made = self.make(rng, subject)
        if made is None or not self.judged:
            return made
        return made if subject.behaviour.spoilt_by(Behaviour(made.graph)) else None


def set_tasks(graph: TaskGraph, column: str, places: Any, value: Any) -> TaskGraph:
    """A graph with other values in a column of tasks or slots."""
    changed = getattr(graph.tasks, column).copy()
    changed[places] = value
    return replace(graph, tasks=replace(graph.tasks, **{column: changed}))


def set_events(graph: TaskGraph, column: str, event: int, value: int) -> TaskGraph:
    changed = getattr(graph.events, column).copy()
    changed[event] = value
    return replace(graph, events=replace(graph.events, **{column: changed}))


def _task(rng: Random, graph: TaskGraph, column: str | None = None) -> int | None:
    """A task of a layer; with `column`, one that names an event there."""
    tasks = graph.tasks
    good = ~tasks.is_null
    if column is not None:
        good = good & (getattr(tasks, column) != np.uint64(ids.EVENT_INVALID_ID))
    found = np.flatnonzero(good[ids.NUM_FIXED_TASKS :]) + ids.NUM_FIXED_TASKS
    return int(rng.choice(found.tolist())) if len(found) else None


def _end(graph: TaskGraph) -> int:
    return int(np.flatnonzero(graph.events.event_types == EVENT_END_OF_TASK_GRAPH)[0])


def _event_id(graph: TaskGraph, event: int) -> int:
    return ids.EventId(graph.rank, event, nvshmem=False).encode()


def _other_event(column: str, verb: str) -> Make:
    def make(rng: Random, subject: Subject) -> GraphMutant | None:
        graph = subject.graph
        task = _task(rng, graph, column)
        if task is None:
            return None
        was = int(ids.event_indices(getattr(graph.tasks, column))[task])
        others = [x for x in range(2, graph.num_events) if x != was]
        if not others:
            return None
        event = rng.choice(others)
        changed = set_tasks(graph, column, task, np.uint64(_event_id(graph, event)))
        return GraphMutant(changed, f"task {task} {verb} event {event} instead of {was}")

    return make


def _no_event(column: str, verb: str) -> Make:
    def make(rng: Random, subject: Subject) -> GraphMutant | None:
        task = _task(rng, subject.graph, column)
        if task is None:
            return None
        changed = set_tasks(subject.graph, column, task, np.uint64(ids.EVENT_INVALID_ID))
        return GraphMutant(changed, f"task {task} {verb} nothing")

    return make


def _no_wait_at_all(rng: Random, subject: Subject) -> GraphMutant | None:
    graph = subject.graph
    task = _task(rng, graph, "dependent_events")
    if task is None:
        return None
    event = graph.tasks.dependent_events[task]
    every = graph.tasks.dependent_events == event
    changed = set_tasks(graph, "dependent_events", every, np.uint64(ids.EVENT_INVALID_ID))
    return GraphMutant(changed, f"nobody waits for event {int(event) & ids.EVENT_INDEX_MASK}")


def _count(amount: int) -> Make:
    def make(rng: Random, subject: Subject) -> GraphMutant | None:
        graph = subject.graph
        events = [x for x in range(1, graph.num_events) if subject.behaviour.triggers[x]]
        event = rng.choice(events)
        value = int(graph.events.num_triggers[event]) + amount
        changed = set_events(graph, "num_triggers", event, value)
        return GraphMutant(changed, f"event {event} needs {value} triggers, {-amount:+} too few")

    return make


def _range(rng: Random, subject: Subject) -> GraphMutant | None:
    graph = subject.graph
    events = [x for x in range(2, graph.num_events) if x != _end(graph)]
    if not events:
        return None
    event, shift = rng.choice(events), rng.choice([-1, 1])
    column = rng.choice(["first_task_ids", "last_task_ids"])
    value = int(getattr(graph.events, column)[event]) + shift
    changed = set_events(graph, column, event, value)
    return GraphMutant(changed, f"{column} of event {event} is {value}, {shift:+}")


def _launch(rng: Random, subject: Subject) -> GraphMutant:
    graph = subject.graph
    column, shift = rng.choice([("first_task_ids", 1), ("last_task_ids", -1)])
    value = int(getattr(graph.events, column)[1]) + shift
    return GraphMutant(set_events(graph, column, 1, value), f"{column} of event 1 is {value}")


def _slot(
    rng: Random, subject: Subject, *, is_output: bool | None = None
) -> tuple[int, int] | None:
    """(task, position) of a slot that the kernel touches exactly where it is said."""
    graph = subject.graph
    task = _task(rng, graph)
    slots = graph.slots(task)
    inputs = int(graph.tasks.num_inputs[task])
    name = DEFAULT.task_type_name(int(graph.tasks.task_types[task]))
    effects = effects_of(name, inputs, len(slots) - inputs, None).slots
    good = [
        place
        for place, (slot, effect) in enumerate(zip(slots, effects, strict=True))
        if not slot.layout.is_null
        and effect.footprint == "tile"
        and effect.access not in {"none", "remote"}
        and is_output in {None, place >= inputs}
    ]
    return (task, rng.choice(good)) if good else None


def _moved(*, is_output: bool) -> Make:
    """To the tile of a sibling: where the same slot of another task of the operator is."""

    def make(rng: Random, subject: Subject) -> GraphMutant | None:
        graph, operators = subject.graph, subject.contexts[0].operators
        found = _slot(rng, subject, is_output=is_output)
        if found is None:
            return None
        task, position = found
        siblings = operators[int(operators.task_operators[task])].task_ids
        places = graph.tasks.slot_starts[siblings] + position
        mine = int(graph.tasks.slot_starts[task]) + position
        was = int(graph.tasks.slot_offsets[mine])
        others = sorted(set(graph.tasks.slot_offsets[places].tolist()) - {was})
        if not others:
            return None
        offset = rng.choice(others)
        changed = set_tasks(graph, "slot_offsets", mine, offset)
        return GraphMutant(changed, f"slot {position} of task {task} at byte {offset}, not {was}")

    return make


def _outside(rng: Random, subject: Subject) -> GraphMutant | None:
    graph, operators = subject.graph, subject.contexts[0].operators
    found = _slot(rng, subject)
    if found is None:
        return None
    task, position = found
    slot = graph.slots(task)[position]
    known = operators[int(operators.task_operators[task])].slots[position]
    size = DEFAULT.data_type_size(slot.layout.data_type)
    if size is None or not known.tensor_dims:
        return None
    extents = zip(known.tensor_dims, slot.strides, strict=True)
    whole = size * (1 + sum((extent - 1) * stride for extent, stride in extents))
    tile = zip(slot.dims, slot.strides, strict=True)
    own = size * (1 + sum((extent - 1) * stride for extent, stride in tile))
    # From just over the end to wholly beyond
    offset = rng.choice([whole - own + size * max(slot.dims[-1], 1), whole, 2 * whole])
    place = int(graph.tasks.slot_starts[task]) + position
    changed = set_tasks(graph, "slot_offsets", place, offset)
    return GraphMutant(
        changed, f"slot {position} of task {task} at byte {offset} of {whole} ({slot.base_ptr})"
    )


def _dims(rng: Random, subject: Subject) -> GraphMutant | None:
    graph = subject.graph
    found = _slot(rng, subject)
    if found is None:
        return None
    task, position = found
    slot = graph.slots(task)[position]
    wide = [d for d, extent in enumerate(slot.dims) if extent > 1 and extent % 2 == 0]
    if not wide:
        return None
    dim = rng.choice(wide)
    dims = tuple(x // 2 if d == dim else x for d, x in enumerate(slot.dims))
    return _other_layout(
        graph, task, position, replace(slot.layout, dims=dims), f"has dims {list(dims)}"
    )


def _strides(rng: Random, subject: Subject) -> GraphMutant | None:
    graph = subject.graph
    found = _slot(rng, subject)
    if found is None:
        return None
    task, position = found
    slot = graph.slots(task)[position]
    rows = [d for d in range(len(slot.dims)) if slot.dims[d] > 1 and slot.strides[d] > 1]
    if not rows:
        return None
    dim = rng.choice(rows)
    strides = tuple(x // 2 if d == dim else x for d, x in enumerate(slot.strides))
    layout = replace(slot.layout, strides=strides)
    return _other_layout(graph, task, position, layout, f"has strides {list(strides)}")


def _other_layout(
    graph: TaskGraph, task: int, position: int, layout: SlotLayout, what: str
) -> GraphMutant:
    place = int(graph.tasks.slot_starts[task]) + position
    grown = replace(graph, layouts=(*graph.layouts, layout))
    changed = set_tasks(grown, "slot_layouts", place, len(graph.layouts))
    return GraphMutant(changed, f"slot {position} of task {task} {what}")


def _null(rng: Random, subject: Subject) -> GraphMutant:
    graph = subject.graph
    task = _task(rng, graph)
    return GraphMutant(set_tasks(graph, "task_types", task, NULL_TASK_TYPE), f"task {task} is null")


def _lost_end(rng: Random, subject: Subject) -> GraphMutant:
    graph = subject.graph
    leaves = np.flatnonzero(graph.tasks.trigger_indices == _end(graph)).tolist()
    task = rng.choice(leaves)
    changed = set_tasks(graph, "trigger_events", task, np.uint64(ids.EVENT_INVALID_ID))
    changed = set_events(changed, "num_triggers", _end(graph), len(leaves) - 1)
    return GraphMutant(changed, f"the end does not wait for task {task}")


def _first_tasks(rng: Random, subject: Subject) -> GraphMutant:
    graph = subject.graph
    listed = graph.first_tasks.tolist()
    if len(listed) > 1 and rng.random() < 0.5:
        listed.remove(rng.choice(listed))
    else:
        listed.append(graph.num_tasks - 1 + (graph.num_tasks - 1 in listed))
    return GraphMutant(
        replace(graph, first_tasks=np.array(listed, dtype=np.int64)), f"first_tasks is {listed}"
    )


def _behind(rng: Random, subject: Subject) -> GraphMutant | None:
    """Two tasks change places, so that one waits for what is queued behind it."""
    graph = subject.graph
    task = _task(rng, graph, "dependent_events")
    if task is None:
        return None
    earlier = np.flatnonzero(
        graph.tasks.trigger_indices == int(graph.tasks.dependent_indices[task])
    ).tolist()
    if not earlier:
        return None
    other = rng.choice(earlier)
    order = np.arange(graph.num_tasks)
    order[[task, other]] = order[[other, task]]
    return GraphMutant(permuted(graph, order), f"tasks {other} and {task} change places")


def permuted(graph: TaskGraph, order: np.ndarray) -> TaskGraph:
    """The graph whose task i is the old task `order[i]`; nothing else changes."""
    tasks = graph.tasks
    lengths = np.diff(tasks.slot_starts)[order]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    slots = np.concatenate(
        [np.arange(tasks.slot_starts[x], tasks.slot_starts[x + 1]) for x in order.tolist()]
    ).astype(np.int64)
    columns = {
        name: getattr(tasks, name)[order]
        for name in (
            "task_types",
            "variant_ids",
            "dependent_events",
            "trigger_events",
            "request_ids",
            "kv_idxs",
            "merge_task_offsets",
            "expert_offsets",
            "task_offsets",
            "num_inputs",
        )
    }
    changed = replace(
        tasks,
        **columns,
        slot_starts=starts,
        slot_layouts=tasks.slot_layouts[slots],
        slot_offsets=tasks.slot_offsets[slots],
    )
    return replace(graph, tasks=changed)


def _metadata(rng: Random, subject: Subject) -> GraphMutant | None:
    """The request of a task whose kernel learns its grid point from it."""
    graph, context = subject.graph, subject.contexts[0]
    named = [
        task
        for operator in context.operators
        if operator.grid_dim[0] > 1 and "x" in context.effects(operator).varies_by
        for task in operator.task_ids.tolist()
        if graph.tasks.request_ids[task] >= 0
    ]
    if not named:
        return None
    task = rng.choice(named)
    low = int(graph.tasks.request_ids[task]) + 1
    whole = int(graph.tasks.expert_offsets[task]) & ~0xFFFF | low
    changed = set_tasks(graph, "request_ids", task, low)
    for column in ("expert_offsets", "task_offsets"):
        changed = set_tasks(changed, column, task, whole)
    return GraphMutant(changed, f"task {task} has request_id {low}, not {low - 1}")


def _type(rng: Random, subject: Subject) -> GraphMutant | None:
    """A task of another type with as many slots."""
    graph, tasks = subject.graph, subject.graph.tasks
    task = _task(rng, graph)
    lengths = np.diff(tasks.slot_starts)
    alike = (lengths == lengths[task]) & (tasks.num_inputs == tasks.num_inputs[task])
    others = sorted(set(tasks.task_types[alike & ~tasks.is_null].tolist()))
    others = [x for x in others if x != int(tasks.task_types[task])]
    if not others:
        return None
    kind = rng.choice(others)
    changed = set_tasks(graph, "task_types", task, kind)
    return GraphMutant(changed, f"task {task} is a {DEFAULT.task_type_name(kind)}")


def _remote(change: str) -> Make:
    def make(rng: Random, subject: Subject) -> GraphMutant | None:
        graph, column = subject.graph, subject.graph.tasks.trigger_events
        away = np.flatnonzero((ids.event_ranks(column) >= 0) & ids.event_is_nvshmem(column))
        if not len(away):
            return None
        task = int(rng.choice(away.tolist()))
        was = ids.decode_event_id(int(column[task]))
        if change == "rank":
            to = was._replace(rank=2 + rng.randrange(6))
        elif change == "event":
            others = [x for x in range(2, graph.num_events) if x != was.event_index]
            to = was._replace(event_index=rng.choice(others))
        else:
            changed = set_tasks(graph, "trigger_events", task, np.uint64(ids.EVENT_INVALID_ID))
            return GraphMutant(changed, f"task {task} signals nobody")
        changed = set_tasks(graph, "trigger_events", task, np.uint64(to.encode()))
        return GraphMutant(changed, f"task {task} signals {to} instead of {was}")

    return make


EVENTS = ("MPK2", "MPK3")
TILES = ("MPK1", "MPK2", "MPK421")
REMOTE = ("MPK6", "MPK3", "MPK2")

GRAPH_FAULTS = (
    GraphFault(
        "trigger of another event", _other_event("trigger_events", "triggers"), EVENTS, judged=True
    ),
    GraphFault("trigger removed", _no_event("trigger_events", "triggers"), EVENTS, judged=True),
    GraphFault("one trigger too many needed", _count(1), ("MPK301", "MPK310"), judged=True),
    GraphFault("one trigger too few needed", _count(-1), ("MPK302", "MPK310"), judged=True),
    GraphFault(
        "wait for another event", _other_event("dependent_events", "waits for"), EVENTS, judged=True
    ),
    GraphFault(
        "wait dropped, one task", _no_event("dependent_events", "waits for"), EVENTS, judged=True
    ),
    GraphFault("wait dropped, all of an event", _no_wait_at_all, EVENTS, judged=True),
    GraphFault("event range shifted", _range, ("MPK309",)),
    GraphFault("launch range shifted", _launch, ("MPK303",)),
    GraphFault("end lost for a leaf", _lost_end, ("MPK306",), judged=True),
    GraphFault("waits on work behind it", _behind, ("MPK304", "MPK305"), judged=True),
    GraphFault("first_tasks wrong", _first_tasks, ("MPK312",)),
    GraphFault("task is null", _null, ("MPK311",)),
    GraphFault("metadata of another grid point", _metadata, ("MPK313", "MPK118")),
    GraphFault("task of another type", _type, ("MPK",)),
    GraphFault("written tile moved to a sibling's", _moved(is_output=True), TILES),
    GraphFault("read tile moved to a sibling's", _moved(is_output=False), TILES),
    GraphFault("tile moved outside", _outside, TILES),
    GraphFault("tile dims halved", _dims, TILES),
    GraphFault("tile strides halved", _strides, TILES),
    GraphFault("signal to a rank that is not there", _remote("rank"), REMOTE, parallel=True),
    GraphFault("signal to another event", _remote("event"), REMOTE, parallel=True),
    GraphFault("signal removed", _remote("none"), REMOTE, parallel=True),
)
