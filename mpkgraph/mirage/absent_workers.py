"""Workers that never started: found in the event counters of a launch that hangs.

Mirage's workers wait for each other's tasks, so all of them have to be on the GPU at once. Each
takes the shared memory of an SM. Its schedulers are another kernel, on another stream, and both
wait for the same event: on a GPU that is still busy the schedulers may be placed first, an SM that
is set up for them has no room for a worker, and the last workers wait for ever for a place. (On an
H100 with 132 SMs, 128 workers and 16 schedulers: the last 12.)
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.execution.tasks import NOTHING, RankedTasks
from mpkgraph.catalog import EVENT_LAUNCH_DEPENDENT_TASKS
from mpkgraph.model.graph import TaskGraph


def absent_workers(
    graph: TaskGraph,
    counted: npt.NDArray[np.int64],
    num_workers: int | None,
    num_schedulers: int | None,
) -> range | None:
    """The last workers, if their tasks are just those that are missing in the counters.

    Tasks that are launched as dependent are dealt out to workers in turn. None when another set of
    tasks is missing, when more workers would be absent than schedulers could displace, and when
    numbers of workers and schedulers aren't known.
    """
    tasks = RankedTasks.of([graph])
    ready = _could_run(tasks, counted)
    workers = _workers(graph, num_workers)
    if workers is None or not num_workers or not num_schedulers:
        return None
    triggering = ready & (tasks.triggers != NOTHING)
    dealt = np.bincount(tasks.triggers[triggering], minlength=graph.num_events)
    missing = dealt - counted
    for first in range(max(1, num_workers - num_schedulers), num_workers):
        late = triggering & (workers >= first)
        theirs = np.bincount(tasks.triggers[late], minlength=graph.num_events)
        if theirs.any() and np.array_equal(theirs, missing):
            return range(first, num_workers)
    return None


def _could_run(tasks: RankedTasks, counted: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    complete = counted >= tasks.needed
    ready: npt.NDArray[np.bool_] = tasks.is_run.copy()
    waits = tasks.dependents != NOTHING
    np.logical_and(ready, ~waits | complete[tasks.dependents], out=ready)
    return ready


def _workers(graph: TaskGraph, num_workers: int | None) -> npt.NDArray[np.int64] | None:
    """By task its worker; -1 where it is not known. None unless one event deals tasks out."""
    found = np.flatnonzero(graph.events.event_types == EVENT_LAUNCH_DEPENDENT_TASKS)
    if len(found) != 1 or not num_workers:
        return None
    first, last = (
        int(x[found[0]]) for x in (graph.events.first_task_ids, graph.events.last_task_ids)
    )
    workers = np.full(graph.num_tasks, -1, dtype=np.int64)
    workers[first:last] = np.arange(last - first) % num_workers
    return workers
