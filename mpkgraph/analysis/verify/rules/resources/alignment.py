"""Addresses of tiles that TMA descriptors or vector loads can't take."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from mpkgraph.analysis.verify.context import SlotUse, VerifyContext
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.layer_facts import task_facts
from mpkgraph.analysis.verify.rule import CheckRow, Rule
from mpkgraph.catalog.constraints.aligned import TMA_BYTES, TMA_SLOTS, VECTOR_BYTES

MISALIGNED = Rule(
    "MPK421",
    "misaligned-tile",
    "error",
    "a tile whose address or strides are not aligned as its kernel needs",
    "TMA takes addresses and strides of 16 bytes only; Mirage ignores that the descriptor could "
    "not be made, and the kernel dies of an illegal instruction. Vector loads die of a misaligned "
    "address.",
    "Choose a grid whose tiles start at multiples of 16 bytes: 8 elements of bfloat16.",
)


def check_alignment(context: VerifyContext) -> Iterator[Finding]:
    """Offsets and strides of the slots that are read or written by 16 bytes."""
    for use in context.uses:
        name = context.catalog.task_type_name(use.operator.task_type)
        is_tma = use.slot.position in TMA_SLOTS.get(name, ())
        if is_tma:
            unit = TMA_BYTES
        elif name in VECTOR_BYTES and use.effect.access != "none":
            facts = task_facts(context, use.operator)
            if not facts.inputs:
                continue
            unit = VECTOR_BYTES[name](facts)
        else:
            continue
        size = use.layout.element_bytes
        if size is None:
            continue
        bad = use.offsets % unit != 0
        if bad.any():
            yield _offset(context, use, unit, np.flatnonzero(bad), size)
        pitches = [
            (dim, stride * size)
            for dim, stride in enumerate(use.layout.strides[:-1])
            if stride * size % unit
        ]
        # Column-major tensors have stride 1 where TMA's own innermost dim is
        if is_tma and pitches and use.layout.strides[-1] == 1:
            yield _pitch(context, use, unit, *pitches[0])


def _offset(context: VerifyContext, use: SlotUse, unit: int, bad: np.ndarray, size: int) -> Finding:
    first = int(bad[0])
    offset = int(use.offsets[first])
    return Finding(
        MISALIGNED,
        f"{len(bad)} of {len(use.tasks)} tiles of {use.tensor!r} in {context.name(use.operator)} "
        f"start at no multiple of {unit} bytes, the first at byte {offset} (element "
        f"{offset // size})",
        context.location(
            use.operator,
            use.slot,
            tensor=use.tensor,
            byte_range=(offset, offset + use.layout.extent_bytes),
        ),
        _remedy(use, unit // math.gcd(unit, size)),
        witness=(context.task_ref(int(use.tasks[first])),),
        count=len(bad),
        key=(use.operator.task_type, use.slot.position, use.operator.grid_dim, use.layout, unit),
    )


def _pitch(context: VerifyContext, use: SlotUse, unit: int, dim: int, pitch: int) -> Finding:
    return Finding(
        MISALIGNED,
        f"dim {dim} of {use.tensor!r} in {context.name(use.operator)} has a stride of {pitch} "
        f"bytes, which is no multiple of {unit}",
        context.location(use.operator, use.slot, tensor=use.tensor),
        f"Pad its rows to multiples of {unit} bytes",
        witness=(context.task_ref(int(use.tasks[0])),),
        count=len(use.tasks),
        key=(use.operator.task_type, use.slot.position, "stride", use.layout, unit),
    )


def _remedy(use: SlotUse, elements: int) -> str:
    slot = use.slot
    inner = len(slot.tensor_dims) - 1
    axes = [axis for axis, dim in enumerate(slot.input_map) if dim == inner]
    if len(axes) != 1 or inner < 0:
        return f"Let tiles start at multiples of {elements} elements"
    extent = slot.tensor_dims[inner]
    now = use.operator.grid_dim[axes[0]]
    fits = [x for x in range(1, extent + 1) if extent % x == 0 and extent // x % elements == 0]
    near = sorted(sorted(fits, key=lambda x: abs(x - now))[:6])
    if not near:
        return f"Pad the dim to a multiple of {elements} elements"
    shown = ", ".join(map(str, near))
    return f"Make grid.{'xyz'[axes[0]]} {shown}: tiles of a multiple of {elements} elements"


CHECKS: tuple[CheckRow, ...] = (CheckRow(check_alignment, (MISALIGNED,)),)
