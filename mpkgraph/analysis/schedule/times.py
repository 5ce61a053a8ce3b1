"""Times of a simulated schedule: a column over tasks, one over events, one over workers."""

from __future__ import annotations

from dataclasses import field

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.schedule.system import System
from mpkgraph.frozen import dataclass

NEVER = np.iinfo(np.int64).max // 4
"""When an event is raised that never is; far enough from the largest integer to add to."""


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


def never_run(system: System, times: Times) -> npt.NDArray[np.bool_]:
    """Tasks that a scheduler hands out and that never start."""
    stuck: npt.NDArray[np.bool_] = (system.workers >= 0) & (times.starts == NEVER)
    return stuck
