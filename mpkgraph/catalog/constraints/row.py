"""The rows of the table of constraints: a size, what it must be, and what happens if it is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from mpkgraph.catalog.registered import SlotFacts, TaskFacts
from mpkgraph.frozen import dataclass


@dataclass(frozen=True, slots=True)
class Size:
    """A number of a layer, such as the rows of an output tile.

    `value` raises MissingSlotError or MissingParamError where the layer does not have it, and
    ZeroDivisionError where it is not defined.
    """

    label: str
    value: Callable[[TaskFacts], int]
    slot: tuple[str, int] | None = None
    """("in" or "out", position) of the slot that it is about."""
    dim: int | None = None
    """Set for the extent of a tile: the dim of the slot, which a grid axis may split."""
    needs_dims: bool = False
    """Set where the whole tensor's dims count, which a graph alone may not tell."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a size must be."""

    text: str
    """`at most 16`, `a multiple of 64`."""
    holds: Callable[[int], bool]


@dataclass(frozen=True, slots=True)
class Setting:
    """What a constraint may hang on beyond the layer; None where no record tells."""

    use_cutlass: bool | None = None


Condition = Callable[[TaskFacts, Setting], bool]


@dataclass(frozen=True, slots=True)
class ConstraintRow:
    """One size that the kernels of some registered names demand."""

    names: tuple[str, ...]
    size: Size
    requirement: Requirement
    consequence: str
    """What the kernel does otherwise, as the end of a sentence."""
    severity: Literal["error", "warning"] = "error"
    only_if: Condition | None = None


def _slot(facts: TaskFacts, side: str, position: int) -> SlotFacts:
    return facts.input(position) if side == "in" else facts.output(position)


def _named(side: str, position: int) -> str:
    return f"{'input' if side == 'in' else 'output'} {position}"


def tile(side: str, position: int, dim: int, label: str | None = None) -> Size:
    """The extent of a tile along a dim."""
    return Size(
        label or f"dim {dim} of the tile of {_named(side, position)}",
        lambda facts: _slot(facts, side, position).tile[dim],
        (side, position),
        dim,
    )


def dims(side: str, position: int, dim: int, label: str | None = None) -> Size:
    """The extent of a whole tensor along a dim."""
    return Size(
        label or f"dim {dim} of {_named(side, position)}",
        lambda facts: _slot(facts, side, position).dims[dim],
        (side, position),
        needs_dims=True,
    )


def param(position: int, label: str) -> Size:
    """An int that the layer was registered with."""
    return Size(label, lambda facts: facts.param(position))


def grid(axis: int) -> Size:
    """The extent of a grid axis."""
    return Size(f"grid.{'xyz'[axis]}", lambda facts: facts.grid_dim[axis])


def parts(side: str, position: int, dim: int, label: str) -> Size:
    """Into how many parts the grid splits a dim of a slot."""

    def value(facts: TaskFacts) -> int:
        slot = _slot(facts, side, position)
        count = 1
        for axis, size in zip(slot.input_map, facts.grid_dim, strict=True):
            count *= size if axis == dim else 1
        return count

    return Size(label, value, (side, position))


def at_most(limit: int) -> Requirement:
    return Requirement(f"at most {limit}", lambda value: value <= limit)


def at_least(limit: int) -> Requirement:
    return Requirement(f"at least {limit}", lambda value: value >= limit)


def multiple_of(unit: int) -> Requirement:
    return Requirement(f"a multiple of {unit}", lambda value: value > 0 and value % unit == 0)


def exactly(wanted: int) -> Requirement:
    return Requirement(f"exactly {wanted}", lambda value: value == wanted)


def one_of(*wanted: int) -> Requirement:
    return Requirement(f"one of {', '.join(map(str, wanted))}", lambda value: value in wanted)


def one_of_or_multiple(unit: int, *wanted: int) -> Requirement:
    return Requirement(
        f"one of {', '.join(map(str, wanted))} or a multiple of {unit}",
        lambda value: value in wanted or (value > 0 and value % unit == 0),
    )
