"""What no order of the same tasks can beat."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.schedule.simulate import simulate
from mpkgraph.analysis.schedule.system import RuntimeCosts, System
from mpkgraph.frozen import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """In ns; the makespan is at least the largest of them."""

    work_ns: int
    """All workers busy all the time: kernels, waits and triggers over the number of workers."""
    path_ns: int
    """The longest chain of events, were there a worker for every task."""
    hand_out_ns: int
    """The last hand-out of the schedulers and the task that it hands out."""

    @property
    def largest(self) -> str:
        """Which one it is."""
        names = {"work": self.work_ns, "path": self.path_ns, "hand-out": self.hand_out_ns}
        return max(names, key=lambda name: names[name])

    def to_json(self) -> dict[str, Any]:
        return {
            "work_ns": self.work_ns,
            "path_ns": self.path_ns,
            "hand_out_ns": self.hand_out_ns,
            "largest": self.largest,
        }


def lower_bounds(system: System, durations: IntArray, runtime: RuntimeCosts) -> Bounds:
    """Bounds of a system, whether or not its placement lets it run."""
    running = system.workers >= 0
    own = runtime.wait_ns + runtime.trigger_ns + runtime.resume_ns
    total = int(durations[running].sum()) + own * int(running.sum())
    handed = system.handed_out(runtime)[running] + durations[running] + own
    return Bounds(
        work_ns=-(-total // max(system.num_all_workers, 1)),
        path_ns=_unlimited(system, durations, runtime),
        hand_out_ns=int(handed.max(initial=0)),
    )


def _unlimited(system: System, durations: IntArray, runtime: RuntimeCosts) -> int:
    """The makespan with a worker for every task, which has its task from the start."""
    running = system.workers >= 0
    free = replace(
        system,
        num_workers=-(-system.num_tasks // system.num_ranks),
        workers=np.where(running, np.arange(system.num_tasks), -1),
        places=np.where(running, 0, -1),
        turns=np.where(running, 0, -1),
    )
    costs = replace(runtime, hand_out_ns=0, fetch_ns=0)
    return simulate(free, durations, costs).makespan
