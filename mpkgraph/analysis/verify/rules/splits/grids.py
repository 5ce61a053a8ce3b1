"""Grids that do not divide what they split: remainders, empty tiles, too many blocks."""

from __future__ import annotations

import math

from mpkgraph.analysis.verify.rule import CheckRow, Rule
from mpkgraph.analysis.verify.rules.splits.facts import (
    AXES,
    OperatorFacts,
    Problem,
    ProblemFinder,
    SlotFacts,
    shown,
)
from mpkgraph.model.divisors import divisors_near

MAX_BLOCKS = 4096
"""`MAX_NUM_THREADBLOCKS_PER_KERNEL`: a build of Mirage with asserts refuses more."""

REMAINDER = Rule(
    code="MPK101",
    name="grid-remainder",
    severity="error",
    summary="a grid axis does not divide the dim that it splits",
    why="Mirage divides and drops the remainder when it is built without asserts, as it ships: the "
    "last rows or columns belong to no tile, so nothing writes them and nothing reads them.",
    remedy="Take a number of blocks that divides the dim in every tensor that the axis splits.",
)
EMPTY_TILES = Rule(
    code="MPK102",
    name="grid-exceeds-dim",
    severity="error",
    summary="a grid axis has more blocks than the dim that it splits has elements",
    why="Each tile then has no elements at all, and every task starts at the tensor's base: what a "
    "kernel does with a dim of 0 is anyone's guess, and it writes nothing where it should.",
    remedy="Take at most as many blocks as the dim has elements, in a number that divides it.",
)
TOO_MANY_BLOCKS = Rule(
    code="MPK116",
    name="too-many-blocks",
    severity="warning",
    summary=f"a layer has more than {MAX_BLOCKS} blocks",
    why="A build of Mirage with asserts refuses the layer, and every block is a task that some "
    "worker's queue must hold.",
    remedy=f"Give a block more to do: at most {MAX_BLOCKS} blocks a layer.",
)


def find_grid_problems(facts: OperatorFacts) -> tuple[Problem, ...]:
    """Axes that do not fit the dims that they split; one problem an axis."""
    found = [problem for axis in range(3) if (problem := _axis(facts, axis)) is not None]
    blocks = math.prod(facts.grid)
    if blocks > MAX_BLOCKS and facts.slots:
        found.append(
            Problem(
                TOO_MANY_BLOCKS,
                _worst([(i, slot) for i, slot in enumerate(facts.slots)])[0],
                f"has {blocks} blocks (grid {shown(facts.grid)}); Mirage allows {MAX_BLOCKS}",
                f"Let each task do {-(-blocks // MAX_BLOCKS)} times as much",
                count=blocks,
            )
        )
    return tuple(found)


def splits_evenly(slot: SlotFacts, facts: OperatorFacts) -> bool:
    """Whether every axis divides what it splits of a slot, as far as its dims are known."""
    for dim, extent in enumerate(slot.dims):
        blocks = math.prod(facts.grid[axis] for axis in slot.axes(dim, facts.grid))
        if extent is None and 0 in slot.tile[dim : dim + 1]:
            return False
        if extent is not None and blocks > 1 and (extent % blocks or not slot.tile[dim]):
            return False
    return True


def _axis(facts: OperatorFacts, axis: int) -> Problem | None:
    size = facts.grid[axis]
    if size <= 1:
        return None
    empty: list[tuple[int, SlotFacts]] = []
    uneven: list[tuple[int, SlotFacts]] = []
    extents: list[int] = []
    for position, slot in enumerate(facts.slots):
        dim = slot.input_map[axis]
        if slot.is_null or not 0 <= dim < len(slot.dims) or slot.effect.access == "none":
            continue
        if len(slot.axes(dim, facts.grid)) > 1:
            continue  # a matter of the map
        extent = slot.dims[dim]
        if slot.tile[dim] == 0:
            empty.append((position, slot))
            extents += [] if extent is None else [extent]
        elif extent is not None:
            extents.append(extent)
            # Tiles of another size than the quotient were found in a part of an operator
            if extent % size and (facts.is_recorded or slot.tile[dim] == extent // size):
                uneven.append((position, slot))
    if empty:
        return _empty(facts, axis, empty, extents)
    return _uneven(facts, axis, uneven, extents) if uneven else None


def _uneven(
    facts: OperatorFacts, axis: int, slots: list[tuple[int, SlotFacts]], extents: list[int]
) -> Problem:
    size = facts.grid[axis]
    position, slot = _worst(slots)
    dim = slot.input_map[axis]
    extent = slot.dims[dim] or 0
    covered = slot.tile[dim] * size
    verb = "writes" if slot.effect.writes else "reads"
    others = [
        f"{{{other.label}}} without [{other.tile[other.input_map[axis]] * size}, "
        f"{other.dims[other.input_map[axis]]})"
        for at, other in slots
        if at != position
    ]
    also = f" (also {', '.join(others)})" if others else ""
    return Problem(
        REMAINDER,
        position,
        f"{verb} {{{slot.label}}} without [{covered}, {extent}) of dim {dim}: {size} blocks of grid"
        f" axis {AXES[axis]} (grid {shown(facts.grid)}) with tiles of {slot.tile[dim]} cover "
        f"{covered} of {extent}{also}",
        _valid(axis, size, extents),
        elements=tuple(
            (covered, extent) if d == dim else (0, length or slot.tile[d])
            for d, length in enumerate(slot.dims)
        ),
        witness=facts.num_tasks - 1,
        count=extent - covered,
        count_of="elements of the dim",
        severity_here=None if facts.is_recorded else "warning",
    )


def _empty(
    facts: OperatorFacts, axis: int, slots: list[tuple[int, SlotFacts]], extents: list[int]
) -> Problem:
    size = facts.grid[axis]
    position, slot = _worst(slots)
    dim = slot.input_map[axis]
    extent = slot.dims[dim]
    has = f"fewer than {size}" if extent is None or not facts.is_recorded else str(extent)
    return Problem(
        EMPTY_TILES,
        position,
        f"cuts {{{slot.label}}} into tiles of no elements {list(slot.tile)}: grid axis {AXES[axis]}"
        f" has {size} blocks (grid {shown(facts.grid)}), dim {dim} has {has} elements",
        _valid(axis, size, extents if facts.is_recorded else []),
        elements=tuple(
            (0, length or 0) if d == dim else (0, length or slot.tile[d])
            for d, length in enumerate(slot.dims)
        ),
        count=facts.num_tasks,
    )


def _valid(axis: int, size: int, extents: list[int]) -> str:
    if not extents:
        return f"Give grid axis {AXES[axis]} at most as many blocks as the dim has elements"
    common = math.gcd(*extents)
    choices = " or ".join(map(str, divisors_near(common, size)))
    return f"Valid sizes of grid axis {AXES[axis]} nearest to {size}: {choices}"


def _worst(slots: list[tuple[int, SlotFacts]]) -> tuple[int, SlotFacts]:
    """What is written comes before what is read."""
    return next((x for x in slots if x[1].effect.writes), slots[0])


CHECKS = (CheckRow(ProblemFinder(find_grid_problems), (REMAINDER, EMPTY_TILES, TOO_MANY_BLOCKS)),)
