"""JSON text as `nlohmann::json::dump(2)` lays it out: sorted keys, two spaces, one scalar a line.

What the writer's templates are made from, and how fields that mpkgraph does not know are written.
Source: nlohmann/json 3.x, `detail/output/serializer.hpp` and `detail/conversions/to_chars.hpp`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

INDENT = 2

# A double is written with an exponent from 1e15 on; Python's repr, else the same, does from 1e16.
_MAX_WHOLE_DIGITS = 15


def dump(value: Any, level: int = 0) -> bytes:
    r"""`value` as UTF-8 text, its first line at nesting depth `level`, no newline at the end.

    Takes what a JSON parser returns: dict, list, str, int, float, bool and None. Keys are sorted
    by their bytes; control characters are escaped, other characters are kept.

    Raises TypeError for any other type and for text that is not Unicode (a lone surrogate).

    >>> print(dump({"b": [1, {}], "a": "\x1f\u00e9"}).decode())
    {
      "a": "\u001fé",
      "b": [
        1,
        {}
      ]
    }
    """
    # A stack of values and of ready text instead of recursion: the depth is the file's.
    parts: list[bytes] = []
    todo: list[tuple[Any, int]] = [(value, level)]
    while todo:
        item, depth = todo.pop()
        if depth < 0:
            parts.append(item)
        elif isinstance(item, dict):
            _push(todo, depth, b"{}", [(dump_str(k) + b": ", item[k]) for k in sorted(item)])
        elif isinstance(item, (list, tuple)):
            _push(todo, depth, b"[]", [(b"", element) for element in item])
        else:
            parts.append(_dump_scalar(item))
    return b"".join(parts)


def _push(
    todo: list[tuple[Any, int]], depth: int, brackets: bytes, members: list[tuple[bytes, Any]]
) -> None:
    if not members:
        todo.append((brackets, -1))
        return
    indent = line_start(depth + 1)
    todo.append((line_start(depth) + brackets[1:], -1))
    for position in range(len(members) - 1, -1, -1):
        before, member = members[position]
        todo.append((member, depth + 1))
        todo.append(((b"," if position else brackets[:1]) + indent + before, -1))


def line_start(level: int) -> bytes:
    """A line's end and the next one's indentation."""
    return b"\n" + b" " * (INDENT * level)


def dump_str(text: str) -> bytes:
    """A string in quotes. orjson escapes exactly what nlohmann escapes, in the same way."""
    if not isinstance(text, str):
        raise TypeError(f"{text!r} is no JSON string")
    return orjson.dumps(text)


def object_text(
    members: Mapping[str, bytes], level: int, key_text: Callable[[str], bytes] = dump_str
) -> bytes:
    """An object of members whose texts are ready, at nesting depth `level`."""
    lines = [key_text(key) + b": " + members[key] for key in sorted(members)]
    return _enclose(b"{", lines, b"}", level)


def array_text(elements: Iterable[bytes], level: int) -> bytes:
    """An array of elements whose texts are ready, at nesting depth `level`."""
    return _enclose(b"[", list(elements), b"]", level)


def _enclose(opening: bytes, lines: list[bytes], closing: bytes, level: int) -> bytes:
    if not lines:
        return opening + closing
    inner = line_start(level + 1)
    return opening + inner + (b"," + inner).join(lines) + line_start(level) + closing


def dump_float(number: float) -> bytes:
    """The shortest digits that read back to `number`, always with a point or an exponent.

    >>> [dump_float(x).decode() for x in (1.0, 0.0001, 1e-05, 123456789012345.0, 1e15, math.inf)]
    ['1.0', '0.0001', '1e-05', '123456789012345.0', '1e+15', 'null']
    """
    if not math.isfinite(number):
        return b"null"
    text = repr(number)
    whole, _, fraction = text.lstrip("-").partition(".")
    if "e" in text or len(whole) <= _MAX_WHOLE_DIGITS:
        return text.encode()
    digits = (whole + fraction).rstrip("0")
    mantissa = f"{digits[0]}.{digits[1:]}" if len(digits) > 1 else digits
    return f"{'-' if number < 0 else ''}{mantissa}e+{len(whole) - 1}".encode()


def _dump_scalar(value: Any) -> bytes:
    if value is None:
        return b"null"
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, int):
        return b"%d" % value
    if isinstance(value, float):
        return dump_float(value)
    return dump_str(value)
