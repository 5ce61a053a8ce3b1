"""What a slice of a trace says of its task, and which tasks each task lets go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.schedule.operators import task_owners
from mpkgraph.analysis.schedule.result import Schedule


@dataclass
class SliceFacts:
    """Columns over tasks that slices show."""

    schedule: Schedule
    owners: IntArray
    local_owners: IntArray
    owner_names: Sequence[str]
    local_ids: IntArray
    dependents: IntArray
    triggers: IntArray
    came_last: IntArray
    """By task the one whose trigger completed its event; -1 for none."""
    types: IntArray
    _waiting: IntArray
    _waiting_starts: IntArray
    _kinds: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, schedule: Schedule) -> SliceFacts:
        account, contexts = schedule.account, schedule.contexts
        system = account.system
        owners, starts = task_owners(contexts)
        sizes = np.diff(starts)
        columns = [context.graph.tasks for context in contexts]
        safe = np.where(system.dependents >= 0, system.dependents, 0)
        came_last = np.where(
            (system.dependents >= 0) & account.runs, account.last_triggers[safe], -1
        )
        waiting = np.flatnonzero(came_last >= 0)
        by_producer = waiting[np.argsort(came_last[waiting], kind="stable")]
        return cls(
            schedule,
            owners,
            np.concatenate([np.arange(size) for size in sizes]),
            [name for context in contexts for name in context.operator_names],
            np.concatenate([np.arange(len(x)) for x in columns]),
            np.concatenate([x.dependent_indices for x in columns]),
            np.concatenate([x.trigger_indices for x in columns]),
            came_last,
            np.concatenate([x.task_types for x in columns]),
            by_producer,
            np.searchsorted(came_last[by_producer], np.arange(system.num_tasks + 1)),
        )

    def flows_from(self, task: int) -> list[int]:
        """Ids of the flows that start at a task: those of the tasks that it lets go, plus 1."""
        start, end = self._waiting_starts[task], self._waiting_starts[task + 1]
        if start == end:
            return []
        found: list[int] = (self._waiting[start:end] + 1).tolist()
        return found

    def kind(self, task: int) -> str:
        task_type = int(self.types[task])
        if task_type not in self._kinds:
            catalog = self.schedule.contexts[0].catalog
            self._kinds[task_type] = catalog.task_type_row(task_type).kind
        return self._kinds[task_type]
