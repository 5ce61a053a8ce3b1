"""Changes that leave a pipeline or a graph as good as it was: nothing new may be found."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from mpkgraph.catalog import EVENT_END_OF_TASK_GRAPH
from mpkgraph.io.reader import read_graph
from mpkgraph.io.writer import save_graph
from mpkgraph.model import ids
from mpkgraph.model.graph import TaskGraph
from mpkgraph.model.record import LayerCall, PipelineRecord
from tests.mutations import edit
from tests.mutations.graph_faults import permuted
from tests.mutations.subjects import Subject


def renumbered(rng: Random, graph: TaskGraph) -> TaskGraph:
    """Events in another order, and the tasks of an event as a block elsewhere.

    A block comes after all that trigger its event, as workers need, so the order is a valid one;
    within a block tasks stay as they were.
    """
    tasks = graph.tasks
    waits, fires = tasks.dependent_indices, tasks.trigger_indices
    blocks: dict[int, list[int]] = {}
    for task in range(ids.NUM_FIXED_TASKS, graph.num_tasks):
        blocks.setdefault(int(waits[task]), []).append(task)
    missing = dict.fromkeys(blocks, 0)
    for task in range(ids.NUM_FIXED_TASKS, graph.num_tasks):
        if int(fires[task]) in missing:
            missing[int(fires[task])] += 1
    order, ready = list(range(ids.NUM_FIXED_TASKS)), [x for x in blocks if not missing[x]]
    while ready:
        block = ready.pop(rng.randrange(len(ready)))
        for task in blocks[block]:
            order.append(task)
            after = int(fires[task])
            if after in missing:
                missing[after] -= 1
                if not missing[after]:
                    ready.append(after)
    if len(order) != graph.num_tasks:
        raise ValueError("the graph waits in a circle")
    middle = [
        x
        for x in range(ids.NUM_FIXED_TASKS, graph.num_events)
        if graph.events.event_types[x] != EVENT_END_OF_TASK_GRAPH
    ]
    shuffled = rng.sample(middle, len(middle))
    place = np.arange(graph.num_events)  # the old event at each new index
    place[middle] = shuffled
    return _with_events(permuted(graph, np.array(order)), place)


def _with_events(graph: TaskGraph, place: np.ndarray) -> TaskGraph:
    """Event i is the old event `place[i]`; ranges are those of the tasks as they are now."""
    index = np.empty_like(place)
    index[place] = np.arange(len(place))

    def moved(column: np.ndarray) -> np.ndarray:
        changed = column.copy()
        old = ids.event_indices(column)
        named = old >= 0
        low = column[named] & ~np.uint64(ids.EVENT_INDEX_MASK)
        changed[named] = low | index[old[named]].astype(np.uint64)
        return changed

    tasks = replace(
        graph.tasks,
        dependent_events=moved(graph.tasks.dependent_events),
        trigger_events=moved(graph.tasks.trigger_events),
    )
    events = graph.events
    first, last = events.first_task_ids[place].copy(), events.last_task_ids[place].copy()
    for event in range(ids.NUM_FIXED_TASKS, len(place)):
        waiting = np.flatnonzero(tasks.dependent_indices == event)
        if len(waiting):
            first[event], last[event] = waiting[0], waiting[-1] + 1
    first_tasks = np.flatnonzero(tasks.dependent_indices < 0)
    return replace(
        graph,
        tasks=tasks,
        events=replace(
            events,
            event_types=events.event_types[place],
            first_task_ids=first,
            last_task_ids=last,
            num_triggers=events.num_triggers[place],
        ),
        first_tasks=first_tasks[first_tasks >= ids.NUM_FIXED_TASKS],
    )


def with_other_names(rng: Random, graph: TaskGraph) -> TaskGraph:
    """Every tensor has another name."""
    names = {name: f"t{number}" for number, name in enumerate(_shuffled(rng, graph.tensors))}
    layouts = tuple(
        x if x.is_null else replace(x, base_ptr=names[x.base_ptr]) for x in graph.layouts
    )
    return replace(graph, layouts=layouts)


def _shuffled(rng: Random, values: Any) -> list[Any]:
    return rng.sample(list(values), len(values))


def record_with_other_names(rng: Random, record: PipelineRecord) -> PipelineRecord:
    """Every tensor that no shuffle or fusing names has another name."""
    numbers = _shuffled(rng, range(len(record.tensors)))
    for tensor, number in zip(record.tensors, numbers, strict=True):
        record = edit.with_tensor(record, tensor.id, name=f"t{number}")
    return record


def record_in_other_order(rng: Random, subject: Subject) -> PipelineRecord | None:
    """Two calls in a row whose layers share no tensor that either of them writes."""
    record, log = subject.record, subject.record.log
    layers = {}
    for layer in subject.layers:
        layers.setdefault(edit.entry_of(layer), []).append(layer.index)
    calls = [x for x in sorted(layers) if isinstance(log[x], LayerCall)]
    swaps = []
    for one, two in pairwise(calls):
        touched = [
            {
                wrote: {
                    x.slot.tensor
                    for x in subject.uses
                    if x.layer in layers[call] and (not wrote or x.effect.writes or x.is_output)
                }
                for wrote in (False, True)
            }
            for call in (one, two)
        ]
        if not (touched[0][True] & touched[1][False] or touched[1][True] & touched[0][False]):
            swaps.append((one, two))
    if not swaps:
        return None
    return edit.moved_entry(record, *rng.choice(swaps))


def rewritten(change: Callable[[str], str]) -> Callable[[Path, TaskGraph], TaskGraph]:
    """The graph as it is read from other text with the same meaning."""

    def make(folder: Path, graph: TaskGraph) -> TaskGraph:
        path = folder / "task_graph_rank0.json"
        save_graph(graph, path)
        text = path.read_text(encoding="utf-8")
        path.write_bytes(change(text).encode())
        return read_graph(path)

    return make


def _unknown(text: str) -> str:
    """Fields that no version knows, at every level."""
    whole = json.loads(text)
    whole["made_by"] = {"version": [1, 2]}
    for number, event in enumerate(whole["all_events"]):
        event["colour"] = number % 3
    for number, task in enumerate(whole["all_tasks"]):
        task["priority"] = number
        for slot in (*(task["inputs"] or ()), *(task["outputs"] or ())):
            slot["swizzle"] = None
    return json.dumps(whole)


REWRITES = {
    "compact": lambda text: json.dumps(json.loads(text), separators=(",", ":")),
    "other indent": lambda text: json.dumps(json.loads(text), indent=7),
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    "unknown fields": _unknown,
}
