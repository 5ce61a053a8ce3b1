"""The simulation of any graph: through time, one end of a task after the other, with a heap."""

from __future__ import annotations

import heapq

import numpy as np

from mpkgraph.analysis.csr import Csr, IntArray
from mpkgraph.analysis.schedule.system import RuntimeCosts, System
from mpkgraph.analysis.schedule.times import NEVER, Times


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
    delays = system.count_delays(costs).tolist()
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
        free[worker] = ends[task] + costs.trigger_ns + costs.resume_ns
        heapq.heappush(counted, (ends[task] + costs.trigger_ns, task))

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
                raised[node] = now + delays[node]
                for worker in blocked.pop(node, ()):
                    begin(worker)
        begin(workers[task])
    return Times(
        np.array(starts, dtype=np.int64),
        np.array(ends, dtype=np.int64),
        np.array(raised, dtype=np.int64).reshape(num_nodes),
        np.array(free, dtype=np.int64),
    )
