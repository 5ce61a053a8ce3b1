"""The simulation: when each task starts and ends, in whole ns.

Placement is static and queues are FIFO, so a task starts when three things have happened: its
worker is done with the one before, a scheduler has handed it out, its event is complete. In the
graphs that Mirage makes every task waits on tasks of lower ids only, and then no search is needed:
tasks are taken in runs in which none waits on another, each run in a few passes over columns.
`simulate_exactly` has no such condition: it goes through time with a heap, and tells what hangs.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.csr import Csr, IntArray
from mpkgraph.analysis.schedule.system import RuntimeCosts, System

NEVER = np.iinfo(np.int64).max // 4
"""When an event is raised that never is; far enough from the largest integer to add to."""
MAX_RUN = 1 << 16
"""Tasks taken at once at most, which bounds the memory of a pass."""
SHORT_RUN = 24
"""Runs of fewer tasks are gone through one by one: a pass over columns takes as long."""


@dataclass(frozen=True)
class Times:
    """By task, in ns; `NEVER` for one that does not run, for whatever reason."""

    starts: IntArray = field(repr=False)
    """When its kernel starts, past the wait."""
    ends: IntArray = field(repr=False)
    """When its kernel ends, before the trigger."""
    raised: IntArray = field(repr=False)
    """By node when the event is complete; 0 for one that is triggered by none and needs none."""
    free: IntArray = field(repr=False)
    """By worker when it has counted its last task; 0 for one without tasks."""

    @property
    def makespan(self) -> int:
        """When the last task that runs has been counted."""
        return int(self.free.max(initial=0))


def simulate(system: System, durations: IntArray, costs: RuntimeCosts) -> Times:
    """Times of every task, of `durations` ns each.

    By the quick way where the graph allows it, else exactly; the two agree where both apply.
    """
    barriers = find_barriers(system)
    if barriers is None:
        return simulate_exactly(system, durations, costs)
    return _simulate_runs(system, durations, costs, barriers)


def processing_order(system: System) -> IntArray:
    """Tasks that run, by id and then by rank: Mirage's order of emission, over all ranks."""
    if system.num_ranks == 1:
        return np.flatnonzero(system.workers >= 0)
    rank = np.repeat(np.arange(system.num_ranks), np.diff(system.rank_starts))
    local = np.arange(system.num_tasks) - system.rank_starts[rank]
    order = np.lexsort((rank, local))
    kept: IntArray = order[system.workers[order] >= 0]
    return kept


def find_barriers(system: System) -> IntArray | None:
    """For each place in `processing_order` the place that its task must come after; -1 for none.

    None when a task waits on one at a higher place, or on an event whose triggers are not as many
    as it needs: only a search through time tells then what runs.
    """
    order = processing_order(system)
    place = np.full(system.num_tasks, -1, dtype=np.int64)
    place[order] = np.arange(len(order))
    last = np.full(system.num_nodes, -1, dtype=np.int64)
    counts = np.zeros(system.num_nodes, dtype=np.int64)
    triggers = system.triggers[order]
    triggering = triggers >= 0
    # The last assignment wins, and places ascend
    last[triggers[triggering]] = np.flatnonzero(triggering)
    counts += np.bincount(triggers[triggering], minlength=system.num_nodes)
    if len(system.extra_tasks):
        np.maximum.at(last, system.extra_nodes, place[system.extra_tasks])
        counts += np.bincount(system.extra_nodes, minlength=system.num_nodes)
    dependents = system.dependents[order]
    waited = np.unique(dependents[dependents >= 0])
    if (counts[waited] != system.needs[waited]).any():
        return None
    barriers: IntArray = np.where(dependents >= 0, last[dependents], -1)
    if (barriers >= np.arange(len(order))).any():
        return None
    return barriers


def _simulate_runs(
    system: System, durations: IntArray, costs: RuntimeCosts, barriers: IntArray
) -> Times:
    order = processing_order(system)
    state = _State.of(system, durations, costs, order)
    highest = np.maximum.accumulate(barriers) if len(barriers) else barriers
    num_tasks, start = len(order), 0
    one_by_one = start
    while start < num_tasks:
        # The first task from here on that waits on one from here on ends the run
        end = int(np.searchsorted(highest, start))
        if end - start < SHORT_RUN and end < num_tasks:
            start = end
            continue
        for part in _parts(one_by_one, start):
            state.go_one_by_one(*part)
        for part in _parts(start, end):
            state.go_in_columns(*part)
        start = one_by_one = end
    for part in _parts(one_by_one, num_tasks):
        state.go_one_by_one(*part)
    return state.times(system)


def _parts(first: int, end: int) -> Iterator[tuple[int, int]]:
    for start in range(first, end, MAX_RUN):
        yield start, min(end, start + MAX_RUN)


@dataclass
class _State:
    """Columns in processing order, and what has come of them so far."""

    order: IntArray
    workers: IntArray
    places: IntArray
    dependents: IntArray
    triggers: IntArray
    handed: IntArray
    fetches: IntArray
    durations: IntArray
    extra_starts: IntArray
    """For each place the first of its extra triggers."""
    extra_nodes: IntArray
    costs: RuntimeCosts
    num_nodes: int
    starts: IntArray
    raised: IntArray
    """By node, so far; the entry past the end stays 0, for tasks that wait on nothing (-1)."""
    free: IntArray
    done: IntArray
    """By worker how many of its tasks are behind."""

    @classmethod
    def of(
        cls, system: System, durations: IntArray, costs: RuntimeCosts, order: IntArray
    ) -> _State:
        place = np.full(system.num_tasks, -1, dtype=np.int64)
        place[order] = np.arange(len(order))
        extra_places = place[system.extra_tasks]
        by_place = np.argsort(extra_places, kind="stable")
        return cls(
            order=order,
            workers=system.workers[order],
            places=system.places[order],
            dependents=system.dependents[order],
            triggers=system.triggers[order],
            handed=system.handed_out(costs)[order],
            fetches=system.fetches(costs)[order],
            durations=durations[order],
            extra_starts=np.searchsorted(extra_places[by_place], np.arange(len(order) + 1)),
            extra_nodes=system.extra_nodes[by_place],
            costs=costs,
            num_nodes=system.num_nodes,
            starts=np.zeros(len(order), dtype=np.int64),
            raised=np.zeros(system.num_nodes + 1, dtype=np.int64),
            free=np.zeros(system.num_all_workers, dtype=np.int64),
            done=np.zeros(system.num_all_workers, dtype=np.int64),
        )

    def go_in_columns(self, first: int, end: int) -> None:
        """The tasks of places [first, end), none of which waits on another of them."""
        part = slice(first, end)
        workers, durations, fetches = self.workers[part], self.durations[part], self.fetches[part]
        wait, trigger = self.costs.wait_ns, self.costs.trigger_ns
        ready = np.maximum(self.handed[part], self.raised[self.dependents[part]])
        rows = self.places[part] - self.done[workers]
        num_rows = int(rows.max()) + 1
        if num_rows == 1:
            starts = np.maximum(self.free[workers] + fetches, ready) + wait
            self.free[workers] = starts + durations + trigger
        else:
            starts = self._in_rows(rows, num_rows, workers, ready, durations, fetches)
        self.starts[part] = starts
        # The last assignment wins, and the places of a worker ascend
        self.done[workers] = self.places[part] + 1
        counted = starts + durations
        counted += trigger
        triggers = self.triggers[part]
        np.maximum.at(self.raised, triggers, np.where(triggers < 0, 0, counted))
        extra = slice(*self.extra_starts[[first, end]].tolist())
        if extra.stop > extra.start:
            sizes = np.diff(self.extra_starts[first : end + 1])
            np.maximum.at(self.raised, self.extra_nodes[extra], np.repeat(counted, sizes))

    def _in_rows(
        self,
        rows: IntArray,
        num_rows: int,
        workers: IntArray,
        ready: IntArray,
        durations: IntArray,
        fetches: IntArray,
    ) -> IntArray:
        """Starts where workers run several of the tasks; also moves `free` on.

        After the k-th, a worker is free at max(free + A_1 + ... + A_k, R_j + A_j' + ... + A_k for
        all j <= k): by running sums and running maxima along each worker's column.
        """
        wait, trigger = self.costs.wait_ns, self.costs.trigger_ns
        columns, of_column = np.arange(len(self.free)), workers
        if num_rows * len(columns) > 4 * len(workers):
            columns, of_column = np.unique(workers, return_inverse=True)
        cells = rows * len(columns) + of_column
        size = num_rows * len(columns)
        work = np.zeros(size, dtype=np.int64)
        floor = np.full(size, -NEVER, dtype=np.int64)
        own = durations + (wait + trigger)
        work[cells] = own + fetches
        floor[cells] = ready + own
        sums = np.cumsum(work.reshape(num_rows, -1), axis=0)
        best = floor.reshape(num_rows, -1) - sums
        np.maximum(best[0], self.free[columns], out=best[0])
        np.maximum.accumulate(best, axis=0, out=best)
        best += sums
        self.free[columns] = best[-1]
        starts: IntArray = best.ravel()[cells] - (durations + trigger)
        return starts

    def go_one_by_one(self, first: int, end: int) -> None:
        """The tasks of places [first, end), in order."""
        wait, trigger_ns = self.costs.wait_ns, self.costs.trigger_ns
        part = slice(first, end)
        starts: list[int] = []
        workers = self.workers[part].tolist()
        has_extra = bool(len(self.extra_nodes))
        touched = sorted(set(workers))
        free = dict(zip(touched, self.free[touched].tolist(), strict=True))
        raised = self.raised
        fresh: dict[int, int] = {}
        rows = zip(
            workers,
            self.dependents[part].tolist(),
            self.triggers[part].tolist(),
            self.handed[part].tolist(),
            self.fetches[part].tolist(),
            self.durations[part].tolist(),
            strict=True,
        )
        for at, (worker, waits, event, handed, fetch, duration) in enumerate(rows, first):
            ready = free[worker] + fetch
            ready = max(ready, handed)
            if waits >= 0:
                up = fresh.get(waits)
                if up is None:
                    up = int(raised[waits])
                ready = max(ready, up)
            ready += wait
            starts.append(ready)
            ready += duration + trigger_ns
            free[worker] = ready
            if event >= 0 and ready > fresh.get(event, -1):
                fresh[event] = ready
            if has_extra:
                for node in self.extra_nodes[
                    self.extra_starts[at] : self.extra_starts[at + 1]
                ].tolist():
                    if ready > fresh.get(node, -1):
                        fresh[node] = ready
        self.starts[part] = starts
        self.free[touched] = [free[worker] for worker in touched]
        self.done[self.workers[part]] = self.places[part] + 1
        nodes = np.fromiter(fresh, dtype=np.int64, count=len(fresh))
        times = np.fromiter(fresh.values(), dtype=np.int64, count=len(fresh))
        raised[nodes] = np.maximum(raised[nodes], times)

    def times(self, system: System) -> Times:
        starts = np.full(system.num_tasks, NEVER, dtype=np.int64)
        ends = starts.copy()
        starts[self.order] = self.starts
        ends[self.order] = self.starts + self.durations
        raised = self.raised[: self.num_nodes].copy()
        _settle_others(system, raised, ends + self.costs.trigger_ns)
        return Times(starts, ends, raised, self.free)


def _settle_others(system: System, raised: IntArray, counted: IntArray) -> None:
    """Corrects events that nobody waits on and that have too few triggers, or too many."""
    triggering = (system.triggers >= 0) & (system.workers >= 0)
    counts = np.bincount(system.triggers[triggering], minlength=system.num_nodes)
    counts += np.bincount(system.extra_nodes, minlength=system.num_nodes)
    raised[counts < system.needs] = NEVER
    for node in np.flatnonzero(counts > system.needs).tolist():
        need = int(system.needs[node])
        mine = np.sort(counted[triggering & (system.triggers == node)])
        raised[node] = mine[need - 1] if need > 0 else 0


def simulate_exactly(system: System, durations: IntArray, costs: RuntimeCosts) -> Times:
    """Times by going through time, one end of a task after the other, on any graph.

    An event is complete at the trigger that makes its count; further ones change nothing.
    """
    num_tasks, num_nodes = system.num_tasks, system.num_nodes
    starts, ends = [NEVER] * num_tasks, [NEVER] * num_tasks
    missing = system.needs.tolist()
    raised = [0 if need <= 0 else NEVER for need in missing]
    free = [0] * system.num_all_workers
    queues = Csr.group(system.workers, system.num_all_workers)
    queue = [queues.row(worker).tolist() for worker in range(system.num_all_workers)]
    heads = [0] * system.num_all_workers
    extra: dict[int, list[int]] = {}
    for task, node in zip(system.extra_tasks.tolist(), system.extra_nodes.tolist(), strict=True):
        extra.setdefault(task, []).append(node)
    dependents, triggers = system.dependents.tolist(), system.triggers.tolist()
    handed = system.handed_out(costs).tolist()
    fetches, length = system.fetches(costs).tolist(), durations.tolist()
    blocked: dict[int, list[int]] = {}
    counted: list[tuple[int, int]] = []

    def begin(worker: int) -> None:
        """Starts the head of a queue, or leaves the worker waiting."""
        if heads[worker] == len(queue[worker]):
            return
        task = queue[worker][heads[worker]]
        waits = dependents[task]
        ready = max(free[worker] + fetches[task], handed[task])
        if waits >= 0:
            if raised[waits] == NEVER:
                blocked.setdefault(waits, []).append(worker)
                return
            ready = max(ready, raised[waits])
        heads[worker] += 1
        starts[task] = ready + costs.wait_ns
        ends[task] = starts[task] + length[task]
        free[worker] = ends[task] + costs.trigger_ns
        heapq.heappush(counted, (free[worker], task))

    for worker in range(system.num_all_workers):
        begin(worker)
    workers = system.workers.tolist()
    while counted:
        now, task = heapq.heappop(counted)
        nodes = extra.get(task, [])
        if triggers[task] >= 0:
            nodes = [triggers[task], *nodes]
        for node in nodes:
            missing[node] -= 1
            if missing[node] == 0:
                raised[node] = now
                for worker in blocked.pop(node, ()):
                    begin(worker)
        begin(workers[task])
    return Times(
        np.array(starts, dtype=np.int64),
        np.array(ends, dtype=np.int64),
        np.array(raised, dtype=np.int64).reshape(num_nodes),
        np.array(free, dtype=np.int64),
    )


def never_run(system: System, times: Times) -> npt.NDArray[np.bool_]:
    """Tasks that a scheduler hands out and that never start."""
    stuck: npt.NDArray[np.bool_] = (system.workers >= 0) & (times.starts == NEVER)
    return stuck
