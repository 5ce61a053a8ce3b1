"""What is checked of the bytes of an entry: a cache's files are as hostile as any other."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[Any]


class EntryError(ValueError):
    """The bytes are no entry of this version, or the values can't be kept as one."""


def stops(counts: Column, total: int, name: str) -> Column:
    """Running sum of counts, from 0, which has to come to `total`."""
    add_up(counts, total, name)
    return running_sum(counts)


def add_up(counts: Column, total: int, name: str) -> None:
    """Raises EntryError unless counts, none of them negative, come to `total`."""
    # Checked first, so that the sum can't overflow.
    within(counts, 0, total, name)
    if counts.sum(dtype=np.int64) != total:
        fail(f"{name} does not add up")


def running_sum(counts: Column) -> Column:
    """Sums of the counts before each place, the sum of all at the end."""
    found = np.zeros(len(counts) + 1, np.int64)
    found[1:] = counts
    np.cumsum(found, out=found)
    return found


def within(column: Column, low: int, high: int, name: str) -> None:
    if len(column) and not (low <= int(column.min()) and int(column.max()) <= high):
        fail(f"{name} points outside")


def as_int(value: Any) -> int:
    if type(value) is not int:
        fail("a number is missing")
    return value


def as_size(value: Any) -> int:
    if as_int(value) < 0:
        fail("a size is negative")
    return int(value)


def as_str(value: Any) -> str:
    if type(value) is not str:
        fail("a text is missing")
    return value


def as_list(value: Any, length: int | None = None) -> list[Any]:
    if type(value) is not list or (length is not None and len(value) != length):
        fail("a list is missing")
    return value


def as_dict(value: Any) -> dict[str, Any]:
    if type(value) is not dict:
        fail("an object is missing")
    return value


def fail(reason: str) -> NoReturn:
    raise EntryError(reason)
