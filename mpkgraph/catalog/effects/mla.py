"""Effects of multi-head latent attention: blocks of whole tensors that metadata choose.

Its kernels compute places in the whole tensors from request, head group and split, whatever the
tile. The gathers and one prefill write what they take as inputs, and have no outputs.
"""

from __future__ import annotations

from mpkgraph.catalog.effects.attention import PAGED_CACHE, PAGES
from mpkgraph.catalog.effects.common import QO
from mpkgraph.catalog.effects.condition import param_above
from mpkgraph.catalog.effects.row import (
    READ_ANYWHERE,
    READ_ROWS,
    EffectRow,
    MetaRead,
    SlotEffect,
    disjoint,
)

WRITE_BLOCK = SlotEffect("write", "anywhere")
QO_OF_SEVERAL = MetaRead("qo_indptr_buffer", param_above(5, 1, 1))
"""Only with more than one query token."""
LENGTH = (PAGES[0], PAGES[2])

DECODE_TYPES = ("bf16", "bf16", "bf16", "fp32")
REDUCE_TYPES = ("bf16", "fp32", "bf16")

ROWS: tuple[EffectRow, ...] = (
    # Splits along x; requests or head groups along y; requests along z
    EffectRow(
        "TASK_MLA_DECODE_SM100",
        inputs=(READ_ANYWHERE, READ_ANYWHERE),
        outputs=(disjoint(WRITE_BLOCK, "xyz"),) * 2,
        meta=(*LENGTH, QO_OF_SEVERAL),
        varies_by=("x", "y", "z"),
        data_types=DECODE_TYPES,
    ),
    # One layer makes two columns of each head, from `d_start` (param 3) on
    EffectRow(
        "TASK_MLA_REDUCE_SM100",
        inputs=(READ_ANYWHERE, READ_ANYWHERE),
        outputs=(SlotEffect("write", "anywhere", ("x", "z"), disjoint_params=(3,)),),
        meta=(QO_OF_SEVERAL,),
        varies_by=("x", "z"),
        data_types=REDUCE_TYPES,
    ),
    EffectRow(
        "TASK_MLA_MTP_DECODE_SM100",
        inputs=(READ_ANYWHERE, READ_ANYWHERE),
        outputs=(disjoint(WRITE_BLOCK, "xyz"),) * 2,
        meta=(*LENGTH, QO),
        varies_by=("x", "y", "z"),
        data_types=DECODE_TYPES,
    ),
    # Splits (and groups) along x, requests along y
    *(
        EffectRow(
            f"TASK_MLA_MTP_DECODE_{ranks}_SM100",
            inputs=(READ_ANYWHERE, READ_ANYWHERE),
            outputs=(disjoint(WRITE_BLOCK, "xy"),) * 2,
            meta=(*LENGTH, QO),
            varies_by=("x", "y"),
            data_types=DECODE_TYPES,
        )
        for ranks in ("TP2", "TP4", "TP8")
    ),
    # Columns along x, head groups along y, requests along z
    *(
        EffectRow(
            name,
            inputs=(READ_ANYWHERE, READ_ANYWHERE),
            outputs=(disjoint(WRITE_BLOCK, "xyz"),),
            meta=(QO,),
            varies_by=("x", "y", "z"),
            data_types=REDUCE_TYPES,
        )
        for name in (
            "TASK_MLA_MTP_REDUCE_SM100",
            "TASK_MLA_MTP_DECODE_TP2_REDUCE_SM100",
            "TASK_MLA_MTP_DECODE_TP4_REDUCE_SM100",
            "TASK_MLA_MTP_DECODE_TP8_REDUCE_SM100",
        )
    ),
    # Heads along x, blocks of 64 queries along y, requests along z
    EffectRow(
        "TASK_MLA_PREFILL_SM100",
        inputs=(*(READ_ANYWHERE,) * 4, disjoint(WRITE_BLOCK, "xyz")),
        outputs=(),
        meta=(*LENGTH, QO),
        varies_by=("x", "y", "z"),
        data_types=("bf16",) * 5,
    ),
    EffectRow(
        "TASK_MLA_PREFILL_TP8_SM100",
        inputs=(READ_ANYWHERE,) * 4,
        outputs=(disjoint(WRITE_BLOCK, "xyz"),),
        varies_by=("x", "y", "z"),
        data_types=("bf16",) * 5,
    ),
    # The contiguous rows of a request start at its own length times its number: requests of
    # different length overlap, so x does not keep them apart
    EffectRow(
        "TASK_MLA_KV_GATHER_SM100",
        inputs=(READ_ROWS, READ_ROWS, PAGED_CACHE, WRITE_BLOCK),
        outputs=(),
        meta=(QO, *PAGES),
        varies_by=("x",),
        data_types=("bf16",) * 4,
    ),
    EffectRow(
        "TASK_MLA_KV_GATHER_SPLIT_SM100",
        inputs=(READ_ROWS, READ_ROWS, PAGED_CACHE, *(disjoint(WRITE_BLOCK, "x"),) * 2),
        outputs=(),
        meta=(QO, *PAGES),
        varies_by=("x",),
        data_types=("bf16",) * 5,
    ),
)
