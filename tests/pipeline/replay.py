"""Replaying a recorded pipeline: its top-level calls on a PersistentKernel of ours."""

from __future__ import annotations

from dataclasses import make_dataclass
from typing import Any

from mpkgraph.model.record import BlockGraph, LayerCall, PipelineRecord, TensorCall
from mpkgraph.pipeline import (
    CyTBGraph,
    PersistentKernel,
    Target,
    TBGraph,
    TensorSpec,
    dtype,
    exception_text,
    use_target,
)


class Replay:
    """A kernel that was told what a record says."""

    def __init__(self, record: PipelineRecord) -> None:
        self.source = record
        self.exception: str | None = None
        origin = record.origin or {}
        self.target = Target(
            cc=record.target_cc,
            world_size=record.num_gpus,
            rank=record.my_gpu_id,
            multicast=origin.get("multicast", False),
        )
        with use_target(self.target):
            self.kernel = PersistentKernel(**{k: self.value(v) for k, v in record.init.items()})
        try:
            for entry in record.log:
                self.call(entry)
        except Exception as error:  # noqa: BLE001  kept, and compared
            self.exception = exception_text(error)
            self.error = error

    def record(self) -> PipelineRecord:
        return self.kernel.record(origin=self.source.origin, exception=self.exception)

    def call(self, entry: Any) -> None:
        if isinstance(entry, TensorCall):
            self.tensor_call(entry)
        elif isinstance(entry, LayerCall):
            args = {name: self.value(x) for name, x in entry.args.items()}
            getattr(self.kernel, entry.method)(**args)
        elif isinstance(entry, BlockGraph):
            self.block_graph(entry)
        else:
            raise TypeError(entry)

    def tensor_call(self, entry: TensorCall) -> None:
        try:
            self.recorder.tensor(entry.tensor)
        except IndexError:
            pass
        else:
            return  # a layer made it
        if entry.op == "attach_input":
            torch_type = self.source.tensor_by_id[entry.tensor].torch_dtype
            assert torch_type is not None
            spec = TensorSpec(entry.dims, torch_type, entry.strides)
            made = self.kernel.attach_input(spec, name=entry.name)
        elif entry.op == "new_tensor":
            made = self.kernel.new_tensor(
                dims=entry.dims,
                strides=entry.strides,
                dtype=dtype(entry.dtype),
                name=entry.name,
                io_category=entry.io_category,
            )
        else:
            method = getattr(self.kernel, entry.op)
            parts = [self.recorder.tensor(x.tensor) for x in entry.inputs or ()]
            made = method(parts, entry.dim, entry.num_groups, entry.name)
        assert made.guid == entry.tensor

    def block_graph(self, entry: BlockGraph) -> None:
        graph = TBGraph(CyTBGraph(entry.grid_dim, (128, 1, 1), 1, 64))
        for slot in entry.inputs:
            tensor = None if slot.tensor is None else self.recorder.tensor(slot.tensor)
            graph.new_input(tensor, slot.input_map, slot.forloop_dim, slot.store_in_dmem)
        refs = entry.customized
        inputs = [None if x is None else self.recorder.tensor(x.tensor) for x in refs]
        self.kernel.kn_graph.customized(inputs, graph)
        if entry.register_task is not None:
            params = entry.register_task.params
            self.kernel.kn_graph.register_task(
                graph, entry.register_task.name, None if params is None else list(params)
            )

    @property
    def recorder(self) -> Any:
        return self.kernel.kn_graph.cygraph.recorder

    def value(self, value: Any) -> Any:
        """An argument from its JSON form; lists stood for tuples."""
        if isinstance(value, list):
            return tuple(self.value(x) for x in value)
        if isinstance(value, dict) and value.keys() == {"tensor", "name"}:
            return self.recorder.tensor(value["tensor"])
        if isinstance(value, dict) and value.keys() == {"torch", "strides", "dtype"}:
            return TensorSpec(tuple(value["torch"]), value["dtype"], tuple(value["strides"]))
        if isinstance(value, dict) and value.keys() == {"object", "fields"}:
            fields = {k: self.value(v) for k, v in value["fields"].items()}
            return make_dataclass(value["object"], fields)(**fields)
        if isinstance(value, dict):
            return {k: self.value(v) for k, v in value.items()}
        return value
