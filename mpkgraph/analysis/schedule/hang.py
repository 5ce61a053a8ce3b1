"""Why some tasks never run: an event that too few tasks trigger, or queues that wait in a ring."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mpkgraph.analysis.csr import Csr
from mpkgraph.analysis.schedule.system import System
from mpkgraph.analysis.schedule.times import NEVER, Times, never_run
from mpkgraph.frozen import dataclass

MAX_CHAIN = 64
"""Workers of one explanation at most; a ring has at most as many as there are workers."""


@dataclass(frozen=True, slots=True)
class BlockedWorker:
    """A worker that waits for ever at the head of its queue."""

    worker: int
    task: int
    node: int
    """The event that it waits on."""
    num_counted: int
    """Triggers that have come."""
    num_needed: int
    num_triggering: int
    """Tasks that trigger the event at all."""
    missing_task: int
    """One of them that has not run, which the explanation follows; -1 when all have."""

    @property
    def is_short(self) -> bool:
        """Whether the event would not be complete even if all tasks ran."""
        return self.num_triggering < self.num_needed

    def to_json(self, event: dict[str, Any], name: Callable[[int], Any]) -> dict[str, Any]:
        return {
            "worker": self.worker,
            "task": name(self.task),
            "event": event,
            "num_counted": self.num_counted,
            "num_needed": self.num_needed,
            "num_triggering": self.num_triggering,
            "missing_task": None if self.missing_task < 0 else name(self.missing_task),
        }


@dataclass(frozen=True, slots=True)
class Hang:
    """Why the schedule does not end."""

    num_never_run: int
    num_blocked_workers: int
    chain: tuple[BlockedWorker, ...]
    """Each waits for a task that is queued behind the head of the next."""
    is_ring: bool
    """Whether the last waits for one queued behind an earlier one of the chain: a deadlock of
    queues. Else the last waits on an event that can't be complete."""


def find_hang(system: System, times: Times) -> Hang | None:
    """The first chain of waits that has no end; None when every task runs."""
    stuck = never_run(system, times)
    if not stuck.any():
        return None
    candidates = np.flatnonzero(stuck)
    order = candidates[np.lexsort((system.places[candidates], system.workers[candidates]))]
    owners = system.workers[order]
    firsts = np.r_[True, owners[1:] != owners[:-1]]
    heads = dict(zip(owners[firsts].tolist(), order[firsts].tolist(), strict=True))
    triggering = np.where(system.workers >= 0, system.triggers, -1)
    rows = Csr.group(triggering, system.num_nodes)
    extra: dict[int, list[int]] = {}
    for task, node in zip(system.extra_tasks.tolist(), system.extra_nodes.tolist(), strict=True):
        extra.setdefault(node, []).append(task)
    # A worker whose event lacks triggers explains more than one that waits for such a worker
    chain: list[BlockedWorker] = []
    seen: dict[int, int] = {}
    worker = _first(system, heads, rows, extra)
    while worker not in seen and len(chain) < MAX_CHAIN:
        seen[worker] = len(chain)
        task = heads[worker]
        node = int(system.dependents[task])
        tasks = np.array([*rows.row(node).tolist(), *extra.get(node, [])], dtype=np.int64)
        ran = times.starts[tasks] != NEVER
        waiting = tasks[~ran]
        missing = int(waiting[0]) if len(waiting) else -1
        chain.append(
            BlockedWorker(
                worker, task, node, int(ran.sum()), int(system.needs[node]), len(tasks), missing
            )
        )
        if chain[-1].is_short or missing < 0:
            return Hang(len(candidates), len(heads), tuple(chain), is_ring=False)
        worker = int(system.workers[missing])
    first = seen.get(worker, 0)
    return Hang(len(candidates), len(heads), tuple(chain[first:]), is_ring=worker in seen)


def _first(system: System, heads: dict[int, int], rows: Csr, extra: dict[int, list[int]]) -> int:
    for worker, task in heads.items():
        node = int(system.dependents[task])
        if len(rows.row(node)) + len(extra.get(node, [])) < system.needs[node]:
            return worker
    return next(iter(heads))
