"""A profile's slices joined to tasks: by worker, then by position in the worker's queue."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.cost.profile import Profile
from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.schedule.run import MeasuredTimes
from mpkgraph.analysis.schedule.system import System, build_system
from mpkgraph.catalog import Catalog
from mpkgraph.errors import UsageError

BEGIN_TYPE = 10
"""TASK_BEGIN_TASK_GRAPH: the first slice of the worker that runs it."""


def join_profile(
    profile: Profile,
    context: GraphContext,
    num_schedulers: int | None = None,
    *,
    likely: int | None = None,
) -> tuple[MeasuredTimes, int]:
    """Measured times of the first iteration's tasks, and the number of schedulers it ran with.

    That number decides who runs what, and no profile tells it: of all that are possible (or of the
    one given) the first is taken, `likely` before others, with which the types of all slices are
    those of the tasks.

    Raises UsageError when there is none: the profile is of another graph or placement.
    """
    num_workers = profile.num_workers
    mismatch = ""
    for schedulers in _candidates(num_workers, num_schedulers, likely):
        system = build_system([context.graph], num_workers, schedulers)
        tasks, slices = _joined(profile, system)
        types = context.graph.tasks.task_types[tasks]
        wrong = np.flatnonzero(types != profile.task_types[slices])
        if not len(wrong) and len(tasks):
            starts = np.zeros(context.graph.num_tasks, dtype=np.int64)
            ends = starts.copy()
            starts[tasks], ends[tasks] = profile.starts[slices], profile.ends[slices]
            known = np.sort(tasks)
            return MeasuredTimes(profile.path, num_workers, starts, ends, known), schedulers
        if not mismatch and len(wrong):
            mismatch = _mismatch(
                profile, system, int(tasks[wrong[0]]), int(slices[wrong[0]]), context.catalog
            )
    raise UsageError(
        f"the profile is not of this graph: {mismatch or 'no slice belongs to a task'}",
        where=profile.path,
        remedy="Give the profile of this graph, and --schedulers as it ran",
    )


def _candidates(num_workers: int, given: int | None, likely: int | None) -> Iterator[int]:
    """Numbers of schedulers that place tasks differently: only the first block's size counts."""
    if given is not None:
        yield given
        return
    seen = set()
    first = [] if likely is None or likely > num_workers else [likely]
    for schedulers in (*first, *range(1, num_workers + 1)):
        block = -(-num_workers // schedulers)
        if block not in seen:
            seen.add(block)
            yield schedulers


def _joined(profile: Profile, system: System) -> tuple[IntArray, IntArray]:
    """Tasks and the positions of their slices, worker by worker, as far as both go."""
    running = np.flatnonzero(system.workers >= 0)
    order = running[np.lexsort((system.places[running], system.workers[running]))]
    tasks, slices = [], []
    task_bounds = np.searchsorted(system.workers[order], np.arange(system.num_workers + 1))
    slice_bounds = np.searchsorted(profile.workers, np.arange(system.num_workers + 1))
    for worker in range(system.num_workers):
        mine = order[task_bounds[worker] : task_bounds[worker + 1]]
        first, end = slice_bounds[worker : worker + 2].tolist()
        if first < end and profile.task_types[first] == BEGIN_TYPE:
            first += 1
        size = min(len(mine), end - first)
        tasks.append(mine[:size])
        slices.append(np.arange(first, first + size))
    return np.concatenate(tasks), np.concatenate(slices)


def _mismatch(profile: Profile, system: System, task: int, place: int, catalog: Catalog) -> str:
    found = catalog.task_type_name(int(profile.task_types[place]))
    return (
        f"worker {int(system.workers[task])} ran {found} where task {task} is at place "
        f"{int(system.places[task])} of its queue"
    )
