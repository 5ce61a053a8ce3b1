"""What static placement orders besides events: the tasks of one worker run in the queue's order.

An order of luck: another number of workers, another GPU or another version of the runtime places
tasks differently. Only the first iteration's placement is taken.
"""

from __future__ import annotations

from collections import deque
from dataclasses import field

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.event_graph import EventGraph
from mpkgraph.analysis.workers import assign_workers
from mpkgraph.frozen import dataclass
from mpkgraph.model import ids

MAX_CLOCKS = 1 << 27
"""Tasks times workers up to which chains through several workers are followed (512 MiB)."""


@dataclass(frozen=True)
class PlacementOrder:
    """Order by events and by each worker's queue together."""

    workers: IntArray = field(repr=False)
    """By task; -1 for none."""
    places: IntArray = field(repr=False)
    """By task its place in its worker's queue."""
    _clocks: npt.NDArray[np.int32] | None = field(repr=False)
    """By task and worker: how many tasks of that worker are complete when the task starts."""

    @classmethod
    def of(
        cls, events: EventGraph, num_workers: int, num_schedulers: int | None = None
    ) -> PlacementOrder:
        """Raises UsageError for a number of workers or schedulers that can't be."""
        num_tasks = len(events.dependent_nodes)
        workers = assign_workers(num_tasks, num_workers, num_schedulers)
        workers[: ids.NUM_FIXED_TASKS] = -1
        places = np.full(num_tasks, -1, dtype=np.int64)
        for worker in range(num_workers):
            mine = np.flatnonzero(workers == worker)
            places[mine] = np.arange(len(mine))
        clocks = None
        if num_tasks * num_workers <= MAX_CLOCKS:
            clocks = _clocks(events, workers, places, num_workers)
        return cls(workers, places, clocks)

    def precede(self, earlier: IntArray, later: IntArray) -> npt.NDArray[np.bool_]:
        """Whether each of `earlier` is complete before the one of `later` starts, so placed.

        In graphs too large for it only the common queue counts, not chains through others.
        """
        worker = self.workers[earlier]
        same: npt.NDArray[np.bool_] = (worker >= 0) & (worker == self.workers[later])
        same &= self.places[earlier] < self.places[later]
        if self._clocks is not None:
            same |= (worker >= 0) & (self._clocks[later, worker] > self.places[earlier])
        return same


def _clocks(
    events: EventGraph, workers: IntArray, places: IntArray, num_workers: int
) -> npt.NDArray[np.int32]:
    """Vector clocks in an order in which the tasks may run; tasks that hang keep zeros."""
    num_tasks = len(workers)
    clocks = np.zeros((num_tasks, num_workers), dtype=np.int32)
    of_event = np.zeros((events.num_nodes, num_workers), dtype=np.int32)
    pending = np.bincount(
        events.trigger_nodes[ids.NUM_FIXED_TASKS :][
            events.trigger_nodes[ids.NUM_FIXED_TASKS :] >= 0
        ],
        minlength=events.num_nodes,
    ).tolist()
    dependents, triggers = events.dependent_nodes.tolist(), events.trigger_nodes.tolist()
    worker_of, place_of = workers.tolist(), places.tolist()
    queues = [np.flatnonzero(workers == worker).tolist() for worker in range(num_workers)]
    heads = [0] * num_workers
    blocked: dict[int, list[int]] = {}
    ready = deque(range(num_workers))
    while ready:
        worker = ready.popleft()
        while heads[worker] < len(queues[worker]):
            task = queues[worker][heads[worker]]
            waits = dependents[task]
            if waits >= 0 and pending[waits]:
                blocked.setdefault(waits, []).append(worker)
                break
            clock = clocks[task]
            if heads[worker]:
                np.copyto(clock, clocks[queues[worker][heads[worker] - 1]])
                clock[worker_of[task]] = place_of[task]
            if waits >= 0:
                np.maximum(clock, of_event[waits], out=clock)
            heads[worker] += 1
            event = triggers[task]
            if event >= 0:
                row = of_event[event]
                np.maximum(row, clock, out=row)
                row[worker] = max(row[worker], place_of[task] + 1)
                pending[event] -= 1
                if not pending[event]:
                    ready.extend(blocked.pop(event, ()))
    return clocks
