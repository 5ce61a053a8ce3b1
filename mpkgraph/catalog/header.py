"""Enum values of another Mirage version, read from its headers.

Only `enum TaskType` and `enum EventType` of
`include/mirage/persistent_kernel/runtime_header.h` and, when present, `enum DataType` of
`include/mirage/type.h` are read; nothing is compiled or executed.
"""

from __future__ import annotations

import re
from pathlib import Path

from mpkgraph.errors import GraphReadError

RUNTIME_HEADER = Path("include/mirage/persistent_kernel/runtime_header.h")
TYPE_HEADER = Path("include/mirage/type.h")

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_ENTRY = re.compile(r"([A-Za-z_]\w*)\s*(?:=\s*(.+?))?\s*$", re.DOTALL)


def parse_enum(text: str, enum: str, where: str) -> dict[int, str]:
    """Values and names of one C++ enum: explicit numbers (decimal or hex), implicit ones, aliases.

    The first name of a number wins. Raises GraphReadError when the enum is missing or an entry
    is neither a number nor an earlier entry.
    """
    clean = _COMMENT.sub(" ", text)
    match = re.search(
        rf"\benum\s+(?:class\s+|struct\s+)?{re.escape(enum)}\b[^{{;]*\{{([^}}]*)\}}", clean
    )
    if match is None:
        raise GraphReadError(
            f"no 'enum {enum}'",
            where=where,
            remedy="Give the root of a Mirage source tree with MPK (branch mpk)",
        )
    values: dict[str, int] = {}
    following = 0
    for raw in match.group(1).split(","):
        entry = raw.strip()
        if not entry:
            continue
        parts = _ENTRY.match(entry)
        if parts is None:
            raise GraphReadError(f"can't read entry {entry!r} of enum {enum}", where=where)
        name, expression = parts.groups()
        if expression is not None:
            following = _value(expression.strip(), values, name, enum, where)
        values[name] = following
        following += 1
    numbers: dict[int, str] = {}
    for name, value in values.items():
        numbers.setdefault(value, name)
    return numbers


def _value(expression: str, values: dict[str, int], name: str, enum: str, where: str) -> int:
    if expression in values:
        return values[expression]
    try:
        return int(expression, 0)
    except ValueError:
        raise GraphReadError(
            f"value {expression!r} of {name} in enum {enum} is not a number", where=where
        ) from None


def read_header(path: Path) -> str:
    """Text of a header. Raises GraphReadError when it can't be read."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise GraphReadError(
            f"can't read the header ({error.strerror or error})",
            where=str(path),
            remedy="Give the root of a Mirage source tree with MPK (branch mpk)",
        ) from error
    except UnicodeDecodeError as error:
        raise GraphReadError("the header is not UTF-8 text", where=str(path)) from error
