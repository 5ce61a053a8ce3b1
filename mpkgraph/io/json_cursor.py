"""A JSON value that knows where it stands, so that one line both checks it and names the place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

import orjson

from mpkgraph.errors import GraphReadError
from mpkgraph.frozen import dataclass

INT32_MAX = 2**31 - 1
SHOWN_CHARACTERS = 60
"""Longest piece of JSON that a message quotes."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class JsonFile:
    """What messages say of the file: its name, and what to do about a fault in it."""

    name: str
    remedy: str


class JsonCursor:
    """One JSON value of a file; every check raises GraphReadError with file and JSON path."""

    __slots__ = ("parent", "step", "text_file", "value")

    def __init__(
        self, value: Any, text_file: JsonFile, parent: JsonCursor | None, step: str | int
    ) -> None:
        self.value = value
        self.text_file = text_file
        self.parent = parent
        self.step = step

    @property
    def path(self) -> str:
        """Such as `log[3].lowlevel[0].grid_dim`; empty for the whole text."""
        # Put together only when asked for: cursors are made by the hundred thousand.
        if self.parent is None:
            return ""
        before = self.parent.path
        if isinstance(self.step, int):
            return f"{before}[{self.step}]"
        return f"{before}.{self.step}" if before else self.step

    def fail(self, what: str, remedy: str | None = None) -> NoReturn:
        path = self.path
        where = f"{self.text_file.name}, {path}" if path else self.text_file.name
        raise GraphReadError(what, where=where, remedy=remedy or self.text_file.remedy)

    def expected(self, what: str) -> NoReturn:
        self.fail(f"expected {what}, found {show_json(self.value)}")

    def object(self) -> Mapping[str, Any]:
        if not isinstance(self.value, dict):
            self.expected("an object")
        return self.value

    def key(self, key: str) -> JsonCursor:
        """A member that must be there."""
        members = self.object()
        if key not in members:
            self.fail(f"{key!r} is missing")
        return JsonCursor(members[key], self.text_file, self, key)

    def optional(self, key: str, read: Callable[[JsonCursor], _T]) -> _T | None:
        """A member that may be absent or null."""
        return None if self.object().get(key) is None else read(self.key(key))

    def items(self) -> list[JsonCursor]:
        if not isinstance(self.value, list):
            self.expected("an array")
        return [JsonCursor(x, self.text_file, self, i) for i, x in enumerate(self.value)]

    def text(self) -> str:
        if not isinstance(self.value, str):
            self.expected("a string")
        return self.value

    def boolean(self) -> bool:
        if not isinstance(self.value, bool):
            self.expected("true or false")
        return self.value

    def integer(self) -> int:
        if not _is_int(self.value):
            self.expected("an integer")
        number: int = self.value
        return number

    def count(self) -> int:
        """An integer from 0 up."""
        if not _is_int(self.value) or self.value < 0:
            self.expected("an integer from 0 up")
        number: int = self.value
        return number

    def number(self) -> int | float:
        if isinstance(self.value, float):
            return self.value
        if not _is_int(self.value):
            self.expected("a number")
        return self.integer()

    def integers(self, what: str, low: int, high: int) -> tuple[int, ...]:
        """An array of integers from `low` to `high`; `what` names it in the error."""
        value = self.value
        if not isinstance(value, list) or not all(_is_int(x) and low <= x <= high for x in value):
            self.expected(what)
        return tuple(value)

    def triple(self, what: str, low: int) -> tuple[int, int, int]:
        """Three 32-bit integers of at least `low`."""
        value = self.integers(what, low, INT32_MAX)
        if len(value) != 3:
            self.expected(what)
        return value[0], value[1], value[2]

    def rest(self, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, Any]:
        """The members that are neither; optional ones that are null too, so that none is lost."""
        return {
            key: value
            for key, value in self.object().items()
            if key not in required and (key not in optional or value is None)
        }


def load_json(data: bytes, *, file: str, remedy: str) -> JsonCursor:
    """The value of a JSON text. Raises GraphReadError with the byte where it stops being one."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        end = len(data.rstrip())
        if not end:
            what, where = "the file is empty", file
        elif (offset := _byte_offset(error, data)) >= end:
            what, where = "the JSON ends before it is complete", f"{file}, byte {end}"
        else:
            what, where = f"not JSON: {error.msg}", f"{file}, byte {offset}"
        raise GraphReadError(what, where=where, remedy=remedy) from error
    return JsonCursor(value, JsonFile(file, remedy), None, "")


def show_json(value: Any) -> str:
    """A value for a message: its JSON, or just what it is when that is long."""
    try:
        text = orjson.dumps(value).decode()
    except TypeError:  # orjson reads deeper than it writes
        text = " " * (SHOWN_CHARACTERS + 1)
    if len(text) <= SHOWN_CHARACTERS:
        return text
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"an array of {len(value)}"
    return f"{text[: SHOWN_CHARACTERS - 3]}..."


def _byte_offset(error: orjson.JSONDecodeError, data: bytes) -> int:
    # orjson counts characters, and gives position 0 and no text for what is not UTF-8.
    try:
        return len(data.decode()[: error.pos].encode())
    except UnicodeDecodeError as invalid:
        return invalid.start


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
