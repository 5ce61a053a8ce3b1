"""The top level of a task graph: an object whose arrays are read piece by piece."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mpkgraph.errors import GraphReadError
from mpkgraph.io import fields
from mpkgraph.io.arrays import RecordArray
from mpkgraph.io.blocks import BlockReader
from mpkgraph.io.columns import (
    GROWTH,
    EventColumnsBuilder,
    EventPiece,
    ExtraTable,
    GrowingColumn,
    LayoutTable,
    TaskColumnsBuilder,
    TaskPiece,
)
from mpkgraph.io.fields import BadRecordError
from mpkgraph.io.records import (
    JsonProblemError,
    Place,
    events_of_text,
    parse_json,
    tasks_of_text,
)
from mpkgraph.io.scan import Elements, skip_space, truncated, value_end
from mpkgraph.io.source import ByteSource
from mpkgraph.io.templates import EVENT_HOLES, TASK_HOLES, EventTemplates, TaskTemplates
from mpkgraph.io.window import MAX_RECORD_BYTES, Window

if TYPE_CHECKING:
    from mpkgraph.io.task_members import TaskMembers

Progress = Callable[[int, int | None], None]
"""Called with the bytes done and the bytes in all (None when not known)."""

PROGRESS_SECONDS = 0.05
BATCH_RECORDS = 1 << 13
"""Records whose columns are made at a time."""
_BOM = b"\xef\xbb\xbf"
_WIDE_BOMS = (b"\xff\xfe", b"\xfe\xff")
_METADATA_KEYS = {"cuda_cc", "world_size", "tensor_names", "max_seq_length"}
_NOT_A_GRAPH = "Give the task_graph_rank{N}.json that Mirage's compile(output_dir=...) wrote."


class Meter:
    """Calls a progress function, at most about 20 times a second."""

    def __init__(self, source: ByteSource, progress: Progress | None) -> None:
        self.source = source
        self.progress = progress
        self.ahead = 0
        """Bytes that another process has read meanwhile."""
        self._next = 0.0

    def update(self, *, final: bool = False) -> None:
        if self.progress is None:
            return
        now = time.monotonic()
        if final or now >= self._next:
            self._next = now + PROGRESS_SECONDS
            total = self.source.num_raw_bytes
            done = self.source.raw_position + self.ahead
            self.progress(done if total is None else min(done, total), total)


class GraphDocument:
    """One pass over a graph's text. `steps` reads; the columns grow meanwhile."""

    def __init__(
        self,
        source: ByteSource,
        *,
        block_bytes: int,
        batch_tasks: int = BATCH_RECORDS,
        progress: Progress | None = None,
    ) -> None:
        self.source = source
        self.batch_records = min(batch_tasks, BATCH_RECORDS)
        self.window = Window(source, block_bytes)
        self.meter = Meter(source, progress)
        self.layouts = LayoutTable()
        self.tasks = TaskColumnsBuilder(ExtraTable("task"))
        self.events = EventColumnsBuilder(ExtraTable("event"))
        self.first_tasks = GrowingColumn(np.int64)
        self.extras: dict[str, Any] = {}
        self.num_tasks = 0
        self.processes = 1
        self._seen: set[str] = set()
        self._extra_bytes = 0

    @property
    def num_bytes(self) -> int:
        return self.window.offset

    def steps(self) -> Generator[None, None, None]:
        """Reads a block of records at each step. Raises GraphReadError."""
        try:
            yield from self._object()
        except GraphReadError:
            change = self.source.change()
            if change is not None:
                raise change from None
            raise
        change = self.source.change()
        if change is not None:
            raise change
        self.meter.update(final=True)

    def _object(self) -> Iterator[None]:
        window = self.window
        self._open()
        window.start += 1
        if skip_space(window) != ord("}"):
            while True:
                key = self._key()
                yield from self._value(key)
                after = skip_space(window)
                if after == ord("}"):
                    break
                if after != ord(","):
                    raise self._unexpected(after, f"a comma or }} after {key!r}")
                window.start += 1
                skip_space(window)
        window.start += 1
        self._close()

    def _open(self) -> None:
        window = self.window
        while len(window) < 4 and window.fill():
            pass
        start = bytes(window.data[window.start : min(window.stop, window.start + 4)])
        if start.startswith(_WIDE_BOMS):
            raise GraphReadError(
                "the text is UTF-16, not UTF-8",
                where=window.where(),
                remedy="Convert the file to UTF-8, or generate it again.",
            )
        if start.startswith(_BOM):
            window.start += len(_BOM)
        first = skip_space(window)
        if first < 0:
            raise GraphReadError("the file is empty", where=window.where(), remedy=_NOT_A_GRAPH)
        if first == ord("["):
            raise GraphReadError(
                "not a task graph: a JSON array", where=window.where(), remedy=_NOT_A_GRAPH
            )
        if first != ord("{"):
            head = bytes(window.data[window.start : min(window.stop, window.start + 8)])
            raise GraphReadError(
                f"not a task graph: not a JSON object, begins with {head!r}",
                where=window.where(),
                remedy=_NOT_A_GRAPH,
            )

    def _close(self) -> None:
        window = self.window
        offset = window.offset
        after = skip_space(window)
        if after >= 0:
            what = "a second object" if after == ord("{") else "more data"
            raise GraphReadError(
                f"{what} after the end of the graph at byte {offset}",
                where=window.where(),
                remedy="A file holds one graph: split it, or remove what was appended.",
            )
        for name in ("all_tasks", "all_events"):
            if name not in self._seen:
                raise self._wrong_schema(name)

    def _wrong_schema(self, missing: str) -> GraphReadError:
        name = self.source.name
        schema = self.extras.get("schema")
        if isinstance(schema, str) and schema.startswith("mpk-pipeline"):
            return GraphReadError(
                f"not a task graph: a pipeline record (schema {schema})",
                where=name,
                remedy="Give the task_graph_rank{N}.json that lies beside it.",
            )
        if len(_METADATA_KEYS & self.extras.keys()) >= 2:
            return GraphReadError(
                "not a task graph: the metadata of a compiled kernel",
                where=name,
                remedy="Give the task_graph_rank{N}.json that lies beside it.",
            )
        return GraphReadError(
            f"not a task graph: it has no {missing!r}", where=name, remedy=_NOT_A_GRAPH
        )

    def _unexpected(self, byte: int, expected: str) -> GraphReadError:
        if byte < 0:
            return truncated(self.window, f"the graph, before {expected}{self._so_far()}")
        return GraphReadError(
            f"not valid JSON: expected {expected}, found {bytes([byte])!r}",
            where=self.window.where(),
            remedy="The file is damaged: copy or generate it again.",
        )

    def _so_far(self) -> str:
        return f"; {self.num_tasks} tasks were read" if self.num_tasks else ""

    def _key(self) -> str:
        window = self.window
        byte = skip_space(window)
        if byte != ord('"'):
            raise self._unexpected(byte, "a key")
        offset = window.offset
        key = str(self._parse(value_end(window, "a key"), "a key"))
        if key in self._seen:
            raise GraphReadError(
                f"the key {key!r} appears twice at the top level",
                where=window.where(offset),
                remedy="The file is damaged: generate it again.",
            )
        self._seen.add(key)
        byte = skip_space(window)
        if byte != ord(":"):
            raise self._unexpected(byte, f"a colon after {key!r}")
        window.start += 1
        return key

    def _parse(self, length: int, what: str) -> Any:
        """The JSON value in the next `length` bytes, which are consumed."""
        window = self.window
        text = bytes(window.data[window.start : window.start + length])
        try:
            value = fields.check_depth(parse_json(text), what)
            fields.check_text(text, value)
        except BadRecordError as error:
            position = error.position if isinstance(error, JsonProblemError) else 0
            raise GraphReadError(
                error.problem,
                where=window.where(window.offset + position),
                remedy=error.remedy or "The file is damaged: copy or generate it again.",
            ) from None
        window.start += length
        return value

    def _value(self, key: str) -> Iterator[None]:
        window = self.window
        byte = skip_space(window)
        if byte < 0:
            raise self._unexpected(byte, f"the value of {key!r}")
        if key in ("all_tasks", "all_events"):
            if byte != ord("["):
                raise self._not_an_array(key)
            window.start += 1
            if key == "all_events":
                for _ in self._event_array().steps():
                    self.meter.update()
                    yield
            else:
                # closed at once when something fails, so that no second process is left
                with closing(self._task_steps()) as steps:
                    for _ in steps:
                        self.meter.update()
                        yield
        elif key == "first_tasks" and byte == ord("["):
            window.start += 1
            yield from self._first_tasks()
        else:
            offset = window.offset
            length = value_end(window, f"the value of {key!r}")
            self._extra_bytes += length
            if self._extra_bytes > MAX_RECORD_BYTES:
                raise GraphReadError(
                    f"unknown fields of more than {MAX_RECORD_BYTES >> 20} MiB",
                    where=window.where(offset),
                    remedy=_NOT_A_GRAPH,
                )
            value = self._parse(length, key)
            if key != "first_tasks":
                self.extras[key] = value
            elif value is not None:
                raise self._not_an_array(key)

    def _task_steps(self) -> Generator[None, None, None]:
        array = self.task_array()
        if self.processes == 1:
            return array.steps()
        from mpkgraph.io.parallel import split_steps

        return split_steps(self, array)

    def task_array(self) -> RecordArray:
        def add(piece: TaskPiece) -> None:
            total, done = self.source.num_raw_bytes, self.source.raw_position
            if total and done:
                # no more room than the rest of the file can need, and a little
                self.tasks.growth = min(GROWTH, 1.01 * total / done)
            self.tasks.append(piece)
            self.num_tasks += len(piece)

        def add_text(text: bytes, docs: list[Any], place: Place) -> int:
            piece = tasks_of_text(text, docs, self.layouts, self.tasks.extras, place)
            add(piece)
            return len(piece)

        members: TaskMembers | None = None

        def add_members(text: bytes) -> int:
            nonlocal members
            if members is None:
                # most texts have no need of it
                from mpkgraph.io.task_members import TaskMembers

                members = TaskMembers(self.layouts)
            piece = members.piece(text)
            add(piece)
            return len(piece)

        templates = TaskTemplates(self.layouts, self.tasks.extras)
        blocks = BlockReader(self.window, "task", templates, TASK_HOLES, add, self.batch_records)
        return RecordArray(self.window, "task", blocks, add_text, add_members)

    def _event_array(self) -> RecordArray:
        def add_text(text: bytes, docs: list[Any], place: Place) -> int:
            piece = events_of_text(text, docs, self.events.extras, place)
            self.events.append(piece)
            return len(piece)

        templates = EventTemplates(self.events.extras)
        blocks: BlockReader[EventPiece] = BlockReader(
            self.window, "event", templates, EVENT_HOLES, self.events.append, self.batch_records
        )
        return RecordArray(self.window, "event", blocks, add_text)

    def _not_an_array(self, key: str) -> GraphReadError:
        return GraphReadError(
            f"{key} is not an array", where=self.window.where(), remedy=_NOT_A_GRAPH
        )

    def _first_tasks(self) -> Iterator[None]:
        window = self.window
        elements = Elements(window, "first_tasks")
        ended = False
        while not ended:
            length, ended = elements.next()
            text = bytes(window.data[window.start : window.start + length])
            if text.strip() or not ended or len(self.first_tasks):
                try:
                    self.first_tasks.extend(self._task_ids(text))
                except BadRecordError as error:
                    position = error.position - 1 if isinstance(error, JsonProblemError) else 0
                    raise GraphReadError(
                        error.problem,
                        where=window.where(window.offset + max(position, 0)),
                        remedy="The graph is damaged or was edited: generate it again.",
                    ) from None
            window.start += length + 1
            yield

    def _task_ids(self, text: bytes) -> npt.NDArray[np.int64]:
        values = parse_json(b"[%b]" % text)
        if not values:
            raise BadRecordError("first_tasks is not valid JSON: an element is missing")
        regular = set(map(type, values)) == {int}
        if not (regular and min(values) >= 0 and max(values) <= fields.INT64_MAX):
            first = len(self.first_tasks)
            if fields.has_huge_number(values):
                values = fields.exact(b"[%b]" % text)
            for i, value in enumerate(values, first):
                fields.check_integer(value, fields.OFFSET_RANGE, f"first_tasks[{i}]")
        return np.array(values, np.int64)
