"""Random small pipelines: few tensors that many layers read and write, by all manner of tiles."""

from __future__ import annotations

import random
from typing import Any

from tests.pipelines.kit import attach, block_graph

TASKS = (
    ("elementwise_add_sm100", 2, 1),
    ("elementwise_add_sm100", 2, 1),
    ("linear_with_residual_sm100", 3, 1),
    ("splitk_linear_sm100", 2, 1),
    ("argmax_partial_sm100", 1, 2),
)
"""Registered names with their numbers of inputs and outputs; one accumulates."""
GRIDS = ((1, 1, 1), (2, 1, 1), (4, 1, 1), (2, 2, 1), (3, 1, 1), (2, 3, 1), (6, 1, 1), (1, 4, 1))
SHAPES = ((4, 6), (6, 4), (2, 12))


def random_pipeline(seed: int, num_layers: int = 5, num_tensors: int = 4, *, new: bool = False):
    """A function that calls layers of a kernel, for `record_of`."""

    def build(kernel: Any) -> None:
        rng = random.Random(seed)
        tensors = []
        for number in range(num_tensors):
            dims = rng.choice(SHAPES)
            if new and rng.random() < 0.6:
                tensors.append(kernel.new_tensor(dims=dims, name=f"n{number}"))
            else:
                tensors.append(attach(kernel, f"t{number}", *dims))
        for _ in range(num_layers):
            name, num_inputs, num_outputs = rng.choice(TASKS)
            grid = rng.choice(GRIDS)
            chosen = [rng.choice(tensors) for _ in range(num_inputs + num_outputs)]
            slots = [(tensor, _map(rng, grid)) for tensor in chosen]
            graph = block_graph(grid, slots)
            kernel.kn_graph.customized(chosen, graph)
            kernel.kn_graph.register_task(graph, name, [1, 1, 1, 1, 1, 1])

    return build


def _map(rng: random.Random, grid: tuple[int, int, int]) -> tuple[int, int, int]:
    """Axes that split different dims, or none."""
    dims = [0, 1, -1]
    rng.shuffle(dims)
    x, y = dims[:2]
    return (x if grid[0] > 1 else -1, y if grid[1] > 1 else -1, -1)
