"""Effects of the kernels that Ampere, Hopper and Blackwell share, and of Ampere's own."""

from __future__ import annotations

from mpkgraph.catalog.effects.condition import first_rank, param
from mpkgraph.catalog.effects.row import (
    NONE,
    READ,
    READ_DYNAMIC,
    READ_ROWS,
    READ_WHOLE,
    WRITE,
    WRITE_ROWS,
    EffectRow,
    MetaRead,
    SlotEffect,
)

QO = MetaRead("qo_indptr_buffer")
"""Its last entry is the number of rows in use, its others the rows of each request."""
QO_ARGUMENT = MetaRead("qo_indptr_buffer", may_be_dropped=True)
RESIDUAL_ON_FIRST_RANK = SlotEffect("read", only_if=first_rank)

TOKENS = param(0, 0)
"""An embedding's source: 0 reads the meta tensor `tokens` at `step`, and not the first slot."""
TOKEN_META = (MetaRead("step", TOKENS), MetaRead("tokens", TOKENS))
TOKEN_SLOT = SlotEffect("read", only_if=param(0, 1))

ROWS: tuple[EffectRow, ...] = (
    EffectRow(
        "TASK_EMBEDDING",
        inputs=(TOKEN_SLOT, READ_DYNAMIC),
        outputs=(WRITE,),
        meta=TOKEN_META,
        data_types=("int64", "bf16", "bf16"),
    ),
    EffectRow(
        "TASK_RMS_NORM",
        inputs=(READ, READ_WHOLE),
        outputs=(WRITE,),
        data_types=("bf16", "bf16", "bf16"),
    ),
    EffectRow(
        "TASK_RMS_NORM_LINEAR",
        inputs=(READ, READ_WHOLE, READ),
        outputs=(WRITE,),
        meta=(QO,),
        data_types=("bf16",) * 4,
    ),
    EffectRow(
        "TASK_LINEAR",
        inputs=(READ, READ),
        outputs=(WRITE,),
        meta=(QO_ARGUMENT,),
        data_types=("bf16",) * 3,
    ),
    EffectRow(
        "TASK_LINEAR_WITH_RESIDUAL",
        inputs=(READ, READ, RESIDUAL_ON_FIRST_RANK),
        outputs=(WRITE,),
        meta=(QO_ARGUMENT,),
        data_types=("bf16",) * 4,
    ),
    EffectRow(
        "TASK_SILU_MUL",
        inputs=(READ_ROWS,),
        outputs=(WRITE_ROWS,),
        meta=(QO,),
        data_types=("bf16", "bf16"),
    ),
    EffectRow(
        "TASK_SILU_MUL",
        inputs=(READ,),
        outputs=(WRITE,),
        data_types=("bf16", "bf16"),
        register_name="moe_silu_mul",
    ),
    EffectRow(
        "TASK_SILU_MUL_LINEAR_WITH_RESIDUAL",
        inputs=(READ, READ, RESIDUAL_ON_FIRST_RANK),
        outputs=(WRITE,),
        data_types=("bf16",) * 4,
    ),
    # Every outer index of the tensor, whatever the tile: the layer splits the last dim only
    EffectRow("TASK_IDENTITY", inputs=(READ,), outputs=(WRITE,), data_types=("bf16", "bf16")),
    # No code is registered for it: its tasks do nothing
    EffectRow("TASK_ARGMAX", inputs=(NONE,), outputs=(NONE,), data_types=("any", "any")),
    EffectRow(
        "TASK_ARGMAX_PARTIAL",
        inputs=(READ_ROWS,),
        outputs=(WRITE_ROWS, WRITE_ROWS),
        meta=(QO,),
        data_types=("bf16", "bf16", "int64"),
    ),
    EffectRow(
        "TASK_ARGMAX_REDUCE",
        inputs=(READ_ROWS, READ_ROWS),
        outputs=(WRITE_ROWS,),
        meta=(QO,),
        data_types=("bf16", "int64", "int64"),
    ),
)
