"""One operator: its grid, slots, tasks, events, traffic and neighbours."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.csr import IntArray, unique_pairs
from mpkgraph.analysis.ranges import Ranges, check_id, format_ranges, to_ranges
from mpkgraph.analysis.structure import OperatorEdges
from mpkgraph.frozen import dataclass
from mpkgraph.model.distinct import distinct
from mpkgraph.model.operator import Grid, InputMap, OperatorSlot


@dataclass(frozen=True)
class OperatorSlotDetail:
    """One tensor slot of an operator and what its tiles add up to."""

    position: int
    is_output: bool
    name: str
    """The tensor's; a fused tensor's parts joined by `+`."""
    base_ptrs: tuple[str, ...]
    data_type: int
    data_type_name: str
    tile_dims: tuple[int, ...]
    strides: tuple[int, ...]
    tensor_dims: tuple[int, ...]
    known_dims: tuple[bool, ...]
    """Whether each of `tensor_dims` is certain; else it is a lower bound."""
    input_map: InputMap
    known_map: tuple[bool, bool, bool]
    num_tiles: int
    """Distinct tiles."""
    tile_bytes: int | None
    """Sum over tasks of the bytes of their tiles; None where the type has no known size."""
    distinct_tile_bytes: int | None
    """Sum over distinct tiles."""

    def to_json(self) -> dict[str, Any]:
        return {
            "position": self.position,
            "is_output": self.is_output,
            "name": self.name,
            "base_ptrs": list(self.base_ptrs),
            "data_type": self.data_type,
            "data_type_name": self.data_type_name,
            "tile_dims": list(self.tile_dims),
            "strides": list(self.strides),
            "tensor_dims": list(self.tensor_dims),
            "known_dims": list(self.known_dims),
            "input_map": list(self.input_map),
            "known_map": list(self.known_map),
            "num_tiles": self.num_tiles,
            "tile_bytes": self.tile_bytes,
            "distinct_tile_bytes": self.distinct_tile_bytes,
        }


@dataclass(frozen=True, slots=True)
class OperatorLink:
    """Another operator that triggers events this one waits on, or waits on those it triggers."""

    operator: int
    name: str
    num_events: int
    num_triggering: int
    """Tasks of the producer that trigger these events."""
    num_waiting: int
    """Tasks of the consumer that wait on them."""
    is_remote: bool
    """Through events of other ranks (see `OperatorEdges`)."""

    def to_json(self) -> dict[str, Any]:
        return {
            "operator": self.operator,
            "name": self.name,
            "num_events": self.num_events,
            "num_triggering": self.num_triggering,
            "num_waiting": self.num_waiting,
            "is_remote": self.is_remote,
        }


@dataclass(frozen=True)
class OperatorDetail:
    """One operator."""

    index: int
    name: str
    task_type: int
    task_type_name: str
    kind: str
    layer_method: str | None
    register_name: str | None
    origin: str
    """"recorded" or "recovered"."""
    ambiguities: tuple[str, ...]
    """What the tasks alone do not tell, a sentence each."""
    variant_ids: tuple[int, ...]
    grid_dim: Grid
    known_grid: tuple[bool, bool, bool]
    """Whether the size of each axis is certain; else the simplest that fits."""
    num_subtasks: int
    num_tasks: int
    num_missing_tasks: int
    """Grid points x subtasks that have no task in the file (`null` ones)."""
    task_ranges: Ranges
    first_level: int
    last_level: int
    """Levels of its tasks; -1 in or behind a cycle."""
    metadata: tuple[tuple[str, str], ...]
    """(JSON field, grid coordinate that it holds) as Mirage writes them for this task type."""
    slots: tuple[OperatorSlotDetail, ...]
    events_in: Ranges
    """Events of this rank on which its tasks wait."""
    events_out: Ranges
    """Events of this rank that its tasks trigger."""
    num_remote_events_out: int
    """Events of other ranks that its tasks trigger."""
    producers: tuple[OperatorLink, ...]
    consumers: tuple[OperatorLink, ...]

    @property
    def num_events_in(self) -> int:
        return sum(last - first + 1 for first, last in self.events_in)

    @property
    def num_events_out(self) -> int:
        return sum(last - first + 1 for first, last in self.events_out)

    @property
    def bytes_read(self) -> int | None:
        """Sum over tasks and declared inputs of the tiles' bytes."""
        return _sum(slot.tile_bytes for slot in self.slots if not slot.is_output)

    @property
    def bytes_written(self) -> int | None:
        """Sum over tasks and declared outputs of the tiles' bytes."""
        return _sum(slot.tile_bytes for slot in self.slots if slot.is_output)

    def to_json(self) -> dict[str, Any]:
        return {
            "index": self.index,
            "name": self.name,
            "task_type": self.task_type,
            "task_type_name": self.task_type_name,
            "kind": self.kind,
            "layer_method": self.layer_method,
            "register_name": self.register_name,
            "origin": self.origin,
            "ambiguities": list(self.ambiguities),
            "variant_ids": list(self.variant_ids),
            "grid_dim": list(self.grid_dim),
            "known_grid": list(self.known_grid),
            "num_subtasks": self.num_subtasks,
            "num_tasks": self.num_tasks,
            "num_missing_tasks": self.num_missing_tasks,
            "task_ids": format_ranges(self.task_ranges),
            "first_level": self.first_level,
            "last_level": self.last_level,
            "metadata": dict(self.metadata),
            "slots": [slot.to_json() for slot in self.slots],
            "bytes_read": self.bytes_read,
            "bytes_written": self.bytes_written,
            "num_events_in": self.num_events_in,
            "num_events_out": self.num_events_out,
            "num_remote_events_out": self.num_remote_events_out,
            "events_in": format_ranges(self.events_in),
            "events_out": format_ranges(self.events_out),
            "producers": [link.to_json() for link in self.producers],
            "consumers": [link.to_json() for link in self.consumers],
        }


def operator_detail(context: GraphContext, operator_index: int) -> OperatorDetail:
    """One operator of this graph. Raises SelectionError when there is no such operator."""
    operator = context.operators[check_id(operator_index, len(context.operators), "operator")]
    events = context.events
    task_ids = np.sort(operator.task_ids)
    waits = distinct(events.dependents_of(task_ids))
    triggers = distinct(events.triggers_of(task_ids))
    levels = context.levels.of_tasks(task_ids)
    edges = context.edges_of(operator.index)
    row = context.catalog.task_type_row(operator.task_type)
    return OperatorDetail(
        index=operator.index,
        name=context.operator_names[operator.index],
        task_type=operator.task_type,
        task_type_name=context.catalog.task_type_name(operator.task_type),
        kind=row.kind,
        layer_method=operator.layer_method,
        register_name=operator.register_name,
        origin=operator.origin,
        ambiguities=operator.ambiguities,
        variant_ids=operator.variant_ids,
        grid_dim=operator.grid_dim,
        known_grid=operator.known_grid,
        num_subtasks=operator.num_subtasks,
        num_tasks=operator.num_tasks,
        num_missing_tasks=operator.grid_volume * operator.num_subtasks - operator.num_tasks,
        task_ranges=to_ranges(task_ids),
        first_level=int(levels.min()) if len(levels) else -1,
        last_level=int(levels.max()) if len(levels) else -1,
        metadata=row.metadata,
        slots=tuple(_slot(context, slot, task_ids) for slot in operator.slots),
        events_in=to_ranges(_local(waits, events.num_local)),
        events_out=to_ranges(_local(triggers, events.num_local)),
        num_remote_events_out=int((triggers >= events.num_local).sum()),
        producers=_links(context, edges, operator.index, upstream=True),
        consumers=_links(context, edges, operator.index, upstream=False),
    )


def slot_positions(context: GraphContext, task_ids: IntArray, position: int) -> IntArray:
    """Places in the slot columns of one slot position of tasks; those without it are left out."""
    tasks = context.graph.tasks
    places = tasks.starts_of(task_ids) + position
    return places[position < tasks.slot_counts(task_ids)]


def _slot(context: GraphContext, slot: OperatorSlot, task_ids: IntArray) -> OperatorSlotDetail:
    places = slot_positions(context, task_ids, slot.position)
    layouts = context.graph.tasks.values("slot_layouts", places).astype(np.int64)
    offsets = context.graph.tasks.values("slot_offsets", places)
    lowest = int(offsets.min(initial=0))
    tile_layouts, _, counts = unique_pairs(layouts, offsets - lowest)
    sizes = context.layout_extents.num_bytes[tile_layouts]
    known = bool((sizes >= 0).all())
    return OperatorSlotDetail(
        position=slot.position,
        is_output=slot.is_output,
        name=slot.name,
        base_ptrs=slot.base_ptrs,
        data_type=slot.data_type,
        data_type_name=context.catalog.data_type_name(slot.data_type),
        tile_dims=slot.tile_dims,
        strides=slot.strides,
        tensor_dims=slot.tensor_dims,
        known_dims=slot.known_dims,
        input_map=slot.input_map,
        known_map=slot.known_map,
        num_tiles=len(tile_layouts) if slot.base_ptrs else 0,
        tile_bytes=int((sizes * counts).sum()) if known else None,
        distinct_tile_bytes=int(sizes.sum()) if known else None,
    )


def _links(
    context: GraphContext, edges: OperatorEdges, index: int, *, upstream: bool
) -> tuple[OperatorLink, ...]:
    here, there = edges.producers, edges.consumers
    if upstream:
        here, there = there, here
    rows = np.flatnonzero(here == index)
    return tuple(
        OperatorLink(
            operator=int(there[row]),
            name=context.operator_names[int(there[row])],
            num_events=int(edges.num_events[row]),
            num_triggering=int(edges.num_triggering[row]),
            num_waiting=int(edges.num_waiting[row]),
            is_remote=bool(edges.is_remote[row]),
        )
        for row in rows.tolist()
    )


def _local(nodes: IntArray, num_local: int) -> IntArray:
    return nodes[(nodes >= 0) & (nodes < num_local)]


def _sum(values: Iterable[int | None]) -> int | None:
    total = 0
    for value in values:
        if value is None:
            return None
        total += value
    return total
