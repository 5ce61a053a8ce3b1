"""Bytes of a graph file: plain, gzip or zstandard, from a file, a pipe or standard input.

What a file is compressed with is told by its first bytes, never by its name. Decompression is
incremental and bounded: however small the compressed input, at most a few tens of MiB of output
exist at a time.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, BinaryIO, Literal, cast

from mpkgraph.errors import GraphReadError

Compression = Literal["none", "gzip", "zstd"]
StrPath = str | os.PathLike[str]

STDIN = "-"
STDIN_NAME = "<stdin>"
GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
ZSTD_SKIPPABLE_MAGIC = b"\x2a\x4d\x18"
"""Bytes 1 to 3 of a skippable frame; byte 0 is 0x50 to 0x5f."""
RAW_CHUNK = 1 << 16
GZIP_OUTPUT = 1 << 18
ZSTD_INPUT = 1 << 10
"""Zstandard has no bound on output per call; a block of 4 bytes can stand for 128 KiB, so 1 KiB of
input yields 32 MiB at most."""
ZSTD_MAX_WINDOW = 1 << 27
"""What the zstd program accepts without --long."""


class _Raw:
    """The bytes as stored, with a look at the first ones and checks that the file stands still."""

    def __init__(self, file: BinaryIO, name: str, num_bytes: int | None) -> None:
        self.file = file
        self.name = name
        self.num_bytes = num_bytes
        self.position = 0
        self.head = b""
        while len(self.head) < 4:
            piece = self._guarded(lambda: file.read(4 - len(self.head)))
            if not piece:
                break
            self.head += piece
        self.pending = self.head

    def _guarded(self, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except OSError as error:
            raise GraphReadError(
                f"reading failed: {error.strerror or error}",
                where=self.name,
                remedy="Check the disk, or copy the file and try again.",
            ) from error

    def readinto(self, view: memoryview) -> int:
        if self.pending:
            count = min(len(view), len(self.pending))
            view[:count] = self.pending[:count]
            self.pending = self.pending[count:]
        else:
            readinto = cast("Any", self.file).readinto
            count = self._guarded(lambda: readinto(view)) or 0
            if not count and self.num_bytes is not None and self.position < self.num_bytes:
                raise changed(self.name, f"it shrank to {self.position} of {self.num_bytes} bytes")
        self.position += count
        return int(count)


class _Decoder:
    """Output of decompression objects, one per member or frame."""

    format_name = "gzip"

    def __init__(self, raw: _Raw) -> None:
        self.raw = raw
        self.chunk = bytearray(RAW_CHUNK)
        self.input = memoryview(b"")
        self.output = memoryview(b"")
        self.current: Any = None
        self.errors: tuple[type[Exception], ...] = ()

    def start(self) -> Any:
        raise NotImplementedError

    def step(self) -> bytes:
        """Some output for some of `self.input`."""
        raise NotImplementedError

    def readinto(self, view: memoryview) -> int:
        while not self.output:
            if not self._more():
                return 0
        count = min(len(view), len(self.output))
        view[:count] = self.output[:count]
        self.output = self.output[count:]
        return count

    def _more(self) -> bool:
        if not self.input and not self._holds_output():
            count = self.raw.readinto(memoryview(self.chunk))
            if not count:
                if self.current is not None:
                    raise GraphReadError(
                        f"the {self.format_name} data end in the middle, after"
                        f" {self.raw.position} compressed bytes",
                        where=self.raw.name,
                        remedy="The file was cut off: copy or generate it again.",
                    )
                return False
            self.input = memoryview(self.chunk)[:count]
        try:
            if self.current is None:
                self._skip_padding()
                if not self.input:
                    return True
                self.current = self.start()
            self.output = memoryview(self.step())
        except self.errors as error:
            raise GraphReadError(
                f"corrupted {self.format_name} data in the first"
                f" {self.raw.position - len(self.input)} compressed bytes ({error})",
                where=self.raw.name,
                remedy="Copy or generate the file again.",
            ) from error
        if self.current.eof:
            unused = self.current.unused_data
            if unused:
                self.input = memoryview(bytes(unused) + bytes(self.input))
            self.current = None
        return True

    def _holds_output(self) -> bool:
        return False

    def _skip_padding(self) -> None:
        """Tape-like zero padding may follow a member of a gzip file."""


class _GzipDecoder(_Decoder):
    def __init__(self, raw: _Raw) -> None:
        super().__init__(raw)
        self.module = _zlib_module()
        self.errors = (self.module.error,)
        self.tail = b""
        self.full = False
        """Whether the last step may have left output behind."""
        self.members = 0

    def start(self) -> Any:
        self.members += 1
        return self.module.decompressobj(wbits=31)

    def step(self) -> bytes:
        data, self.input = self.tail or self.input, memoryview(b"")
        output = self.current.decompress(data, GZIP_OUTPUT)
        self.tail = self.current.unconsumed_tail
        self.full = len(output) >= GZIP_OUTPUT
        return cast("bytes", output)

    def _holds_output(self) -> bool:
        return self.current is not None and (bool(self.tail) or self.full)

    def _skip_padding(self) -> None:
        if self.members and self.input[0] == 0:
            self.input = memoryview(bytes(self.input).lstrip(b"\0"))
        if self.members and self.input and self.input[0] != GZIP_MAGIC[0]:
            raise GraphReadError(
                f"other data follow the gzip data within {self.raw.position} bytes",
                where=self.raw.name,
                remedy="Copy or generate the file again.",
            )


class _ZstdDecoder(_Decoder):
    format_name = "zstandard"

    def __init__(self, raw: _Raw) -> None:
        super().__init__(raw)
        import zstandard

        self.module = zstandard
        self.errors = (zstandard.ZstdError,)

    def start(self) -> Any:
        return self.module.ZstdDecompressor(max_window_size=ZSTD_MAX_WINDOW).decompressobj()

    def step(self) -> bytes:
        piece, self.input = self.input[:ZSTD_INPUT], self.input[ZSTD_INPUT:]
        return cast("bytes", self.current.decompress(piece))


def _zlib_module() -> ModuleType:
    try:
        return import_module("isal.isal_zlib")
    except ImportError:
        return import_module("zlib")


class ByteSource:
    """The JSON text of a graph as a stream of bytes. A context manager."""

    def __init__(
        self, file: BinaryIO, *, name: str, path: str | None = None, close: bool = True
    ) -> None:
        self.name = name
        self.path = path
        self._file = file
        self._close = close
        self._stat = _regular_stat(file)
        self.num_raw_bytes = self._stat.st_size if self._stat else None
        self._raw = _Raw(file, name, self.num_raw_bytes)
        self.compression: Compression = _compression(self._raw.head)
        self._decoder: _Raw | _Decoder = self._raw
        if self.compression == "gzip":
            self._decoder = _GzipDecoder(self._raw)
        elif self.compression == "zstd":
            self._decoder = _ZstdDecoder(self._raw)

    @property
    def is_plain_file(self) -> bool:
        """Whether ranges of it can be read independently."""
        return self._stat is not None and self.compression == "none" and self.path is not None

    @property
    def raw_position(self) -> int:
        """Stored (compressed) bytes read so far."""
        return self._raw.position

    def fileno(self) -> int:
        return self._file.fileno()

    def seek(self, position: int) -> None:
        """Continues a plain file at `position`."""
        self._file.seek(position)
        self._raw.pending = b""
        self._raw.position = position

    def readinto(self, view: memoryview) -> int:
        """Fills `view` as far as bytes are at hand; 0 at the end. Raises GraphReadError."""
        return self._decoder.readinto(view)

    def change(self) -> GraphReadError | None:
        """An error when the file was written to since it was opened."""
        if self._stat is None:
            return None
        now = os.fstat(self._file.fileno())
        if (now.st_size, now.st_mtime_ns) == (self._stat.st_size, self._stat.st_mtime_ns):
            return None
        if now.st_size != self._stat.st_size:
            return changed(self.name, f"from {self._stat.st_size} to {now.st_size} bytes")
        return changed(self.name, "same size, other content")

    def close(self) -> None:
        if self._close:
            self._file.close()

    def __enter__(self) -> ByteSource:  # noqa: PYI034  (Self needs Python 3.11)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def changed(name: str, how: str) -> GraphReadError:
    return GraphReadError(
        f"the file changed while it was read ({how})",
        where=name,
        remedy="Wait until whatever writes it has finished, then try again.",
    )


def _regular_stat(file: BinaryIO) -> os.stat_result | None:
    try:
        status = os.fstat(file.fileno())
    except (OSError, AttributeError, ValueError):
        return None
    # A position other than 0 (a redirected, half-read standard input) makes the size useless.
    if not stat.S_ISREG(status.st_mode) or file.tell() != 0:
        return None
    return status


def _compression(head: bytes) -> Compression:
    if head.startswith(GZIP_MAGIC):
        return "gzip"
    skippable = len(head) == 4 and head[1:] == ZSTD_SKIPPABLE_MAGIC and head[0] >> 4 == 5
    if head == ZSTD_MAGIC or skippable:
        return "zstd"
    return "none"


def open_source(path: StrPath) -> ByteSource:
    """Opens a graph file, or standard input for "-".

    Raises GraphReadError when there is no such file, it may not be read or is a directory.
    """
    if path == STDIN:
        stdin = getattr(sys.stdin, "buffer", None)
        if stdin is None:
            raise GraphReadError(
                "standard input is closed", where=STDIN_NAME, remedy="Pipe a graph into it."
            )
        return ByteSource(stdin, name=STDIN_NAME, close=False)
    text = os.fspath(path)
    try:
        if Path(text).is_dir():
            raise GraphReadError(
                "is a directory, not a graph file",
                where=text,
                remedy="Name one task_graph_rank{N}.json in it, or use read_graphs for all ranks.",
            )
        file = Path(text).open("rb", buffering=0)  # noqa: SIM115  (the source closes it)
    except FileNotFoundError:
        raise GraphReadError(
            "no such file", where=text, remedy="Check the path; compile(output_dir=...) writes it."
        ) from None
    except PermissionError:
        raise GraphReadError(
            "permission denied", where=text, remedy="Make the file readable for this user."
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise GraphReadError(
            f"can't be opened: {reason}", where=text, remedy="Check the path."
        ) from error
    try:
        return ByteSource(cast("BinaryIO", file), name=text, path=text)
    except BaseException:
        file.close()
        raise
