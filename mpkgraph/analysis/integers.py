"""Integers as JSON that every reader keeps."""

from __future__ import annotations

from typing import Any

MAX_JSON_INTEGER = 2**53
"""Integers beyond this do not survive a reader that keeps numbers as doubles."""


def json_integer(value: int | None) -> int | str | None:
    """The integer, as text where a JSON reader with doubles would change it.

    >>> json_integer(7), json_integer(9223372036854775806)
    (7, '9223372036854775806')
    """
    return str(value) if value is not None and abs(value) > MAX_JSON_INTEGER else value


def json_integers(value: Any) -> Any:
    """A JSON value in which `json_integer` has seen to every integer.

    >>> json_integers({"new": [1, 2**60]})
    {'new': [1, '1152921504606846976']}
    """
    if isinstance(value, dict):
        return {key: json_integers(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_integers(item) for item in value]
    return json_integer(value) if type(value) is int else value
