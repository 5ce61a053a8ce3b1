"""A recorded layer together with what its registered name says of its tasks."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import NoReturn

from mpkgraph.catalog import Catalog, TaskTypeRow
from mpkgraph.catalog.registered import REGISTERED_TASKS, RegisteredTaskRow
from mpkgraph.model.operator import Grid
from mpkgraph.model.record import LayerSlot, PipelineRecord, RecordedLayer, TensorRef
from mpkgraph.planner.dag import LayerShape

ALLGATHER_PUT = "TASK_NVSHMEM_ALLGATHER_STRIDED_PUT"
"""The task type that puts to each peer in a task of its own, into the plane of its rank."""

RegisteredTasks = Mapping[str, RegisteredTaskRow]


class LayerError(Exception):
    """A layer that no tasks can be made of. `str` names the layer and says why."""

    def __init__(self, layer: RecordedLayer, what: str, remedy: str = "") -> None:
        super().__init__(layer, what, remedy)
        self.layer = layer
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{layer_name(self.layer)} {self.what}"


def layer_name(layer: RecordedLayer) -> str:
    """A layer for messages: number, method, registered task, grid."""
    names = [x for x in (layer.method, layer.register_name) if x]
    grid = "x".join(map(str, layer.grid_dim))
    return f"layer {layer.index} ({', '.join([*names, f'grid {grid}'])})"


class RegisteredLayer:
    """A recorded layer with what its registered name says: task type, inputs, subtasks.

    Raises LayerError when the name is not in `tasks`, or does not fit the layer's slots.
    """

    def __init__(
        self,
        layer: RecordedLayer,
        record: PipelineRecord,
        catalog: Catalog,
        tasks: RegisteredTasks = REGISTERED_TASKS,
    ) -> None:
        self.recorded = layer
        self.record = record
        self.slots = self._find_slots()
        """Inputs, then outputs, with the tensors that the layer was customized with."""
        self.row = self._find_row(tasks)
        self.task_type = self._find_task_type(catalog)
        self.is_put = self.row.task_type == ALLGATHER_PUT
        self.shape = LayerShape(
            grid_dim=layer.grid_dim,
            inputs=tuple((x.tensor, x.input_map) for x in self.inputs),
            outputs=tuple((x.tensor, x.input_map) for x in self.outputs),
            num_subtasks=record.num_gpus - 1 if self.is_put else 1,
            is_remote=self.is_put,
        )
        self.type_row: TaskTypeRow = catalog.task_type_row(self.task_type)

    @property
    def inputs(self) -> tuple[LayerSlot, ...]:
        return self.slots[: self.row.num_inputs]

    @property
    def outputs(self) -> tuple[LayerSlot, ...]:
        return self.slots[self.row.num_inputs :]

    @property
    def grid(self) -> Grid:
        return self.recorded.grid_dim

    @property
    def forloop_range(self) -> int:
        return self.recorded.graph.forloop_range

    @cached_property
    def kind(self) -> Hashable:
        """Equal for layers that differ in names only: same variant, same tiles.

        What a fused tensor is made of is not in it.
        """
        tensors = self.record.tensor_by_id
        slots = []
        for slot in self.slots:
            shape: Hashable = None
            if slot.tensor is not None:
                tensor = tensors[slot.tensor]
                shape = (tensor.kind, tensor.dims, tensor.strides, tensor.dtype)
            slots.append((shape, slot.input_map, slot.forloop_dim))
        return (self.row.name, self.params, self.grid, self.forloop_range, tuple(slots))

    @cached_property
    def params(self) -> tuple[int, ...]:
        """The ints that it was registered with; floats are cut, as Cython does."""
        task = self.recorded.graph.register_task
        return tuple(int(x) for x in (task.params if task and task.params else ()))

    def fail(self, what: str, remedy: str = "") -> NoReturn:
        """Raises LayerError."""
        raise LayerError(self.recorded, what, remedy)

    def _find_slots(self) -> tuple[LayerSlot, ...]:
        slots, tensors = self.recorded.slots, self.recorded.graph.customized
        if len(tensors) < len(slots):
            self.fail(
                f"declares {len(slots)} slots, but was customized with {len(tensors)} tensors: "
                "Mirage reads past their end",
                "Give customized() the same tensors as new_input()",
            )
        return tuple(
            slot if slot.tensor == (None if ref is None else ref.tensor) else _with(slot, ref)
            for slot, ref in zip(slots, tensors, strict=False)  # Mirage ignores further tensors
        )

    def _find_row(self, tasks: RegisteredTasks) -> RegisteredTaskRow:
        name = self.recorded.register_name
        if name is None:
            self.fail("was never registered as a task, so no graph came of this pipeline")
        row = tasks.get(name)
        if row is None:
            self.fail(
                f"is registered as {name!r}, which neither Mirage nor this version knows",
                _similar(name, tasks),
            )
        if len(self.slots) != row.num_inputs + row.num_outputs:
            self.fail(
                f"has {len(self.slots)} slots where {name} takes "
                f"{row.num_inputs} inputs and {row.num_outputs} outputs",
                f"Give {name} exactly {row.num_inputs + row.num_outputs} tensors, inputs first",
            )
        return row

    def _find_task_type(self, catalog: Catalog) -> int:
        wanted = self.row.task_type
        number = catalog.task_type_numbers.get(wanted)
        if number is None and wanted.removeprefix("TASK_").isdigit():
            return int(wanted.removeprefix("TASK_"))
        if number is None:
            self.fail(
                f"makes {wanted} tasks, which {catalog.source} lacks",
                "Name a source tree that has it with --mirage-home",
            )
        return number


def _with(slot: LayerSlot, ref: TensorRef | None) -> LayerSlot:
    """The slot with another tensor than its thread-block graph was given."""
    if ref is None:
        return replace(slot, tensor=None, name=None)
    return replace(slot, tensor=ref.tensor, name=ref.name)


def _similar(name: str, tasks: RegisteredTasks) -> str:
    import difflib

    close = difflib.get_close_matches(name, tasks, n=3)
    if close:
        return f"Did you mean {' or '.join(close)}?"
    return "Register it with --register NAME:INPUTS:OUTPUTS:TASK_TYPE"
