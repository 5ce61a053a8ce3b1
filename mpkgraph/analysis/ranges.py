"""Sets of ids written as ranges: `2-10,17,900-`."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.csr import IntArray
from mpkgraph.errors import SelectionError

Ranges = tuple[tuple[int, int], ...]
"""First and last id of each range, both included, ascending and apart."""

_ITEM = re.compile(r"\s*(\d+)\s*(?:(-)\s*(\d+)?\s*)?")


def parse_ranges(text: str, num_ids: int, what: str) -> IntArray:
    """Ids of a list of ids and ranges, ascending, each once. `what` names them: "task".

    >>> parse_ranges("0,3-4,8-", 10, "task").tolist()
    [0, 3, 4, 8, 9]

    `all` is every id. Raises SelectionError for text that is no such list and for ids of
    `num_ids` and beyond.
    """
    if text.strip().lower() == "all":
        return np.arange(num_ids, dtype=np.int64)
    chosen = np.zeros(num_ids, dtype=np.bool_)
    for item in text.split(","):
        match = _ITEM.fullmatch(item)
        if match is None:
            raise SelectionError(
                f"{item.strip()!r} is no {what} id or range",
                where=f"ids {text!r}",
                remedy="Write ids and ranges as in 2-10,17,900-",
            )
        first = int(match[1])
        last = int(match[3]) if match[3] else (num_ids - 1 if match[2] else first)
        for value in (first, last):
            if value >= num_ids or num_ids == 0:
                raise no_such_id(value, num_ids, what)
        if last < first:
            raise SelectionError(
                f"range {item.strip()!r} ends before it starts",
                where=f"ids {text!r}",
                remedy=f"Write {last}-{first}",
            )
        chosen[first : last + 1] = True
    return np.flatnonzero(chosen)


def no_such_id(value: int, num_ids: int, what: str) -> SelectionError:
    """The error for a number that no task, event or operator of the graph has."""
    remedy = f"It has {what}s 0 to {num_ids - 1}" if num_ids else f"It has no {what}s"
    return SelectionError(f"the graph has no {what} {value}", remedy=remedy)


def check_id(value: int, num_ids: int, what: str) -> int:
    """`value` itself when it is an id below `num_ids`. Raises SelectionError otherwise."""
    if not 0 <= value < num_ids:
        raise no_such_id(value, num_ids, what)
    return value


def to_ranges(values: npt.NDArray[np.integer]) -> Ranges:
    """Ascending ids as ranges of consecutive ones.

    >>> to_ranges(np.array([2, 3, 4, 9]))
    ((2, 4), (9, 9))
    """
    if not len(values):
        return ()
    first, last = int(values[0]), int(values[-1])
    if last - first == len(values) - 1:
        return ((first, last),)
    cuts = np.flatnonzero(np.diff(values) != 1) + 1
    firsts = values[np.concatenate(([0], cuts))]
    lasts = values[np.concatenate((cuts, [len(values)])) - 1]
    return tuple(zip(firsts.tolist(), lasts.tolist(), strict=True))


def format_ranges(ranges: Ranges) -> str:
    """Ranges as `parse_ranges` reads them.

    >>> format_ranges(((2, 4), (9, 9)))
    '2-4,9'
    """
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)
