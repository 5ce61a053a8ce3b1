"""JSON text of results: every integer and every name survives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from mpkgraph.analysis.integers import json_integers


def json_bytes(document: Any) -> bytes:
    r"""JSON of any values; names that are no Unicode (a path, a script's tensor) are escaped.

    Integers that JSON readers would change are text, as in all our JSON.

    >>> print(json_bytes({"id": 2**60, "name": "\udc80"}).decode(), end="")
    {
      "id": "1152921504606846976",
      "name": "\\udc80"
    }
    """
    return _text(document) + b"\n"


def json_parts(document: Mapping[str, Any]) -> Iterator[bytes]:
    """The text of `json_bytes` in parts: a member that is an iterator is written as an array while
    it is made, so that the whole is never in memory.

    >>> parts = json_parts({"rows": iter([{"id": 1}]), "none": iter(())})
    >>> b"".join(parts) == json_bytes({"rows": [{"id": 1}], "none": []})
    True
    """
    before = b"{\n"
    for key, value in document.items():
        yield before + b"  " + _text(key) + b": "
        before = b",\n"
        if isinstance(value, Iterator):
            yield from _array_parts(value)
        else:
            yield _text(value).replace(b"\n", b"\n  ")
    yield b"\n}\n" if document else b"{}\n"


def _array_parts(items: Iterator[Any]) -> Iterator[bytes]:
    before = b"[\n    "
    for item in items:
        # a line break is never part of a text: there it is escaped
        yield before + _text(item).replace(b"\n", b"\n    ")
        before = b",\n    "
    yield b"[]" if before.startswith(b"[") else b"\n  ]"


def _text(value: Any) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_STRICT_INTEGER)
    except orjson.JSONEncodeError:
        return orjson.dumps(_unicode(json_integers(value)), option=orjson.OPT_INDENT_2)


def _unicode(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_unicode(key): _unicode(item) for key, item in value.items()}
    return [_unicode(item) for item in value] if isinstance(value, list) else value
