"""What the kernel of each task type reads and writes, apart from what its slots declare.

The table is made of rows by task type; see `row`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mpkgraph.catalog.effects.row import READ, WRITE, EffectRow, SlotEffect

__all__ = ["EFFECTS", "READ", "WRITE", "EffectRow", "SlotEffect", "effects_of"]

EFFECTS: Mapping[str, EffectRow] = MappingProxyType({})
"""By name of the task type."""


def effects_of(task_type_name: str, num_inputs: int, num_outputs: int) -> EffectRow:
    """The row of a task type; for one without a row, inputs are read and outputs written whole."""
    row = EFFECTS.get(task_type_name)
    if row is not None and len(row.inputs) == num_inputs and len(row.outputs) == num_outputs:
        return row
    return EffectRow(task_type_name, (READ,) * num_inputs, (WRITE,) * num_outputs)
