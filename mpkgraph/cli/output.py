"""Where a command's result goes: standard output or a file that appears only when complete."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, Generic, TextIO, TypeVar, cast

from mpkgraph.errors import UsageError
from mpkgraph.frozen import dataclass

if TYPE_CHECKING:
    from mpkgraph.render.text import TextWriter

SCHEMA = "mpkgraph-show/1"
HELD_SIZE = 8 << 20
"""Characters or bytes that are held back from standard output: a shorter result comes whole or,
when an error arises while it is made, not at all. A longer one comes while it is made."""
Part = TypeVar("Part", str, bytes)


@dataclass(frozen=True)
class Output:
    """Form and place of a result."""

    form: str
    """text, json, csv or parquet."""
    path: str | None
    color: bool | None

    @classmethod
    def of_options(
        cls, *, as_json: bool, as_csv: bool, as_parquet: bool, path: str | None, color: bool | None
    ) -> Output:
        """Raises UsageError for several forms, and for Parquet on a terminal."""
        chosen = [
            form
            for form, wanted in (("json", as_json), ("csv", as_csv), ("parquet", as_parquet))
            if wanted
        ]
        if len(chosen) > 1:
            raise UsageError(f"--{chosen[0]} and --{chosen[1]} can't go together")
        form = chosen[0] if chosen else "text"
        if path == "-":
            path = None
        if form == "parquet" and path is None and sys.stdout.isatty():
            raise UsageError("Parquet is binary", remedy="Name a file with -o")
        return cls(form, path, color)

    def write_json(self, view: str, payload: dict[str, Any]) -> None:
        """One JSON object: schema, view, then the payload's keys; what is an iterator there is
        written as an array while it is made.
        """
        from mpkgraph.analysis.json_text import json_parts

        with self.binary() as stream:
            stream.writelines(json_parts({"schema": SCHEMA, "view": view, **payload}))

    def write_table(self, columns: dict[str, Any]) -> None:
        """CSV or Parquet."""
        from mpkgraph.render.tables import write_csv, write_parquet

        with self.binary() as stream:
            if self.form == "parquet":
                write_parquet(columns, stream)
                return
            text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
            try:
                write_csv(columns, text)
                text.flush()
            finally:
                text.detach()

    def write_text(self, write: Callable[[TextWriter], None]) -> None:
        """Text by a function of a writer."""
        from mpkgraph.render.text import TextOptions, TextWriter, text_options

        if self.path is None:
            held: _Held[str] = _Held(sys.stdout, "".join)
            write(TextWriter(cast("TextIO", held), text_options(sys.stdout, self.color)))
            held.release()
            return
        with self.binary() as stream:
            text = io.TextIOWrapper(stream, encoding="utf-8", newline="\n")
            try:
                write(TextWriter(text, TextOptions(color=bool(self.color))))
                text.flush()
            finally:
                text.detach()

    @contextmanager
    def binary(self) -> Iterator[BinaryIO]:
        """The file, atomically, or standard output, which sees nothing of a short failure."""
        if self.path is None:
            sys.stdout.flush()
            stream: Any = sys.stdout.buffer
            if sys.stdout.isatty():
                stream = _Terminal(stream, as_json=self.form == "json")
            held: _Held[bytes] = _Held(stream, b"".join)
            yield cast("BinaryIO", held)
            held.release()
            sys.stdout.buffer.flush()
            return
        from mpkgraph.io.atomic import atomic_file

        with atomic_file(self.path) as stream:
            yield stream


class _Held(io.BufferedIOBase, Generic[Part]):
    """Writes to a stream once `HELD_SIZE` has come, or when it is released."""

    def __init__(self, stream: Any, join: Callable[[list[Part]], Part]) -> None:
        self._stream = stream
        self._join: Callable[[list[Part]], Part] = join
        self._parts: list[Part] | None = []
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, part: Any) -> int:
        if self._parts is None:
            self._stream.write(part)
        else:
            # A caller may use its buffer again
            kept: Any = part if isinstance(part, str) else bytes(part)
            self._parts.append(kept)
            self._size += len(part)
            if self._size > HELD_SIZE:
                self.release()
        return len(part)

    def release(self) -> None:
        """Writes what was held back; what comes after goes on at once."""
        if self._parts is not None:
            parts, self._parts = self._parts, None
            self._stream.write(self._join(parts))


class _Terminal:
    """Text for programs that goes to a terminal: names must not move its cursor or set its title.

    In JSON such characters are escaped, which means the same.
    """

    def __init__(self, stream: BinaryIO, *, as_json: bool) -> None:
        self._stream = stream
        self._as_json = as_json

    def write(self, part: bytes) -> None:
        from mpkgraph.render.escape import json_printable, printable

        clean = json_printable if self._as_json else printable
        lines = part.decode("utf-8", "surrogateescape").split("\n")
        text = "\n".join([line if line.isprintable() else clean(line) for line in lines])
        self._stream.write(text.encode("utf-8", "backslashreplace"))
