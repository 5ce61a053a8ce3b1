"""Maps that no tensor has room for: a dim past the rank, a dim that two axes split."""

from __future__ import annotations

from mpkgraph.analysis.verify.rule import CheckRow, Rule
from mpkgraph.analysis.verify.rules.splits.facts import (
    AXES,
    OperatorFacts,
    Problem,
    ProblemFinder,
    SlotFacts,
)

PAST_RANK = Rule(
    code="MPK103",
    name="map-past-rank",
    severity="error",
    summary="an input_map names a dim that the tensor does not have",
    why="The tile is the whole tensor, and Mirage multiplies the block index with whatever its "
    "memory holds in place of a stride: tasks start anywhere.",
    remedy="Map the axis to a dim of the tensor, or to -1 where it splits none.",
    needs_record=True,
)
MAPPED_TWICE = Rule(
    code="MPK104",
    name="dim-mapped-twice",
    severity="error",
    summary="two grid axes split the same dim of a tensor",
    why="A tile is as long as the product of both axes divides, but each axis moves by its own "
    "share alone: some tiles overlap or leave the tensor, and parts of it belong to none.",
    remedy="Map each grid axis to a dim of its own; one axis of the product's size does it.",
)


def has_sound_map(slot: SlotFacts, facts: OperatorFacts) -> bool:
    """Whether tiles follow from the map: every axis splits another dim that is there."""
    dims = [m for a, m in enumerate(slot.input_map) if m >= 0 and facts.grid[a] > 1]
    return len(set(dims)) == len(dims) and all(m < len(slot.tile) for m in dims)


def find_map_problems(facts: OperatorFacts) -> tuple[Problem, ...]:
    """One problem a slot."""
    found = []
    for position, slot in enumerate(facts.slots):
        if slot.is_null or has_sound_map(slot, facts):
            continue
        rank = len(slot.tile)
        past = [a for a in range(3) if facts.grid[a] > 1 and slot.input_map[a] >= rank]
        if past:
            axis = past[0]
            found.append(
                Problem(
                    PAST_RANK,
                    position,
                    f"maps grid axis {AXES[axis]} ({facts.grid[axis]} blocks) to dim "
                    f"{slot.input_map[axis]} of {{{slot.label}}}, which has {rank} dims: input_map "
                    f"{list(slot.input_map)}",
                    f"Map it to one of dims 0 to {rank - 1}, or to -1",
                    witness=facts.num_tasks - 1,
                    count=facts.num_tasks,
                )
            )
            continue
        dim = next(d for d in range(rank) if len(slot.axes(d, facts.grid)) > 1)
        axes = slot.axes(dim, facts.grid)
        blocks = " and ".join(f"{AXES[a]} ({facts.grid[a]} blocks)" for a in axes)
        product = 1
        for axis in axes:
            product *= facts.grid[axis]
        found.append(
            Problem(
                MAPPED_TWICE,
                position,
                f"splits dim {dim} of {{{slot.label}}} along grid axes {blocks} at once: input_map "
                f"{list(slot.input_map)}, tiles of {slot.tile[dim]}",
                f"Let one axis of {product} blocks split it, or map one of them elsewhere",
                witness=facts.num_tasks - 1,
                count=facts.num_tasks,
            )
        )
    return tuple(found)


CHECKS = (CheckRow(ProblemFinder(find_map_problems), (PAST_RANK, MAPPED_TWICE)),)
