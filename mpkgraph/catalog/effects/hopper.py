"""Effects of Hopper's kernels."""

from __future__ import annotations

from mpkgraph.catalog.effects.common import QO, TOKEN_META, TOKEN_SLOT
from mpkgraph.catalog.effects.condition import all_of, first_rank, param
from mpkgraph.catalog.effects.row import (
    ACCUMULATE,
    READ,
    READ_DYNAMIC,
    READ_ROWS,
    READ_WHOLE,
    WRITE,
    WRITE_ROWS,
    EffectRow,
    SlotEffect,
)

ROWS: tuple[EffectRow, ...] = (
    EffectRow("TASK_LINEAR_HOPPER", (READ, READ), (WRITE,), data_types=("bf16",) * 3),
    EffectRow(
        "TASK_LINEAR_WITH_RESIDUAL_HOPPER", (READ, READ, READ), (WRITE,), data_types=("bf16",) * 4
    ),
    EffectRow("TASK_LINEAR_SWAPAB_HOPPER", (READ, READ), (WRITE,), data_types=("bf16",) * 3),
    EffectRow(
        "TASK_LINEAR_SWAPAB_WITH_RESIDUAL_HOPPER",
        (READ, READ, SlotEffect("read", only_if=all_of(param(0, 1), first_rank))),
        (WRITE,),
        data_types=("bf16",) * 4,
    ),
    # Tasks that share an output tile add their parts of the sum, in any order
    EffectRow(
        "TASK_SPLITK_LINEAR_SWAPAB_HOPPER", (READ, READ), (ACCUMULATE,), data_types=("bf16",) * 3
    ),
    EffectRow("TASK_LINEAR_CUTLASS_HOPPER", (READ, READ), (WRITE,), data_types=("bf16",) * 3),
    EffectRow(
        "TASK_LINEAR_CUTLASS_WITH_RESIDUAL_HOPPER",
        (READ, READ, READ),
        (WRITE,),
        data_types=("bf16",) * 4,
    ),
    EffectRow("TASK_RMS_NORM_HOPPER", (READ, READ_WHOLE), (WRITE,), data_types=("bf16",) * 3),
    EffectRow(
        "TASK_SILU_MUL_HOPPER",
        (READ_ROWS,),
        (WRITE_ROWS,),
        meta=(QO,),
        data_types=("bf16", "bf16"),
    ),
    EffectRow(
        "TASK_EMBEDDING_HOPPER",
        (TOKEN_SLOT, READ_DYNAMIC),
        (WRITE,),
        meta=TOKEN_META,
        data_types=("int64", "bf16", "bf16"),
    ),
)
