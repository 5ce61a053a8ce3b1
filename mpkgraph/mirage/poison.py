"""Which tensors may hold anything before a run: what no task reads before another wrote it."""

from __future__ import annotations

from mpkgraph.catalog.effects import effects_of
from mpkgraph.catalog.registered import REGISTERED_TASKS
from mpkgraph.model.record import PipelineRecord


def only_written(record: PipelineRecord) -> frozenset[str]:
    """Names of attached tensors that layers write, and of which none reads what was there before.

    In program order: a tensor that its first layer writes without reading it counts, whatever
    reads it later.
    """
    first: dict[int, bool] = {}
    for layer in record.layers:
        row = REGISTERED_TASKS.get(layer.register_name or "")
        num_inputs = len(layer.slots) if row is None else row.num_inputs
        num_outputs = len(layer.slots) - num_inputs
        task_type = "" if row is None else row.task_type
        effects = effects_of(task_type, num_inputs, num_outputs, layer.register_name)
        reads, writes = set(), set()
        for slot, effect in zip(layer.slots, (*effects.inputs, *effects.outputs), strict=True):
            if slot.tensor is not None:
                if effect.reads:
                    reads.add(slot.tensor)
                if effect.writes:
                    writes.add(slot.tensor)
        for tensor in reads | writes:
            first.setdefault(tensor, tensor in writes and tensor not in reads)
    parts = {x.tensor for call in record.calls.values() for x in call.inputs or ()}
    return frozenset(
        x.name
        for x in record.tensors
        if x.kind == "attach_input" and first.get(x.id, False) and x.id not in parts
    )
