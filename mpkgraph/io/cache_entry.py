"""One cached graph as bytes: its columns, narrow and compressed, and its few odd values as JSON.

An entry is made of blocks (see `entry_blocks`); the first one, `facts`, is JSON. Nothing in it is
trusted: positions and values are checked too, so that whatever the bytes are, `decode` gives a
graph that holds together or raises EntryError.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import orjson
import zstandard

from mpkgraph._version import __version__
from mpkgraph.errors import GraphReadError
from mpkgraph.io.entry_blocks import BlockReader, BlockWriter, PackedColumn
from mpkgraph.io.entry_checks import (
    Column,
    EntryError,
    add_up,
    as_dict,
    as_int,
    as_list,
    as_size,
    as_str,
    fail,
    stops,
    within,
)
from mpkgraph.io.narrow_column import NarrowColumn
from mpkgraph.io.stored_column import StoredColumn
from mpkgraph.io.stored_tasks import StoredTasks
from mpkgraph.model.graph import (
    EVENT_KEYS,
    NULL_TASK_TYPE,
    SLOT_KEYS,
    TASK_KEYS,
    EventColumns,
    ExtraField,
    GraphSource,
    SlotLayout,
    TaskColumns,
    TaskGraph,
)

__all__ = ["EntryError", "GraphEntryWriter", "decode", "encode"]

PIECE_TASKS = 1 << 13
"""Tasks whose columns are compressed together when they come in small batches: more of them take
memory, and second commands unpack them for a few tasks."""

_MAGIC = b"MPKGRAPH"
_FACTS = "facts"
_TOP_KEYS = ("all_events", "all_tasks", "first_tasks")

_TASK_DTYPES: Mapping[str, npt.DTypeLike] = {
    "task_types": np.int32,
    "variant_ids": np.int64,
    "dependent_events": np.uint64,
    "trigger_events": np.uint64,
    "request_ids": np.int32,
    "kv_idxs": np.int32,
    "merge_task_offsets": np.int32,
    "expert_offsets": np.int32,
    "task_offsets": np.int32,
    "num_inputs": np.uint8,
}
_SLOT_DTYPES: Mapping[str, npt.DTypeLike] = {"slot_layouts": np.int32, "slot_offsets": np.int64}
_EVENT_DTYPES: Mapping[str, npt.DTypeLike] = {
    "event_types": np.int32,
    "first_task_ids": np.uint64,
    "last_task_ids": np.uint64,
    "num_triggers": np.int64,
}


def encode(graph: TaskGraph, *, name: str) -> bytes:
    """The entry of a graph that was read from a file called `name`.

    Raises EntryError when the graph holds values that JSON does not keep.
    """
    writer = GraphEntryWriter()
    writer.add_tasks(graph.tasks)
    blocks = writer.finish(
        name=name,
        rank=graph.rank,
        source=graph.source,
        layouts=graph.layouts,
        events=graph.events,
        first_tasks=graph.first_tasks,
        extras=graph.extras,
    )
    return b"".join(blocks.parts())


class GraphEntryWriter:
    """Makes the entry of a graph whose tasks come in batches; with a spool, in little memory."""

    def __init__(self, spool: BinaryIO | None = None) -> None:
        self._blocks = BlockWriter(_MAGIC, spool)
        self._pieces: dict[str, list[PackedColumn]] = {}
        self._pending: dict[str, NarrowColumn] = {}
        self._num_tasks = 0
        self._num_pending = 0
        self._extra_values: dict[str, tuple[Any, ...]] = {}
        self._last_layout = -1
        self._is_by_use = True
        self.num_bytes = 0
        """Bytes of the pieces so far."""

    def add_tasks(self, tasks: TaskColumns) -> None:
        """Tasks that follow those of the call before; layouts keep their numbers throughout.

        Raises EntryError when codes of unknown fields do not keep their meaning.
        """
        for start in range(0, max(len(tasks), 1), PIECE_TASKS):
            self._add_part(tasks, start, min(start + PIECE_TASKS, len(tasks)))
            if self._num_pending >= PIECE_TASKS:
                self._pack()

    def finish(
        self,
        *,
        name: str,
        rank: int,
        source: GraphSource,
        layouts: Sequence[SlotLayout],
        events: EventColumns,
        first_tasks: Column,
        extras: Mapping[str, Any],
    ) -> BlockWriter:
        """The blocks of the entry; call it once.

        Raises EntryError when there are values that JSON does not keep.
        """
        if self._num_pending or not self._pieces:
            self._pack()
        tensors = list(dict.fromkeys(x.base_ptr for x in layouts))
        extra_keys = sorted(self._extra_values)
        facts = _facts_text(
            {
                "written_by": __version__,
                "name": name,
                "rank": rank,
                "sha256": source.sha256,
                "num_bytes": source.num_bytes,
                "extras": dict(extras),
                "task_extras": {key: list(self._extra_values[key]) for key in extra_keys},
                "event_extras": {key: list(x.values) for key, x in events.extras.items()},
                "tensors": tensors,
                "layouts_by_use": self._is_by_use and self._last_layout == len(layouts) - 1,
                "layout_extras": [
                    [i, [list(pair) for pair in x.extra]] for i, x in enumerate(layouts) if x.extra
                ],
            }
        )
        blocks = self._blocks
        blocks.add(_FACTS, np.frombuffer(facts, np.uint8))
        try:
            for block, column in _layout_blocks(layouts, tensors):
                blocks.add(block, column)
        except OverflowError as error:
            raise EntryError("a layout holds an integer of more than 64 bits") from error
        for block in (*_TASK_DTYPES, "num_slots", *_SLOT_DTYPES):
            blocks.add_packed(block, self._pieces[block])
        for i, key in enumerate(extra_keys):
            blocks.add_packed(f"task_extra_{i}", self._pieces[_extra_column(key)])
        for block in _EVENT_DTYPES:
            blocks.add(block, getattr(events, block))
        for i, extra in enumerate(events.extras.values()):
            blocks.add(f"event_extra_{i}", extra.codes)
        blocks.add("first_tasks", first_tasks)
        return blocks

    def _add_part(self, tasks: TaskColumns, start: int, stop: int) -> None:
        for name in _TASK_DTYPES:
            self._add(name, getattr(tasks, name)[start:stop])
        slot_starts = tasks.slot_starts[start : stop + 1]
        self._add("num_slots", np.diff(slot_starts))
        slots = slice(int(slot_starts[0]), int(slot_starts[-1]))
        for name in _SLOT_DTYPES:
            self._add(name, getattr(tasks, name)[slots])
        self._add_extras(tasks, start, stop)
        self._see_layouts(tasks.slot_layouts[slots])
        self._num_tasks += stop - start
        self._num_pending += stop - start

    def _add(self, name: str, column: Column) -> None:
        pending = self._pending.get(name)
        if pending is None:
            pending = self._pending[name] = NarrowColumn(column.dtype)
        pending.extend(column)

    def _see_layouts(self, layouts: Column) -> None:
        """Whether layouts are numbered in order of first use, so that tensors can be told so."""
        if self._is_by_use and len(layouts):
            highest = np.maximum.accumulate(layouts)
            np.maximum(highest, self._last_layout, out=highest)
            steps = np.diff(highest, prepend=highest.dtype.type(self._last_layout))
            self._is_by_use = int(steps.max()) <= 1
            self._last_layout = int(highest[-1])

    def _add_extras(self, tasks: TaskColumns, start: int, stop: int) -> None:
        for key, extra in tasks.extras.items():
            before = self._extra_values.get(key)
            if before is None:
                # Tasks before lack the field.
                self._add(_extra_column(key), np.full(self._num_tasks, -1, np.int32))
                before = ()
            same = all(old is new for old, new in zip(before, extra.values, strict=False))
            if not same or len(extra.values) < len(before):
                fail("codes of an unknown field have changed their meaning")
            self._extra_values[key] = extra.values
        for key in self._extra_values:
            found = tasks.extras.get(key)
            none = np.full(stop - start, -1, np.int32)
            self._add(_extra_column(key), none if found is None else found.codes[start:stop])

    def _pack(self) -> None:
        for name, pending in self._pending.items():
            piece = self._blocks.pack(pending.view())
            pending.clear()
            self._pieces.setdefault(name, []).append(piece)
            self.num_bytes += piece.num_bytes
        self._num_pending = 0


def _extra_column(key: str) -> str:
    return f"extra {key}"


def _facts_text(facts: dict[str, Any]) -> bytes:
    try:
        text = orjson.dumps(facts)
    except TypeError as error:
        raise EntryError(f"it holds what is no JSON: {error}") from error
    if orjson.loads(text) != facts:
        raise EntryError("it holds values that JSON does not keep")
    return text


def decode(
    data: bytes, *, path: str, remove: Callable[[], object] | None = None
) -> tuple[TaskGraph, str]:
    """The graph of an entry, as read from `path`, and the name that `encode` was given.

    Raises EntryError for any bytes but those of a complete entry of this version. Columns over
    tasks are unpacked when they are asked for: where one turns out not to be what its checksum
    stands for, `remove` is called and GraphReadError raised.
    """

    def damaged(problem: str) -> GraphReadError:
        if remove is not None:
            remove()
        return GraphReadError(
            f"what the cache holds of this file is damaged: {problem}",
            where=path,
            remedy="It has been removed: run the command again.",
        )

    try:
        return _decode(BlockReader(data, _MAGIC), path, damaged)
    except (zstandard.ZstdError, orjson.JSONDecodeError, MemoryError) as error:
        raise EntryError(f"damaged: {error}") from error


def _layout_blocks(
    layouts: Sequence[SlotLayout], tensors: list[str]
) -> Iterator[tuple[str, Column]]:
    position = {name: i for i, name in enumerate(tensors)}
    columns: dict[str, Iterable[int]] = {
        "layout_tensors": (position[x.base_ptr] for x in layouts),
        "layout_data_types": (x.data_type for x in layouts),
        "layout_num_dims": (len(x.dims) for x in layouts),
        "layout_dims": itertools.chain.from_iterable(x.dims for x in layouts),
        "layout_strides": itertools.chain.from_iterable(x.strides for x in layouts),
    }
    for name, values in columns.items():
        yield name, np.fromiter(values, np.int64)


def _decode(
    entry: BlockReader, path: str, damaged: Callable[[str], GraphReadError]
) -> tuple[TaskGraph, str]:
    facts = as_dict(orjson.loads(entry.column(_FACTS, np.uint8).tobytes()))
    if facts.get("written_by") != __version__:
        # Another version may have read the same file in another way.
        fail("another version of mpkgraph wrote it")
    layouts = _layouts(entry, facts)
    extras = _unknown(as_dict(facts.get("task_extras")), TASK_KEYS)
    tasks = _tasks(entry, len(layouts), extras, damaged)
    events = _events(entry, _unknown(as_dict(facts.get("event_extras")), EVENT_KEYS))
    first_tasks = entry.column("first_tasks", np.int64)
    entry.end()
    sha256, num_bytes = facts.get("sha256"), facts.get("num_bytes")
    source = GraphSource(
        path=path,
        sha256=None if sha256 is None else as_str(sha256),
        num_bytes=None if num_bytes is None else as_size(num_bytes),
    )
    graph = TaskGraph(
        tasks=tasks,
        events=events,
        first_tasks=first_tasks,
        layouts=layouts,
        rank=as_int(facts.get("rank")),
        source=source,
        extras=_unknown(as_dict(facts.get("extras")), _TOP_KEYS),
    )
    if facts.get("layouts_by_use") is True:
        names = (x.base_ptr for x in layouts if not x.is_null)
        graph.__dict__["tensors"] = tuple(dict.fromkeys(names))
    return graph, as_str(facts.get("name"))


def _tasks(
    entry: BlockReader,
    num_layouts: int,
    extras: dict[str, Any],
    damaged: Callable[[str], GraphReadError],
) -> StoredTasks:
    stored: dict[str, StoredColumn] = {}
    num_tasks = None
    for name, dtype in _TASK_DTYPES.items():
        stored[name] = entry.stored(name, dtype, num_tasks)
        num_tasks = len(stored[name])
    num_slots = entry.stored("num_slots", np.int64, num_tasks).load_narrow()
    total = None
    for name, dtype in _SLOT_DTYPES.items():
        stored[name] = entry.stored(name, dtype, total)
        total = len(stored[name])
    extra_fields = _extras(entry, "task", extras, len(num_slots))
    # Columns whose values nothing else relies on are looked at no further
    add_up(num_slots, total or 0, "num_slots")
    stored["slot_layouts"].check(0, num_layouts - 1, "slot_layouts points outside")
    if (stored["num_inputs"].load_narrow() > num_slots).any():
        fail("a task has more inputs than slots")
    if num_slots[stored["task_types"].load_narrow() == NULL_TASK_TYPE].any():
        fail("a null task has slots")
    return StoredTasks.of(num_slots, extra_fields, stored, damaged)


def _events(entry: BlockReader, extras: dict[str, Any]) -> EventColumns:
    columns: dict[str, Column] = {}
    num_events = None
    for name, dtype in _EVENT_DTYPES.items():
        columns[name] = entry.column(name, dtype, num_events)
        num_events = len(columns[name])
    return EventColumns(**columns, extras=_extras(entry, "event", extras, num_events or 0))


def _extras(
    entry: BlockReader, kind: str, values: dict[str, Any], length: int
) -> dict[str, ExtraField]:
    fields = {}
    for i, (key, found) in enumerate(values.items()):
        codes = entry.column(f"{kind}_extra_{i}", np.int32, length)
        within(codes, -1, len(as_list(found)) - 1, key)
        codes.flags.writeable = False
        fields[key] = ExtraField(tuple(found), codes)
    return fields


def _layouts(entry: BlockReader, facts: dict[str, Any]) -> tuple[SlotLayout, ...]:
    tensors = list(map(as_str, as_list(facts.get("tensors"))))
    names = entry.column("layout_tensors", np.int64)
    within(names, 0, len(tensors) - 1, "layout_tensors")
    data_types = entry.column("layout_data_types", np.int64, len(names))
    num_dims = entry.column("layout_num_dims", np.int64, len(names))
    all_dims = entry.column("layout_dims", np.int64)
    all_strides = entry.column("layout_strides", np.int64, len(all_dims)).tolist()
    bounds = stops(num_dims, len(all_dims), "layout_num_dims").tolist()
    dims = all_dims.tolist()
    extras = {}
    for item in as_list(facts.get("layout_extras")):
        index, pairs = as_list(item, 2)
        extra = {as_str(key): value for key, value in (as_list(x, 2) for x in as_list(pairs))}
        extras[as_int(index)] = tuple(_unknown(extra, SLOT_KEYS).items())
    return tuple(
        SlotLayout(
            tensors[name], data_type, tuple(dims[a:b]), tuple(all_strides[a:b]), extras.get(i, ())
        )
        for i, (name, data_type, a, b) in enumerate(
            zip(names.tolist(), data_types.tolist(), bounds, bounds[1:], strict=False)
        )
    )


def _unknown(fields: dict[str, Any], known: Sequence[str]) -> dict[str, Any]:
    if not fields.keys().isdisjoint(known):
        fail("a field of the format is kept as an unknown one")
    return fields
