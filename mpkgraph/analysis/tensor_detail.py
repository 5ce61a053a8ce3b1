"""One tensor: its extents as far as known, and who writes and reads it in which order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.csr import IntArray, unique_pairs
from mpkgraph.analysis.names import unknown_name
from mpkgraph.analysis.table import json_integer
from mpkgraph.errors import SelectionError

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
    layouts = np.flatnonzero(graph.layout_tensors == tensor)
    places = np.flatnonzero(np.isin(graph.tasks.slot_layouts, layouts))
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
    """Uses by (operator or task type, slot position), in order of the first task."""
    tasks = context.graph.tasks
    task_ids = tasks.slot_tasks[places]
    positions = places - tasks.slot_starts[task_ids]
    owners = context.operators.task_operators[task_ids].astype(np.int64)
    types = tasks.task_types[task_ids].astype(np.int64)
    keys = np.where(owners >= 0, owners, types - np.int64(1 << 32)) * _MAX_SLOT_KEYS
    keys += positions * 2 + tasks.slot_is_output[places]
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(group, kind="stable")
    ends = np.cumsum(np.bincount(group))
    starts = ends - np.bincount(group)
    uses = [
        _use(context, places[order[start:end]])
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
    ]
    return [uses[i] for i in np.argsort(first, kind="stable").tolist()]


def _use(context: GraphContext, places: IntArray) -> TensorUse:
    """One use from its places in the slot columns, ascending."""
    graph, tasks = context.graph, context.graph.tasks
    task_ids = tasks.slot_tasks[places]
    first = int(task_ids[0])
    owner = int(context.operators.task_operators[first])
    layouts = tasks.slot_layouts[places].astype(np.int64)
    offsets = tasks.slot_offsets[places]
    extents = context.layout_extents
    known = bool(extents.placed(layouts, offsets).all())
    position = int(places[0] - tasks.slot_starts[first])
    return TensorUse(
        operator=None if owner < 0 else owner,
        name=context.owner_name(first),
        position=position,
        is_output=position >= int(tasks.num_inputs[first]),
        tile_dims=graph.layouts[int(layouts[0])].dims,
        num_tasks=len(places),
        num_tiles=len(unique_pairs(layouts, offsets - offsets.min())[0]),
        tile_bytes=int(extents.num_bytes[layouts].sum()) if known else None,
        first_byte=int((offsets + extents.lowest[layouts]).min()) if known else None,
        end_byte=int((offsets + extents.end[layouts]).max()) if known else None,
        first_task_id=first,
        last_task_id=int(task_ids[-1]),
    )


def _views(context: GraphContext, name: str) -> tuple[TensorView, ...]:
    return tuple(
        TensorView(
            data_type=key.data_type,
            data_type_name=context.catalog.data_type_name(key.data_type),
            strides=key.strides,
            dims=extent.dims,
            known_dims=extent.known,
        )
        for key, extent in context.tensor_extents.items()
        if key.base_ptr == name
    )
