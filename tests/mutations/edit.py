"""Changes to a pipeline record, as if its author had written something else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from mpkgraph.model.record import (
    BlockGraph,
    LayerCall,
    LogEntry,
    PipelineRecord,
    RecordedLayer,
    RecordedTensor,
    TensorCall,
    TensorRef,
)

Log = tuple[LogEntry, ...]


def map_log(log: Log, change: Callable[[str, LogEntry], LogEntry], where: str = "log") -> Log:
    """The log with every entry changed, those inside layer calls too."""
    made = []
    for position, entry in enumerate(log):
        path = f"{where}[{position}]"
        changed = change(path, entry)
        if isinstance(changed, LayerCall):
            inside = map_log(changed.lowlevel, change, f"{path}.lowlevel")
            changed = replace(changed, lowlevel=inside)
        made.append(changed)
    return tuple(made)


def with_graph(record: PipelineRecord, layer: RecordedLayer, graph: BlockGraph) -> PipelineRecord:
    """Another thread-block graph for one layer."""

    def change(path: str, entry: LogEntry) -> LogEntry:
        return graph if path == layer.where else entry

    return replace(record, log=map_log(record.log, change))


def with_grid(record: PipelineRecord, layer: RecordedLayer, grid) -> PipelineRecord:
    return with_graph(record, layer, replace(layer.graph, grid_dim=tuple(grid)))


def with_map(record: PipelineRecord, layer: RecordedLayer, position: int, axes) -> PipelineRecord:
    """Another input_map for one slot of a layer."""
    slots = list(layer.slots)
    slots[position] = replace(slots[position], input_map=tuple(axes))
    return with_graph(record, layer, replace(layer.graph, inputs=tuple(slots)))


def swap_slots(record: PipelineRecord, layer: RecordedLayer, one: int, two: int) -> PipelineRecord:
    """Two slots of a layer with each other's tensor; each keeps its own map."""
    slots, refs = list(layer.slots), list(layer.graph.customized)
    for place, other in ((one, two), (two, one)):
        tensor = layer.slots[other]
        slots[place] = replace(slots[place], tensor=tensor.tensor, name=tensor.name)
        refs[place] = layer.graph.customized[other]
    return with_graph(
        record, layer, replace(layer.graph, inputs=tuple(slots), customized=tuple(refs))
    )


def with_tensor(record: PipelineRecord, tensor: int, **fields: Any) -> PipelineRecord:
    """Other dims, strides, dtype or name for one tensor, wherever it is named."""

    def change(_path: str, entry: LogEntry) -> LogEntry:
        if isinstance(entry, TensorCall) and entry.tensor == tensor:
            return replace(entry, **fields)
        return entry

    tensors = tuple(replace(x, **fields) if x.id == tensor else x for x in record.tensors)
    changed = replace(record, tensors=tensors, log=map_log(record.log, change))
    return renamed(changed, {tensor: fields["name"]}) if "name" in fields else changed


def renamed(record: PipelineRecord, names: Mapping[int, str]) -> PipelineRecord:
    """Other names for tensors, in all that refers to them."""
    return _refer(record, lambda x: (x, names[x]) if x in names else None)


def merged(record: PipelineRecord, tensor: RecordedTensor, into: RecordedTensor) -> PipelineRecord:
    """Every use of one tensor is one of another: what reusing a buffer comes to."""
    return _refer(record, lambda x: (into.id, into.name) if x == tensor.id else None)


def without_entry(record: PipelineRecord, position: int) -> PipelineRecord:
    return replace(record, log=record.log[:position] + record.log[position + 1 :], call_sites=())


def moved_entry(record: PipelineRecord, position: int, after: int) -> PipelineRecord:
    """A call made later: just after the one at `after`."""
    log = list(record.log)
    entry = log.pop(position)
    log.insert(after, entry)  # what was at `after` has moved one to the front
    return replace(record, log=tuple(log), call_sites=())


def entry_of(layer: RecordedLayer) -> int:
    """Position in the log of the call that made a layer."""
    return int(layer.where.removeprefix("log[").partition("]")[0])


def _refer(
    record: PipelineRecord, to: Callable[[int | None], tuple[int, str] | None]
) -> PipelineRecord:
    """The record with other tensors where slots, customized tensors and parts refer to them."""

    def ref(one: TensorRef | None) -> TensorRef | None:
        new = None if one is None else to(one.tensor)
        return one if new is None else replace(one, tensor=new[0], name=new[1])

    def change(_path: str, entry: LogEntry) -> LogEntry:
        if isinstance(entry, BlockGraph):
            slots = tuple(
                x if (new := to(x.tensor)) is None else replace(x, tensor=new[0], name=new[1])
                for x in entry.inputs
            )
            refs = tuple(ref(x) for x in entry.customized)
            return replace(entry, inputs=slots, customized=refs)
        if isinstance(entry, TensorCall) and entry.inputs is not None:
            return replace(entry, inputs=tuple(ref(x) for x in entry.inputs))
        return entry

    return replace(record, log=map_log(record.log, change))
