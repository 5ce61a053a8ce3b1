"""Many tasks at once, as columns: what details of a million tasks are written from."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.lists import grid_positions
from mpkgraph.analysis.task_detail import METADATA_FIELDS
from mpkgraph.frozen import dataclass
from mpkgraph.model.graph import NULL_TASK_TYPE

BATCH_TASKS = 1 << 12
"""Tasks whose columns are lists at one time."""


@dataclass(frozen=True, eq=False)
class TaskBatch:
    """Some tasks, one value a task in each list; `TaskDetail` says what the values mean."""

    task_ids: list[int]
    task_types: list[int]
    variant_ids: list[int]
    operators: list[int]
    """-1 for tasks of no operator."""
    grid_positions: list[list[int]]
    levels: list[int]
    are_first_tasks: list[bool]
    dependent_events: list[int]
    trigger_events: list[int]
    metadata: list[tuple[int, ...]]
    """The values of `METADATA_FIELDS`."""
    num_inputs: list[int]
    slot_starts: list[int]
    """Where in the next two each task's slots begin, and the end of the last."""
    slot_layouts: list[int]
    slot_offsets: list[int]
    are_plain: list[bool]
    """Whether a task has no more than all this: it is not null, has no unknown fields, and its
    operator has one task for each grid point."""


class TaskBatches:
    """Batches of tasks given by their ids."""

    def __init__(self, context: GraphContext, task_ids: IntArray) -> None:
        self._context = context
        self._task_ids = task_ids

    def __iter__(self) -> Iterator[TaskBatch]:
        for start in range(0, len(self._task_ids), BATCH_TASKS):
            yield self._batch(self._task_ids[start : start + BATCH_TASKS])

    @cached_property
    def _has_subtasks(self) -> IntArray:
        """For each operator whether its tasks are told apart within a grid point; last for none."""
        operators = self._context.operators.operators
        found = [x.num_subtasks > 1 and x.grid_positions is None for x in operators]
        return np.array([*found, False], dtype=np.bool_)

    def _batch(self, task_ids: IntArray) -> TaskBatch:
        graph, operators = self._context.graph, self._context.operators
        tasks = graph.tasks
        owners = operators.task_operators[task_ids]
        slot_starts, sizes = tasks.slot_starts[task_ids], tasks.slot_counts(task_ids)
        # Tasks in a row have slots in a row
        first, last = int(slot_starts.min()), int((slot_starts + sizes).max())
        together = last - first == int(sizes.sum())
        ends = np.cumsum(sizes)
        places = (
            np.arange(first, last)
            if together
            else np.repeat(slot_starts - (ends - sizes), sizes) + np.arange(int(ends[-1]))
        )
        types = tasks.task_types[task_ids]
        plain = (types != NULL_TASK_TYPE) & ~self._has_subtasks[owners]
        for extra in tasks.extras.values():
            plain &= extra.codes[task_ids] < 0
        metadata = [getattr(tasks, f"{name}s")[task_ids].tolist() for name in METADATA_FIELDS]
        return TaskBatch(
            task_ids=task_ids.tolist(),
            task_types=types.tolist(),
            variant_ids=tasks.variant_ids[task_ids].tolist(),
            operators=owners.tolist(),
            grid_positions=grid_positions(operators, task_ids, owners).tolist(),
            levels=self._context.levels.task_levels[task_ids].tolist(),
            are_first_tasks=np.isin(task_ids, graph.first_tasks).tolist(),
            dependent_events=tasks.dependent_events[task_ids].tolist(),
            trigger_events=tasks.trigger_events[task_ids].tolist(),
            metadata=list(zip(*metadata, strict=True)),
            num_inputs=tasks.num_inputs[task_ids].tolist(),
            slot_starts=[0, *ends.tolist()],
            slot_layouts=tasks.slot_layouts[places].tolist(),
            slot_offsets=tasks.slot_offsets[places].tolist(),
            are_plain=plain.tolist(),
        )
