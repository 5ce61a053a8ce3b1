"""The grid of one layer and what it does to each slot, from the offsets of its tasks.

A tile starts at sum over axes of b_a * tile_dims[m_a] * strides[m_a], so the offsets of a slot,
decoded with its strides, give a column of tile indices for each tensor dim that some axis splits.
Such a column is the coordinate of one grid axis. Metadata name the axis of some columns (nearly
always x); the order of emission (x slowest, z fastest within one event) tells y from z where both
vary; an axis that no slot shows leaves only repetitions. What is left open is said.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mpkgraph.frozen import dataclass
from mpkgraph.model.operator import Grid
from mpkgraph.views.rows import AXES, LINEAR, Int
from mpkgraph.views.segments import first_seen_ranks, row_numbers
from mpkgraph.views.slot_splits import (
    NUM_AXES,
    Flags,
    SlotSplit,
    Tasks,
    split_slots,
    tile_indices,
)


@dataclass(frozen=True)
class GridSplit:
    """The grid of a layer; `order` puts its tasks in grid order (None: they are)."""

    grid_dim: Grid
    known_grid: Flags
    order: Int | None
    positions: npt.NDArray[np.int32] | None
    """(num_tasks, 3) in grid order where points of the grid are missing."""
    slots: tuple[SlotSplit, ...]
    ambiguities: tuple[str, ...]
    repeats: int
    """How often each tile occurs, subtasks aside."""


@dataclass(frozen=True)
class _Assignment:
    """A column of coordinates for each axis."""

    columns: tuple[Int, Int, Int]
    sizes: Grid
    roles: tuple[str | int, str | int, str | int]
    """What each axis is: "known", "repeat", "one", or the number of a column of the tiles."""


def solve_grid(tasks: Tasks) -> GridSplit | None:
    """The simplest whole grid that emits these tasks, and what of it is certain; None if none.

    Subtasks (several tasks of one grid point) are the caller's to take out. `bases` play no part.
    """
    num_tasks = len(tasks.offsets)
    known = known_columns(tasks.coordinates)
    if not _are_coordinates(list(known.values())):
        return None
    shown = _tile_columns(tasks, known)
    if shown is None:
        return None
    tiles, numbered = shown
    _, volume = _packed([*known.values(), *tiles])
    repeats = num_tasks // volume
    if (tasks.coordinates[:, LINEAR] >= 0).all():
        found = _linear_assignments(tasks, tiles)
    else:
        found = _assignments(tasks, known, tiles, repeats)
    if not found:
        return None
    chosen = found[0]
    certain: Flags = tuple(  # type: ignore[assignment]
        len({(x.roles[axis], x.sizes[axis]) for x in found}) == 1 for axis in range(NUM_AXES)
    )
    ambiguities = []
    open_axes = [AXES[axis] for axis in range(NUM_AXES) if not certain[axis]]
    if open_axes:
        ambiguities.append(_open_axes_sentence(open_axes, chosen, certain, repeats))
    code = _code(chosen.columns, chosen.sizes)
    order = None if (np.diff(code) > 0).all() else np.argsort(code, kind="stable")
    slots, notes = split_slots(tasks, chosen.sizes, certain, order, numbered)
    ambiguities += notes
    unit = [AXES[a] for a in range(NUM_AXES) if chosen.sizes[a] == 1 and certain[a]]
    if unit:
        have = "Axis {} has" if len(unit) == 1 else "Axes {} have"
        ambiguities.append(
            f"{have.format(_listed(unit))} size 1: what the input_map says there leaves no trace"
        )
    return GridSplit(
        grid_dim=chosen.sizes,
        known_grid=certain,
        order=order,
        positions=None,
        slots=slots,
        ambiguities=tuple(ambiguities),
        repeats=repeats,
    )


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _open_axes_sentence(axes: list[str], chosen: _Assignment, certain: Flags, repeats: int) -> str:
    sizes = [
        str(size) for size, sure in zip(chosen.sizes, certain, strict=True) if not sure and size > 1
    ]
    if repeats > 1:
        why = f"each tile occurs {repeats} times, along an axis that splits no slot"
    elif len(sizes) == 1:
        why = f"the size {sizes[0]} may be that of any of them"
    else:
        why = f"the sizes {_listed(sizes)} may be those of any of them"
    return f"Axes {_listed(axes)} can't be told apart: {why}"


def known_columns(coordinates: Int) -> dict[int, Int]:
    """Axes that the metadata of every task give."""
    return {
        axis: coordinates[:, axis] for axis in range(NUM_AXES) if (coordinates[:, axis] >= 0).all()
    }


def _are_coordinates(columns: list[Int]) -> bool:
    """Whether every point of a grid occurs, each equally often."""
    if not all(_is_coordinate(column) for column in columns):
        return False
    code, volume = _packed(columns)
    return _is_lattice(code, volume)


def _packed(columns: list[Int]) -> tuple[Int, int]:
    """One number for each point, and the number of points."""
    code = np.zeros(len(columns[0]) if columns else 1, dtype=np.int64)
    volume = 1
    for column in columns:
        size = int(column.max()) + 1
        code = code * size + column
        volume *= size
    return code, volume


def _is_coordinate(column: Int) -> bool:
    size = int(column.max()) + 1
    if int(column.min()) != 0 or len(column) % size:
        return False
    return size == 1 or bool((np.bincount(column) == len(column) // size).all())


def _tile_columns(tasks: Tasks, known: dict[int, Int]) -> tuple[list[Int], frozenset[int]] | None:
    """Independent coordinate columns that the tiles show beside the known ones.

    With them the slots whose tiles were only numbered, so that two axes may hide in one column.
    None where tasks of one point would still differ.
    """
    code, volume = _packed([np.zeros(len(tasks.offsets), dtype=np.int64), *known.values()])
    seen = {column.tobytes() for column in known.values()}
    columns: list[Int] = []
    num_slots = len(tasks.shapes)
    outputs_first = [*range(tasks.num_inputs, num_slots), *range(tasks.num_inputs)]
    for slot in outputs_first:
        columns_of_slot = tile_indices(tasks.shapes[slot], tasks.offsets[:, slot])
        if not all(_is_coordinate(column) for column in columns_of_slot.values()):
            continue
        for column in columns_of_slot.values():
            token = column.tobytes()
            if token in seen:
                continue
            seen.add(token)
            size = int(column.max()) + 1
            extended = code * size + column
            if _is_lattice(extended, volume * size):
                code, volume = extended, volume * size
                columns.append(column)
    numbered: set[int] = set()
    for slot in outputs_first if volume < len(code) else ():
        # fused tensors, and offsets that strides do not decode
        tiles = tasks.offsets[:, slot]
        if tasks.tensors is not None:
            tiles = row_numbers(np.stack([tasks.tensors[:, slot], tiles], axis=1))
        column = first_seen_ranks(code, tiles)
        size = int(column.max()) + 1
        if size > 1:
            code, volume = code * size + column, volume * size
            if not _is_lattice(code, volume):
                return None
            columns.append(column)
            numbered.add(slot)
    # the last axis that the metadata leave open can't be two
    return columns, frozenset(numbered) if len(known) < NUM_AXES - 1 else frozenset()


def _is_lattice(code: Int, volume: int) -> bool:
    """Whether every point occurs, each equally often."""
    if volume > len(code) or len(code) % volume:
        return False
    return bool((np.bincount(code, minlength=volume) == len(code) // volume).all())


def _assignments(
    tasks: Tasks, known: dict[int, Int], tiles: list[Int], repeats: int
) -> list[_Assignment]:
    """Every way to name the axes that agrees with the order of emission, simplest first."""
    free = [axis for axis in range(NUM_AXES) if axis not in known]
    num_tasks = len(tasks.offsets)
    zeros = np.zeros(num_tasks, dtype=np.int64)
    repeat_column = repeat_ranks([*known.values(), *tiles], num_tasks) if repeats > 1 else zeros
    # the columns, then the repetitions, each on an axis of its own
    items: list[tuple[str | int, Int]] = list(enumerate(tiles))
    if repeats > 1:
        items.append(("repeat", repeat_column))
    found = []
    for axes in itertools.permutations(free, len(items)):
        columns = [known.get(axis, zeros) for axis in range(NUM_AXES)]
        roles: list[str | int] = ["known" if axis in known else "one" for axis in range(NUM_AXES)]
        for axis, (role, column) in zip(axes, items, strict=True):
            columns[axis], roles[axis] = column, role
        sizes = tuple(int(column.max()) + 1 for column in columns)
        x, y, z = columns
        candidate = _Assignment((x, y, z), sizes, (roles[0], roles[1], roles[2]))  # type: ignore[arg-type]
        if _is_emission_order(tasks, candidate):
            found.append(candidate)
    return found


def _linear_assignments(tasks: Tasks, tiles: list[Int]) -> list[_Assignment]:
    """Every grid whose linear index is the one in the metadata, simplest first."""
    num_tasks = len(tasks.offsets)
    linear = tasks.coordinates[:, LINEAR]
    found = []
    for sizes in _factor_triples(num_tasks):
        size_x, size_y, _ = sizes
        columns = (linear % size_x, linear // size_x % size_y, linear // (size_x * size_y))
        candidate = _Assignment(columns, sizes, ("known", "known", "known"))
        # a tile moves along one axis
        if _is_emission_order(tasks, candidate) and all(
            any(np.array_equal(tile, column) for column in columns) for tile in tiles
        ):
            found.append(candidate)
    return found


def _factor_triples(number: int) -> list[Grid]:
    """Grids of a volume, those with fewer and earlier axes first.

    >>> _factor_triples(4)
    [(4, 1, 1), (1, 4, 1), (1, 1, 4), (2, 2, 1), (2, 1, 2), (1, 2, 2)]
    """
    divisors = [x for x in range(1, number + 1) if number % x == 0]
    triples: list[Grid] = [
        (x, y, number // x // y) for x in divisors for y in divisors if number // x % y == 0
    ]
    return sorted(triples, key=lambda grid: (sum(size > 1 for size in grid), [-x for x in grid]))


def repeat_ranks(columns: list[Int], num_tasks: int) -> Int:
    """For each task how many tasks of the same point came before it."""
    code = np.zeros(num_tasks, dtype=np.int64)
    for column in columns:
        code = code * (int(column.max()) + 1) + column
    order = np.argsort(code, kind="stable")
    ordered = code[order]
    starts = np.zeros(num_tasks, dtype=np.int64)
    changes = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    starts[changes] = changes
    ranks = np.empty(num_tasks, dtype=np.int64)
    ranks[order] = np.arange(num_tasks) - np.maximum.accumulate(starts)
    return ranks


def _is_emission_order(tasks: Tasks, candidate: _Assignment) -> bool:
    """Whether the tasks of each event are in grid order."""
    steps = np.diff(_code(candidate.columns, candidate.sizes))
    return bool(((steps > 0) | tasks.block_starts[1:]).all())


def _code(columns: Sequence[Int], sizes: Sequence[int]) -> Int:
    x, y, z = columns
    code: Int = (x * sizes[1] + y) * sizes[2] + z
    return code
