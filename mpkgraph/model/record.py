"""A recorded pipeline: the tensors and layers that were asked for, schema `mpk-pipeline-1`.

A record says what a task graph does not: whole tensor shapes, layers by name, `grid_dim` and
`input_map`. Every class here keeps the fields that this version does not know in `extra`, so
`to_json` gives back the content that was read. An optional field is written when it is not None.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import field
from functools import cached_property
from pathlib import Path
from typing import Any, Union

from mpkgraph.frozen import dataclass
from mpkgraph.model.operator import Grid, InputMap

SCHEMA = "mpk-pipeline-1"

TENSOR_OPS = ("attach_input", "new_tensor", "shuffle_tensors", "fuse_tensors")
"""`kind` of a tensor and `op` of the log entry that made it."""

RECORD_DATA_TYPES = {
    "fp8": "DT_FLOAT8",
    "fp8_e4m3": "DT_FLOAT8",
    "fp16": "DT_FLOAT16",
    "bf16": "DT_BFLOAT16",
    "fp32": "DT_FLOAT32",
    "fp64": "DT_DOUBLE",
    "int8": "DT_INT8",
    "int16": "DT_INT16",
    "int32": "DT_INT32",
    "int64": "DT_INT64",
    "uint8": "DT_UINT8",
    "uint16": "DT_UINT16",
    "uint32": "DT_UINT32",
    "uint64": "DT_UINT64",
}
"""Element types as Mirage's Python names them (`dtype` in a record), to names of the enum."""

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class TensorRef:
    """A tensor where a record refers to one; `tensor` is its id, None for one given as None."""

    tensor: int | None
    name: str | None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> JsonObject:
        return {"tensor": self.tensor, "name": self.name, **self.extra}


@dataclass(frozen=True, slots=True)
class RecordedTensor:
    """A tensor of the pipeline. `dims` and `strides` are in elements."""

    id: int
    name: str
    kind: str
    """One of `TENSOR_OPS`."""
    dims: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str
    """As Mirage's Python names it: `bf16`, `fp8`, `int64`; see `RECORD_DATA_TYPES`."""
    torch_dtype: str | None = None
    io_category: str | None = None
    """Of a `new_tensor`: `cuda_tensor` or `nvshmem_tensor`."""
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def base_ptr(self) -> str:
        """The name that the graph's slots show: Mirage replaces dots in names of its buffers.

        As a C string it ends before a NUL.
        """
        name = self.name.partition("\0")[0]
        if self.kind == "new_tensor" and self.io_category != "nvshmem_tensor":
            return name.replace(".", "_")
        return name

    def to_json(self) -> JsonObject:
        return {
            "id": self.id,
            "name": self.name,
            "kind": self.kind,
            "dims": list(self.dims),
            "strides": list(self.strides),
            "dtype": self.dtype,
            **_given(torch_dtype=self.torch_dtype, io_category=self.io_category),
            **self.extra,
        }


@dataclass(frozen=True, slots=True)
class TensorCall:
    """A log entry that made a tensor (`op` is one of `TENSOR_OPS`).

    `inputs`, `dim` and `num_groups` belong to `shuffle_tensors` and `fuse_tensors`: the tensors
    put together along `dim`, cut into `num_groups` groups that take turns.
    """

    op: str
    tensor: int
    name: str
    dims: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str
    io_category: str | None = None
    inputs: tuple[TensorRef, ...] | None = None
    dim: int | None = None
    num_groups: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> JsonObject:
        inputs = None if self.inputs is None else [x.to_json() for x in self.inputs]
        return {
            "op": self.op,
            "tensor": self.tensor,
            "name": self.name,
            **_given(inputs=inputs, dim=self.dim, num_groups=self.num_groups),
            "dims": list(self.dims),
            "strides": list(self.strides),
            "dtype": self.dtype,
            **_given(io_category=self.io_category),
            **self.extra,
        }


@dataclass(frozen=True, slots=True)
class LayerSlot:
    """One tensor slot of a layer as it was declared, inputs first, then outputs."""

    tensor: int | None
    """Id of the tensor; None where the layer was given None."""
    name: str | None
    input_map: InputMap
    forloop_dim: int
    store_in_dmem: bool
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> JsonObject:
        return {
            "tensor": self.tensor,
            "name": self.name,
            "input_map": list(self.input_map),
            "forloop_dim": self.forloop_dim,
            "store_in_dmem": self.store_in_dmem,
            **self.extra,
        }


@dataclass(frozen=True, slots=True)
class RegisteredTask:
    """The task that a layer was registered as, and the numbers that go into its kernel call."""

    name: str
    params: tuple[int | float, ...] | None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> JsonObject:
        params = None if self.params is None else list(self.params)
        return {"name": self.name, "params": params, **self.extra}


@dataclass(frozen=True, slots=True)
class BlockGraph:
    """A thread-block graph (`tbgraph`): what becomes one layer of tasks, one a grid point."""

    grid_dim: Grid
    inputs: tuple[LayerSlot, ...]
    customized: tuple[TensorRef | None, ...]
    register_task: RegisteredTask | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def forloop_range(self) -> int:
        """What the for-loop dims of its slots are divided by; Mirage's layers always have 1."""
        value = self.extra.get("forloop_range", 1)
        return value if isinstance(value, int) and value > 0 else 1

    def to_json(self) -> JsonObject:
        task = None if self.register_task is None else self.register_task.to_json()
        return {
            "op": "tbgraph",
            "grid_dim": list(self.grid_dim),
            "inputs": [x.to_json() for x in self.inputs],
            "customized": [None if x is None else x.to_json() for x in self.customized],
            **_given(register_task=task),
            **self.extra,
        }


@dataclass(frozen=True, slots=True)
class LayerCall:
    """A call of a layer method, and what it did in turn."""

    method: str
    args: Mapping[str, Any]
    """By parameter name, as JSON; a tensor is `{"tensor": id, "name": name}`."""
    lowlevel: tuple[LogEntry, ...]
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> JsonObject:
        return {
            "op": "layer",
            "method": self.method,
            "args": dict(self.args),
            "lowlevel": [x.to_json() for x in self.lowlevel],
            **self.extra,
        }


@dataclass(frozen=True, slots=True)
class OtherCall:
    """A log entry of a kind that this version does not know, kept as it is."""

    op: str
    fields: Mapping[str, Any]

    def to_json(self) -> JsonObject:
        return {"op": self.op, **self.fields}


LogEntry = Union[TensorCall, LayerCall, BlockGraph, OtherCall]  # noqa: UP007  used before defined


@dataclass(frozen=True, slots=True)
class RecordedLayer:
    """One low-level layer of tasks, in program order."""

    index: int
    """Position in program order."""
    methods: tuple[str, ...]
    """Layer methods that led here, outermost first; empty for a `tbgraph` used directly."""
    where: str
    """JSON path of the thread-block graph, such as `log[3].lowlevel[0]`."""
    graph: BlockGraph

    @property
    def grid_dim(self) -> Grid:
        return self.graph.grid_dim

    @property
    def slots(self) -> tuple[LayerSlot, ...]:
        """Inputs, then outputs; how many are inputs is a fact of the registered task."""
        return self.graph.inputs

    @property
    def register_name(self) -> str | None:
        """None where the pipeline failed before the layer was registered."""
        return None if self.graph.register_task is None else self.graph.register_task.name

    @property
    def params(self) -> tuple[int | float, ...] | None:
        return None if self.graph.register_task is None else self.graph.register_task.params

    @property
    def method(self) -> str | None:
        """The innermost public method: the one that a person would name the layer by."""
        public = [x for x in self.methods if not x.startswith("_")] or self.methods
        return public[-1] if public else None


@dataclass(frozen=True, slots=True)
class CallSite:
    """A line of the user's code."""

    file: str
    line: int

    def __str__(self) -> str:
        """`file:line`; a file under the working folder is named from there."""
        try:
            return f"{Path(self.file).relative_to(Path.cwd())}:{self.line}"
        except (ValueError, OSError):
            return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class PipelineRecord:
    """The pipeline that one rank asked for, in the order of the calls."""

    mirage_commit: str
    target_cc: int
    init: Mapping[str, Any]
    """Parameters of PersistentKernel, with the meta tensors' shapes and types."""
    tensors: tuple[RecordedTensor, ...]
    log: tuple[LogEntry, ...]
    origin: Mapping[str, Any] | None = None
    """What made the record: a script and its options, say."""
    generate: Mapping[str, Any] | None = None
    """`num_gpus`, `my_gpu_id`, seconds and bytes of Mirage's generator; None when refused."""
    schema: str = SCHEMA
    extra: Mapping[str, Any] = field(default_factory=dict)
    path: str | None = field(default=None, compare=False)
    """The file that the record was read from; not part of its content."""
    call_sites: tuple[CallSite | None, ...] = field(default=(), compare=False, repr=False)
    """By entry of `log` the user's line that made it; empty when not known, not written."""

    def __repr__(self) -> str:
        calls = sum(isinstance(entry, LayerCall) for _, entry, _ in walk(self.log))
        counts = f"{len(self.tensors)} tensors, {calls} layers"
        where = "" if self.path is None else f" {self.path}"
        rank = f"rank {self.my_gpu_id} of {self.num_gpus}"
        return f"<PipelineRecord{where}: {rank}, cc {self.target_cc}, {counts}>"

    @property
    def num_gpus(self) -> int:
        """Ranks that run together."""
        return _number(self.generate, "num_gpus", _number(self.init, "world_size", 1))

    @property
    def my_gpu_id(self) -> int:
        """The rank that this record is of."""
        return _number(self.generate, "my_gpu_id", _number(self.init, "mpi_rank", 0))

    @property
    def has_exception(self) -> bool:
        """Whether Mirage's Python refused a call, so that no graph came of the pipeline."""
        calls = (entry for _, entry, _ in walk(self.log) if isinstance(entry, LayerCall))
        return "exception" in self.extra or any("exception" in x.extra for x in calls)

    def call_site(self, where: str) -> CallSite | None:
        """The user's line behind a JSON path of the log, such as `log[3].lowlevel[0]`."""
        match = re.match(r"log\[(\d+)\]", where)
        index = len(self.call_sites) if match is None else int(match[1])
        return self.call_sites[index] if index < len(self.call_sites) else None

    @cached_property
    def tensor_by_id(self) -> Mapping[int, RecordedTensor]:
        return {tensor.id: tensor for tensor in self.tensors}

    @cached_property
    def calls(self) -> Mapping[int, TensorCall]:
        """By tensor id the call that made the tensor."""
        return {
            entry.tensor: entry for _, entry, _ in walk(self.log) if isinstance(entry, TensorCall)
        }

    @cached_property
    def layers(self) -> tuple[RecordedLayer, ...]:
        """The low-level layers in program order: what Mirage's generator sees."""
        graphs = (
            (where, entry, methods)
            for where, entry, methods in walk(self.log)
            # One that was made and never customized has not reached the kernel graph
            if isinstance(entry, BlockGraph) and (entry.customized or not entry.inputs)
        )
        return tuple(
            RecordedLayer(index, methods, where, entry)
            for index, (where, entry, methods) in enumerate(graphs)
        )

    def to_json(self) -> JsonObject:
        """The record's content as JSON values."""
        return {
            "schema": self.schema,
            "mirage_commit": self.mirage_commit,
            "target_cc": self.target_cc,
            "init": dict(self.init),
            "tensors": [x.to_json() for x in self.tensors],
            "log": [x.to_json() for x in self.log],
            **_given(generate=self.generate, origin=self.origin),
            **self.extra,
        }


def walk(
    log: tuple[LogEntry, ...], where: str = "log", methods: tuple[str, ...] = ()
) -> Iterator[tuple[str, LogEntry, tuple[str, ...]]]:
    """Every entry of a log in call order: (JSON path, entry, methods around it)."""
    for position, entry in enumerate(log):
        path = f"{where}[{position}]"
        yield path, entry, methods
        if isinstance(entry, LayerCall):
            yield from walk(entry.lowlevel, f"{path}.lowlevel", (*methods, entry.method))


def _given(**optional: Any) -> JsonObject:
    return {key: value for key, value in optional.items() if value is not None}


def _number(fields: Mapping[str, Any] | None, key: str, default: int) -> int:
    value = default if fields is None else fields.get(key, default)
    return value if isinstance(value, int) else default
