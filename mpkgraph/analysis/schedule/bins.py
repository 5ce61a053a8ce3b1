"""A schedule at the resolution of a chart: for each worker and slice of time what it does most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.schedule.account import Account

BLOCKED = -1
"""Label of a bin in which the worker mostly waits, between tasks."""
EMPTY = -2
"""Label of a bin past the worker's last task or before its first."""


@dataclass(frozen=True)
class Runs:
    """Equal neighbouring bins of a worker joined; ascending by worker, then by bin."""

    workers: IntArray = field(repr=False)
    firsts: IntArray = field(repr=False)
    """First bin."""
    ends: IntArray = field(repr=False)
    """Past the last bin."""
    labels: IntArray = field(repr=False)
    """A position in the labels that were asked for, or `BLOCKED`."""


def find_runs(account: Account, labels: IntArray, num_labels: int, num_bins: int) -> Runs:
    """What each worker does in each of `num_bins` equal slices of the makespan.

    `labels` gives for each task what it counts as, from 0 to `num_labels`. In a bin the label (or
    waiting) that takes most of it wins; of equals the lowest.
    """
    times, workers = account.times, account.system.workers
    running = np.flatnonzero(account.runs & (workers >= 0))
    order = running[np.lexsort((times.starts[running], workers[running]))]
    edges = np.linspace(0, max(times.makespan, 1), num_bins + 1)
    bounds = np.searchsorted(workers[order], np.arange(account.system.num_all_workers + 1))
    rows = np.full((account.system.num_all_workers, num_bins), EMPTY, dtype=np.int64)
    for worker in range(account.system.num_all_workers):
        tasks = order[bounds[worker] : bounds[worker + 1]]
        if len(tasks):
            spans = (times.starts[tasks], times.ends[tasks], int(times.free[worker]))
            rows[worker] = _labels(spans, labels[tasks], num_labels, edges)
    return _joined(rows)


def _labels(
    spans: tuple[IntArray, IntArray, int],
    labels: IntArray,
    num_labels: int,
    edges: npt.NDArray[np.float64],
) -> IntArray:
    starts, ends, free = spans
    taken = np.zeros((num_labels + 1, len(edges) - 1))
    for label in np.unique(labels).tolist():
        mine = labels == label
        # Time spent on the label up to each moment, a line between the ends of its tasks
        moments = np.stack((starts[mine], ends[mine]), axis=1).ravel()
        spent = np.cumsum(ends[mine] - starts[mine])
        levels = np.stack((spent - (ends[mine] - starts[mine]), spent), axis=1).ravel()
        taken[label] = np.diff(np.interp(edges, moments, levels, left=0.0))
    inside = np.clip(np.minimum(edges[1:], free) - edges[:-1], 0, None)
    taken[num_labels] = inside - taken[:num_labels].sum(axis=0)
    best: IntArray = taken.argmax(axis=0).astype(np.int64)
    best[best == num_labels] = BLOCKED
    best[inside <= 0] = EMPTY
    return best


def _joined(rows: IntArray) -> Runs:
    changes = np.ones(rows.shape, dtype=np.bool_)
    changes[:, 1:] = rows[:, 1:] != rows[:, :-1]
    workers, firsts = np.nonzero(changes)
    num_bins = rows.shape[1]
    flat = workers * num_bins + firsts
    ends = np.append(flat[1:], rows.size) - workers * num_bins
    labels = rows[workers, firsts]
    kept = labels != EMPTY
    return Runs(workers[kept], firsts[kept], ends[kept], labels[kept])


def kinds_of(task_types: IntArray, kind_of: Sequence[int]) -> IntArray:
    """For each task the position of its kind, by the positions of distinct types."""
    distinct, inverse = np.unique(task_types, return_inverse=True)
    if len(distinct) != len(kind_of):
        raise ValueError("a kind for each distinct task type")
    return np.asarray(kind_of, dtype=np.int64)[inverse.ravel()]
