"""Where operators stand on the page: rows of cards, read like lines of text.

An operator is a card with its grid of tasks. The operators of one model layer, or between two,
are a block; a block's cards stand in columns by level (the longest path from the block's first
operators), wrapped into lines. The page stacks blocks and folds them, so places here are relative
to the block. Units are CSS pixels at scale 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.drawing.folding import group_layers
from mpkgraph.analysis.drawing.model_layers import model_layers
from mpkgraph.analysis.structure import OperatorEdges
from mpkgraph.model.operator import Operator

CARD_WIDTH: Final = 192
CARD_HEIGHT: Final = 96
GRID_TOP: Final = 40
"""Below the card's two lines of text."""
GRID_WIDTH: Final = 176
GRID_HEIGHT: Final = 48
COLUMN_STEP: Final = 222
LINE_STEP: Final = 118
MAX_CELL: Final = 16
"""Cells of small grids do not grow beyond this."""
MAX_COLUMNS: Final = 6
"""Cards in a line of a block: more would make a page that is wider than any screen."""
MAX_STACK: Final = 5
"""Cards of one level that stand in one column; more take another column."""
MAX_GAPS: Final = 4
"""Grid points for each task of a grid that is drawn with its gaps."""
NEAR: Final = 1.6
"""How far the number of cells in a row may be from the best fit to follow the grid's axes."""


@dataclass(frozen=True)
class Block:
    """Operators of one model layer (`layer`), or between two (None)."""

    layer: int | None
    operators: tuple[int, ...]
    width: int
    height: int
    run: int
    """Blocks of one run are equal model layers, one after the other; the page folds them to one."""

    def to_json(self) -> dict[str, Any]:
        return {"layer": self.layer, "width": self.width, "height": self.height, "run": self.run}


@dataclass(frozen=True)
class PageLayout:
    """For each operator its block, its place there, and the cells in a row of its grid."""

    blocks: tuple[Block, ...]
    block_of: npt.NDArray[np.int64]
    x: npt.NDArray[np.int64]
    y: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]


def lay_out(operators: Sequence[Operator], edges: OperatorEdges) -> PageLayout:
    """Places of all operators, in time linear in operators and edges."""
    pairs = list(zip(edges.producers.tolist(), edges.consumers.tolist(), strict=True))
    layers = model_layers(operators, pairs)
    groups = group_layers(
        operators,
        layers,
        zip(
            edges.producers.tolist(),
            edges.consumers.tolist(),
            edges.num_events.tolist(),
            strict=True,
        ),
        fold=True,
    )
    members = _blocks(layers)
    block_of = np.zeros(len(operators), dtype=np.int64)
    for number, (_, inside) in enumerate(members):
        block_of[inside] = number
    levels = _levels(block_of, pairs)
    x, y = (np.zeros(len(operators), dtype=np.int64) for _ in range(2))
    first_layer = {layer: group.layers[0] for group in groups for layer in group.layers}
    runs: dict[object, int] = {}
    blocks = []
    for number, (layer, inside) in enumerate(members):
        width, height = _place(inside, levels, x, y)
        key = ("between", number) if layer is None else ("layer", first_layer[layer])
        run = runs.setdefault(key, len(runs))
        blocks.append(Block(layer, tuple(inside), width, height, run))
    columns = np.array([grid_columns(operator) for operator in operators], dtype=np.int64)
    return PageLayout(tuple(blocks), block_of, x, y, columns)


def grid_columns(operator: Operator) -> int:
    """Cells in a row of the operator's grid of tasks, which are drawn in grid order.

    As near to the card's shape as a row allows that holds whole steps of a grid axis.
    """
    if not follows_grid(operator):
        return max(1, math.ceil(math.sqrt(operator.num_tasks * GRID_WIDTH / GRID_HEIGHT)))
    nx, ny, nz = operator.grid_dim
    inner = ny * nz * operator.num_subtasks
    count = max(nx * inner, operator.num_tasks, 1)
    best = max(1.0, math.sqrt(count * GRID_WIDTH / GRID_HEIGHT))
    if count <= GRID_WIDTH // MAX_CELL:
        return count
    axes = [inner * step for step in _divisors(nx)] + _divisors(inner)
    nearest = min(axes, key=lambda size: abs(math.log(size / best)))
    if best / NEAR <= nearest <= best * NEAR:
        return nearest
    return min(count, math.ceil(best))


def follows_grid(operator: Operator) -> bool:
    """Whether tasks are drawn at their grid points.

    They are not where most points have no task: a broken file's metadata can tell of any grid.
    """
    points = operator.grid_volume * operator.num_subtasks
    return operator.grid_positions is None or points <= max(MAX_GAPS * operator.num_tasks, 1024)


def grid_places(operator: Operator) -> npt.NDArray[np.int64]:
    """Cell of each task: its position in grid order, gaps for tasks that the file lacks."""
    positions = operator.grid_positions
    if positions is None or not follows_grid(operator):
        return np.arange(operator.num_tasks, dtype=np.int64)
    _, ny, nz = operator.grid_dim
    x, y, z = positions.astype(np.int64).T
    points = (x * ny + y) * nz + z
    starts = np.flatnonzero(np.diff(points, prepend=-1))
    inside = np.arange(len(points)) - np.repeat(starts, np.diff(starts, append=len(points)))
    cells: npt.NDArray[np.int64] = points * operator.num_subtasks + inside
    return cells


def _blocks(layers: Sequence[int | None]) -> list[tuple[int | None, list[int]]]:
    """Operators by model layer, in order of their first one; runs of others between them."""
    found: list[tuple[int | None, list[int]]] = []
    of_layer: dict[int, list[int]] = {}
    previous: int | None = -1
    for operator, layer in enumerate(layers):
        if layer is not None and layer in of_layer:
            of_layer[layer].append(operator)
        elif layer is None and layer == previous:
            found[-1][1].append(operator)
        else:
            found.append((layer, [operator]))
            if layer is not None:
                of_layer[layer] = found[-1][1]
        previous = layer
    return found


def _levels(block_of: npt.NDArray[np.int64], pairs: Sequence[tuple[int, int]]) -> list[int]:
    """Longest path inside the block; operators are in topological order: no edge leads back."""
    levels = [0] * len(block_of)
    blocks = block_of.tolist()
    for tail, head in sorted(pairs, key=lambda pair: pair[1]):
        if tail < head and blocks[tail] == blocks[head]:
            levels[head] = max(levels[head], levels[tail] + 1)
    return levels


def _place(
    inside: Sequence[int],
    levels: Sequence[int],
    x: npt.NDArray[np.int64],
    y: npt.NDArray[np.int64],
) -> tuple[int, int]:
    """Sets places of a block's cards; width and height of them all."""
    by_level: dict[int, list[int]] = {}
    for operator in inside:
        by_level.setdefault(levels[operator], []).append(operator)
    column, top, deepest, width = 0, 0, 1, 0
    for level in sorted(by_level):
        stacked = by_level[level]
        needed = math.ceil(len(stacked) / MAX_STACK)
        if column and column + needed > MAX_COLUMNS:
            column, top, deepest = 0, top + deepest, 1
        for place, operator in enumerate(stacked):
            if column + place // MAX_STACK >= MAX_COLUMNS and place % MAX_STACK == 0:
                column, top, deepest = -(place // MAX_STACK), top + deepest, 1
            x[operator] = (column + place // MAX_STACK) * COLUMN_STEP
            y[operator] = (top + place % MAX_STACK) * LINE_STEP
            deepest = max(deepest, min(place % MAX_STACK + 1, MAX_STACK))
            width = max(width, int(x[operator]) + CARD_WIDTH)
        column += needed
    return width, (top + deepest) * LINE_STEP - (LINE_STEP - CARD_HEIGHT)


def _divisors(number: int) -> list[int]:
    small = [n for n in range(1, math.isqrt(number) + 1) if number % n == 0]
    return sorted({*small, *(number // n for n in small)})
