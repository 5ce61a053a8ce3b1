"""Effects of quantizing to FP8 and of FP8 linears."""

from __future__ import annotations

from mpkgraph.catalog.effects.row import READ, READ_ROWS, WRITE, WRITE_ROWS, EffectRow, disjoint
from mpkgraph.catalog.effects.sm100 import RESIDUAL_IF_ASKED

QUANTIZED_ROW = disjoint(WRITE_ROWS, "x")
"""A task is meant to do row x. (The kernel takes the number of its worker for it.)"""

ROWS: tuple[EffectRow, ...] = (
    EffectRow(
        "TASK_QUANTIZE_FP8_SM100",
        inputs=(READ_ROWS,),
        outputs=(QUANTIZED_ROW, QUANTIZED_ROW),
        varies_by=("x",),
        data_types=("bf16", "fp8", "uint32|fp32"),
    ),
    EffectRow(
        "TASK_LINEAR_FP8_SM100",
        inputs=(READ,) * 4,
        outputs=(WRITE,),
        data_types=("fp8", "uint32", "fp8", "uint32", "bf16"),
    ),
    EffectRow(
        "TASK_LINEAR_FP8_WITH_RESIDUAL_SM100",
        inputs=(*(READ,) * 4, RESIDUAL_IF_ASKED),
        outputs=(WRITE,),
        data_types=("fp8", "uint32", "fp8", "uint32", "bf16", "bf16"),
    ),
)
