"""What is checked of a result that comes back from the cache: its bytes are as hostile as any."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class KeptResultError(ValueError):
    """The bytes are no such result, or the result can't be kept."""


def as_int(value: Any) -> int:
    if type(value) is not int:
        raise KeptResultError("a number is missing")
    return value


def as_str(value: Any) -> str:
    if type(value) is not str:
        raise KeptResultError("a text is missing")
    return value


def as_flag(value: Any) -> bool:
    if type(value) is not bool:
        raise KeptResultError("a flag is missing")
    return value


def as_list(value: Any, length: int | None = None) -> list[Any]:
    if type(value) is not list or (length is not None and len(value) != length):
        raise KeptResultError("a list is missing")
    return value


def as_texts(value: Any) -> tuple[str, ...]:
    if not set(map(type, as_list(value))) <= {str}:
        raise KeptResultError("a list of texts is missing")
    return tuple(value)


def as_one_of(value: Any, known: Sequence[str]) -> Any:
    """A text of a closed set."""
    if as_str(value) not in known:
        raise KeptResultError("a word is not of its set")
    return value
