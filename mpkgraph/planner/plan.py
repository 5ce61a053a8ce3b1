"""From a recorded pipeline to its task graph, as Mirage's generator makes it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import NoReturn

from mpkgraph.catalog import DEFAULT, Catalog
from mpkgraph.catalog.registered import (
    REGISTERED_TASKS,
    MissingParamError,
    MissingStrideError,
    NullSlotError,
    SlotFacts,
    TaskFacts,
    UncheckedSlotFacts,
)
from mpkgraph.errors import PipelineError
from mpkgraph.model.graph import NULL_TASK_TYPE, Int64Column, TaskGraph
from mpkgraph.model.record import (
    LayerCall,
    LayerSlot,
    PipelineRecord,
    RecordedLayer,
    TensorCall,
    walk,
)
from mpkgraph.planner.columns import (
    ColumnBuilder,
    dependent_event_ids,
    event_columns,
    trigger_event_ids,
)
from mpkgraph.planner.dag import MAX_TENSOR_DIMS, EmissionError
from mpkgraph.planner.emission import Emission, emission
from mpkgraph.planner.registered import LayerError, RegisteredLayer, RegisteredTasks, layer_name
from mpkgraph.planner.tiles import FUSED, LayerTiles, TileColumn, TileError, tile_dims
from mpkgraph.planner.variants import VariantRegistry
from mpkgraph.planner.warnings import PlanWarning, plan_warnings

MAX_TASKS = 1 << 24
"""Tasks of one graph: ten times the largest model; its text would have 20 GB."""

MAX_SHARED_BYTES = 96 * 1024
"""`MAX_SMEM_SIZE`: slots with `store_in_dmem=False` must fit, by the size of their tiles."""
SHARED_BYTES = {"bf16": 2, "fp16": 2, "fp32": 4, "int32": 4, "int64": 8, "fp64": 8}
"""Bytes that Mirage counts for an element in shared memory; any other type counts as one."""


@dataclass(frozen=True)
class Plan:
    """A pipeline's task graph, and what is odd about it."""

    record: PipelineRecord
    graph: TaskGraph
    layers: tuple[RecordedLayer, ...]
    """The layers of tasks, in program order."""
    task_ids: tuple[Int64Column, ...]
    """For each layer its tasks in grid order, the subtasks of a point together."""
    warnings: tuple[PlanWarning, ...]
    """What Mirage accepts without a word and the author should know, in program order."""


def plan(
    record: PipelineRecord,
    *,
    registry: VariantRegistry | None = None,
    tasks: RegisteredTasks = REGISTERED_TASKS,
    catalog: Catalog = DEFAULT,
) -> Plan:
    """The task graph that Mirage's generator makes of a pipeline at `de8745d`, to the byte.

    `registry` numbers kernel variants; give the same one for all graphs of one process. `tasks` are
    the names that layers can be registered as.

    Raises PipelineError where Mirage raises, aborts or crashes: it names the layer, where the
    author wrote it, and a remedy.
    """
    return _Planner(record, registry or VariantRegistry(), tasks, catalog).run()


class ProcessPlanner:
    """Plans the graphs of one process: kernel variants go on counting from one to the next."""

    def __init__(
        self, tasks: RegisteredTasks = REGISTERED_TASKS, catalog: Catalog = DEFAULT
    ) -> None:
        self._registry = VariantRegistry()
        self._tasks = tasks
        self._catalog = catalog

    def __call__(self, record: PipelineRecord) -> Plan:
        """`plan` for the next graph."""
        return plan(record, registry=self._registry, tasks=self._tasks, catalog=self._catalog)

    def register(self, record: PipelineRecord, layer: RecordedLayer) -> None:
        """Number the variant of a layer that is registered now and planned later, or never.

        What is wrong with the layer is for its plan to say.
        """
        planner = _Planner(record, self._registry, self._tasks, self._catalog)
        with contextlib.suppress(LayerError):
            planner.variant(RegisteredLayer(layer, record, self._catalog, self._tasks))


class _Planner:
    def __init__(
        self,
        record: PipelineRecord,
        registry: VariantRegistry,
        tasks: RegisteredTasks,
        catalog: Catalog,
    ) -> None:
        self.record = record
        self.tensors = record.tensor_by_id
        self.registry = registry
        self.tasks = tasks
        self.catalog = catalog
        self.tiles = LayerTiles(record, catalog)
        self._variants: dict[Hashable, int] = {}
        self._columns: dict[Hashable, list[TileColumn]] = {}
        """Of the first layer of each kind."""
        self.undefined: list[tuple[RegisteredLayer, str]] = []
        """Layers whose variant hangs on memory that Mirage never wrote, and what it reads."""

    def run(self) -> Plan:
        self._check_rank()
        self._check_calls()
        recorded = self.record.layers
        try:
            layers = [RegisteredLayer(x, self.record, self.catalog, self.tasks) for x in recorded]
            for layer in layers:
                self._check_memory(layer)
            variants = [self.variant(layer) for layer in layers]
            order = self._emission(layers)
            self._check_addresses(layers)
            columns = [self._slots(layer) for layer in layers]
        except LayerError as error:
            self._refuse(error)
        graph = self._graph(layers, variants, order, columns)
        warnings = plan_warnings(self.record, layers, order, graph, self.undefined)
        return Plan(self.record, graph, recorded, order.task_ids, warnings)

    def _emission(self, layers: list[RegisteredLayer]) -> Emission:
        try:
            return emission([x.shape for x in layers], max_tasks=MAX_TASKS)
        except EmissionError as error:
            others = [layer_name(layers[x].recorded) for x in error.others]
            tensors = [repr(self.record.tensor_by_id[x].name) for x in error.tensors]
            if tensors:
                others.append(f"tensor{'s' * (len(tensors) > 1)} {', '.join(tensors)}")
            named = f" [{'; '.join(others)}]" if others else ""
            layers[error.layer].fail(f"can't be planned: {error.what}{named}", error.remedy)

    def _graph(
        self,
        layers: list[RegisteredLayer],
        variants: list[int],
        order: Emission,
        columns: list[list[TileColumn]],
    ) -> TaskGraph:
        builder = ColumnBuilder(order, layers, variants, columns, self.catalog)
        rank = self.record.my_gpu_id
        null = builder.task_types == NULL_TASK_TYPE
        return TaskGraph(
            tasks=builder.tasks(
                dependent_event_ids(order, rank, null), trigger_event_ids(order, layers, rank)
            ),
            events=event_columns(order, self.catalog),
            first_tasks=order.first_tasks,
            layouts=builder.layouts,
            rank=rank,
        )

    def _slots(self, layer: RegisteredLayer) -> list[TileColumn]:
        """The tiles of each slot: those of the first layer of the kind, under other names."""
        known = self._columns.get(layer.kind)
        if known is None:
            known = self._columns[layer.kind] = self._first_slots(layer)
            return known
        tensors = [x.tensor if x.tensor is None else self.tensors[x.tensor] for x in layer.slots]
        if any(x is not None and x.kind == FUSED for x in tensors):
            return self._first_slots(layer)
        return [
            column if tensor is None else column.named(tensor.base_ptr)
            for column, tensor in zip(known, tensors, strict=True)
        ]

    def _first_slots(self, layer: RegisteredLayer) -> list[TileColumn]:
        found = []
        for position, slot in enumerate(layer.slots):
            is_output = position >= layer.row.num_inputs
            plane = self._plane(layer) if is_output else 0
            try:
                found.append(
                    self.tiles.column(
                        slot,
                        layer.grid,
                        layer.shape.num_subtasks,
                        is_output=is_output,
                        plane=plane,
                        forloop_range=layer.forloop_range,
                    )
                )
            except TileError as error:
                layer.fail(f"has no tiles: {error}", error.remedy)
        return found

    def _plane(self, layer: RegisteredLayer) -> int:
        """Elements before this rank's plane in the buffer that an all-gather puts into."""
        source = layer.inputs[0].tensor if layer.is_put else None
        if source is None:
            return 0
        return self.record.my_gpu_id * math.prod(self.record.tensor_by_id[source].dims)

    def _check_memory(self, layer: RegisteredLayer) -> None:
        """What kills Mirage while a thread-block graph is made, or in the generator."""
        usage = 0
        for slot in layer.slots:
            if slot.tensor is None or slot.store_in_dmem:
                continue
            tensor = self.record.tensor_by_id[slot.tensor]
            tile = tile_dims(
                tensor.dims, layer.grid, slot.input_map, slot.forloop_dim, layer.forloop_range
            )
            usage += math.prod(tile) * SHARED_BYTES.get(tensor.dtype, 1)
            if usage > MAX_SHARED_BYTES:
                layer.fail(
                    f"keeps {usage} bytes in shared memory up to {slot.name!r}: Mirage has "
                    f"{MAX_SHARED_BYTES} and dies of a null pointer",
                    "Give new_input store_in_dmem=True, as Mirage's layers do",
                )
        for slot in layer.outputs:
            if slot.tensor is None:
                layer.fail(
                    "was given None as an output: Mirage looks its address up and dies",
                    "Give it a tensor",
                )

    def variant(self, layer: RegisteredLayer) -> int:
        """The layer's `variant_id`; the registrar sees the layer before the generator does."""
        known = self._variants.get(layer.kind)
        if known is not None:
            return known
        row, params = layer.row, layer.params
        try:
            number = self.registry.number(row, self._facts(layer, SlotFacts))
        except MissingStrideError as error:
            self.undefined.append((layer, str(error)))
            return self.registry.number(row, self._facts(layer, UncheckedSlotFacts))
        except NullSlotError as error:
            layer.fail(
                f"was given None where {row.name} needs a tensor ({error}): Mirage dereferences a "
                "null pointer",
                "Give it a tensor",
            )
        except MissingParamError as error:
            layer.fail(
                f"registers {row.name} with {len(params)} ints of {len(row.params)} "
                f"({', '.join(row.params)}): Mirage reads past their end ({error})",
                "Give register_task all of them",
            )
        except ZeroDivisionError:
            layer.fail(
                f"makes {row.name} divide by zero, of which Mirage dies: {self._zeros(layer)}",
                "Check the dims of its tensors and the numbers it was registered with",
            )
        self._variants[layer.kind] = number
        return number

    def _zeros(self, layer: RegisteredLayer) -> str:
        """What a registrar may have divided by."""
        for slot in layer.slots:
            if slot.tensor is not None:
                dims = self.record.tensor_by_id[slot.tensor].dims
                tile = tile_dims(dims, layer.grid, slot.input_map)
                if 0 in tile:
                    return f"its tiles of {slot.name!r} {list(dims)} are {list(tile)}"
        given = zip(layer.row.params, layer.params, strict=False)
        return f"it is registered with {', '.join(f'{name}={n}' for name, n in given)}"

    def _facts(self, layer: RegisteredLayer, kind: type[SlotFacts]) -> TaskFacts:
        return TaskFacts(
            inputs=tuple(self._slot_facts(layer, x, kind) for x in layer.inputs),
            outputs=tuple(self._slot_facts(layer, x, kind) for x in layer.outputs),
            params=layer.params,
            grid_dim=layer.grid,
        )

    def _slot_facts(
        self, layer: RegisteredLayer, slot: LayerSlot, kind: type[SlotFacts]
    ) -> SlotFacts:
        beyond = [
            dim
            for dim, size in zip(slot.input_map, layer.grid, strict=True)
            if dim >= MAX_TENSOR_DIMS and size > 1
        ]
        if beyond:
            layer.fail(
                f"maps a grid axis of {slot.name!r} to dim {beyond[0]}: tensors have at most "
                f"{MAX_TENSOR_DIMS} dims, and Mirage overwrites its own memory",
                "Map the axis to a dim of the tensor, or to -1",
            )
        if slot.tensor is None:
            zero = (0, 0, 0, 0)
            return kind(zero, zero, zero, 0, slot.input_map, is_null=True)
        tensor = self.record.tensor_by_id[slot.tensor]
        if len(tensor.dims) > MAX_TENSOR_DIMS:
            layer.fail(
                f"uses {tensor.name!r}, which has {len(tensor.dims)} dims: Mirage takes at most "
                f"{MAX_TENSOR_DIMS}",
                "Flatten dims that are not split",
            )
        return kind(
            tile=_padded(
                tile_dims(
                    tensor.dims,
                    layer.grid,
                    slot.input_map,
                    slot.forloop_dim,
                    layer.forloop_range,
                )
            ),
            dims=_padded(tensor.dims),
            strides=_padded(tensor.strides),
            rank=len(tensor.dims),
            input_map=slot.input_map,
        )

    def _check_rank(self) -> None:
        record = self.record
        if not 0 <= record.my_gpu_id < max(record.num_gpus, 1):
            raise PipelineError(
                f"rank {record.my_gpu_id} is not one of {record.num_gpus}",
                where=record.path,
                remedy="Give a rank below the world size",
            )

    def _check_calls(self) -> None:
        """A pipeline whose script was refused by Mirage's Python layer has no graph."""
        if not self.record.has_exception:
            return
        where, what = "log", "the script that was recorded"
        error = self.record.extra.get("exception")
        for place, entry, _ in walk(self.record.log):
            if isinstance(entry, LayerCall) and "exception" in entry.extra:
                where, what, error = place, entry.method, entry.extra["exception"]
                break
        raise PipelineError(
            f"{what} raised {str(error).rstrip(': ')}",
            where=self._where(where),
            remedy="Mirage refuses this layer: change its tensors, its grid or the target",
        )

    def _check_addresses(self, layers: list[RegisteredLayer]) -> None:
        """Parts of shuffled and fused tensors are not known by themselves."""
        taken: dict[int, TensorCall] = {}
        for where, entry, _ in walk(self.record.log):
            if not isinstance(entry, TensorCall):
                continue
            for ref in entry.inputs or ():
                if ref.tensor in taken:
                    raise PipelineError(
                        f"{entry.name!r} is made of {ref.name!r}, which is part of "
                        f"{taken[ref.tensor].name!r} already: Mirage forgets a tensor once it is "
                        "shuffled or fused",
                        where=self._where(where),
                        remedy="Attach the tensor a second time under another name",
                    )
                if ref.tensor is not None:
                    taken[ref.tensor] = entry
        for layer in layers:
            for slot in layer.slots:
                call = None if slot.tensor is None else taken.get(slot.tensor)
                if call is not None:
                    layer.fail(
                        f"uses {slot.name!r}, which went into {call.name!r} ({call.op}): Mirage no "
                        "longer knows its address and crashes",
                        f"Use {call.name!r}, or attach the tensor a second time under another name",
                    )

    def _refuse(self, error: LayerError) -> NoReturn:
        raise PipelineError(
            str(error), where=self._where(error.layer.where), remedy=error.remedy or None
        ) from None

    def _where(self, path: str) -> str:
        """Where the author wrote what lies at a JSON path of the record."""
        site = self.record.call_site(path)
        if site is not None:
            return str(site)
        return f"{self.record.path}, {path}" if self.record.path else path


def _padded(numbers: tuple[int, ...]) -> tuple[int, int, int, int]:
    a, b, c, d = (*numbers, 0, 0, 0, 0)[:4]
    return a, b, c, d
