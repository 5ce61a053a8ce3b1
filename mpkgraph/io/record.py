"""Reading, finding and writing recorded pipelines (`pipeline_rank{N}.json`).

A record is a few MB at most, so it is parsed whole. Everything that the schema fixes is checked
here, once, and an error names the place in the JSON.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, BinaryIO

import orjson

from mpkgraph.io.atomic import atomic_file
from mpkgraph.io.json_cursor import INT32_MAX, JsonCursor, load_json, show_json
from mpkgraph.io.record_file import REMEDY, find_record, read_record_text
from mpkgraph.model.record import (
    SCHEMA,
    TENSOR_OPS,
    BlockGraph,
    LayerCall,
    LayerSlot,
    LogEntry,
    OtherCall,
    PipelineRecord,
    RecordedTensor,
    RegisteredTask,
    TensorCall,
    TensorRef,
)

__all__ = [
    "MAX_LAYER_DEPTH",
    "find_record",
    "parse_record",
    "read_record",
    "save_record",
    "write_record",
]

MAX_LAYER_DEPTH = 64
"""Layers that call layers: Mirage's own nest three deep; a deeper file is not a record."""
INT64_MAX = 2**63 - 1


def read_record(path: str | os.PathLike[str]) -> PipelineRecord:
    """The record in a file (plain, `.zst` or `.gz`, told by content); "-" is standard input.

    Raises GraphReadError when it can't be read, is no record, or breaks the schema.
    """
    text = read_record_text(path)
    return parse_record(text.data, file=text.name, path=text.path)


def parse_record(data: bytes, *, file: str, path: str | None = None) -> PipelineRecord:
    """The record in a JSON text; `file` names it in errors, `path` is kept in the record.

    Raises GraphReadError as `read_record` does.
    """
    return _record(load_json(data, file=file, remedy=REMEDY), path)


def write_record(record: PipelineRecord, stream: BinaryIO) -> None:
    """Write the record as one line of JSON."""
    stream.write(orjson.dumps(record.to_json()))


def save_record(record: PipelineRecord, path: str | os.PathLike[str]) -> None:
    """Write the record to a file, all of it or nothing.

    Raises GraphWriteError when the file can't be written.
    """
    with atomic_file(path) as stream:
        write_record(record, stream)


_INIT_COUNTS = ("world_size", "mpi_rank", "num_workers", "num_local_schedulers")
_TOP_KEYS = ("schema", "mirage_commit", "target_cc", "init", "tensors", "log")
_TOP_OPTIONAL = ("origin", "generate")


CC_LIMIT = 1000
"""Below it are all compute capabilities that tables have rows for."""


def _capability(at: JsonCursor) -> int:
    value = at.integer()
    if not 0 <= value < CC_LIMIT:
        at.expected("a compute capability such as 90")
    return value


def _record(at: JsonCursor, path: str | None) -> PipelineRecord:
    if "schema" not in at.object() and "all_tasks" in at.object():
        at.fail(
            "this is a task graph, not a recorded pipeline",
            "Give the pipeline_rank{N}.json that belongs to it",
        )
    schema = at.key("schema")
    if schema.value != SCHEMA:
        schema.fail(
            f"the schema is {show_json(schema.value)}, this version reads {SCHEMA!r}",
            "Record the pipeline again, or use the version of mpkgraph that wrote it",
        )
    tensors = at.key("tensors").items()
    known = _Tensors(tensors)
    return PipelineRecord(
        schema=SCHEMA,
        mirage_commit=at.key("mirage_commit").text(),
        target_cc=_capability(at.key("target_cc")),
        init=_with_counts(at.key("init"), *_INIT_COUNTS),
        tensors=known.tensors,
        log=tuple(known.log(at.key("log"), 0)),
        origin=at.optional("origin", JsonCursor.object),
        generate=at.optional("generate", lambda x: _with_counts(x, "num_gpus", "my_gpu_id")),
        extra=at.rest(_TOP_KEYS, _TOP_OPTIONAL),
        path=path,
    )


def _with_counts(at: JsonCursor, *keys: str) -> dict[str, Any]:
    for key in keys:
        at.optional(key, JsonCursor.count)
    return dict(at.object())


class _Tensors:
    """The tensors of a record, and readers of whatever refers to them by id."""

    def __init__(self, rows: list[JsonCursor]) -> None:
        self.tensors = tuple(_tensor(row) for row in rows)
        self.ids: set[int] = set()
        self.refs: dict[tuple[Any, ...], TensorRef] = {}
        for row, tensor in zip(rows, self.tensors, strict=True):
            if tensor.id in self.ids:
                row.key("id").fail(f"two tensors have the id {tensor.id}")
            self.ids.add(tensor.id)

    def id(self, at: JsonCursor) -> int:
        number = at.integer()
        if number not in self.ids:
            at.fail(f"no tensor has the id {number}")
        return number

    def ref(self, at: JsonCursor) -> TensorRef:
        # The same few references come again and again: two lookups instead of five checks.
        value = at.value
        key = (value.get("tensor"), value.get("name")) if isinstance(value, dict) else ()
        exact = len(key) == 2 and type(key[0]) is int and type(key[1]) is str
        if exact and len(value) == 2 and key in self.refs:
            return self.refs[key]
        ref = TensorRef(
            tensor=self.id(at.key("tensor")),
            name=_text_or_none(at.key("name")),
            extra=at.rest(("tensor", "name")),
        )
        if not ref.extra:
            self.refs[key] = ref
        return ref

    def log(self, at: JsonCursor, depth: int) -> Iterator[LogEntry]:
        if depth > MAX_LAYER_DEPTH:
            at.fail(f"layers nest more than {MAX_LAYER_DEPTH} deep")
        for entry in at.items():
            op = entry.key("op").text()
            if op in TENSOR_OPS:
                yield self.tensor_call(entry, op)
            elif op == "layer":
                yield self.layer_call(entry, depth)
            elif op == "tbgraph":
                yield self.block_graph(entry)
            else:
                yield OtherCall(op, entry.rest(("op",)))

    def tensor_call(self, at: JsonCursor, op: str) -> TensorCall:
        required: tuple[str, ...] = ("op", "tensor", "name", "dims", "strides", "dtype")
        if op in {"shuffle_tensors", "fuse_tensors"}:
            required += ("inputs", "dim", "num_groups")
            inputs = tuple(self.ref(x) for x in at.key("inputs").items())
            num_groups = at.key("num_groups").count()
            if not inputs:
                at.key("inputs").fail("no tensors to put together")
            if not num_groups:
                at.key("num_groups").expected("at least one group")
            groups: dict[str, Any] = {
                "inputs": inputs,
                "dim": at.key("dim").count(),
                "num_groups": num_groups,
            }
        else:
            groups = {}  # the other calls take one tensor's shape as it is
        return TensorCall(
            op=op,
            tensor=self.id(at.key("tensor")),
            **_shape(at),
            io_category=at.optional("io_category", JsonCursor.text),
            **groups,
            extra=at.rest(required, ("io_category",)),
        )

    def layer_call(self, at: JsonCursor, depth: int) -> LayerCall:
        args = at.key("args")
        for key in args.object():
            self.check_refs(args.key(key), 0)
        return LayerCall(
            method=at.key("method").text(),
            args=dict(args.object()),
            lowlevel=tuple(self.log(at.key("lowlevel"), depth + 1)),
            extra=at.rest(("op", "method", "args", "lowlevel")),
        )

    def check_refs(self, at: JsonCursor, depth: int) -> None:
        """Arguments are free JSON, but what looks like a tensor must be one."""
        if isinstance(at.value, list) and depth < MAX_LAYER_DEPTH:
            for item in at.items():
                self.check_refs(item, depth + 1)
        elif isinstance(at.value, dict) and at.value.keys() == {"tensor", "name"}:
            at.optional("tensor", self.id)

    def block_graph(self, at: JsonCursor) -> BlockGraph:
        return BlockGraph(
            grid_dim=at.key("grid_dim").triple("three integers from 0 up", 0),
            inputs=tuple(self.slot(x) for x in at.key("inputs").items()),
            customized=tuple(
                None if x.value is None else self.ref(x) for x in at.key("customized").items()
            ),
            register_task=at.optional("register_task", _registered_task),
            extra=at.rest(("op", "grid_dim", "inputs", "customized"), ("register_task",)),
        )

    def slot(self, at: JsonCursor) -> LayerSlot:
        tensor = at.key("tensor")
        keys = ("tensor", "name", "input_map", "forloop_dim", "store_in_dmem")
        return LayerSlot(
            tensor=None if tensor.value is None else self.id(tensor),
            name=_text_or_none(at.key("name")),
            input_map=at.key("input_map").triple("three 32-bit integers", -INT32_MAX - 1),
            forloop_dim=at.key("forloop_dim").integer(),
            store_in_dmem=at.key("store_in_dmem").boolean(),
            extra=at.rest(keys),
        )


def _tensor(at: JsonCursor) -> RecordedTensor:
    kind = at.key("kind").text()
    if kind not in TENSOR_OPS:
        at.key("kind").expected(f"one of {', '.join(TENSOR_OPS)}")
    return RecordedTensor(
        id=at.key("id").count(),
        kind=kind,
        **_shape(at),
        torch_dtype=at.optional("torch_dtype", JsonCursor.text),
        io_category=at.optional("io_category", JsonCursor.text),
        extra=at.rest(
            ("id", "name", "kind", "dims", "strides", "dtype"), ("torch_dtype", "io_category")
        ),
    )


def _shape(at: JsonCursor) -> dict[str, Any]:
    dims = at.key("dims").integers("integers from 0 up", 0, INT32_MAX)
    strides = at.key("strides").integers("integers from 0 up", 0, INT64_MAX)
    if len(dims) != len(strides):
        at.fail(f"{len(dims)} dims but {len(strides)} strides")
    return {
        "name": at.key("name").text(),
        "dims": dims,
        "strides": strides,
        "dtype": at.key("dtype").text(),
    }


def _registered_task(at: JsonCursor) -> RegisteredTask:
    params = at.key("params")
    numbers = None if params.value is None else tuple(x.number() for x in params.items())
    return RegisteredTask(at.key("name").text(), numbers, at.rest(("name", "params")))


def _text_or_none(at: JsonCursor) -> str | None:
    return None if at.value is None else at.text()
