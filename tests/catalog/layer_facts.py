"""What Mirage's registrar sees of a recorded layer."""

from __future__ import annotations

from collections.abc import Sequence

from mpkgraph.catalog.registered import REGISTERED_TASKS, SlotFacts, TaskFacts
from mpkgraph.model.operator import Grid
from mpkgraph.model.record import LayerSlot, PipelineRecord, RecordedLayer
from mpkgraph.planner.tiles import tile_dims


def facts_of(layer: RecordedLayer, record: PipelineRecord) -> TaskFacts:
    num_inputs = REGISTERED_TASKS[layer.register_name].num_inputs
    slots = tuple(_slot(slot, layer.grid_dim, record) for slot in layer.slots)
    params = tuple(int(x) for x in layer.params or ())
    return TaskFacts(slots[:num_inputs], slots[num_inputs:], params, layer.grid_dim)


def _slot(slot: LayerSlot, grid: Grid, record: PipelineRecord) -> SlotFacts:
    if slot.tensor is None:
        return SlotFacts((0,) * 4, (0,) * 4, (0,) * 4, 0, slot.input_map, is_null=True)
    tensor = record.tensor_by_id[slot.tensor]
    return SlotFacts(
        tile=_padded(tile_dims(tensor.dims, grid, slot.input_map)),
        dims=_padded(tensor.dims),
        strides=_padded(tensor.strides),
        rank=len(tensor.dims),
        input_map=slot.input_map,
    )


def _padded(numbers: Sequence[int]) -> tuple[int, int, int, int]:
    a, b, c, d = (*numbers, 0, 0, 0, 0)[:4]
    return a, b, c, d
