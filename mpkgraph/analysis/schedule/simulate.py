"""The simulation: when each task starts and ends, in whole ns.

Placement is static and queues are FIFO, so a task starts when three things have happened: its
worker is done with the one before, a scheduler has handed it out, its event is complete. In the
graphs that Mirage makes every task waits on tasks of lower ids only, and then no search is needed
(`runs`); `exact` has no such condition, and tells what hangs.
"""

from __future__ import annotations

from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.schedule.exact import simulate_exactly
from mpkgraph.analysis.schedule.runs import find_barriers, simulate_runs
from mpkgraph.analysis.schedule.system import RuntimeCosts, System
from mpkgraph.analysis.schedule.times import Times


def simulate(system: System, durations: IntArray, costs: RuntimeCosts) -> Times:
    """Times of every task, of `durations` ns each.

    By the quick way where the graph allows it, else exactly; the two agree where both apply.
    """
    barriers = find_barriers(system)
    if barriers is None:
        return simulate_exactly(system, durations, costs)
    return simulate_runs(system, durations, costs, barriers)
