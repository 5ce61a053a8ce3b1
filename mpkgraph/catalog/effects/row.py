"""The rows of the table of effects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Literal

from mpkgraph.catalog.effects.condition import Condition
from mpkgraph.frozen import dataclass

Access = Literal["none", "read", "write", "readwrite", "accumulate", "remote"]
"""`accumulate` reads and writes, and the order of two of them does not matter but for rounding.
`remote` writes on other ranks, at the same place of their tensor of this name; nothing here."""

Footprint = Literal["tile", "rows", "dynamic", "anywhere", "whole"]
"""Where: `tile` is exactly the described tile. `rows` and `dynamic` are parts of the tile: rows
that request tables choose, or what pages, tokens or routing decide. `anywhere` is a part of the
whole tensor that metadata chooses, whatever the tile; `whole` is all of the tensor, whatever the
tile."""

AXES = ("x", "y", "z")


@dataclass(frozen=True, slots=True)
class SlotEffect:
    """What a kernel does to one slot."""

    access: Access
    footprint: Footprint = "tile"
    disjoint_by: tuple[str, ...] = ()
    """Grid axes ("x", "y", "z") along which tasks of one operator touch different parts although
    their tiles are equal (the kernel tells them apart by metadata): two tasks that differ there do
    not conflict."""
    disjoint_params: tuple[int, ...] = ()
    """Positions in the params of the layer: two operators of this task type whose params differ
    there touch different parts although their tiles are equal. Only a record tells the params."""
    only_if: Condition | None = None
    """Of the params and the rank: where it does not hold, the slot is not touched at all."""

    def __post_init__(self) -> None:
        if not set(self.disjoint_by) <= set(AXES):
            raise ValueError(f"not axes of a grid: {self.disjoint_by}")

    @property
    def reads(self) -> bool:
        return self.access in {"read", "readwrite", "accumulate"}

    @property
    def writes(self) -> bool:
        """Whether it writes memory of this rank."""
        return self.access in {"write", "readwrite", "accumulate"}

    @property
    def writes_remotely(self) -> bool:
        """Whether it writes memory of other ranks, and so theirs may write this rank's."""
        return self.access == "remote"

    @property
    def is_inside_tile(self) -> bool:
        """Whether no byte outside the described tile is touched."""
        return self.footprint in {"tile", "rows", "dynamic"}

    @property
    def is_complete(self) -> bool:
        """Whether all of the tile (at least) is touched, not a part that data choose."""
        return self.footprint in {"tile", "whole"}


READ = SlotEffect("read")
READ_ROWS = SlotEffect("read", "rows")
READ_DYNAMIC = SlotEffect("read", "dynamic")
READ_ANYWHERE = SlotEffect("read", "anywhere")
READ_WHOLE = SlotEffect("read", "whole")
WRITE = SlotEffect("write")
WRITE_ROWS = SlotEffect("write", "rows")
WRITE_WHOLE = SlotEffect("write", "whole")
ACCUMULATE = SlotEffect("accumulate")
NONE = SlotEffect("none")


@dataclass(frozen=True, slots=True)
class MetaRead:
    """A meta tensor that a kernel dereferences: null in test mode when the pipeline lacks it."""

    name: str
    """As PersistentKernel takes it: `qo_indptr_buffer`."""
    only_if: Condition | None = None
    may_be_dropped: bool = False
    """The value is an unused argument with some builds, so that nvcc may leave out the load."""


@dataclass(frozen=True, slots=True)
class EffectRow:
    """One task type: an effect for each of its slots, and what it reads besides."""

    task_type: str
    inputs: tuple[SlotEffect, ...]
    outputs: tuple[SlotEffect, ...]
    meta: tuple[MetaRead, ...] = ()
    varies_by: tuple[str, ...] = ()
    """Grid axes that the kernel learns from metadata: two tasks with equal tiles that agree on
    these axes do the same work and write the same values."""
    data_types: tuple[str, ...] = ()
    """By slot the types that the kernel takes the elements for, whatever was declared, joined by
    `|`; `any` where it does not look. Empty: not known."""
    register_name: str | None = None
    """Set in the row of one registered name of several that share the task type."""

    def __post_init__(self) -> None:
        if self.data_types and len(self.data_types) != len(self.slots):
            raise ValueError(f"{self.task_type}: data types of {len(self.data_types)} slots")
        if not set(self.varies_by) <= set(AXES):
            raise ValueError(f"{self.task_type}: not axes of a grid: {self.varies_by}")

    @property
    def slots(self) -> tuple[SlotEffect, ...]:
        return (*self.inputs, *self.outputs)

    @property
    def meta_tensors(self) -> tuple[str, ...]:
        """Names of the meta tensors that are dereferenced."""
        return tuple(x.name for x in self.meta)

    def given(self, params: Sequence[int], rank: int) -> EffectRow:
        """The row of a layer with these params on this rank: conditions are decided."""
        conditions = [x.only_if for x in self.slots] + [x.only_if for x in self.meta]
        return _decided(self, tuple(params), rank) if any(conditions) else self


@lru_cache(maxsize=4096)
def _decided(row: EffectRow, params: tuple[int, ...], rank: int) -> EffectRow:
    """Model layers repeat, so that most are known."""

    def holds(condition: Condition | None) -> bool:
        return condition is None or condition(params, rank)

    def decided(effects: tuple[SlotEffect, ...]) -> tuple[SlotEffect, ...]:
        return tuple(replace(x, only_if=None) if holds(x.only_if) else NONE for x in effects)

    return replace(
        row,
        inputs=decided(row.inputs),
        outputs=decided(row.outputs),
        meta=tuple(replace(x, only_if=None) for x in row.meta if holds(x.only_if)),
    )


def disjoint(effect: SlotEffect, axes: str) -> SlotEffect:
    """The effect with tasks kept apart along `axes`, such as `xz`."""
    return replace(effect, disjoint_by=tuple(axes))
