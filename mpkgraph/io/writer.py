"""A task graph as the text that Mirage writes, byte for byte: nlohmann's `dump(2)`.

Scalars and offsets apart, a task's text depends on its slots' layouts only, and few combinations
of them occur. So each combination is laid out once, with `%d` for the integers; a batch of tasks
is then its templates joined and formatted in one go.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import BinaryIO, TypeVar

import numpy as np
import numpy.typing as npt

from mpkgraph.io.atomic import PathLike, atomic_file
from mpkgraph.io.nlohmann import array_text, dump, dump_str, line_start, object_text
from mpkgraph.model.graph import (
    EVENT_KEYS,
    SLOT_KEYS,
    TASK_KEYS,
    TASK_SCALARS,
    EventColumns,
    ExtraField,
    SlotLayout,
    TaskColumns,
    TaskGraph,
)

BATCH_RECORDS = 2048
BATCH_BYTES = 1 << 21
"""A batch ends with the record that reaches either: memory stays at a few times this."""
TEMPLATE_BYTES = 1 << 25
"""Templates are forgotten beyond this, for graphs in which they do not repeat."""
CACHED_LAYOUTS = 1 << 16

_Text = TypeVar("_Text")

_NULL = b"null"
_RECORD_LEVEL = 2  # depth of an element of `all_tasks`
_SLOT_LEVEL = 4
_RECORD_SEPARATOR = b"," + line_start(_RECORD_LEVEL)


def write_graph(graph: TaskGraph, stream: BinaryIO) -> None:
    """Writes the graph's JSON text: sorted keys, two spaces, no newline at the end.

    Reading what Mirage wrote and writing it again gives the same bytes. What is empty is written
    as Mirage does: `null` for no inputs, outputs, tasks, events or first tasks, `[]` for no dims.
    """
    stream.writelines(text_chunks(graph))


def save_graph(graph: TaskGraph, path: PathLike) -> None:
    """Writes the graph's JSON text to a file that is there complete or not at all.

    Raises GraphWriteError when the file can't be written.
    """
    with atomic_file(path) as stream:
        write_graph(graph, stream)


def text_chunks(graph: TaskGraph) -> Iterator[bytes]:
    """The text of `write_graph` in pieces of some `BATCH_BYTES`."""
    members: dict[str, Iterable[bytes]] = {
        "all_events": _array(_event_batches(graph.events)),
        "all_tasks": _array(_task_batches(graph.tasks, graph.layouts)),
        "first_tasks": _array(_number_batches(graph.first_tasks)),
    }
    _add_unknown(members, {key: [dump(value, 1)] for key, value in graph.extras.items()})
    separator = b"{"
    for key in sorted(members):
        yield separator + line_start(1) + dump_str(key) + b": "
        yield from members[key]
        separator = b","
    yield line_start(0) + b"}"


def _array(batches: Iterable[bytes]) -> Iterator[bytes]:
    separator = b"[" + line_start(_RECORD_LEVEL)
    empty = True
    for batch in batches:
        yield separator
        yield batch
        separator, empty = _RECORD_SEPARATOR, False
    yield _NULL if empty else line_start(1) + b"]"


def _number_batches(numbers: npt.NDArray[np.int64]) -> Iterator[bytes]:
    for first in range(0, len(numbers), BATCH_RECORDS):
        batch = numbers[first : first + BATCH_RECORDS].tolist()
        yield _RECORD_SEPARATOR.join([b"%d" % number for number in batch])


def _event_batches(events: EventColumns) -> Iterator[bytes]:
    columns: dict[str, npt.NDArray[np.generic]] = {
        "event_type": events.event_types,
        "first_task_id": events.first_task_ids,
        "last_task_id": events.last_task_ids,
        "num_triggers": events.num_triggers,
    }
    row_of = _extra_rows(events.extras)

    @functools.lru_cache(maxsize=CACHED_LAYOUTS)
    def template(codes: bytes) -> bytes:
        members = dict.fromkeys(EVENT_KEYS, b"%d")
        _add_unknown(members, _extra_members(events.extras, codes))
        return object_text(members, _RECORD_LEVEL, _literal_key)

    def arguments(first: int, stop: int) -> tuple[int, ...]:
        positions = np.arange(stop - first, dtype=np.int64) * len(columns)
        return _interleave(
            [(columns[key][first:stop], positions + i) for i, key in enumerate(sorted(columns))]
        )

    yield from _format_batches((template(row_of(event)) for event in range(len(events))), arguments)


def _task_batches(tasks: TaskColumns, layouts: tuple[SlotLayout, ...]) -> Iterator[bytes]:
    return _format_batches(
        _task_templates(tasks, layouts), functools.partial(_task_arguments, tasks)
    )


def _format_batches(
    templates: Iterable[bytes], arguments: Callable[[int, int], tuple[int, ...]]
) -> Iterator[bytes]:
    """Joins templates to batches and fills in `arguments(first, stop)`."""
    first, batch, size = 0, list[bytes](), 0
    for template in templates:
        batch.append(template)
        size += len(template)
        if size >= BATCH_BYTES or len(batch) == BATCH_RECORDS:
            yield _RECORD_SEPARATOR.join(batch) % arguments(first, first + len(batch))
            first, batch, size = first + len(batch), [], 0
    if batch:
        yield _RECORD_SEPARATOR.join(batch) % arguments(first, first + len(batch))


def _task_templates(tasks: TaskColumns, layouts: tuple[SlotLayout, ...]) -> Iterator[bytes]:
    """For each task its text with `%d` for scalars and slot offsets."""
    row_of = _extra_rows(tasks.extras)

    @functools.lru_cache(maxsize=CACHED_LAYOUTS)
    def slot_template(layout: int) -> bytes:
        return _slot_template(layouts[layout])

    def template(num_inputs: int, slots: bytes, codes: bytes) -> bytes:
        texts = [slot_template(layout) for layout in np.frombuffer(slots, np.int32).tolist()]
        members = dict.fromkeys(TASK_SCALARS, b"%d")
        members["inputs"] = _slots_text(texts[:num_inputs])
        members["outputs"] = _slots_text(texts[num_inputs:])
        _add_unknown(members, _extra_members(tasks.extras, codes))
        return object_text(members, _RECORD_LEVEL, _literal_key)

    known: dict[tuple[int, bytes, bytes], bytes] = {}
    known_bytes = 0
    for first in range(0, len(tasks), BATCH_RECORDS):
        stop = min(first + BATCH_RECORDS, len(tasks))
        starts = tasks.slot_starts[first : stop + 1]
        slots = tasks.slot_layouts[starts[0] : starts[-1]].astype(np.int32).tobytes()
        bounds = ((starts - starts[0]) * np.int32().itemsize).tolist()
        null = tasks.is_null[first:stop].tolist()
        for i, num_inputs in enumerate(tasks.num_inputs[first:stop].tolist()):
            if null[i]:
                yield _NULL
                continue
            key = (num_inputs, slots[bounds[i] : bounds[i + 1]], row_of(first + i))
            text = known.get(key)
            if text is None:
                text = known[key] = template(*key)
                known_bytes += len(text)
                if known_bytes > TEMPLATE_BYTES:
                    known, known_bytes = {}, 0
            yield text


def _slot_template(layout: SlotLayout) -> bytes:
    members = {
        "base_ptr": _literal(dump_str(layout.base_ptr)),
        "data_type": b"%d" % layout.data_type,
        "dims": array_text([b"%d" % n for n in layout.dims], _SLOT_LEVEL + 1),
        "offset": b"%d",
        "strides": array_text([b"%d" % n for n in layout.strides], _SLOT_LEVEL + 1),
    }
    assert members.keys() == set(SLOT_KEYS)
    extra = {key: _literal(dump(value, _SLOT_LEVEL + 1)) for key, value in layout.extra}
    _add_unknown(members, extra)
    return object_text(members, _SLOT_LEVEL, _literal_key)


def _slots_text(slots: list[bytes]) -> bytes:
    return array_text(slots, _SLOT_LEVEL - 1) if slots else _NULL


def _task_arguments(tasks: TaskColumns, first: int, stop: int) -> tuple[int, ...]:
    """The integers of tasks `[first, stop)` in the order of their templates' `%d`."""
    columns: dict[str, npt.NDArray[np.generic]] = {
        "task_type": tasks.task_types,
        "variant_id": tasks.variant_ids,
        "dependent_event": tasks.dependent_events,
        "trigger_event": tasks.trigger_events,
        "request_id": tasks.request_ids,
        "kv_idx": tasks.kv_idxs,
        "merge_task_offset": tasks.merge_task_offsets,
        "expert_offset": tasks.expert_offsets,
        "task_offset": tasks.task_offsets,
    }
    present = np.flatnonzero(~tasks.is_null[first:stop])
    starts = tasks.slot_starts[first : stop + 1]
    num_slots = np.diff(starts)[present]
    num_inputs = tasks.num_inputs[first:stop][present].astype(np.int64)
    num_integers = num_slots + len(TASK_SCALARS)
    # Where the next integer of each task goes; it moves on as the keys go by in their order.
    position = np.cumsum(num_integers) - num_integers
    pieces: list[tuple[npt.NDArray[np.generic], npt.NDArray[np.int64]]] = []
    for key in sorted(TASK_KEYS):
        if key in {"inputs", "outputs"}:
            counts = num_inputs if key == "inputs" else num_slots - num_inputs
            within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            begin = starts[:-1][present] + (0 if key == "inputs" else num_inputs)
            slots = np.repeat(begin, counts) + within
            pieces.append((tasks.slot_offsets[slots], np.repeat(position, counts) + within))
            position = position + counts
        else:
            pieces.append((columns[key][first:stop][present], position))
            position = position + 1
    return _interleave(pieces)


def _interleave(
    pieces: Iterable[tuple[npt.NDArray[np.generic], npt.NDArray[np.int64]]],
) -> tuple[int, ...]:
    """Python integers, each value of a piece at its position."""
    pieces = list(pieces)
    numbers = np.empty(sum(len(values) for values, _ in pieces), dtype=np.int64)
    beyond = []
    for values, positions in pieces:
        if values.dtype == np.uint64:
            beyond.extend(positions[values.view(np.int64) < 0].tolist())
        numbers[positions] = values.view(np.int64) if values.dtype == np.uint64 else values
    integers: list[int] = numbers.tolist()
    for position in beyond:
        integers[position] += 1 << 64
    return tuple(integers)


def _extra_rows(extras: Mapping[str, ExtraField]) -> Callable[[int], bytes]:
    """A function from a record to its codes in `extras`, as bytes (a key for templates)."""
    if not extras:
        return lambda _: b""
    codes = np.column_stack([extras[key].codes.astype(np.int32) for key in sorted(extras)])
    rows = codes.tobytes()
    width = codes.itemsize * codes.shape[1]
    return lambda record: rows[record * width : (record + 1) * width]


def _extra_members(extras: Mapping[str, ExtraField], codes: bytes) -> dict[str, bytes]:
    return {
        key: _literal(dump(extras[key].values[code], _RECORD_LEVEL + 1))
        for key, code in zip(sorted(extras), np.frombuffer(codes, np.int32).tolist(), strict=True)
        if code >= 0
    }


def _add_unknown(members: dict[str, _Text], unknown: Mapping[str, _Text]) -> None:
    for key, value in unknown.items():
        if key in members:
            raise ValueError(f"{key!r} is a field of the format, not an unknown one")
        members[key] = value


def _literal_key(key: str) -> bytes:
    return _literal(dump_str(key))


def _literal(text: bytes) -> bytes:
    return text.replace(b"%", b"%%")
