"""A recorded layer together with what its registered name says of its tasks."""

from __future__ import annotations

from typing import NoReturn

from mpkgraph.catalog import Catalog, TaskTypeRow
from mpkgraph.catalog.task_types import TASK_TYPES
from mpkgraph.errors import GraphReadError
from mpkgraph.model.operator import Grid
from mpkgraph.model.record import LayerSlot, PipelineRecord, RecordedLayer
from mpkgraph.planner.dag import LayerShape

ALLGATHER_PUT = "TASK_NVSHMEM_ALLGATHER_STRIDED_PUT"
"""The task type that puts to each peer in a task of its own, into the plane of its rank."""
REMEDY = (
    "Put the record of this very graph beside it, or remove the record: operators are then "
    "recovered from the tasks alone"
)

_ROW_BY_REGISTER_NAME = {name: row for row in TASK_TYPES for name in row.register_names}


class RegisteredLayer:
    """A recorded layer with what its registered name says: task type, inputs, subtasks."""

    def __init__(self, layer: RecordedLayer, record: PipelineRecord, catalog: Catalog) -> None:
        self.recorded = layer
        self.record = record
        self.row = self._find_row()
        self.task_type = self._find_task_type(catalog)
        self.shape = LayerShape(
            grid_dim=layer.grid_dim,
            inputs=tuple((x.tensor, x.input_map) for x in self.inputs),
            outputs=tuple((x.tensor, x.input_map) for x in self.outputs),
            num_subtasks=record.num_gpus - 1 if self.row.name == ALLGATHER_PUT else 1,
            is_remote=self.row.name == ALLGATHER_PUT,
        )

    @property
    def inputs(self) -> tuple[LayerSlot, ...]:
        return self.recorded.slots[: self.row.num_inputs]

    @property
    def outputs(self) -> tuple[LayerSlot, ...]:
        return self.recorded.slots[self.row.num_inputs :]

    @property
    def grid(self) -> Grid:
        return self.recorded.grid_dim

    def fail(self, what: str) -> NoReturn:
        """Raises GraphReadError with the layer's name before `what`."""
        layer = self.recorded
        names = [x for x in (layer.method, layer.register_name) if x]
        grid = "x".join(map(str, layer.grid_dim))
        raise GraphReadError(
            f"layer {layer.index} ({', '.join([*names, f'grid {grid}'])}) {what}",
            where=f"{self.record.path or 'the record'}, {layer.where}",
            remedy=REMEDY,
        )

    def _find_row(self) -> TaskTypeRow:
        name = self.recorded.register_name
        if name is None:
            self.fail("was never registered as a task, so no graph came of this pipeline")
        row = _ROW_BY_REGISTER_NAME.get(name)
        if row is None or row.num_inputs is None or row.num_outputs is None:
            self.fail(f"is registered as {name!r}, which this version does not know")
        if len(self.recorded.slots) != row.num_inputs + row.num_outputs:
            self.fail(
                f"has {len(self.recorded.slots)} slots where {name} takes "
                f"{row.num_inputs} inputs and {row.num_outputs} outputs"
            )
        return row

    def _find_task_type(self, catalog: Catalog) -> int:
        numbers = (number for number, name in catalog.task_types.items() if name == self.row.name)
        number = next(numbers, None)
        if number is None:
            self.fail(f"makes {self.row.name} tasks, which {catalog.source} lacks")
        return number
