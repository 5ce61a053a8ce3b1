"""Effects of the mixture of experts: routing decides the rows; x is a lane of experts."""

from __future__ import annotations

from mpkgraph.catalog.effects.row import (
    READ,
    READ_DYNAMIC,
    READ_WHOLE,
    WRITE,
    WRITE_WHOLE,
    EffectRow,
    SlotEffect,
    disjoint,
)

ROUTED = disjoint(SlotEffect("write", "dynamic"), "x")
"""Rows that are routed to the experts of the lane."""
LOGITS = SlotEffect("readwrite")
"""Set to zero once they are read."""
CHOSEN = SlotEffect("write", "rows")
"""Weights of the rows that fit the kernel's warps."""

EXPERT_INPUTS = (READ_DYNAMIC, READ_DYNAMIC, READ_DYNAMIC, READ_WHOLE)
EXPERT_TYPES = ("bf16", "bf16", "int32", "int32", "bf16")
FP8_INPUTS = (*(READ_DYNAMIC,) * 4, READ_WHOLE, READ_WHOLE)
FP8_TYPES = ("fp8", "fp32", "fp8", "fp32", "int32", "int32", "bf16")

ROWS: tuple[EffectRow, ...] = (
    EffectRow(
        "TASK_MOE_TOPK_SOFTMAX_SM100",
        inputs=(LOGITS,),
        outputs=(CHOSEN, WRITE_WHOLE, WRITE_WHOLE),
        data_types=("bf16", "fp32", "int32", "int32"),
    ),
    EffectRow(
        "TASK_MOE_TOPK_SIGMOID_SM100",
        inputs=(LOGITS, READ_WHOLE),
        outputs=(CHOSEN, WRITE_WHOLE, WRITE_WHOLE),
        data_types=("bf16", "fp32", "fp32", "int32", "int32"),
    ),
    *(
        EffectRow(name, EXPERT_INPUTS, (ROUTED,), varies_by=("x",), data_types=EXPERT_TYPES)
        for name in (
            "TASK_MOE_W13_LINEAR_SM90",
            "TASK_MOE_W2_LINEAR_SM90",
            "TASK_MOE_W13_LINEAR_SM100",
            "TASK_MOE_W2_LINEAR_SM100",
        )
    ),
    *(
        EffectRow(name, FP8_INPUTS, (ROUTED,), varies_by=("x",), data_types=FP8_TYPES)
        for name in ("TASK_MOE_W13_FP8_SM100", "TASK_MOE_W2_FP8_SM100")
    ),
    EffectRow(
        "TASK_MOE_MUL_SUM_ADD_SM100",
        inputs=(READ, READ, READ),
        outputs=(WRITE,),
        data_types=("bf16", "fp32", "bf16", "bf16"),
    ),
)
