"""A recorded pipeline told to the real Mirage: the same top-level calls on its own classes."""

from __future__ import annotations

import inspect
from dataclasses import make_dataclass
from typing import Any

from mpkgraph.errors import PipelineError
from mpkgraph.mirage.child.recording import Recording
from mpkgraph.mirage.child.tensors import materialise
from mpkgraph.model.record import BlockGraph, LayerCall, PipelineRecord, TensorCall
from mpkgraph.pipeline.tensors import TensorSpec

BLOCK_DIM = (128, 1, 1)
"""Reaches no graph."""


class MirageReplay:
    """Makes a kernel of Mirage's from a record."""

    def __init__(
        self, mirage: Any, recording: Recording, record: PipelineRecord, *, fill: bool
    ) -> None:
        self._mirage = mirage
        self._recording = recording
        self._record = record
        self._fill = fill

    def run(self) -> Any:
        """The kernel, described and not compiled. Raises as Mirage does, and PipelineError."""
        record, pk = self._record, self._mirage.PersistentKernel
        known = inspect.signature(pk.__init__).parameters
        init = {k: self._value(v) for k, v in record.init.items() if k in known}
        self.kernel = pk(**init)
        for index, entry in enumerate(record.log):
            self._recording.place = f"{record_path(record)}, log[{index}]"
            if isinstance(entry, TensorCall):
                if self._find(entry.tensor) is None:  # else a layer made it
                    self._tensor_call(entry)
            elif isinstance(entry, LayerCall):
                method = getattr(self.kernel, entry.method, None)
                if method is None:
                    raise PipelineError(
                        f"this Mirage has no layer {entry.method!r}",
                        where=f"{record_path(record)}, log[{index}]",
                    )
                method(**{name: self._value(x) for name, x in entry.args.items()})
            elif isinstance(entry, BlockGraph):
                self._block(entry)
        self._recording.place = record_path(record)
        return self.kernel

    def _tensor_call(self, entry: TensorCall) -> None:
        kernel = self.kernel
        if entry.op == "attach_input":
            tensor = self._record.tensor_by_id[entry.tensor]
            spec = TensorSpec(entry.dims, tensor.torch_dtype or "bfloat16", entry.strides)
            made = kernel.attach_input(materialise(spec, fill=self._fill), name=entry.name)
        elif entry.op == "new_tensor":
            made = kernel.new_tensor(
                dims=entry.dims,
                strides=entry.strides,
                dtype=self._mirage.core.dtype(entry.dtype),
                name=entry.name,
                io_category=entry.io_category or "cuda_tensor",
            )
        else:
            parts = [self._tensor(x.tensor) for x in entry.inputs or () if x.tensor is not None]
            made = getattr(kernel, entry.op)(parts, entry.dim, entry.num_groups, entry.name)
        if self._find(entry.tensor) is not made:
            raise PipelineError(
                f"{entry.name!r} did not become tensor {entry.tensor}: layers of this Mirage make "
                "other tensors",
                where=record_path(self._record),
                remedy="Compile the script that made the record",
            )

    def _block(self, entry: BlockGraph) -> None:
        mirage = self._mirage
        core = mirage.core.CyTBGraph(entry.grid_dim, BLOCK_DIM, entry.forloop_range, 64)
        graph = mirage.TBGraph(core)
        for slot in entry.inputs:
            tensor = None if slot.tensor is None else self._tensor(slot.tensor)
            graph.new_input(tensor, slot.input_map, slot.forloop_dim, slot.store_in_dmem)
        inputs = [
            None if x is None or x.tensor is None else self._tensor(x.tensor)
            for x in entry.customized
        ]
        self.kernel.kn_graph.customized(inputs, graph)
        task = entry.register_task
        if task is not None:
            params = None if task.params is None else [int(x) for x in task.params]
            self.kernel.kn_graph.register_task(graph, task.name, params)

    def _find(self, number: int) -> Any:
        return self._recording.of(self.kernel.kn_graph).real(number)

    def _tensor(self, number: int) -> Any:
        found = self._find(number)
        if found is None:
            raise PipelineError(
                f"tensor {number} is used before it is made", where=record_path(self._record)
            )
        return found

    def _value(self, value: Any) -> Any:
        """An argument from its JSON form; lists stood for tuples."""
        if isinstance(value, list):
            return tuple(self._value(x) for x in value)
        if not isinstance(value, dict):
            return value
        if value.keys() == {"tensor", "name"}:
            return None if value["tensor"] is None else self._tensor(value["tensor"])
        if value.keys() == {"torch", "strides", "dtype"}:
            spec = TensorSpec(tuple(value["torch"]), value["dtype"], tuple(value["strides"]))
            return materialise(spec, fill=self._fill)
        if value.keys() == {"object", "fields"}:
            fields = {key: self._value(x) for key, x in value["fields"].items()}
            return make_dataclass(value["object"], fields)(**fields)
        return {key: self._value(x) for key, x in value.items()}


def record_path(record: PipelineRecord) -> str:
    return record.path or "the record"
