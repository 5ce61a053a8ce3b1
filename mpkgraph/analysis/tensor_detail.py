"""One tensor: its extents as far as known, and who writes and reads it in which order."""

from __future__ import annotations

from typing import Any

import numpy as np

from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.csr import IntArray, unique_pairs
from mpkgraph.analysis.integers import json_integer
from mpkgraph.analysis.names import unknown_name
from mpkgraph.errors import SelectionError
from mpkgraph.frozen import dataclass

_MAX_SLOT_KEYS = 2048
"""More than twice the slots of a task, which are at most 255 inputs and 255 outputs."""


@dataclass(frozen=True)
class TensorView:
    """One way in which slots see a tensor: element type, strides and the extents they tell."""

    data_type: int
    data_type_name: str
    strides: tuple[int, ...]
    dims: tuple[int, ...]
    """Elements; a lower bound in each dim where not known."""
    known_dims: tuple[bool, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "data_type": self.data_type,
            "data_type_name": self.data_type_name,
            "strides": [json_integer(stride) for stride in self.strides],
            "dims": list(self.dims),
            "known_dims": list(self.known_dims),
        }


@dataclass(frozen=True)
class TensorUse:
    """How one slot of one operator (or task type, for tasks of no operator) uses a tensor."""

    operator: int | None
    name: str
    position: int
    """Position among the task's slots, inputs first."""
    is_output: bool
    tile_dims: tuple[int, ...]
    """Elements; of the first task where tiles differ."""
    num_tasks: int
    num_tiles: int
    """Distinct tiles."""
    tile_bytes: int | None
    """Sum over tasks of the bytes of their tiles; None where the type has no known size."""
    first_byte: int | None
    end_byte: int | None
    """`[first_byte, end_byte)` from the tensor's base spans all tiles."""
    first_task_id: int
    last_task_id: int

    def to_json(self) -> dict[str, Any]:
        return {
            "operator": self.operator,
            "name": self.name,
            "position": self.position,
            "is_output": self.is_output,
            "tile_dims": list(self.tile_dims),
            "num_tasks": self.num_tasks,
            "num_tiles": self.num_tiles,
            "tile_bytes": json_integer(self.tile_bytes),
            "first_byte": json_integer(self.first_byte),
            "end_byte": json_integer(self.end_byte),
            "first_task_id": self.first_task_id,
            "last_task_id": self.last_task_id,
        }


@dataclass(frozen=True)
class TensorDetail:
    """One tensor. Uses are in order of the first task, so as emitted."""

    name: str
    views: tuple[TensorView, ...]
    """Usually one; several when slots see the tensor under other shapes or types."""
    first_byte: int | None
    end_byte: int | None
    """`[first_byte, end_byte)` spans all tiles; None where no type has a known size."""
    writers: tuple[TensorUse, ...]
    """Declared outputs."""
    readers: tuple[TensorUse, ...]
    """Declared inputs; some task types write tensors that they declare as inputs."""

    @property
    def uses(self) -> tuple[TensorUse, ...]:
        """Writers and readers in order of the first task, readers first where that is equal."""
        both = (*self.readers, *self.writers)
        return tuple(sorted(both, key=lambda use: (use.first_task_id, use.position)))

    @property
    def num_bytes(self) -> int | None:
        """Bytes spanned by all tiles."""
        if self.first_byte is None or self.end_byte is None:
            return None
        return self.end_byte - self.first_byte

    @property
    def first_task_id(self) -> int:
        return min(use.first_task_id for use in self.uses)

    @property
    def last_task_id(self) -> int:
        return max(use.last_task_id for use in self.uses)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "views": [view.to_json() for view in self.views],
            "first_byte": json_integer(self.first_byte),
            "end_byte": json_integer(self.end_byte),
            "num_bytes": json_integer(self.num_bytes),
            "first_task_id": self.first_task_id,
            "last_task_id": self.last_task_id,
            "first_use": self.uses[0].to_json(),
            "last_use": max(self.uses, key=lambda use: use.last_task_id).to_json(),
            "writers": [use.to_json() for use in self.writers],
            "readers": [use.to_json() for use in self.readers],
        }


def tensor_detail(context: GraphContext, name: str) -> TensorDetail:
    """One tensor by its exact name. Raises SelectionError when no slot names it."""
    graph = context.graph
    if name not in graph.tensors:
        raise unknown_name(name, graph.tensors, "tensor")
    tensor = graph.tensors.index(name)
    places = graph.tasks.slots_with(graph.layout_tensors == tensor)
    if not len(places):
        raise SelectionError(f"no task has a slot of tensor {name!r}")
    uses = _uses(context, places)
    spans = [(use.first_byte, use.end_byte) for use in uses]
    firsts = [first for first, _ in spans if first is not None]
    ends = [end for _, end in spans if end is not None]
    return TensorDetail(
        name=name,
        views=_views(context, name),
        first_byte=min(firsts, default=None),
        end_byte=max(ends, default=None),
        writers=tuple(use for use in uses if use.is_output),
        readers=tuple(use for use in uses if not use.is_output),
    )


def _uses(context: GraphContext, places: IntArray) -> list[TensorUse]:
    """Uses by (operator or task type, slot position), in order of the first task; `places` are in
    the slot columns, ascending.
    """
    graph, tasks = context.graph, context.graph.tasks
    task_ids = tasks.owners_of_slots(places)
    positions = places - tasks.slot_starts[task_ids]
    are_outputs = positions >= tasks.values("num_inputs", task_ids)
    owners = context.operators.owners(task_ids).astype(np.int64)
    types = tasks.values("task_types", task_ids).astype(np.int64)
    keys = np.where(owners >= 0, owners, types - np.int64(1 << 32)) * _MAX_SLOT_KEYS
    keys += positions * 2 + are_outputs
    # Within a use slots stay in order
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    ends = np.append(starts[1:], len(keys))
    group = np.repeat(np.arange(len(starts)), ends - starts)
    firsts, lasts = order[starts], order[ends - 1]
    layouts = tasks.values("slot_layouts", places)[order].astype(np.int64)
    offsets = tasks.values("slot_offsets", places)[order]
    extents = context.layout_extents
    lowest = np.minimum.reduceat(offsets, starts)
    num_layouts = len(graph.layouts)
    tiles, _, _ = unique_pairs(group * num_layouts + layouts, offsets - lowest[group])
    known = np.logical_and.reduceat(extents.placed(layouts, offsets), starts)
    columns = zip(
        owners[firsts].tolist(),
        positions[firsts].tolist(),
        are_outputs[firsts].tolist(),
        layouts[starts].tolist(),
        (ends - starts).tolist(),
        np.bincount(tiles // num_layouts, minlength=len(starts)).tolist(),
        known.tolist(),
        np.add.reduceat(extents.num_bytes[layouts], starts).tolist(),
        np.minimum.reduceat(offsets + extents.lowest[layouts], starts).tolist(),
        np.maximum.reduceat(offsets + extents.end[layouts], starts).tolist(),
        task_ids[firsts].tolist(),
        task_ids[lasts].tolist(),
        strict=True,
    )
    uses = [
        TensorUse(
            operator=None if owner < 0 else owner,
            name=context.owner_name(first_task) if owner < 0 else context.operator_names[owner],
            position=position,
            is_output=is_output,
            tile_dims=graph.layouts[layout].dims,
            num_tasks=num_tasks,
            num_tiles=num_tiles,
            tile_bytes=tile_bytes if is_known else None,
            first_byte=first_byte if is_known else None,
            end_byte=end_byte if is_known else None,
            first_task_id=first_task,
            last_task_id=last_task,
        )
        for (
            owner,
            position,
            is_output,
            layout,
            num_tasks,
            num_tiles,
            is_known,
            tile_bytes,
            first_byte,
            end_byte,
            first_task,
            last_task,
        ) in columns
    ]
    return [uses[i] for i in np.argsort(firsts, kind="stable").tolist()]


def _views(context: GraphContext, name: str) -> tuple[TensorView, ...]:
    return tuple(
        TensorView(
            data_type=key.data_type,
            data_type_name=context.catalog.data_type_name(key.data_type),
            strides=key.strides,
            dims=extent.dims,
            known_dims=extent.known,
        )
        for key, extent in context.extents_of(name).items()
    )
