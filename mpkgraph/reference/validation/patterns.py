"""Where something is wrong, in words: rows, columns, every second group, grid positions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

BoolArray = npt.NDArray[np.bool_]

MOSTLY = 0.5
"""A set of rows and columns names a pattern when at least so many of its elements are wrong: by
chance some values come out right."""
GAPLESS = 0.9
"""Indices are taken for a range when at least so many of it are there."""
ORDINALS = {2: "second", 3: "third", 4: "fourth", 5: "fifth", 6: "sixth", 8: "eighth"}
AXES = ("x", "y", "z")


def element_pattern(wrong: BoolArray) -> str:
    """Which elements of a tensor are wrong.

    >>> mask = np.zeros((8, 4096), dtype=bool); mask[:, 4080:] = True
    >>> element_pattern(mask)
    'columns from 4080 on'
    >>> mask[:] = False; mask[6:] = True
    >>> element_pattern(mask)
    'rows from 6 on'
    """
    if not wrong.any():
        return "nothing"
    if wrong.all():
        return "everything"
    kept = [np.flatnonzero(_along(wrong, dim)) for dim in range(wrong.ndim)]
    share = wrong.sum() / float(np.prod([len(x) for x in kept], dtype=np.float64))
    kept = [_without_gaps(x) for x in kept]
    parts = [
        set_pattern(x, wrong.shape[dim], _dim_name(dim, wrong.ndim))
        for dim, x in enumerate(kept)
        if len(x) < wrong.shape[dim]
    ]
    scattered = "" if share >= MOSTLY else f", {share:.1%} of the elements there"
    if not parts:
        return "everywhere" + scattered if scattered else "nearly everything"
    return " in ".join(reversed(parts)) + scattered


def _without_gaps(indices: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """A range with a few gaps, where a value came out right by chance, as the range."""
    low, high = int(indices[0]), int(indices[-1])
    if len(indices) < GAPLESS * (high - low + 1):
        return indices
    return np.arange(low, high + 1)


def tile_pattern(points: npt.NDArray[np.int64], wrong: BoolArray, grid: Sequence[int]) -> str:
    """Which tasks of an operator are concerned, by grid position.

    >>> points = np.stack([np.arange(64), np.zeros(64, int), np.zeros(64, int)], axis=1)
    >>> tile_pattern(points, np.arange(64) >= 32, (64, 1, 1))
    'grid x >= 32'
    """
    if wrong.all():
        return "all tasks"
    bad = points[wrong]
    kept = [np.unique(bad[:, axis]) for axis in range(3)]
    parts = [
        set_pattern(x, grid[axis], AXES[axis], is_axis=True)
        for axis, x in enumerate(kept)
        if len(x) < grid[axis]
    ]
    product = int(np.prod([len(x) for x in kept]))
    inside = np.ones(len(points), dtype=np.bool_)
    for axis in range(3):
        inside &= np.isin(points[:, axis], kept[axis])
    text = "grid " + " and ".join(parts) if parts else f"{int(wrong.sum())} of {len(wrong)} tasks"
    missing = int(inside.sum()) - int(wrong.sum())
    if parts and missing > 0 and product:
        text += f", but for {missing} of {int(inside.sum())} tasks there"
    return text


def set_pattern(
    indices: npt.NDArray[np.int64], size: int, name: str, *, is_axis: bool = False
) -> str:
    """A set of indices below `size`, sorted.

    >>> set_pattern(np.array([1, 3, 5, 7]), 8, "row")
    'every second row from 1'
    >>> set_pattern(np.arange(16).reshape(4, 4)[1::2].ravel(), 16, "column")
    'every second group of 4 columns from 4'
    >>> set_pattern(np.array([5]), 8, "row"), set_pattern(np.array([2, 3]), 8, "row")
    ('row 5', 'rows 2 to 3')
    """
    low, high = int(indices[0]), int(indices[-1])
    if len(indices) == size:
        return f"all {name}" if is_axis else f"all {name}s"
    if len(indices) == 1:
        return f"{name} = {low}" if is_axis else f"{name} {low}"
    if len(indices) == high - low + 1:
        if is_axis:
            return _axis_range(name, low, high, size)
        if high == size - 1:
            return f"{name}s from {low} on"
        return f"{name}s before {high + 1}" if low == 0 else f"{name}s {low} to {high}"
    repeated = _repeated(indices, size)
    if repeated is not None:
        period, group, start = repeated
        nth = ORDINALS.get(period // group, f"{period // group}th")
        what = name if group == 1 else f"group of {group} {name}s"
        return f"every {nth} {what} from {start}"
    shown = ", ".join(map(str, indices[:6].tolist()))
    more = "" if len(indices) <= 6 else f", ... ({len(indices)} of {size})"
    return f"{name} in {shown}{more}" if is_axis else f"{name}s {shown}{more}"


def _axis_range(name: str, low: int, high: int, size: int) -> str:
    if high == size - 1:
        return f"{name} >= {low}"
    return f"{name} <= {high}" if low == 0 else f"{low} <= {name} <= {high}"


def _repeated(indices: npt.NDArray[np.int64], size: int) -> tuple[int, int, int] | None:
    """(period, group, first) of groups that repeat through to the end; None for no such thing."""
    gaps = np.flatnonzero(np.diff(indices) > 1)
    group = int(gaps[0]) + 1
    start = int(indices[0])
    if len(gaps) < 1 or len(indices) <= group:
        return None
    period = int(indices[group]) - start
    if period <= group or period % group or start >= period:
        return None
    expected = np.arange(size)
    wanted = expected[(expected >= start) & ((expected - start) % period < group)]
    return (period, group, start) if np.array_equal(wanted, indices) else None


def _along(wrong: BoolArray, dim: int) -> BoolArray:
    axes = tuple(x for x in range(wrong.ndim) if x != dim)
    found: BoolArray = np.asarray(wrong.any(axis=axes), dtype=np.bool_)
    return found


def _dim_name(dim: int, num_dims: int) -> str:
    if num_dims == 1:
        return "element"
    if dim == num_dims - 1:
        return "column"
    return "row" if dim == num_dims - 2 else f"index of dim {dim} "
