"""Plain text for people: headings, labelled values and aligned tables, coloured on a terminal.

Tables are written in one pass over columns, because a list of tasks can have a million rows.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

import click

from mpkgraph.frozen import dataclass
from mpkgraph.render.escape import printable

GAP = "  "
LINE_END = "\n"
MIN_SHRUNK_WIDTH = 12
"""A column is never made narrower than this to fit a terminal."""
MAX_NAME_WIDTH = 96
"""Longer names are cut in the middle; `--json` and `--csv` have them whole."""
ROWS_PER_WRITE = 4096


@dataclass(frozen=True, slots=True)
class TextOptions:
    """How text is laid out. `width` is None where lines may be as long as they like (a pipe)."""

    color: bool = False
    width: int | None = None


def text_options(stream: TextIO, color: bool | None = None) -> TextOptions:
    """Options for a stream: colour and the terminal's width on a terminal, neither elsewhere.

    `color` overrides; else NO_COLOR and TERM=dumb switch colour off and FORCE_COLOR on.
    """
    terminal = stream.isatty()
    if color is None:
        if os.environ.get("NO_COLOR"):
            color = False
        elif os.environ.get("FORCE_COLOR"):
            color = True
        else:
            color = terminal and os.environ.get("TERM") != "dumb"
    if not terminal:
        return TextOptions(color)
    import shutil  # which loads what compresses archives

    return TextOptions(color, shutil.get_terminal_size().columns)


class TextWriter:
    """Writes headings, labelled values and tables to a text stream."""

    def __init__(
        self,
        stream: TextIO | None = None,
        options: TextOptions | None = None,
        *,
        is_first: bool = True,
    ) -> None:
        """`is_first`: nothing is before what is written, so that no empty line is needed."""
        self.stream = stream if stream is not None else sys.stdout
        self.options = options if options is not None else TextOptions()
        self._first = is_first

    def style(self, text: str, **style: Any) -> str:
        """`text` in a style of `click.style`, when colour is on."""
        return click.style(text, **style) if self.options.color and text else text

    def line(self, text: str = "") -> None:
        """One line; `text` is already safe to print."""
        self.stream.write(text + "\n")
        self._first = False

    def block(self, lines: str) -> None:
        """Lines that were laid out by another writer, an empty one before them."""
        if lines:
            self.stream.write(lines[1:] if self._first else lines)
            self._first = False

    def heading(self, text: str, note: str = "") -> None:
        """A heading with an empty line before it, unless it is the first line."""
        if not self._first:
            self.line()
        head = self.style(printable(text), bold=True)
        self.line(f"{head}  {self.style(printable(note), dim=True)}" if note else head)

    def fields(self, rows: Iterable[tuple[str, object]], indent: int = 2) -> None:
        """Labelled values, one a line, labels aligned; rows whose value is None are left out."""
        shown = [(label, cell(value)) for label, value in rows if value is not None]
        width = max((len(label) for label, _ in shown), default=0)
        for label, value in shown:
            name = self.style(label.ljust(width), fg="cyan")
            self.line(f"{' ' * indent}{name}{GAP}{value}".rstrip())

    def paragraph(self, text: str, indent: int = 2, **style: Any) -> None:
        """Untrusted text on a line of its own."""
        self.line(" " * indent + self.style(printable(text), **style))

    def table(
        self,
        columns: Mapping[str, Sequence[object]],
        *,
        indent: int = 2,
        styles: Mapping[str, Sequence[Mapping[str, Any] | None]] | None = None,
    ) -> None:
        """An aligned table: numbers to the right, text to the left, a header line.

        `styles` gives for a column the style of each cell.
        """
        values = {name: _plain(column) for name, column in columns.items()}
        cells = {name: _cells(column) for name, column in values.items()}
        right = {name for name, column in values.items() if _is_numeric(column)}
        widths = {
            name: max(len(name), max(map(len, texts), default=0)) for name, texts in cells.items()
        }
        self._shrink(widths, right, indent)
        last = next(reversed(widths), None)
        header = GAP.join(_pad(name, widths[name], name in right, name == last) for name in widths)
        self.line(" " * indent + self.style(header.rstrip(), dim=True))
        self._rows(cells, widths, right, indent, styles or {})

    def _rows(
        self,
        cells: Mapping[str, list[str]],
        widths: dict[str, int],
        right: set[str],
        indent: int,
        styles: Mapping[str, Sequence[Mapping[str, Any] | None]],
    ) -> None:
        padded: list[list[str]] = []
        last = next(reversed(widths), None)
        for name, texts in cells.items():
            width = widths[name]
            too_wide = max(map(len, texts), default=0) > width
            column = _padded(
                [_elide(text, width) for text in texts] if too_wide else texts,
                width,
                name in right,
                name == last,
            )
            if self.options.color and name in styles:
                column = [
                    self.style(text, **style) if style else text
                    for text, style in zip(column, styles[name], strict=True)
                ]
            padded.append(column)
        prefix = " " * indent
        rows = map(str.rstrip, map(GAP.join, zip(*padded, strict=True)))
        while chunk := list(itertools.islice(rows, ROWS_PER_WRITE)):
            self.stream.write(f"{prefix}{f'{LINE_END}{prefix}'.join(chunk)}\n")
        self._first = False

    def _shrink(self, widths: dict[str, int], right: set[str], indent: int) -> None:
        widths.update({name: min(width, MAX_NAME_WIDTH) for name, width in widths.items()})
        if self.options.width is None:
            return
        excess = indent + sum(widths.values()) + len(GAP) * (len(widths) - 1) - self.options.width
        while excess > 0:
            text_columns = [name for name in widths if name not in right]
            widest = max(text_columns, key=lambda name: widths[name], default=None)
            if widest is None or widths[widest] <= MIN_SHRUNK_WIDTH:
                return
            others = sorted((widths[name] for name in text_columns), reverse=True)
            floor = max(others[1] if len(others) > 1 else 0, MIN_SHRUNK_WIDTH)
            step = max(1, min(excess, widths[widest] - floor))
            widths[widest] -= step
            excess -= step


def cell(value: object) -> str:
    """A value as one safe line of text: dims as 8x4096, None as nothing, counts with separators.

    >>> cell((8, 4096)), cell(None), cell(1234567), cell(True)
    ('8x4096', '', '1234567', 'yes')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, (tuple, list)):
        if all(isinstance(item, int) for item in value):
            return "x".join(map(str, value)) if value else "-"
        return ", ".join(cell(item) for item in value)
    if isinstance(value, float):
        return f"{value:.4g}"
    return printable(str(value))


def _cells(column: Sequence[object]) -> list[str]:
    """`cell` of each value; of columns of one type without a call for each."""
    types = set(map(type, column))
    if types == {int}:
        return list(map(str, column))
    if types == {str}:
        texts: list[str] = list(column)  # type: ignore[arg-type]
        return texts if "".join(texts).isprintable() else list(map(printable, texts))
    return [cell(value) for value in column]


def _padded(texts: list[str], width: int, right: bool, last: bool) -> list[str]:
    """`_pad` of each text."""
    if right:
        return list(map(str.rjust, texts, itertools.repeat(width)))
    return texts if last else list(map(str.ljust, texts, itertools.repeat(width)))


def size(num_bytes: int) -> str:
    """Bytes for people, in powers of 1024.

    >>> size(512), size(1536), size(188647923)
    ('512 B', '1.5 KiB', '179.9 MiB')
    """
    if num_bytes < 1024:
        return f"{num_bytes} B"
    units = ("KiB", "MiB", "GiB", "TiB", "PiB")
    power = min((num_bytes.bit_length() - 1) // 10, len(units))
    return f"{num_bytes / 1024**power:.1f} {units[power - 1]}"


def count(number: int, noun: str) -> str:
    """A number and its noun: `1 task`, `2 tasks`, `1,024 tasks`.

    >>> count(1, "task"), count(1024, "task")
    ('1 task', '1,024 tasks')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _plain(column: Sequence[object]) -> Sequence[object]:
    tolist = getattr(column, "tolist", None)
    return tolist() if tolist is not None else column


def _is_numeric(column: Sequence[object]) -> bool:
    values = [value for value in column[:1000] if value is not None]
    return bool(values) and all(
        isinstance(value, (int, float)) and not isinstance(value, bool) for value in values
    )


def _pad(text: str, width: int, right: bool, last: bool) -> str:
    if right:
        return text.rjust(width)
    return text if last else text.ljust(width)


def _elide(text: str, width: int) -> str:
    return text if len(text) <= width else printable(text, limit=width)
