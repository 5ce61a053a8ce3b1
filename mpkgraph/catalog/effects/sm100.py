"""Effects of Blackwell's kernels, apart from attention, experts, FP8 and speculation."""

from __future__ import annotations

from mpkgraph.catalog.effects.common import QO
from mpkgraph.catalog.effects.condition import param
from mpkgraph.catalog.effects.row import (
    ACCUMULATE,
    NONE,
    READ,
    READ_ROWS,
    WRITE,
    WRITE_ROWS,
    EffectRow,
    SlotEffect,
)

RESIDUAL_IF_ASKED = SlotEffect("read", only_if=param(0, 1))

ROWS: tuple[EffectRow, ...] = (
    EffectRow("TASK_LINEAR_SM100", (READ, READ), (WRITE,), data_types=("bf16",) * 3),
    EffectRow(
        "TASK_LINEAR_WITH_RESIDUAL_SM100",
        (READ, READ, RESIDUAL_IF_ASKED),
        (WRITE,),
        data_types=("bf16",) * 4,
    ),
    # Tasks that share an output tile add their parts of the sum, in any order
    EffectRow("TASK_SPLITK_LINEAR_SM100", (READ, READ), (ACCUMULATE,), data_types=("bf16",) * 3),
    EffectRow(
        "TASK_ARGMAX_PARTIAL_SM100",
        (READ_ROWS,),
        (WRITE_ROWS, WRITE_ROWS),
        meta=(QO,),
        data_types=("bf16", "bf16", "int64"),
    ),
    EffectRow(
        "TASK_ARGMAX_REDUCE_SM100",
        (READ_ROWS, READ_ROWS),
        (WRITE_ROWS,),
        meta=(QO,),
        data_types=("bf16", "int64", "int64"),
    ),
    EffectRow("TASK_SAMPLING_SM100", (READ,), (WRITE,), data_types=("bf16", "int32")),
    # Writes zeros through its first input; the others only carry edges
    EffectRow("TASK_TENSOR_INIT", (WRITE, NONE), (NONE,), data_types=("bf16", "any", "any")),
    EffectRow("TASK_ELEMENTWISE_ADD_SM100", (READ, READ), (WRITE,), data_types=("bf16",) * 3),
)
