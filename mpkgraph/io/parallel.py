"""The second half of `all_tasks` in a second process.

The text is cut at a record separator near its middle. A forked child reads what follows the cut
and sends its columns back through a pipe; this process reads what precedes it, then appends. The
cut was right if both sides read as whole records: everything before it then is. When the child
fails in any way, this process reads on alone and words the error, if there is one.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np

from mpkgraph.errors import GraphReadError
from mpkgraph.frozen import dataclass
from mpkgraph.io.arrays import RecordArray
from mpkgraph.io.blocks import learn_layout
from mpkgraph.io.columns import ExtraTable, LayoutTable, TaskColumnsBuilder
from mpkgraph.io.forked import Forked
from mpkgraph.io.scan import GUESS_BYTES, guess_cut, skip_space
from mpkgraph.io.templates import TASK_HOLES
from mpkgraph.io.window import Window
from mpkgraph.model.graph import ExtraField, SlotLayout

if TYPE_CHECKING:
    from mpkgraph.io.document import GraphDocument

MIN_AUTOMATIC_BYTES = 100_000_000
"""From here on a second process is worth its start."""
OWN_SHARE = 0.5
"""Part of the text that this process reads itself."""
MAX_SEARCH_BYTES = 1 << 22
"""How far from the middle a separator is looked for."""
_F_SETPIPE_SZ = 1031
_PIPE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class _Header:
    """What a child sends before its columns."""

    num_tasks: int
    num_slots: int
    end_offset: int
    """Byte after the array's `]`."""
    layouts: list[SlotLayout]
    extras: dict[str, ExtraField]


class _RangeSource:
    """The rest of a file from some byte on, read without touching the shared file position."""

    def __init__(self, descriptor: int, name: str, position: int) -> None:
        self.name = name
        self._descriptor = descriptor
        self._position = position

    def readinto(self, view: memoryview) -> int:
        count = os.preadv(self._descriptor, [view], self._position)
        self._position += count
        return count


def num_processes(wanted: int | None, document: GraphDocument) -> int:
    """1 or 2: how many processes to read a document with. `wanted` None decides by size."""
    source = document.source
    forks = hasattr(os, "fork") and hasattr(os, "preadv") and sys.platform == "linux"
    if not forks or not source.is_plain_file or wanted == 1:
        return 1
    # A lock that another thread holds would stay locked in the child.
    if threading.active_count() > 1:
        return 1
    if wanted is None:
        large = (source.num_raw_bytes or 0) >= MIN_AUTOMATIC_BYTES
        return 2 if large and len(os.sched_getaffinity(0)) >= 2 else 1
    return 2


def split_steps(document: GraphDocument, array: RecordArray) -> Generator[None, None, None]:
    """As `array.steps`, with a child for the second half where the text can be cut."""
    cut = _find_cut(document)
    child = _Child.start(document, cut) if cut is not None else None
    if cut is None or child is None:
        yield from array.steps()
        return
    window = document.window
    begin = window.offset
    try:
        window.set_limit(cut)
        for _ in array.steps_to_limit():
            document.meter.ahead = window.offset - begin
            yield
        if not len(window):
            # All that precedes the cut was whole records, so it separates records.
            header = child.receive(document)
            if header is not None:
                array.num_records += header.num_tasks
                document.source.seek(header.end_offset)
                window.restart(header.end_offset)
                return
        window.set_limit(None)
        yield from array.steps()
    finally:
        document.meter.ahead = 0
        child.stop()


def _find_cut(document: GraphDocument) -> int | None:
    """Byte offset near the middle where a record seems to begin."""
    window = document.window
    size = document.source.num_raw_bytes
    while len(window) < window.block_bytes and window.fill():
        pass
    if size is None or skip_space(window) < 0:
        return None
    layout = learn_layout(window, TASK_HOLES)
    begin = window.offset
    middle = begin + int((size - begin) * OWN_SHARE)
    if middle <= window.origin + window.stop:
        return None
    source = _RangeSource(document.source.fileno(), document.source.name, middle)
    if layout is None:
        return _guess_cut(source, middle)
    text = b""
    while len(text) < MAX_SEARCH_BYTES:
        piece = bytearray(1 << 18)
        count = source.readinto(memoryview(piece))
        if not count:
            break
        text += piece[:count]
        at = text.find(layout.separator)
        if at >= 0:
            return middle + at + len(layout.separator) - len(layout.head)
    return None


def _guess_cut(source: _RangeSource, begin: int) -> int | None:
    """As `_find_cut`, from byte `begin` on, where no two records have a layout in common."""
    window = Window(source, 2 * GUESS_BYTES)
    window.restart(begin)
    window.fill()
    comma = guess_cut(window, len(window))
    if comma < 0:
        return None
    window.start += comma + 1
    return window.offset if skip_space(window) == ord("{") else None


class _Child:
    """A process that reads from the cut on."""

    def __init__(self, process: Forked) -> None:
        self._process = process

    @classmethod
    def start(cls, document: GraphDocument, cut: int) -> _Child | None:
        """None when no process can be made."""
        process = Forked.start(lambda pipe: _send_rest(document, cut, pipe))
        return None if process is None else cls(process)

    def receive(self, document: GraphDocument) -> _Header | None:
        """Appends the child's columns; None, and nothing appended, when it failed."""
        try:
            size = int.from_bytes(self._read(8), "little")
            if not size:
                return None
            header: _Header = pickle.loads(self._read(size))  # noqa: S301  (our own child's)
        except (EOFError, OSError, pickle.UnpicklingError):
            return None
        tasks = document.tasks
        codes = np.array(
            [
                document.layouts.code(x.base_ptr, x.data_type, x.dims, x.strides, x.extra)
                for x in header.layouts
            ],
            np.int32,
        )
        first_task, first_slot = len(tasks), tasks.num_slots
        try:
            rooms = tasks.rooms(header.num_tasks, header.num_slots)
            for room in rooms.values():
                if len(room):
                    self._fill(room.data.cast("B"))
        except (EOFError, OSError):
            raise GraphReadError(
                "the second process of the reader died",
                where=document.source.name,
                remedy="Free some memory, or read with one process.",
            ) from None
        rooms["slot_starts"] += first_slot
        layouts = rooms["slot_layouts"]
        if len(codes):
            codes.take(layouts, out=layouts, mode="clip")
        for key, field in header.extras.items():
            known = [tasks.extras.code(key, value) for value in field.values]
            # the last entry is that of -1, a record without the field
            tasks.extras.add(key, first_task, np.array([*known, -1], np.int32)[field.codes])
        document.num_tasks += header.num_tasks
        return header

    def _read(self, size: int) -> bytearray:
        data = bytearray(size)
        self._fill(memoryview(data))
        return data

    def _fill(self, view: memoryview) -> None:
        while len(view):
            count = os.readv(self._process.pipe, [view])
            if not count:
                raise EOFError
            view = view[count:]

    def stop(self) -> None:
        """Ends the process, if it has not ended."""
        self._process.close()


def _send_rest(document: GraphDocument, cut: int, pipe: int) -> None:
    """Sends a size of 0 when anything is wrong: the parent finds out what."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _enlarge(pipe)
    try:
        header, columns = _read_rest(document, cut)
    except BaseException:
        os.write(pipe, bytes(8))
        raise
    data = pickle.dumps(header, pickle.HIGHEST_PROTOCOL)
    _write(pipe, len(data).to_bytes(8, "little") + data)
    for column in columns:
        if len(column):
            _write(pipe, column.data.cast("B"))


def _read_rest(document: GraphDocument, cut: int) -> tuple[_Header, list[Any]]:
    document.layouts = LayoutTable()
    document.tasks = TaskColumnsBuilder(ExtraTable("task"))
    source = _RangeSource(document.source.fileno(), document.source.name, cut)
    document.window = window = Window(source, document.window.block_bytes)
    window.restart(cut)
    for _ in document.task_array().steps():
        pass
    num_tasks, num_slots = len(document.tasks), document.tasks.num_slots
    columns = document.tasks.pieces()
    header = _Header(
        num_tasks,
        num_slots,
        window.offset,
        document.layouts.layouts,
        document.tasks.extras.take(num_tasks),
    )
    return header, list(columns.values())


def _enlarge(pipe: int) -> None:
    try:
        import fcntl

        fcntl.fcntl(pipe, _F_SETPIPE_SZ, _PIPE_BYTES)
    except OSError:
        pass


def _write(pipe: int, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(pipe, view) :]
