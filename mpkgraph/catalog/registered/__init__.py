"""The names that Mirage's `Graph::register_task` knows, with what each says of its tasks.

Facts from `src/kernel/graph.cc` (task types, slot counts), `src/kernel/task_register.cc` (what
reaches the text of a kernel call) and `tasks/*/task_header.cuh` (kernels of each architecture) at
`de8745d`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mpkgraph.catalog.registered import (
    ampere,
    attention,
    fp8,
    hopper,
    mla,
    moe,
    mtp,
    multigpu,
    prompt_lookup,
    sm100,
)
from mpkgraph.catalog.registered.row import (
    ARCHITECTURES,
    MissingParamError,
    MissingSlotError,
    MissingStrideError,
    NullSlotError,
    RegisteredTaskRow,
    SlotFacts,
    TaskFacts,
    UncheckedSlotFacts,
    UndefinedVariantError,
    VariantKey,
)

__all__ = [
    "ARCHITECTURES",
    "FAMILIES",
    "REGISTERED_TASKS",
    "MissingParamError",
    "MissingSlotError",
    "MissingStrideError",
    "NullSlotError",
    "RegisteredTaskRow",
    "SlotFacts",
    "TaskFacts",
    "UncheckedSlotFacts",
    "UndefinedVariantError",
    "VariantKey",
]

FAMILIES: Mapping[str, tuple[RegisteredTaskRow, ...]] = MappingProxyType(
    {
        "Ampere and common": ampere.ROWS,
        "Hopper": hopper.ROWS,
        "Blackwell (SM100)": sm100.ROWS,
        "Attention": attention.ROWS,
        "Multi-head latent attention": mla.ROWS,
        "Mixture of experts": moe.ROWS,
        "FP8": fp8.ROWS,
        "Multi-token prediction": mtp.ROWS,
        "Prompt lookup": prompt_lookup.ROWS,
        "Multi-GPU": multigpu.ROWS,
    }
)
"""By heading, in the order of the documentation."""

REGISTERED_TASKS: Mapping[str, RegisteredTaskRow] = MappingProxyType(
    {row.name: row for rows in FAMILIES.values() for row in rows}
)
"""By registered name."""
