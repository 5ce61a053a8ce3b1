"""Integers as JSON that every reader keeps."""

from __future__ import annotations

MAX_JSON_INTEGER = 2**53
"""Integers beyond this do not survive a reader that keeps numbers as doubles."""


def json_integer(value: int | None) -> int | str | None:
    """The integer, as text where a JSON reader with doubles would change it.

    >>> json_integer(7), json_integer(9223372036854775806)
    (7, '9223372036854775806')
    """
    return str(value) if value is not None and abs(value) > MAX_JSON_INTEGER else value
