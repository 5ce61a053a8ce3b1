"""The simulation of graphs in which every task waits on tasks of lower ids only: no search.

Tasks are taken in runs in which none waits on another, each run in a few passes over columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.schedule.system import RuntimeCosts, System
from mpkgraph.analysis.schedule.times import NEVER, Times

MAX_RUN = 1 << 16
"""Tasks taken at once at most, which bounds the memory of a pass."""
SHORT_RUN = 24
"""Runs of fewer tasks are gone through one by one: a pass over columns takes as long."""


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


def simulate_runs(
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
    """By node its last trigger so far; past the end 0, for tasks that wait on none."""
    delays: IntArray
    """By node what comes on top of that; 0 past the end."""
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
            delays=np.append(system.count_delays(costs), 0),
            free=np.zeros(system.num_all_workers, dtype=np.int64),
            done=np.zeros(system.num_all_workers, dtype=np.int64),
        )

    def go_in_columns(self, first: int, end: int) -> None:
        """The tasks of places [first, end), none of which waits on another of them."""
        part = slice(first, end)
        workers, durations, fetches = self.workers[part], self.durations[part], self.fetches[part]
        wait, trigger = self.costs.wait_ns, self.costs.trigger_ns
        dependents = self.dependents[part]
        ready = np.maximum(self.handed[part], self.raised[dependents] + self.delays[dependents])
        rows = self.places[part] - self.done[workers]
        num_rows = int(rows.max()) + 1
        if num_rows == 1:
            starts = np.maximum(self.free[workers] + fetches, ready) + wait
            self.free[workers] = starts + durations + (trigger + self.costs.resume_ns)
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
        wait, after = self.costs.wait_ns, self.costs.trigger_ns + self.costs.resume_ns
        columns, of_column = np.arange(len(self.free)), workers
        if num_rows * len(columns) > 4 * len(workers):
            columns, of_column = np.unique(workers, return_inverse=True)
        cells = rows * len(columns) + of_column
        size = num_rows * len(columns)
        work = np.zeros(size, dtype=np.int64)
        floor = np.full(size, -NEVER, dtype=np.int64)
        own = durations + (wait + after)
        work[cells] = own + fetches
        floor[cells] = ready + own
        sums = np.cumsum(work.reshape(num_rows, -1), axis=0)
        best = floor.reshape(num_rows, -1) - sums
        np.maximum(best[0], self.free[columns], out=best[0])
        np.maximum.accumulate(best, axis=0, out=best)
        best += sums
        self.free[columns] = best[-1]
        starts: IntArray = best.ravel()[cells] - (durations + after)
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
        resume_ns = self.costs.resume_ns
        raised, delays = self.raised, self.delays
        fresh: dict[int, int] = {}

        def note(node: int, counted: int) -> None:
            before = fresh.get(node)
            fresh[node] = max(counted, int(raised[node]) if before is None else before)

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
                ready = max(ready, up + int(delays[waits]))
            ready += wait
            starts.append(ready)
            counted = ready + duration + trigger_ns
            free[worker] = counted + resume_ns
            if event >= 0:
                note(event, counted)
            if has_extra:
                for node in self.extra_nodes[
                    self.extra_starts[at] : self.extra_starts[at + 1]
                ].tolist():
                    note(node, counted)
        self.starts[part] = starts
        self.free[touched] = [free[worker] for worker in touched]
        self.done[self.workers[part]] = self.places[part] + 1
        nodes = np.fromiter(fresh, dtype=np.int64, count=len(fresh))
        times = np.fromiter(fresh.values(), dtype=np.int64, count=len(fresh))
        raised[nodes] = times

    def times(self, system: System) -> Times:
        starts = np.full(system.num_tasks, NEVER, dtype=np.int64)
        ends = starts.copy()
        starts[self.order] = self.starts
        ends[self.order] = self.starts + self.durations
        raised = (self.raised + self.delays)[: self.num_nodes]
        _settle_others(system, raised, ends + self.costs.trigger_ns, self.delays)
        return Times(starts, ends, raised, self.free)


def _settle_others(system: System, raised: IntArray, counted: IntArray, delays: IntArray) -> None:
    """Corrects events that nobody waits on and that have too few triggers, or too many."""
    triggering = (system.triggers >= 0) & (system.workers >= 0)
    counts = np.bincount(system.triggers[triggering], minlength=system.num_nodes)
    counts += np.bincount(system.extra_nodes, minlength=system.num_nodes)
    raised[counts < system.needs] = NEVER
    for node in np.flatnonzero(counts > system.needs).tolist():
        need = int(system.needs[node])
        mine = np.sort(counted[triggering & (system.triggers == node)])
        raised[node] = mine[need - 1] + delays[node] if need > 0 else 0
