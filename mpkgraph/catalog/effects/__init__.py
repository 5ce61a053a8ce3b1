"""What the kernel of each task type reads and writes, apart from what its slots declare.

Facts read from the kernels (`include/mirage/persistent_kernel/tasks`) and what their generated
calls give them (`src/kernel/task_register.cc`) at `de8745d`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mpkgraph.catalog.effects import (
    attention,
    common,
    fp8,
    hopper,
    mla,
    moe,
    multigpu,
    sm100,
    speculation,
)
from mpkgraph.catalog.effects.row import READ, WRITE, EffectRow, MetaRead, SlotEffect

__all__ = [
    "EFFECTS",
    "EFFECTS_BY_REGISTER_NAME",
    "EFFECT_FAMILIES",
    "READ",
    "WRITE",
    "EffectRow",
    "MetaRead",
    "SlotEffect",
    "effects_of",
]

EFFECT_FAMILIES: Mapping[str, tuple[EffectRow, ...]] = MappingProxyType(
    {
        "Ampere and common": common.ROWS,
        "Hopper": hopper.ROWS,
        "Blackwell (SM100)": sm100.ROWS,
        "Attention": attention.ROWS,
        "Multi-head latent attention": mla.ROWS,
        "Mixture of experts": moe.ROWS,
        "FP8": fp8.ROWS,
        "Speculative decoding": speculation.ROWS,
        "Multi-GPU": multigpu.ROWS,
    }
)
"""By heading."""

_ROWS = tuple(row for rows in EFFECT_FAMILIES.values() for row in rows)

EFFECTS: Mapping[str, EffectRow] = MappingProxyType(
    {row.task_type: row for row in _ROWS if row.register_name is None}
)
"""By name of the task type."""

EFFECTS_BY_REGISTER_NAME: Mapping[str, EffectRow] = MappingProxyType(
    {row.register_name: row for row in _ROWS if row.register_name is not None}
)
"""Rows of registered names whose kernel differs from that of others of their task type."""


def effects_of(
    task_type_name: str, num_inputs: int, num_outputs: int, register_name: str | None = None
) -> EffectRow:
    """The row of a task type; for one without a row, inputs are read and outputs written.

    `register_name` is what the layer was registered as, where a record tells.
    """
    row = EFFECTS.get(task_type_name)
    if register_name is not None:
        row = EFFECTS_BY_REGISTER_NAME.get(register_name, row)
    if row is not None and len(row.inputs) == num_inputs and len(row.outputs) == num_outputs:
        return row
    return EffectRow(task_type_name, (READ,) * num_inputs, (WRITE,) * num_outputs)
