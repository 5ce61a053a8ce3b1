"""Where every worker's time goes, and what each task waited for."""

from __future__ import annotations

from dataclasses import field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.schedule.system import RuntimeCosts, System
from mpkgraph.analysis.schedule.times import NEVER, Times
from mpkgraph.frozen import dataclass

CAUSES = ("worker", "scheduler", "event")
"""What a task's start waited for last: its worker's task before, its hand-out, its event."""
WORKER, SCHEDULER, EVENT = range(3)


@dataclass(frozen=True)
class Account:
    """Columns over tasks; 0 or -1 for those that do not run."""

    system: System = field(repr=False)
    runtime: RuntimeCosts
    durations: IntArray = field(repr=False)
    times: Times = field(repr=False)

    @property
    def after(self) -> int:
        """Time in ns from a task's end until its worker goes on."""
        return self.runtime.trigger_ns + self.runtime.resume_ns

    @cached_property
    def runs(self) -> npt.NDArray[np.bool_]:
        ran: npt.NDArray[np.bool_] = self.times.starts != NEVER
        return ran

    @cached_property
    def before(self) -> IntArray:
        """By task the one before it in its worker's queue; -1 for the first."""
        system = self.system
        present = np.flatnonzero(system.workers >= 0)
        order = present[np.lexsort((system.places[present], system.workers[present]))]
        found = np.full(system.num_tasks, -1, dtype=np.int64)
        same = system.workers[order[1:]] == system.workers[order[:-1]]
        found[order[1:][same]] = order[:-1][same]
        return found

    @cached_property
    def fetched(self) -> IntArray:
        """When its worker has its descriptor, were it handed out by then."""
        before = self.before
        free = np.where(before >= 0, self.times.ends[before] + self.after, 0)
        fetched: IntArray = free + self.system.fetches(self.runtime)
        return fetched

    @cached_property
    def handed(self) -> IntArray:
        return self.system.handed_out(self.runtime)

    @cached_property
    def raised(self) -> IntArray:
        """When its event was complete; 0 for a task that waits on none."""
        dependents = self.system.dependents
        return np.where(dependents >= 0, self.times.raised[dependents], 0)

    @cached_property
    def starved(self) -> IntArray:
        """Time in ns that its worker waited for a scheduler to hand it out."""
        return self._of_running(np.maximum(self.handed - self.fetched, 0))

    @cached_property
    def blocked(self) -> IntArray:
        """Time in ns that its worker then waited for its event."""
        ready = np.maximum(self.fetched, self.handed)
        return self._of_running(np.maximum(self.raised - ready, 0))

    @cached_property
    def overheads(self) -> IntArray:
        """Time in ns for its descriptor, for getting past its wait and for its trigger."""
        own = self.runtime.wait_ns + self.after
        return self._of_running(self.system.fetches(self.runtime) + own)

    @cached_property
    def causes(self) -> IntArray:
        """By task the position in `CAUSES` of what it waited for last."""
        causes = np.full(self.system.num_tasks, WORKER, dtype=np.int64)
        causes[self.handed > self.fetched] = SCHEDULER
        causes[self.raised > np.maximum(self.fetched, self.handed)] = EVENT
        return causes

    @cached_property
    def last_triggers(self) -> IntArray:
        """By node the task whose trigger made it complete (of several the lowest id); -1."""
        tasks, nodes = self._triggerings
        counted = self.times.ends[tasks] + self.runtime.trigger_ns
        counted += self.system.count_delays(self.runtime)[nodes]
        just = (counted == self.times.raised[nodes]) & self.runs[tasks]
        found = np.full(self.system.num_nodes, -1, dtype=np.int64)
        order = np.argsort(-tasks[just], kind="stable")
        found[nodes[just][order]] = tasks[just][order]
        return found

    @cached_property
    def first_counted(self) -> IntArray:
        """By node when its first trigger was counted; `NEVER` without one."""
        tasks, nodes = self._triggerings
        first = np.full(self.system.num_nodes, NEVER, dtype=np.int64)
        running = self.runs[tasks]
        np.minimum.at(
            first, nodes[running], self.times.ends[tasks[running]] + self.runtime.trigger_ns
        )
        return first

    @cached_property
    def _triggerings(self) -> tuple[IntArray, IntArray]:
        """Tasks and nodes of all triggers."""
        system = self.system
        tasks = np.flatnonzero((system.triggers >= 0) & (system.workers >= 0))
        return (
            np.concatenate((tasks, system.extra_tasks)),
            np.concatenate((system.triggers[tasks], system.extra_nodes)),
        )

    def _of_running(self, values: IntArray) -> IntArray:
        return np.where(self.runs, values, 0)

    def by_worker(self, values: IntArray) -> IntArray:
        """Sums over each worker's tasks."""
        workers = self.system.workers
        running = np.flatnonzero(self.runs & (workers >= 0))
        # Sums of whole ns stay exact below 2**53
        sums = np.bincount(
            workers[running], weights=values[running], minlength=self.system.num_all_workers
        )
        return sums.astype(np.int64)
