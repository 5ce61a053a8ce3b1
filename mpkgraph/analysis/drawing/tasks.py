"""The picture of a selection of tasks: each with its tiles, and the events between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import field

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.drawing.edges import counted
from mpkgraph.analysis.drawing.operators import title_of
from mpkgraph.analysis.drawing.picture import (
    Drawing,
    DrawnEdge,
    DrawnNode,
    DrawnSlot,
    check_num_tasks,
    check_size,
)
from mpkgraph.analysis.drawing.reduction import transitive_reduction
from mpkgraph.analysis.drawing.tiles import num_bytes_text, tile_range
from mpkgraph.catalog import DEFAULT, EVENT_EMPTY, EVENT_LAUNCH_DEPENDENT_TASKS, Catalog
from mpkgraph.errors import SelectionError
from mpkgraph.frozen import dataclass
from mpkgraph.model import ids
from mpkgraph.model.distinct import distinct
from mpkgraph.model.graph import NULL_TASK_TYPE, Slot, TaskGraph
from mpkgraph.model.operator import OperatorSet

_KEY_MASK = np.uint64((ids.EVENT_RANK_MASK << ids.EVENT_RANK_SHIFT) | ids.EVENT_INDEX_MASK)


@dataclass(frozen=True)
class _Scene:
    """What the functions below share."""

    graph: TaskGraph
    operators: OperatorSet
    catalog: Catalog
    selected: npt.NDArray[np.int64]
    edges: list[DrawnEdge] = field(default_factory=list)
    nodes: list[DrawnNode] = field(default_factory=list)


def draw_tasks(
    graph: TaskGraph,
    operators: OperatorSet,
    task_ids: Iterable[int],
    *,
    catalog: Catalog = DEFAULT,
    reduce: bool = False,
    force: bool = False,
) -> Drawing:
    """Selected tasks with their tiles, the events that they wait on and trigger, and edges between.

    Tasks outside the selection that trigger or wait on a drawn event are counted in one note per
    operator. `reduce` leaves out edges that a longer path implies (not when there is a cycle).

    Raises SelectionError for a task that the graph does not have, TooLargeError above the limits
    of `check_num_tasks` and `check_size` unless `force`.
    """
    selected = distinct(np.fromiter(task_ids, dtype=np.int64))
    if len(selected) and not 0 <= selected[0] <= selected[-1] < graph.num_tasks:
        wrong = int(selected[0] if selected[0] < 0 else selected[-1])
        raise SelectionError(
            f"no task {wrong}", remedy=f"Task ids go from 0 to {graph.num_tasks - 1}"
        )
    if not force:
        check_num_tasks(len(selected))
    scene = _Scene(graph, operators, catalog, selected)
    positions = _grid_positions(operators, selected)
    scene.nodes.extend(_task_node(scene, task, positions) for task in selected.tolist())
    event_ids = _event_ids(graph, selected)
    scene.nodes.extend(_event_node(scene, event_id) for event_id in event_ids)
    for task in selected.tolist():
        _connect_task(scene, task)
    num_selected_edges = len(scene.edges)
    _connect_outside(scene, event_ids)
    notes: list[str] = []
    if reduce:
        _reduce(scene, notes)
    if not force:
        check_size(len(scene.nodes), len(scene.edges))
    if len(scene.edges) > num_selected_edges:
        notes.append("Grey notes count tasks outside the selection")
    return Drawing(
        title=title_of(graph),
        facts=(
            f"rank {graph.rank}",
            f"{len(selected):,} of {counted(graph.num_tasks, 'task')}",
            f"{len(event_ids):,} of {counted(graph.num_events, 'event')}",
        ),
        nodes=tuple(scene.nodes),
        edges=tuple(scene.edges),
        notes=tuple(notes),
        direction="right",
    )


def _grid_positions(
    operators: OperatorSet, selected: npt.NDArray[np.int64]
) -> dict[int, tuple[int, int, int]]:
    """Grid point of each selected task, looked up once an operator rather than once a task."""
    found: dict[int, tuple[int, int, int]] = {}
    for index in distinct(operators.owners(selected)).tolist():
        if index >= 0:
            operator = operators[index]
            for position in np.flatnonzero(np.isin(operator.task_ids, selected)).tolist():
                found[int(operator.task_ids[position])] = operator.grid_position(position)
    return found


def _task_node(scene: _Scene, task: int, positions: dict[int, tuple[int, int, int]]) -> DrawnNode:
    task_type = scene.graph.tasks.value("task_types", task)
    operator = scene.operators.of_task(task)
    name = scene.catalog.layer_kind(task_type)
    lines = []
    if operator is not None:
        name = operator.register_name or name
        x, y, z = positions[task]
        lines.append(f"operator {operator.index} at ({x},{y},{z})")
    if task_type != NULL_TASK_TYPE:
        lines.append(" · ".join(_settings(scene, task)))
    return DrawnNode(
        node_id=f"task{task}",
        shape="card",
        kind=scene.catalog.task_type_row(task_type).kind,
        title=f"task {task} {name}",
        lines=tuple(lines),
        slots=tuple(
            _slot(scene, slot, is_output=is_output)
            for is_output, slots in (
                (False, scene.graph.inputs(task)),
                (True, scene.graph.outputs(task)),
            )
            for slot in slots
        ),
    )


def _settings(scene: _Scene, task: int) -> list[str]:
    """Variant and the metadata that this task type has."""
    columns = scene.graph.tasks
    row = scene.catalog.task_type_row(columns.value("task_types", task))
    return [
        f"variant {columns.value('variant_ids', task)}",
        *(f"{name} {columns.value(f'{name}s', task)}" for name, _ in row.metadata),
    ]


def _slot(scene: _Scene, slot: Slot, *, is_output: bool) -> DrawnSlot:
    if slot.layout.is_null:
        return DrawnSlot(is_output, slot.base_ptr, "")
    size = scene.catalog.data_type_size(slot.data_type)
    return DrawnSlot(
        is_output=is_output,
        tensor=slot.base_ptr,
        tile=tile_range(slot, size),
        detail=num_bytes_text(slot, size),
    )


def _keys(event_ids: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Rank and index of events: the NVSHMEM tag says how an event is counted, not which it is."""
    keys: npt.NDArray[np.uint64] = event_ids & _KEY_MASK
    return keys


def _event_ids(graph: TaskGraph, selected: npt.NDArray[np.int64]) -> list[int]:
    """Events that the selected tasks wait on or trigger, each once, with its tag if it has one."""
    tasks = graph.tasks
    real = selected[tasks.values("task_types", selected) != NULL_TASK_TYPE]
    both = np.concatenate(
        [tasks.values(name, real) for name in ("dependent_events", "trigger_events")]
    )
    found: dict[int, int] = {}
    for event_id in distinct(both).tolist():
        if event_id != ids.EVENT_INVALID_ID:
            found[event_id & int(_KEY_MASK)] = event_id
    return [found[key] for key in sorted(found)]


def _event_name(graph: TaskGraph, event_id: int) -> str:
    """Node of an event."""
    rank = event_id >> ids.EVENT_RANK_SHIFT & ids.EVENT_RANK_MASK
    index = event_id & ids.EVENT_INDEX_MASK
    return f"event{index}" if rank == graph.rank else f"rank{rank}_event{index}"


def _event_node(scene: _Scene, event_id: int) -> DrawnNode:
    event = ids.decode_event_id(event_id) or ids.EventId(0, 0, nvshmem=False)
    remote = event.rank != scene.graph.rank
    lines = []
    if remote:
        lines.append(f"of rank {event.rank}")
    elif event.event_index >= scene.graph.num_events:
        lines.append("not in the file")
    else:
        events = scene.graph.events
        event_type = int(events.event_types[event.event_index])
        if event_type != EVENT_EMPTY:
            name = scene.catalog.event_type_name(event_type)
            lines.append(name.removeprefix("EVENT_").lower())
        lines.append(counted(int(events.num_triggers[event.event_index]), "trigger"))
        if event_type == EVENT_LAUNCH_DEPENDENT_TASKS:
            first = int(events.first_task_ids[event.event_index])
            last = int(events.last_task_ids[event.event_index])
            lines.append(f"tasks {first}-{last - 1}")
    if event.nvshmem:
        lines.append("NVSHMEM")
    return DrawnNode(
        node_id=_event_name(scene.graph, event_id),
        shape="event",
        kind="event",
        title=f"event {event.event_index}",
        lines=tuple(lines),
        remote=remote,
    )


def _connect_task(scene: _Scene, task: int) -> None:
    """Edges from the event that a task waits on, and to the one that it triggers."""
    graph = scene.graph
    if graph.tasks.value("task_types", task) == NULL_TASK_TYPE:
        return
    dependent = graph.tasks.value("dependent_events", task)
    if dependent != ids.EVENT_INVALID_ID:
        scene.edges.append(DrawnEdge(_event_name(graph, dependent), f"task{task}"))
    trigger = graph.tasks.value("trigger_events", task)
    if trigger != ids.EVENT_INVALID_ID:
        name = _event_name(graph, trigger)
        own = name == f"event{trigger & ids.EVENT_INDEX_MASK}"
        scene.edges.append(DrawnEdge(f"task{task}", name, style="order" if own else "remote"))


def _connect_outside(scene: _Scene, event_ids: Sequence[int]) -> None:
    """A note per operator with undrawn tasks that trigger or wait on drawn events."""
    tasks = scene.graph.tasks
    wanted = _keys(np.array(event_ids, dtype=np.uint64))
    triggering, triggered = _naming(scene.graph, "trigger_events", wanted)
    waiting, waited = _naming(scene.graph, "dependent_events", wanted)
    for named, keys, before in ((triggering, triggered, True), (waiting, waited, False)):
        outside = tasks.values("task_types", named) != NULL_TASK_TYPE
        outside &= ~np.isin(named, scene.selected)
        owners = scene.operators.owners(named[outside])
        groups: Counter[tuple[int, int]] = Counter(
            zip(owners.tolist(), keys[outside].tolist(), strict=True)
        )
        noted: set[int] = set()
        for (operator, event_id), number in sorted(groups.items()):
            note = f"{'before' if before else 'after'}_op{max(operator, 0)}"
            if operator < 0:
                note = "before_others" if before else "after_others"
            if operator not in noted:
                noted.add(operator)
                scene.nodes.append(_outside_node(scene, operator, note))
            event = _event_name(scene.graph, event_id)
            tail, head = (note, event) if before else (event, note)
            scene.edges.append(DrawnEdge(tail, head, note=counted(number, "task"), style="outside"))
    _connect_ranks(scene, event_ids, triggered)


def _naming(
    graph: TaskGraph, name: str, wanted: npt.NDArray[np.uint64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
    """Tasks, ascending, with one of some events in a column, and which one by its key."""
    task_ids, found = [np.empty(0, dtype=np.int64)], [wanted[:0]]
    if len(wanted):
        indices = wanted & np.uint64(ids.EVENT_INDEX_MASK)
        for start, part in graph.tasks.event_parts(name, int(indices.min()), int(indices.max())):
            keys = _keys(part)
            places = np.flatnonzero(np.isin(keys, wanted))
            task_ids.append(places + start)
            found.append(keys[places])
    return np.concatenate(task_ids), np.concatenate(found)


def _outside_node(scene: _Scene, operator: int, node_id: str) -> DrawnNode:
    if operator < 0:
        return DrawnNode(node_id, "note", "note", "other tasks", ("not drawn",))
    first = scene.operators[operator]
    name = first.register_name or scene.catalog.layer_kind(first.task_type)
    return DrawnNode(node_id, "note", "note", f"{operator} {name}", ("not drawn",))


def _connect_ranks(
    scene: _Scene, event_ids: Sequence[int], triggered: npt.NDArray[np.uint64]
) -> None:
    """A note for the other ranks where they trigger drawn NVSHMEM events of this one."""
    graph = scene.graph
    heads = []
    for event_id in event_ids:
        event = ids.decode_event_id(event_id)
        if event is None or not event.nvshmem or event.rank != graph.rank:
            continue
        local = int((triggered == (event_id & int(_KEY_MASK))).sum())
        if event.event_index >= graph.num_events:
            continue
        missing = int(graph.events.num_triggers[event.event_index]) - local
        if missing > 0:
            heads.append((_event_name(graph, event_id), missing))
    if heads:
        scene.nodes.append(DrawnNode("other_ranks", "note", "note", "other ranks", ("not drawn",)))
        scene.edges.extend(
            DrawnEdge("other_ranks", head, note=counted(missing, "trigger"), style="remote")
            for head, missing in heads
        )


def _reduce(scene: _Scene, notes: list[str]) -> None:
    """Leave out what longer paths imply, or say why not."""
    number = {node.node_id: i for i, node in enumerate(scene.nodes)}
    keep = transitive_reduction(
        len(number),
        [number[edge.tail] for edge in scene.edges],
        [number[edge.head] for edge in scene.edges],
    )
    if keep is None:
        notes.append("Not reduced: the tasks wait on each other in a cycle")
        return
    before = len(scene.edges)
    scene.edges[:] = [edge for edge, needed in zip(scene.edges, keep, strict=True) if needed]
    left_out = counted(before - len(scene.edges), "edge")
    notes.append(f"Reduced: {left_out} of {before} that longer paths imply not drawn")
