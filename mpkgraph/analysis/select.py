"""Choosing tasks: filters by type, operator, tensor, ids, variant and events, combined."""

from __future__ import annotations

import re
from typing import Literal

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.names import find_operators, find_tensors, find_types
from mpkgraph.analysis.ranges import check_id, parse_ranges
from mpkgraph.catalog import DEFAULT, Catalog
from mpkgraph.errors import SelectionError
from mpkgraph.frozen import dataclass
from mpkgraph.model import ids
from mpkgraph.model.distinct import distinct
from mpkgraph.model.graph import TaskGraph
from mpkgraph.model.ids import event_indices, event_ranks
from mpkgraph.model.operator import OperatorSet

Use = Literal["any", "read", "written"]

MAX_LONE_OPERATORS = 64
"""Operators whose tasks are marked one operator after the other."""

_RANGES = re.compile(r"[\d\s,-]*\d[\d\s,-]*|\s*all\s*", re.IGNORECASE)


@dataclass(frozen=True)
class TaskFilter:
    """What tasks must be. Within a field one match suffices; every field given must match."""

    types: tuple[str, ...] = ()
    """Task types: number, name, pattern or part of a name."""
    operators: tuple[str, ...] = ()
    """Operators: index, ranges of indices, `all`, name, pattern or part of a name."""
    tensors: tuple[str, ...] = ()
    """Tensors: name or pattern."""
    tensor_use: Use = "any"
    """Whether the tensors must be declared inputs, declared outputs or either."""
    task_ids: tuple[str, ...] = ()
    """Lists of ids and ranges: `2-10,17,900-`; `all`."""
    variants: tuple[int, ...] = ()
    waits_on: tuple[str, ...] = ()
    """Events, as `select_events` takes them."""
    triggers: tuple[str, ...] = ()
    """Events, as `select_events` takes them."""

    @property
    def is_empty(self) -> bool:
        """Whether the filter lets every task through."""
        return self == TaskFilter(tensor_use=self.tensor_use)


def select_tasks(
    graph: TaskGraph,
    operators: OperatorSet,
    task_filter: TaskFilter,
    catalog: Catalog = DEFAULT,
) -> IntArray:
    """Ids of the tasks that match, ascending; none is an answer too.

    Raises SelectionError, naming the nearest that exist, when the filter names a type, operator,
    tensor, task, variant or event that there is not.
    """
    chosen = np.ones(graph.num_tasks, dtype=np.bool_)
    tasks = graph.tasks
    if task_filter.task_ids:
        chosen &= _mask(
            [parse_ranges(text, graph.num_tasks, "task") for text in task_filter.task_ids],
            graph.num_tasks,
        )
    if task_filter.types:
        values = [v for text in task_filter.types for v in find_types(text, graph, catalog)]
        chosen &= np.isin(tasks.task_types, values)
    if task_filter.operators:
        indices = select_operators(task_filter.operators, operators, catalog)
        chosen &= _of_operators(operators, indices)
    if task_filter.tensors:
        chosen &= _uses_tensors(graph, task_filter.tensors, task_filter.tensor_use)
    if task_filter.variants:
        chosen &= _has_variant(graph, task_filter.variants)
    if task_filter.waits_on:
        chosen &= _has_event(graph, "dependent_events", task_filter.waits_on)
    if task_filter.triggers:
        chosen &= _has_event(graph, "trigger_events", task_filter.triggers)
    return np.flatnonzero(chosen)


def select_operators(
    texts: tuple[str, ...], operators: OperatorSet, catalog: Catalog = DEFAULT
) -> IntArray:
    """Indices of the operators that indices, ranges, names or patterns choose, ascending.

    Raises SelectionError when a text chooses none.
    """
    found = [
        parse_ranges(text, len(operators), "operator")
        if _RANGES.fullmatch(text)
        else np.array(find_operators(text, operators, catalog), dtype=np.int64)
        for text in texts
    ]
    return np.flatnonzero(_mask(found, len(operators)))


def select_tensors(texts: tuple[str, ...], graph: TaskGraph) -> IntArray:
    """Positions in `graph.tensors` of the tensors that names or patterns choose, ascending.

    Raises SelectionError when a text chooses none.
    """
    found = [np.array(find_tensors(text, graph), dtype=np.int64) for text in texts]
    return np.flatnonzero(_mask(found, len(graph.tensors)))


def select_events(texts: tuple[str, ...], graph: TaskGraph) -> IntArray:
    """Indices of the events that indices, ranges, `all` or 64-bit event ids choose, ascending.

    Raises SelectionError for an event that the graph does not have, those of other ranks included.
    """
    return np.flatnonzero(
        _mask([_events_of(text.strip(), graph) for text in texts], graph.num_events)
    )


def _events_of(text: str, graph: TaskGraph) -> IntArray:
    if not text.isdecimal() or int(text) <= ids.EVENT_INDEX_MASK:
        return parse_ranges(text, graph.num_events, "event")
    event = ids.decode_event_id(int(text))
    if event is not None and event.encode() != int(text):
        raise SelectionError(
            f"{text} is no event id",
            remedy="An id has 64 bits: the index, the rank and the NVSHMEM tag; an index will do",
        )
    if event is None:
        raise SelectionError(
            f"{text} is the id of no event", remedy="It says that a task has no such event"
        )
    if event.rank != graph.rank:
        raise SelectionError(
            f"event {event.event_index} of rank {event.rank} is not in this graph",
            remedy=f"This is rank {graph.rank}; read the graph of rank {event.rank}",
        )
    index = check_id(event.event_index, graph.num_events, "event")
    return np.array([index], dtype=np.int64)


def _mask(found: list[IntArray], size: int) -> npt.NDArray[np.bool_]:
    mask = np.zeros(size, dtype=np.bool_)
    for positions in found:
        mask[positions] = True
    return mask


def _uses_tensors(graph: TaskGraph, texts: tuple[str, ...], use: Use) -> npt.NDArray[np.bool_]:
    tasks = graph.tasks
    slots = tasks.slots_with(np.isin(graph.layout_tensors, select_tensors(texts, graph)))
    if use != "any":
        slots = slots[tasks.slot_is_output[slots] == (use == "written")]
    return _mask([tasks.owners_of_slots(slots)], graph.num_tasks)


def _of_operators(operators: OperatorSet, indices: IntArray) -> npt.NDArray[np.bool_]:
    if len(indices) > MAX_LONE_OPERATORS:
        chosen: npt.NDArray[np.bool_] = np.isin(operators.task_operators, indices)
        return chosen
    return _mask([operators[index].task_ids for index in indices.tolist()], operators.num_tasks)


def _has_variant(graph: TaskGraph, variants: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    column = graph.tasks.variant_ids
    present = distinct(column[~graph.tasks.is_null]).tolist()
    for variant in variants:
        if variant not in present:
            raise SelectionError(
                f"no task has variant {variant}",
                remedy=f"Variants here are {', '.join(map(str, present)) or 'none'}",
            )
    chosen: npt.NDArray[np.bool_] = np.isin(column, variants) & ~graph.tasks.is_null
    return chosen


def _has_event(graph: TaskGraph, name: str, texts: tuple[str, ...]) -> npt.NDArray[np.bool_]:
    chosen = np.zeros(graph.num_tasks, dtype=np.bool_)
    events = select_events(texts, graph)
    if len(events):
        for start, part in graph.tasks.event_parts(name, int(events[0]), int(events[-1])):
            has = np.isin(event_indices(part), events)
            has &= event_ranks(part) == graph.rank
            chosen[start : start + len(part)] = has
    return chosen
