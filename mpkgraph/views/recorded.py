"""The exact operators of a graph whose recorded pipeline is at hand.

The layers of the record tell which task ids the generator gave to each grid point
(`mpkgraph.planner.emission`) and what each of these tasks holds (`mpkgraph.planner.tiles`). Every
task of the graph is compared with that, so what comes back is proven, not guessed.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from mpkgraph.catalog import DEFAULT, Catalog
from mpkgraph.catalog.registered import REGISTERED_TASKS
from mpkgraph.errors import GraphReadError
from mpkgraph.frozen import dataclass
from mpkgraph.model.distinct import distinct
from mpkgraph.model.graph import TaskGraph
from mpkgraph.model.ids import NUM_FIXED_TASKS
from mpkgraph.model.operator import Operator, OperatorSet, OperatorSlot
from mpkgraph.model.record import LayerSlot, PipelineRecord
from mpkgraph.planner.dag import EmissionError
from mpkgraph.planner.emission import Emission, emission
from mpkgraph.planner.registered import LayerError, RegisteredLayer, RegisteredTasks
from mpkgraph.planner.tiles import LayerTiles, TileColumn, TileError, grid_points

REMEDY = (
    "Put the record of this very graph beside it, or remove the record: operators are then "
    "recovered from the tasks alone"
)
SPARE_TASKS = 1 << 20
"""Tasks that a record may make beyond the graph's before it is given up: enough to find and name
the first layer that differs."""

BoolArray = npt.NDArray[np.bool_]
Int64Array = npt.NDArray[np.int64]


def recorded_operators(
    graph: TaskGraph,
    record: PipelineRecord,
    catalog: Catalog = DEFAULT,
    tasks: RegisteredTasks = REGISTERED_TASKS,
) -> OperatorSet:
    """The operators of `graph` as `record` declared them, in the order of emission.

    Each task that is not null belongs to exactly one operator, except the two fixed ones. Tasks
    are compared by type, number of slots, and each slot's tensor, type, dims, strides and offset;
    events and metadata are left to those who check graphs. `tasks` are the names that layers can
    be registered as.

    Raises GraphReadError when the record is not of this graph; the message names the first layer
    that does not fit, and why.
    """
    try:
        return _match(graph, record, catalog, tasks)
    except LayerError as error:
        raise GraphReadError(
            str(error),
            where=f"{record.path or 'the record'}, {error.layer.where}",
            remedy=REMEDY,
        ) from None


def _match(
    graph: TaskGraph, record: PipelineRecord, catalog: Catalog, tasks: RegisteredTasks
) -> OperatorSet:
    layers = [RegisteredLayer(layer, record, catalog, tasks) for layer in record.layers]
    try:
        order = emission([x.shape for x in layers], max_tasks=graph.num_tasks + SPARE_TASKS)
    except EmissionError as error:
        layers[error.layer].fail(f"can't have made this graph: {error.what}")
    matcher = _Matcher(graph, record, catalog)
    emitted = [x for x in zip(layers, order.task_ids, strict=True) if len(x[1])]
    # In the order of the tasks, so that the first misfit is the one nearest to its cause.
    emitted.sort(key=lambda x: int(x[1].min()))
    operators = [matcher.operator(layer, ids) for layer, ids in emitted]
    matcher.check_rest(order)
    operators = [x for x in operators if x.num_tasks]
    operators.sort(key=lambda x: int(x.task_ids.min()))  # a null task may have been the first
    return OperatorSet(
        tuple(replace(x, index=i) for i, x in enumerate(operators)), num_tasks=graph.num_tasks
    )


@dataclass(frozen=True, slots=True)
class _Tasks:
    """The tasks of a layer that the file holds: ids and grid points (3, tasks)."""

    ids: Int64Array
    points: Int64Array
    present: BoolArray | None = None
    """Which of the layer's tasks these are; None: all of them."""


class _Matcher:
    """Compares the tasks of one graph with what the record's layers make."""

    def __init__(self, graph: TaskGraph, record: PipelineRecord, catalog: Catalog) -> None:
        self.graph = graph
        self.record = record
        self.catalog = catalog
        self.tiles = LayerTiles(record, catalog)
        self.taken = np.zeros(graph.num_tasks, dtype=np.bool_)
        self.taken[:NUM_FIXED_TASKS] = True
        # Layouts that differ in fields we do not know are one tile layout.
        self._codes: dict[tuple[str, int, tuple[int, ...], tuple[int, ...]], int] = {}
        self._code_of = np.array(
            [
                self._codes.setdefault((x.base_ptr, x.data_type, x.dims, x.strides), number)
                for number, x in enumerate(graph.layouts)
            ],
            dtype=np.int64,
        )

    def operator(self, layer: RegisteredLayer, ids: Int64Array) -> Operator:
        """The operator of a layer whose tasks should be `ids`; index 0 for now."""
        tasks = self._present(layer, ids)
        self._check_shape(layer, tasks)
        slots = tuple(
            self._slot(layer, slot, position, tasks) for position, slot in enumerate(layer.slots)
        )
        return Operator(
            index=0,
            task_type=layer.task_type,
            variant_ids=tuple(distinct(self.graph.tasks.variant_ids[tasks.ids]).tolist()),
            grid_dim=layer.grid,
            num_subtasks=layer.shape.num_subtasks,
            task_ids=tasks.ids,
            slots=slots,
            origin="recorded",
            layer_method=layer.recorded.method,
            register_name=layer.recorded.register_name,
            grid_positions=None if tasks.present is None else tasks.points.T.astype(np.int32),
            layer_index=layer.recorded.index,
        )

    def check_rest(self, order: Emission) -> None:
        """Raises GraphReadError when the graph has tasks that no layer of the record made."""
        num_tasks = self.graph.num_tasks
        rest = np.flatnonzero(~self.taken & ~self.graph.tasks.is_null)
        if order.num_tasks == num_tasks and not len(rest):
            return
        name = f"task {rest[0]} ({self._type_name(int(rest[0]))})" if len(rest) else "a null task"
        raise GraphReadError(
            f"the layers of the record make {order.num_tasks - NUM_FIXED_TASKS} tasks, the graph "
            f"has {num_tasks - NUM_FIXED_TASKS}: {name} is of no layer",
            where=self.record.path or "the record",
            remedy=REMEDY,
        )

    def _present(self, layer: RegisteredLayer, ids: Int64Array) -> _Tasks:
        if ids.max() >= self.graph.num_tasks:
            layer.fail(
                f"makes {len(ids)} tasks, the last with id {ids.max()}; the graph has "
                f"{self.graph.num_tasks} tasks in all"
            )
        self.taken[ids] = True
        points = grid_points(layer.grid, layer.shape.num_subtasks)
        null = self.graph.tasks.is_null[ids]
        if not null.any():
            return _Tasks(ids, points)
        return _Tasks(ids[~null], points[:, ~null], ~null)

    def _check_shape(self, layer: RegisteredLayer, tasks: _Tasks) -> None:
        columns = self.graph.tasks
        misfit = columns.task_types[tasks.ids] != layer.task_type
        if misfit.any():
            task, at = _first(tasks, misfit)
            layer.fail(
                f"should make task {task} at {at} a {layer.row.task_type}; "
                f"in the graph it is a {self._type_name(task)}"
            )
        num_slots = columns.slot_starts[tasks.ids + 1] - columns.slot_starts[tasks.ids]
        misfit = (num_slots != len(layer.slots)) | (
            columns.num_inputs[tasks.ids] != layer.row.num_inputs
        )
        if misfit.any():
            task, at = _first(tasks, misfit)
            layer.fail(
                f"has {layer.row.num_inputs} inputs and {layer.row.num_outputs} outputs; task "
                f"{task} at {at} has {len(self.graph.inputs(task))} and "
                f"{len(self.graph.outputs(task))}"
            )

    def _slot(
        self, layer: RegisteredLayer, slot: LayerSlot, position: int, tasks: _Tasks
    ) -> OperatorSlot:
        is_output = position >= len(layer.inputs)
        try:
            column = self.tiles.column(
                slot,
                layer.grid,
                layer.shape.num_subtasks,
                is_output=is_output,
                plane=self._plane(layer) if is_output else 0,
            )
        except TileError as error:
            layer.fail(f"can't be compared with the graph: {error}")
        if tasks.present is not None:
            column = column.of(tasks.present)
        self._check_slot(layer, position, tasks, column)
        return self._operator_slot(slot, position, is_output, column)

    def _plane(self, layer: RegisteredLayer) -> int:
        """Elements before this rank's plane in the buffer that an all-gather puts into."""
        source = layer.inputs[0].tensor if layer.inputs else None
        if not layer.is_put or source is None:
            return 0
        return self.record.my_gpu_id * math.prod(self.record.tensor_by_id[source].dims)

    def _check_slot(
        self, layer: RegisteredLayer, position: int, tasks: _Tasks, column: TileColumn
    ) -> None:
        columns = self.graph.tasks
        slots = columns.slot_starts[tasks.ids] + position
        codes = np.array(
            [
                self._codes.get((name, column.data_type, column.dims, strides), -1)
                for name, strides in column.parts
            ],
            dtype=np.int64,
        )
        expected = codes[0] if column.part_of is None else codes[column.part_of]
        misfit: BoolArray = self._code_of[columns.slot_layouts[slots]] != expected
        if column.offsets is not None:
            misfit |= columns.slot_offsets[slots] != column.offsets
        if not misfit.any():
            return
        task, at = _first(tasks, misfit)
        first = int(np.flatnonzero(misfit)[0])
        name, strides = column.parts[0 if column.part_of is None else int(column.part_of[first])]
        offset = None if column.offsets is None else int(column.offsets[first])
        found = self.graph.slots(task)[position]
        layer.fail(
            f"gives slot {position} of task {task} at {at} "
            f"{_shown(name, column.dims, strides, column.data_type, offset, self.catalog)}; the "
            "graph has "
            + _shown(
                found.base_ptr,
                found.dims,
                found.strides,
                found.data_type,
                found.offset,
                self.catalog,
            )
        )

    def _operator_slot(
        self, slot: LayerSlot, position: int, is_output: bool, column: TileColumn
    ) -> OperatorSlot:
        if slot.tensor is None:
            names: tuple[str, ...] = ()
            dims: tuple[int, ...] = ()
        else:
            dims = self.record.tensor_by_id[slot.tensor].dims
            used = [0] if column.part_of is None else distinct(column.part_of).tolist()
            names = tuple(dict.fromkeys(column.parts[x][0] for x in used))
        first = 0 if column.part_of is None or not len(column.part_of) else int(column.part_of[0])
        return OperatorSlot(
            position=position,
            is_output=is_output,
            base_ptrs=names,
            data_type=column.data_type,
            tile_dims=column.dims,
            strides=column.parts[first][1],
            input_map=slot.input_map,
            known_map=(True, True, True),
            tensor_dims=dims,
            known_dims=(True,) * len(dims),
        )

    def _type_name(self, task_id: int) -> str:
        return self.catalog.task_type_name(int(self.graph.tasks.task_types[task_id]))


def _first(tasks: _Tasks, misfit: BoolArray) -> tuple[int, str]:
    """The first task that does not fit, and its grid point for a message."""
    position = int(np.flatnonzero(misfit)[0])
    x, y, z = tasks.points[:, position].tolist()
    return int(tasks.ids[position]), f"grid point ({x}, {y}, {z})"


def _shown(
    name: str,
    dims: tuple[int, ...],
    strides: tuple[int, ...],
    data_type: int,
    offset: int | None,
    catalog: Catalog,
) -> str:
    """A tile for a message."""
    place = "" if offset is None else f" at byte {offset}"
    return (
        f"{name} {list(dims)} of {catalog.data_type_name(data_type)}{place} "
        f"with strides {list(strides)}"
    )
