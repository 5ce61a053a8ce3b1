"""Many tasks in few words: ranges of ids under the operator that they belong to."""

from __future__ import annotations

from typing import Any

import numpy as np

from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.ranges import Ranges, format_ranges, to_ranges
from mpkgraph.frozen import dataclass
from mpkgraph.model.distinct import distinct


@dataclass(frozen=True, slots=True)
class TaskGroup:
    """Tasks of one operator."""

    operator: int | None
    """Index of the operator; None for tasks of no operator (begin, terminate)."""
    name: str
    """The operator's name, else the task type's."""
    ranges: Ranges

    @property
    def num_tasks(self) -> int:
        return sum(last - first + 1 for first, last in self.ranges)

    def __str__(self) -> str:
        return f"{format_ranges(self.ranges)} ({self.name})"

    def to_json(self) -> dict[str, Any]:
        return {
            "operator": self.operator,
            "name": self.name,
            "num_tasks": self.num_tasks,
            "task_ids": format_ranges(self.ranges),
        }


def group_tasks(context: GraphContext, task_ids: IntArray) -> tuple[TaskGroup, ...]:
    """Tasks (ascending) by operator, those of no operator first and by task type."""
    if not len(task_ids):
        return ()
    owners = context.operators.owners(task_ids).astype(np.int64)
    # Tasks of no operator are told apart by task type, below every operator's index
    types = context.graph.tasks.values("task_types", task_ids).astype(np.int64)
    keys = np.where(owners >= 0, owners, types - np.int64(1 << 32))
    groups = []
    different = distinct(keys).tolist()
    for key in different:
        members = task_ids[keys == key] if len(different) > 1 else task_ids
        groups.append(
            TaskGroup(
                operator=key if key >= 0 else None,
                name=context.owner_name(int(members[0])),
                ranges=to_ranges(members),
            )
        )
    return tuple(groups)
