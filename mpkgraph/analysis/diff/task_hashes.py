"""What a task is, as hashes over columns: its tiles, its metadata, its tensors' names."""

from __future__ import annotations

import numpy as np

from mpkgraph.analysis.diff.hashing import HashArray, combined, hash_value, mixed
from mpkgraph.frozen import dataclass
from mpkgraph.model.graph import SlotLayout, TaskGraph

_METADATA = ("request_ids", "kv_idxs", "merge_task_offsets", "expert_offsets", "task_offsets")


@dataclass(frozen=True)
class TaskHashes:
    """By task. Neither ids nor events go in, so renumbering changes nothing."""

    tiles: HashArray
    """Task type, and of each slot in order type, dims, strides and offset."""
    metadata: HashArray
    names: HashArray
    """The tensors of the slots, in order."""

    @classmethod
    def of(cls, graph: TaskGraph) -> TaskHashes:
        """Hashes of all tasks of a graph, linear in its slots."""
        tasks = graph.tasks
        shapes = np.array([layout_hash(x) for x in graph.layouts], dtype=np.uint64)
        names = np.array([hash_value(x.base_ptr) for x in graph.layouts], dtype=np.uint64)
        position = np.arange(tasks.num_slots) - tasks.slot_starts[:-1][tasks.slot_tasks]
        starts = tasks.slot_starts
        if len(graph.layouts):
            by_slot = combined(
                shapes[tasks.slot_layouts], tasks.slot_offsets.astype(np.uint64), position
            )
            by_name = combined(names[tasks.slot_layouts], position)
        else:
            by_slot = by_name = np.empty(0, dtype=np.uint64)
        return cls(
            tiles=combined(
                tasks.task_types, tasks.num_inputs, _segment_sums(by_slot, starts, len(tasks))
            ),
            metadata=combined(*(getattr(tasks, name) for name in _METADATA)),
            names=mixed(_segment_sums(by_name, starts, len(tasks))),
        )


def layout_hash(layout: SlotLayout) -> int:
    """A layout without its tensor's name and the fields that Mirage lacks."""
    return hash_value((layout.is_null, layout.data_type, layout.dims, layout.strides))


def _segment_sums(values: HashArray, starts: np.ndarray, count: int) -> HashArray:
    sums = np.zeros(len(values) + 1, dtype=np.uint64)
    np.cumsum(values, out=sums[1:])
    found: HashArray = sums[starts[1:]] - sums[starts[:-1]]
    return found if len(found) == count else np.zeros(count, dtype=np.uint64)
