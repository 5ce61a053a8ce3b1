"""Distinct values of a column."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

Scalar = TypeVar("Scalar", bound=np.generic)


def distinct(values: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    """Distinct values, ascending: `np.unique` without its import of numpy.ma (some 2 MB).

    >>> distinct(np.array([3, 1, 3])).tolist()
    [1, 3]
    """
    # Ids in a graph come in long ascending runs, which this kind of sort merges
    ordered = np.sort(values, kind="stable")
    first = np.ones(len(ordered), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return ordered[first]


def numbered(
    values: npt.NDArray[Scalar],
) -> tuple[npt.NDArray[Scalar], npt.NDArray[np.int64]]:
    """Distinct values, ascending, and for each value its place among them.

    >>> [column.tolist() for column in numbered(np.array([3, 1, 3]))]
    [[1, 3], [1, 0, 1]]
    """
    found = distinct(values)
    return found, np.searchsorted(found, values)
