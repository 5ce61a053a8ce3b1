"""Small graphs for tests: tasks as (dependent event, trigger event), and a slow second opinion."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import networkx as nx
import numpy as np
from hypothesis import strategies as st

from mpkgraph.analysis.context import GraphContext
from mpkgraph.model.graph import TaskGraph
from mpkgraph.model.ids import EVENT_INVALID_ID, EventId
from mpkgraph.model.operator import Operator, OperatorSet
from tests.naive import graph_from_document

LINEAR = 120
EMPTY, LAUNCH, END, TERMINATION = 900, 903, 910, 911

Link = tuple[int | None, int | None]
"""What a task waits on and what it triggers: event index, None, or (index, rank) as EventId."""


def slot(
    name: str = "x",
    dims: Sequence[int] = (8,),
    strides: Sequence[int] = (1,),
    offset: int = 0,
    data_type: int = 941,
) -> dict[str, Any]:
    return {
        "base_ptr": name,
        "data_type": data_type,
        "dims": list(dims),
        "offset": offset,
        "strides": list(strides),
    }


def task(
    waits: Any = None,
    triggers: Any = None,
    *,
    task_type: int = LINEAR,
    rank: int = 0,
    inputs: list[dict[str, Any]] | None = None,
    outputs: list[dict[str, Any]] | None = None,
    **fields: int,
) -> dict[str, Any]:
    return {
        "dependent_event": event_id(waits, rank),
        "expert_offset": -1,
        "inputs": inputs,
        "kv_idx": -1,
        "merge_task_offset": -1,
        "outputs": outputs,
        "request_id": -1,
        "task_offset": -1,
        "task_type": task_type,
        "trigger_event": event_id(triggers, rank),
        "variant_id": 0,
        **fields,
    }


def event_id(event: Any, rank: int = 0) -> int:
    if event is None:
        return EVENT_INVALID_ID
    if isinstance(event, EventId):
        return event.encode()
    return EventId(rank, event, nvshmem=False).encode()


def event(event_type: int = EMPTY, first: int = 0, last: int = 0, num: int = 1) -> dict[str, Any]:
    return {
        "event_type": event_type,
        "first_task_id": first,
        "last_task_id": last,
        "num_triggers": num,
    }


def document(tasks: Sequence[Any], num_events: int, rank: int = 0) -> dict[str, Any]:
    """The fixed entries, the tasks of layers, and consistent events; the last event is END.

    `tasks` are links or what `task` returns, None for a null one.
    """
    made = [x if x is None or isinstance(x, dict) else task(*x, rank=rank) for x in tasks]
    everyone = [
        task(task_type=0, rank=rank),
        task(None, 1, task_type=10, rank=rank),
        *made,
    ]
    waits: dict[int, list[int]] = {}
    triggers: dict[int, int] = {}
    for number, x in enumerate(everyone):
        if x is not None:
            waits.setdefault(x["dependent_event"] & 0xFFFFFFFF, []).append(number)
            index = x["trigger_event"] & 0xFFFFFFFF
            triggers[index] = triggers.get(index, 0) + 1
    events = [event(TERMINATION), event(LAUNCH, 2, len(everyone))]
    for index in range(2, num_events):
        gated = waits.get(index, [])
        first, last = (gated[0], gated[-1] + 1) if gated else (0, 0)
        kind = END if index == num_events - 1 else EMPTY
        events.append(event(kind, first, last, triggers.get(index, 0)))
    first_tasks = [
        number
        for number, x in enumerate(everyone)
        if number > 1 and x is not None and x["dependent_event"] == EVENT_INVALID_ID
    ]
    return {"all_events": events, "all_tasks": everyone, "first_tasks": first_tasks or None}


def graph_of(tasks: Sequence[Any], num_events: int, rank: int = 0) -> TaskGraph:
    return graph_from_document(document(tasks, num_events, rank), rank)


def context_of(graph: TaskGraph, groups: Iterable[Sequence[int]] | None = None) -> GraphContext:
    """Operators of the tasks given, one axis each; else one operator of all tasks of layers."""
    if groups is None:
        groups = [[i for i in range(2, graph.num_tasks) if not graph.tasks.is_null[i]]]
    operators = [
        Operator(
            index=index,
            task_type=int(graph.tasks.task_types[members[0]]),
            variant_ids=(0,),
            grid_dim=(len(members), 1, 1),
            num_subtasks=1,
            task_ids=np.array(members, dtype=np.int64),
            slots=(),
            origin="recovered",
        )
        for index, members in enumerate(groups)
        if members
    ]
    return GraphContext(graph, OperatorSet(tuple(operators), graph.num_tasks))


def links(max_tasks: int = 14, max_events: int = 7) -> st.SearchStrategy[tuple[list[Link], int]]:
    """Any links, cycles included, with the number of events (the last is END)."""
    return _links(max_tasks, max_events, acyclic=False)


def acyclic_links(
    max_tasks: int = 14, max_events: int = 7
) -> st.SearchStrategy[tuple[list[Link], int]]:
    """Links whose tasks trigger a later event than they wait on, in any order of tasks."""
    return _links(max_tasks, max_events, acyclic=True)


@cache
def _one_of(events: range) -> st.SearchStrategy[int | None]:
    return st.none() | st.sampled_from(events)


@st.composite
def _links(
    draw: st.DrawFn, max_tasks: int, max_events: int, *, acyclic: bool
) -> tuple[list[Link], int]:
    num_events = draw(st.integers(3, 2 + max_events))
    pairs: list[Link] = []
    for _ in range(draw(st.integers(0, max_tasks))):
        # Nothing waits on END, unless links may be anything.
        waitable = range(2, num_events - 1 if acyclic else num_events)
        waits = draw(_one_of(waitable)) if waitable else None
        lowest = waits + 1 if acyclic and waits is not None else 2
        triggers = draw(_one_of(range(lowest, num_events))) if lowest < num_events else None
        pairs.append((waits, triggers))
    return pairs, num_events


def slow_network(tasks: Sequence[Link]) -> nx.DiGraph:
    """Tasks (from 2 on) and events as nodes ("task", i) and ("event", i)."""
    network = nx.DiGraph()
    for number, (waits, triggers) in enumerate(tasks, start=2):
        network.add_node(("task", number))
        if waits is not None:
            network.add_edge(("event", waits), ("task", number))
        if triggers is not None:
            network.add_edge(("task", number), ("event", triggers))
    return network
