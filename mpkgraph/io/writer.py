"""A task graph as the text that Mirage writes, byte for byte: nlohmann's `dump(2)`.

Records are templates with `%d` for the integers, joined and formatted a batch at a time; how tasks
get theirs is in `io.task_text`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from mpkgraph.io.atomic import PathLike, atomic_file
from mpkgraph.io.nlohmann import dump, dump_str, line_start, object_text
from mpkgraph.io.task_text import RECORD_LEVEL, RECORD_SEPARATOR, task_batches
from mpkgraph.io.text_parts import add_unknown, extra_members, extra_rows, interleave
from mpkgraph.model.graph import EVENT_KEYS, EventColumns, TaskGraph

BATCH_RECORDS = 2048
CACHED_TEMPLATES = 1 << 16

_NULL = b"null"


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
    """The text of `write_graph` in pieces of some 2 MB."""
    members: dict[str, Iterable[bytes]] = {
        "all_events": _array(_event_batches(graph.events)),
        "all_tasks": _array(task_batches(graph.tasks, graph.layouts)),
        "first_tasks": _array(_number_batches(graph.first_tasks)),
    }
    add_unknown(members, {key: [dump(value, 1)] for key, value in graph.extras.items()})
    separator = b"{"
    for key in sorted(members):
        yield separator + line_start(1) + dump_str(key) + b": "
        yield from members[key]
        separator = b","
    yield line_start(0) + b"}"


def _array(batches: Iterable[bytes]) -> Iterator[bytes]:
    separator = b"[" + line_start(RECORD_LEVEL)
    empty = True
    for batch in batches:
        yield separator
        yield batch
        separator, empty = RECORD_SEPARATOR, False
    yield _NULL if empty else line_start(1) + b"]"


def _number_batches(numbers: npt.NDArray[np.int64]) -> Iterator[bytes]:
    for first in range(0, len(numbers), BATCH_RECORDS):
        batch = numbers[first : first + BATCH_RECORDS].tolist()
        yield RECORD_SEPARATOR.join([b"%d" % number for number in batch])


def _event_batches(events: EventColumns) -> Iterator[bytes]:
    columns: dict[str, npt.NDArray[np.generic]] = {
        "event_type": events.event_types,
        "first_task_id": events.first_task_ids,
        "last_task_id": events.last_task_ids,
        "num_triggers": events.num_triggers,
    }
    row_of = extra_rows(events.extras)

    @functools.lru_cache(maxsize=CACHED_TEMPLATES)
    def template(codes: bytes) -> bytes:
        members = dict.fromkeys(EVENT_KEYS, b"%d")
        add_unknown(members, extra_members(events.extras, codes, RECORD_LEVEL, _literal))
        return object_text(members, RECORD_LEVEL, _literal_key)

    for first in range(0, len(events), BATCH_RECORDS):
        stop = min(first + BATCH_RECORDS, len(events))
        positions = np.arange(stop - first, dtype=np.int64) * len(columns)
        integers = interleave(
            [(columns[key][first:stop], positions + i) for i, key in enumerate(sorted(columns))]
        )
        yield RECORD_SEPARATOR.join([template(row_of(x)) for x in range(first, stop)]) % integers


def _literal_key(key: str) -> bytes:
    return _literal(dump_str(key))


def _literal(text: bytes) -> bytes:
    """Formatted once, it is itself."""
    return text.replace(b"%", b"%%")
