"""The rows of the table by heading, in the order of the documentation."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mpkgraph.reference.row import TaskFunction
from mpkgraph.reference.rows import attention, basic, experts, speculation

FAMILIES: Mapping[str, tuple[TaskFunction, ...]] = MappingProxyType(
    {
        "Ampere and common": basic.ROWS,
        "Hopper": basic.HOPPER_ROWS,
        "Blackwell (SM100)": basic.BLACKWELL_ROWS,
        "Attention": attention.ROWS,
        "Multi-head latent attention": attention.MLA_ROWS,
        "Mixture of experts": experts.ROWS,
        "FP8": experts.FP8_ROWS,
        "Speculative decoding": speculation.ROWS,
        "Multi-GPU": speculation.MULTIGPU_ROWS,
    }
)
