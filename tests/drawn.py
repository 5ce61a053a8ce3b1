"""Small graphs with their operators, made by hand, for the tests of pictures."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mpkgraph.analysis.drawing import RankPart
from mpkgraph.analysis.structure import operator_edges
from mpkgraph.model.graph import GraphSource, TaskGraph
from mpkgraph.model.ids import EVENT_INVALID_ID, EventId
from mpkgraph.model.operator import Operator, OperatorSet, OperatorSlot
from tests.naive import graph_from_document

BFLOAT16 = 941
LINEAR, NORM, SILU, EMBEDDING, PUT, REDUCE = 152, 154, 159, 101, 301, 107


@dataclass(frozen=True)
class Layer:
    """An operator of `num_tasks` tasks whose tiles are rows of 8 x 64 tensors."""

    task_type: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    num_tasks: int = 2
    put_to: int | None = None
    """Rank whose events the tasks trigger."""


def build(
    layers: Sequence[Layer],
    waits: Sequence[tuple[int, int]],
    *,
    rank: int = 0,
    path: str | None = "out/task_graph_rank0.json",
) -> RankPart:
    """A graph with one event per producing layer; layer b waits for layer a for (a, b) of `waits`.

    A layer waits on one event: the first of `waits`. Layers with two producers share their event.
    """
    event_of: dict[int, int] = {}
    for tail, head in waits:
        shared = next((event_of[t] for t, h in waits if h == head and t in event_of), None)
        event_of.setdefault(tail, shared if shared is not None else 2 + len(set(event_of.values())))
    num_gates = len(set(event_of.values()))
    end = 2 + num_gates
    tasks: list[dict[str, Any]] = [
        _task(0, EVENT_INVALID_ID, EVENT_INVALID_ID, [], []),
        _task(10, EVENT_INVALID_ID, 1, [], []),
    ]
    operators = []
    first_tasks: list[int] = []
    triggers = [0] * (end + 1)
    for index, layer in enumerate(layers):
        producer = next((tail for tail, head in waits if head == index), None)
        dependent = EVENT_INVALID_ID if producer is None else event_of[producer]
        if producer is not None and layers[producer].put_to is not None:
            dependent = EventId(rank, dependent, nvshmem=True).encode()
        elif producer is not None:
            dependent = EventId(rank, dependent, nvshmem=False).encode()
        trigger = event_of.get(index, end)
        triggers[trigger] += layer.num_tasks
        owner = rank if layer.put_to is None else layer.put_to
        trigger_id = EventId(owner, trigger, nvshmem=layer.put_to is not None).encode()
        ids = range(len(tasks), len(tasks) + layer.num_tasks)
        if producer is None:
            first_tasks.extend(ids)
        for position in range(layer.num_tasks):
            slots = [
                [_slot(name, position, layer.num_tasks) for name in names]
                for names in (layer.inputs, layer.outputs)
            ]
            tasks.append(_task(layer.task_type, dependent, trigger_id, *slots, request=position))
        operators.append(_operator(index, layer, ids))
    events = [
        {"event_type": 911, "num_triggers": 1, "first_task_id": 0, "last_task_id": 0},
        {"event_type": 903, "num_triggers": 1, "first_task_id": 2, "last_task_id": len(tasks)},
        *(
            {"event_type": 900, "num_triggers": n, "first_task_id": 0, "last_task_id": 0}
            for n in triggers[2:end]
        ),
        {"event_type": 910, "num_triggers": triggers[end], "first_task_id": 0, "last_task_id": 0},
    ]
    document = {"all_tasks": tasks, "all_events": events, "first_tasks": first_tasks}
    graph = replace(graph_from_document(document, rank), source=GraphSource(path=path))
    found = OperatorSet(tuple(operators), graph.num_tasks)
    return RankPart(graph, found, operator_edges(graph, found))


def chain(*layers: Layer, **options: Any) -> RankPart:
    """Each layer waits for the one before."""
    return build(layers, list(itertools.pairwise(range(len(layers)))), **options)


def model(num_layers: int, *, odd: int | None = None, **options: Any) -> RankPart:
    """An embedding, `num_layers` alike and a final linear; layer `odd` has more tasks."""
    layers = [Layer(EMBEDDING, ("tokens", "embed_tokens"), ("x",), 1)]
    for i in range(num_layers):
        size = 4 if i == odd else 2
        layers += [
            Layer(NORM, ("x" if i == 0 else "y", f"layer_{i}_norm"), ("n",), size),
            Layer(LINEAR, ("n", f"layer_{i}_proj"), ("m",), size),
            Layer(SILU, ("m",), ("y",), size),
        ]
    layers.append(Layer(LINEAR, ("y", "lm_head"), ("logits",)))
    return chain(*layers, **options)


def fork(**options: Any) -> RankPart:
    """A norm with two consumers."""
    layers = [
        Layer(NORM, ("x", "w"), ("a",)),
        Layer(LINEAR, ("a", "w_b"), ("b",)),
        Layer(SILU, ("a",), ("c",)),
    ]
    return build(layers, [(0, 1), (0, 2)], **options)


def put_and_reduce(rank: int, other: int) -> RankPart:
    """Each rank puts its part into the other's buffer, then reduces."""
    return chain(
        Layer(LINEAR, ("x", "w"), ("a",)),
        Layer(PUT, ("a",), ("buffer",), put_to=other),
        Layer(REDUCE, ("a", "buffer"), ("y",)),
        rank=rank,
        path=f"out/task_graph_rank{rank}.json",
    )


def renamed(part: RankPart, names: dict[str, str]) -> RankPart:
    """The same with other names of tensors and, for the key "path", of the file."""
    layouts = tuple(
        replace(layout, base_ptr=names.get(layout.base_ptr, layout.base_ptr))
        for layout in part.graph.layouts
    )
    operators = tuple(
        replace(
            operator,
            slots=tuple(
                replace(slot, base_ptrs=tuple(names.get(name, name) for name in slot.base_ptrs))
                for slot in operator.slots
            ),
        )
        for operator in part.operators
    )
    source = replace(part.graph.source, path=names.get("path", part.graph.source.path))
    graph: TaskGraph = replace(part.graph, layouts=layouts, source=source)
    return RankPart(graph, OperatorSet(operators, graph.num_tasks), part.edges)


def _slot(name: str, position: int, num_tasks: int) -> dict[str, Any]:
    rows = 8 // num_tasks
    return {
        "base_ptr": name,
        "data_type": BFLOAT16,
        "dims": [rows, 64],
        "strides": [64, 1],
        "offset": position * rows * 64 * 2,
    }


def _task(
    task_type: int,
    dependent: int,
    trigger: int,
    inputs: list[dict[str, Any]],
    outputs: list[dict[str, Any]],
    *,
    request: int = -1,
) -> dict[str, Any]:
    return {
        "task_type": task_type,
        "variant_id": 0,
        "dependent_event": dependent,
        "trigger_event": trigger,
        "request_id": request,
        "kv_idx": 65535,
        "merge_task_offset": -1,
        "expert_offset": request,
        "task_offset": request,
        "inputs": inputs,
        "outputs": outputs,
    }


def _operator(index: int, layer: Layer, task_ids: range) -> Operator:
    slots = tuple(
        OperatorSlot(
            position=position,
            is_output=position >= len(layer.inputs),
            base_ptrs=(name,),
            data_type=BFLOAT16,
            tile_dims=(8 // layer.num_tasks, 64),
            strides=(64, 1),
            input_map=(0, -1, -1),
            known_map=(True, False, False),
            tensor_dims=(8, 64),
            known_dims=(True, True),
        )
        for position, name in enumerate((*layer.inputs, *layer.outputs))
    )
    return Operator(
        index=index,
        task_type=layer.task_type,
        variant_ids=(0,),
        grid_dim=(layer.num_tasks, 1, 1),
        num_subtasks=1,
        task_ids=np.array(task_ids, dtype=np.int64),
        slots=slots,
        origin="recovered",
    )
