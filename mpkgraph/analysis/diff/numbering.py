"""Operators of a graph whose tasks and events may be numbered in any order.

Recovery of operators (`mpkgraph.views.operators`) takes tasks in the order of Mirage's emission. A
graph in any other order is put into one like it first: by level, by which operators trigger the
event that a task waits on, by what the task is, then by its tiles. Nothing of that depends on how
tasks and events were numbered.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mpkgraph.analysis.csr import IntArray, expand_ranges
from mpkgraph.analysis.diff.hashing import HashArray, combined, sums_by
from mpkgraph.analysis.diff.task_hashes import TaskHashes
from mpkgraph.analysis.event_graph import EventGraph
from mpkgraph.analysis.levels import find_levels
from mpkgraph.catalog import Catalog
from mpkgraph.model import ids
from mpkgraph.model.distinct import numbered
from mpkgraph.model.graph import BoolColumn, TaskGraph, UInt64Column
from mpkgraph.model.operator import OperatorSet
from mpkgraph.views.operators import recover_operators
from mpkgraph.views.rows import KeyTable, take_rows

_MAX_ROUNDS = 64
"""Of joining operators that share events; each round joins neighbours, so few are needed."""


def is_in_emission_order(graph: TaskGraph) -> bool:
    """Whether events are numbered in the order in which tasks wait on them, as Mirage does it."""
    waits = graph.tasks.dependent_indices[~graph.tasks.is_null]
    waits = waits[waits >= 0]
    return bool((waits[1:] >= waits[:-1]).all())


def operators_in_any_order(graph: TaskGraph, catalog: Catalog, hashes: TaskHashes) -> OperatorSet:
    """`recover_operators`, of a graph that was renumbered; its task ids stay the graph's own.

    Operators are in an order that numbering does not change.
    """
    order = canonical_order(graph, hashes, catalog)
    found = recover_operators(_reordered(graph, order), catalog)
    own = tuple(replace(x, task_ids=order[x.task_ids]) for x in found)
    return OperatorSet(own, num_tasks=graph.num_tasks)


def canonical_order(graph: TaskGraph, hashes: TaskHashes, catalog: Catalog) -> IntArray:
    """Ids of all tasks in an order that numbering does not change (but for equal tasks)."""
    events = EventGraph.of(graph, mirror=True)
    levels = find_levels(events)
    kinds = _kinds(graph)
    _, groups = numbered(combined(kinds, levels.task_levels))
    sharing = _sharing(groups, events)
    # Which operators trigger the event, and what they are: the hash of these, not their numbers
    triggering = sums_by(
        events.trigger_nodes, combined(kinds, levels.task_levels), events.num_nodes
    )
    by_class = np.zeros(int(sharing.max(initial=-1)) + 1, dtype=np.uint64)
    known = sharing >= 0
    np.maximum.at(by_class, sharing[known], triggering[known])
    waits = events.dependent_nodes
    classes = np.where((waits >= 0) & (sharing[waits] >= 0), by_class[sharing[waits]], 0)
    tiles = combined(hashes.tiles, hashes.metadata)
    # The first tile of an event, by place, puts the events of a layer in the order of the grid
    place = _places(graph, catalog)
    first = np.full(events.num_nodes + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, waits, place)
    inputs = np.where(_write_twice(groups, place), hashes.names, np.uint64(0))
    keys = (
        tiles,
        place,
        waits,
        first[waits],
        inputs,
        kinds,
        classes.astype(np.uint64),
        levels.task_levels,
    )
    body = np.arange(ids.NUM_FIXED_TASKS, graph.num_tasks)
    ordered = body[np.lexsort([x[body] for x in keys])]
    head = np.arange(min(ids.NUM_FIXED_TASKS, graph.num_tasks))
    return np.concatenate((head, ordered)).astype(np.int64)


def _write_twice(groups: IntArray, places: IntArray) -> BoolColumn:
    """By task whether several of its group write to one place: layers that read other tensors."""
    order = np.lexsort((places, groups))
    same = (groups[order][1:] == groups[order][:-1]) & (places[order][1:] == places[order][:-1])
    flagged = np.zeros(int(groups.max(initial=-1)) + 1, dtype=np.bool_)
    flagged[groups[order][1:][same]] = True
    found: BoolColumn = flagged[groups]
    return found


def _kinds(graph: TaskGraph) -> HashArray:
    """By task a hash of its type, variant and the layouts of its slots, but for input names."""
    tasks = graph.tasks
    numbers = np.arange(len(graph.layouts), dtype=np.int64)
    position = np.arange(tasks.num_slots) - tasks.slot_starts[:-1][tasks.slot_tasks]
    dims: dict[object, int] = {}
    # A fused tensor's parts differ in name and strides: inputs count by type and dims alone
    loose = np.array(
        [dims.setdefault((x.data_type, x.dims), len(dims)) for x in graph.layouts], dtype=np.int64
    )
    codes = (
        np.where(tasks.slot_is_output, numbers[tasks.slot_layouts], loose[tasks.slot_layouts])
        if len(numbers)
        else np.empty(0, dtype=np.int64)
    )
    sums = np.zeros(tasks.num_slots + 1, dtype=np.uint64)
    np.cumsum(combined(codes, position), out=sums[1:])
    slots = sums[tasks.slot_starts[1:]] - sums[tasks.slot_starts[:-1]]
    return combined(tasks.task_types, tasks.variant_ids, tasks.num_inputs, slots)


def _sharing(groups: IntArray, events: EventGraph) -> IntArray:
    """By event the number of the set of operators that trigger it or an event that they share."""
    triggers = events.trigger_nodes
    named = np.flatnonzero(triggers >= 0)
    of_event = np.full(events.num_nodes, -1, dtype=np.int64)
    label = np.arange(int(groups.max(initial=-1)) + 1, dtype=np.int64)
    for _ in range(_MAX_ROUNDS):
        lowest = np.full(events.num_nodes, len(label), dtype=np.int64)
        np.minimum.at(lowest, triggers[named], label[groups[named]])
        before = label.copy()
        np.minimum.at(label, groups[named], lowest[triggers[named]])
        if (label == before).all():
            break
    seen = np.zeros(events.num_nodes, dtype=np.bool_)
    seen[triggers[named]] = True
    of_event[seen] = lowest[seen] if len(named) else -1
    return of_event


def _places(graph: TaskGraph, catalog: Catalog) -> IntArray:
    """By task its place in the order of its grid, as far as metadata and tiles tell: by grid axis
    x, by where the first output lies, then by the other slots and axes.
    """
    tasks = graph.tasks
    rows = take_rows(0, tasks, graph.layouts, KeyTable(), catalog)
    points = np.full((len(tasks), rows.coordinates.shape[1]), -1, dtype=np.int64)
    points[rows.task_ids] = rows.coordinates
    sums = np.zeros(tasks.num_slots + 1, dtype=np.int64)
    np.cumsum(tasks.slot_offsets, out=sums[1:])
    total = sums[tasks.slot_starts[1:]] - sums[tasks.slot_starts[:-1]]
    first_output = tasks.slot_starts[:-1] + tasks.num_inputs
    has_output = first_output < tasks.slot_starts[1:]
    written = total.copy()
    written[has_output] = tasks.slot_offsets[first_output[has_output]]
    order = np.lexsort((points[:, 3], points[:, 2], points[:, 1], total, written, points[:, 0]))
    # Equal tasks share a place: what tells them apart is for later
    columns = (points[:, 0], written, total, points[:, 1], points[:, 2], points[:, 3])
    changes = np.zeros(len(order), dtype=np.int64)
    for column in columns:
        changes[1:] |= column[order][1:] != column[order][:-1]
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.cumsum(changes)
    return places


def _reordered(graph: TaskGraph, order: IntArray) -> TaskGraph:
    """The graph whose task i is task `order[i]`, with events by the tasks that wait on them."""
    tasks = graph.tasks
    sizes = np.diff(tasks.slot_starts)[order]
    slots = expand_ranges(tasks.slot_starts[order], sizes)
    waits = tasks.dependent_indices[order]
    index = np.full(graph.num_events, -1, dtype=np.int64)
    seen = waits[(waits >= 0) & (waits < graph.num_events)]
    _, first = np.unique(seen, return_index=True)
    used = seen[np.sort(first)]
    index[used] = np.arange(len(used))
    index[index < 0] = len(used) + np.arange(int((index < 0).sum()))
    moved = replace(
        tasks,
        task_types=tasks.task_types[order],
        variant_ids=tasks.variant_ids[order],
        dependent_events=_renumbered(tasks.dependent_events[order], index),
        trigger_events=_renumbered(tasks.trigger_events[order], index),
        request_ids=tasks.request_ids[order],
        kv_idxs=tasks.kv_idxs[order],
        merge_task_offsets=tasks.merge_task_offsets[order],
        expert_offsets=tasks.expert_offsets[order],
        task_offsets=tasks.task_offsets[order],
        num_inputs=tasks.num_inputs[order],
        slot_starts=np.concatenate(([0], np.cumsum(sizes))).astype(np.int64),
        slot_layouts=tasks.slot_layouts[slots],
        slot_offsets=tasks.slot_offsets[slots],
        extras={},
    )
    return replace(graph, tasks=moved)


def _renumbered(event_ids: UInt64Column, index: IntArray) -> UInt64Column:
    old = ids.event_indices(event_ids)
    named = (old >= 0) & (old < len(index))
    found: UInt64Column = event_ids.copy()
    high = event_ids[named] & ~np.uint64(ids.EVENT_INDEX_MASK)
    found[named] = high | index[old[named]].astype(np.uint64)
    return found
