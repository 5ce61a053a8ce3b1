"""JSON text of results: every integer and every name survives."""

from __future__ import annotations

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
    try:
        text = orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_STRICT_INTEGER)
    except orjson.JSONEncodeError:
        text = orjson.dumps(_unicode(json_integers(document)), option=orjson.OPT_INDENT_2)
    return text + b"\n"


def _unicode(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_unicode(key): _unicode(item) for key, item in value.items()}
    return [_unicode(item) for item in value] if isinstance(value, list) else value
