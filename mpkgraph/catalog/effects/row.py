"""The rows of the table of effects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Access = Literal["none", "read", "write", "readwrite", "accumulate"]
"""`accumulate` reads and writes, and the order of two of them does not matter but for rounding."""
Footprint = Literal["tile", "whole", "rows", "dynamic"]
"""Where within the tensor: exactly the described tile; the whole tensor whatever the tile; rows of
the tile that metadata or request tables choose (within the tile's columns); what pages or routing
decide."""


@dataclass(frozen=True, slots=True)
class SlotEffect:
    """What a kernel does to one slot."""

    access: Access
    footprint: Footprint = "tile"
    disjoint_by: tuple[str, ...] = ()
    """Grid axes ("x", "y", "z") along which tasks touch different parts although their tiles are
    equal (the kernel tells them apart by metadata): two tasks that differ there do not conflict."""

    @property
    def reads(self) -> bool:
        return self.access in {"read", "readwrite", "accumulate"}

    @property
    def writes(self) -> bool:
        return self.access in {"write", "readwrite", "accumulate"}


READ = SlotEffect("read")
WRITE = SlotEffect("write")
READ_WHOLE = SlotEffect("read", "whole")
READ_DYNAMIC = SlotEffect("read", "dynamic")
NONE = SlotEffect("none")


@dataclass(frozen=True, slots=True)
class EffectRow:
    """One task type: an effect for each of its slots, and what it reads besides."""

    task_type: str
    inputs: tuple[SlotEffect, ...]
    outputs: tuple[SlotEffect, ...]
    meta_tensors: tuple[str, ...] = ()
    """Meta tensors that the kernel dereferences; a missing one is a null pointer in test mode."""

    @property
    def slots(self) -> tuple[SlotEffect, ...]:
        return (*self.inputs, *self.outputs)
