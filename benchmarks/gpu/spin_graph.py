"""A task graph with the cost model's durations, as `runtime.cu` reads it.

`python -m benchmarks.gpu.spin_graph GRAPH OUT`: four 32-bit integers (tasks, events, workers,
schedulers), then for each task its dependent event, trigger event (-1 for none), duration in ns and
type, then for each event its num_triggers.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.cost.durations import model_costs
from mpkgraph.analysis.cost.model import CostModel
from mpkgraph.io.reader import read_graph
from mpkgraph.views.operators import recover_operators

NUM_WORKERS, NUM_SCHEDULERS = 128, 16
LINEAR = 120


def layers_graph(num_layers: int, num_tasks: int, duration_ns: int, num_schedulers: int) -> bytes:
    """The bytes for layers of equal tasks, each of which waits for all of the layer before."""
    layer = np.repeat(np.arange(num_layers), num_tasks)
    waits = np.where(layer > 0, 1 + layer, -1)
    rows = np.stack(
        (waits, 2 + layer, np.full(len(layer), duration_ns), np.full(len(layer), LINEAR)), axis=1
    )
    tasks = np.concatenate(([[-1, -1, 0, 0], [-1, 1, 0, 10]], rows)).astype("<i4")
    needs = np.array([1, 1, *[num_tasks] * num_layers], dtype="<i4")
    head = np.array([len(tasks), len(needs), NUM_WORKERS, num_schedulers], dtype="<i4")
    return b"".join(x.tobytes() for x in (head, tasks, needs))


def spin_graph(path: str) -> bytes:
    """The bytes for one rank's graph, as it runs on an H100."""
    graph = read_graph(path)
    context = GraphContext(graph, recover_operators(graph))
    costs = model_costs(context, CostModel.of_gpu("h100"), NUM_WORKERS)
    tasks = np.stack(
        (
            graph.tasks.dependent_indices,
            graph.tasks.trigger_indices,
            costs.durations,
            graph.tasks.task_types,
        ),
        axis=1,
    ).astype("<i4")
    # Nothing ends with the task that ends a worker
    tasks[0, 1] = -1
    head = np.array([graph.num_tasks, graph.num_events, NUM_WORKERS, NUM_SCHEDULERS], dtype="<i4")
    return b"".join(x.tobytes() for x in (head, tasks, graph.events.num_triggers.astype("<i4")))


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(spin_graph(sys.argv[1]))
