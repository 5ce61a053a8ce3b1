"""A recorded pipeline told once more, call by call: for another target, or to explain a refusal."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import make_dataclass
from typing import Any

from mpkgraph.errors import PipelineError
from mpkgraph.model.record import BlockGraph, LayerCall, LogEntry, PipelineRecord, TensorCall
from mpkgraph.pipeline.dtypes import dtype
from mpkgraph.pipeline.graphs import CyTBGraph, TBGraph
from mpkgraph.pipeline.kernel import PersistentKernel
from mpkgraph.pipeline.recorder import PipelineRecorder
from mpkgraph.pipeline.target import Target, use_target
from mpkgraph.pipeline.tensors import DTensor, TensorSpec

REMEDY = "Give the record as Mirage or mpkgraph wrote it"
_NOT_ARGUMENTS = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError)
BLOCK_DIM = (128, 1, 1)
"""What a thread-block graph is made with; it reaches no graph and no record."""


def recorded_target(record: PipelineRecord) -> Target:
    """The target that a record was made for, as far as it says."""
    origin = record.origin or {}
    return Target(
        cc=record.target_cc,
        num_workers=record.init.get("num_workers"),
        num_local_schedulers=record.init.get("num_local_schedulers"),
        world_size=record.num_gpus,
        rank=record.my_gpu_id,
        multicast=origin.get("multicast", _has_tile_allreduce(record)),
    )


def replay(record: PipelineRecord, target: Target | None = None) -> PipelineRecord:
    """The record that the same top-level calls make on `target` (default: the record's own).

    Layers choose tasks for the target; grids and tensors stay as they were asked for. Raises
    PipelineError, with the place in the record, where a call is refused.
    """
    chosen = target or recorded_target(record)
    with use_target(chosen):
        return _Replay(record, chosen).run()


class _Replay:
    def __init__(self, record: PipelineRecord, target: Target) -> None:
        self.source = record
        self.target = target
        workers, schedulers = target.configuration
        with self._at("init"):
            init = {
                **{key: self._value(value) for key, value in record.init.items()},
                "num_workers": workers,
                "num_local_schedulers": schedulers,
                "world_size": target.world_size,
                "mpi_rank": target.rank,
            }
            self.kernel = PersistentKernel(**init)

    def run(self) -> PipelineRecord:
        for index, entry in enumerate(self.source.log):
            method = f": {entry.method}" if isinstance(entry, LayerCall) else ""
            with self._at(f"log[{index}]{method}"):
                self._call(entry)
        made = self.kernel.record(
            origin={**(self.source.origin or {}), "multicast": self.target.has_multicast},
            generate={"num_gpus": self.target.world_size, "my_gpu_id": self.target.rank},
        )
        return dataclasses.replace(made, path=self.source.path, call_sites=self.source.call_sites)

    @contextmanager
    def _at(self, place: str) -> Iterator[None]:
        """Errors of the block name a place in the record instead of a user's line."""
        path = self.source.path
        where = f"{path}, {place}" if path else place
        try:
            yield
        except PipelineError as error:
            raise PipelineError(error.what, where=where, remedy=error.remedy) from error
        except _NOT_ARGUMENTS as error:
            # A record's arguments may be anything: here they are none of this call
            raise PipelineError(
                f"it can't be called so again: {error}", where=where, remedy=REMEDY
            ) from error

    @property
    def recorder(self) -> PipelineRecorder:
        recorder: PipelineRecorder = self.kernel.kn_graph.cygraph.recorder
        return recorder

    def _call(self, entry: LogEntry) -> None:
        if isinstance(entry, TensorCall):
            self._tensor_call(entry)
        elif isinstance(entry, LayerCall):
            method = getattr(self.kernel, entry.method, None)
            if method is None:
                raise PipelineError(
                    f"no layer is called {entry.method!r}",
                    remedy="Plan the record as it is, without options that change its target",
                )
            method(**{name: self._value(value) for name, value in entry.args.items()})
        elif isinstance(entry, BlockGraph):
            self._block_graph(entry)

    def _tensor_call(self, entry: TensorCall) -> None:
        try:
            self.recorder.tensor(entry.tensor)
        except IndexError:
            pass
        else:
            return  # a layer made it
        if entry.op == "attach_input":
            tensor = self.source.tensor_by_id[entry.tensor]
            spec = TensorSpec(entry.dims, tensor.torch_dtype or "bfloat16", entry.strides)
            made = self.kernel.attach_input(spec, name=entry.name)
        elif entry.op == "new_tensor":
            made = self.kernel.new_tensor(
                dims=entry.dims,
                strides=entry.strides,
                dtype=dtype(entry.dtype),
                name=entry.name,
                io_category=entry.io_category or "cuda_tensor",
            )
        else:
            method = getattr(self.kernel, entry.op)
            parts = [self._tensor(x.tensor) for x in entry.inputs or ()]
            made = method(parts, entry.dim, entry.num_groups, entry.name)
        if made.guid != entry.tensor:
            raise PipelineError(
                f"{entry.name!r} became tensor {made.guid}, recorded is {entry.tensor}: layers "
                "make other tensors on this target",
                remedy="Run the script that made the record for this target instead",
            )

    def _block_graph(self, entry: BlockGraph) -> None:
        graph = TBGraph(CyTBGraph(entry.grid_dim, BLOCK_DIM, entry.forloop_range, 64))
        for slot in entry.inputs:
            graph.new_input(
                self._tensor(slot.tensor), slot.input_map, slot.forloop_dim, slot.store_in_dmem
            )
        inputs = [None if x is None else self._tensor(x.tensor) for x in entry.customized]
        self.kernel.kn_graph.customized(inputs, graph)
        task = entry.register_task
        if task is not None:
            params = None if task.params is None else [int(x) for x in task.params]
            self.kernel.kn_graph.register_task(graph, task.name, params)

    def _tensor(self, number: int | None) -> DTensor | None:
        return None if number is None else self.recorder.tensor(number)

    def _value(self, value: Any) -> Any:
        """An argument from its JSON form; lists stood for tuples."""
        if isinstance(value, list):
            return tuple(self._value(x) for x in value)
        if not isinstance(value, dict):
            return value
        if value.keys() == {"tensor", "name"}:
            return self._tensor(value["tensor"])
        if value.keys() == {"torch", "strides", "dtype"}:
            dims, strides = _integers(value["torch"]), _integers(value["strides"])
            return TensorSpec(dims, str(value["dtype"]), strides)
        if value.keys() == {"object", "fields"}:
            fields = {key: self._value(x) for key, x in value["fields"].items()}
            return make_dataclass(value["object"], fields)(**fields)
        return {key: self._value(x) for key, x in value.items()}


def _integers(values: Any) -> tuple[int, ...]:
    if not isinstance(values, list) or not set(map(type, values)) <= {int}:
        raise TypeError(f"dims or strides of a tensor are {values!r}")
    return tuple(values)


def _has_tile_allreduce(record: PipelineRecord) -> bool:
    """Whether an all-reduce of the record went over NVLink multicast."""
    return any(layer.register_name == "nvshmem_tile_allreduce" for layer in record.layers)
