"""Effects of attention: caches are inputs that are written, rows are those of a request."""

from __future__ import annotations

from mpkgraph.catalog.effects.common import QO
from mpkgraph.catalog.effects.condition import param_above
from mpkgraph.catalog.effects.row import (
    READ_DYNAMIC,
    READ_ROWS,
    WRITE,
    WRITE_ROWS,
    EffectRow,
    MetaRead,
    SlotEffect,
    disjoint,
)

STEP = MetaRead("step")
PAGES = (
    MetaRead("paged_kv_indptr_buffer"),
    MetaRead("paged_kv_indices_buffer"),
    MetaRead("paged_kv_last_page_len_buffer"),
)

HAS_NORM = param_above(2, 0, 1)
HAS_ROTARY = param_above(3, 0, 1)
NORM = SlotEffect("read", "whole", only_if=HAS_NORM)
ROTARY = SlotEffect("read", "dynamic", only_if=HAS_ROTARY)
NORMS_AND_ROTARY = (NORM, NORM, ROTARY, ROTARY)

CACHE = SlotEffect("readwrite", "dynamic")
"""New rows are appended, earlier ones are read."""
PAGED_CACHE = disjoint(CACHE, "x")
"""Pages of the request; requests share none."""
CHUNK_CACHE = disjoint(CACHE, "xz")
"""Positions of one chunk of the request's pages."""
REQUEST_ROWS = disjoint(WRITE_ROWS, "x")

ATTENTION_TYPES = ("bf16",) * 8

ROWS: tuple[EffectRow, ...] = (
    # One token at `step`: the request is not looked at
    EffectRow(
        "TASK_ATTENTION_1",
        inputs=(SlotEffect("read"), CACHE, CACHE, *NORMS_AND_ROTARY),
        outputs=(WRITE,),
        meta=(STEP,),
        data_types=ATTENTION_TYPES,
    ),
    EffectRow(
        "TASK_SINGLE_BATCH_EXTEND_ATTENTION",
        inputs=(READ_ROWS, CACHE, CACHE, *NORMS_AND_ROTARY),
        outputs=(WRITE_ROWS,),
        meta=(STEP,),
        data_types=ATTENTION_TYPES,
    ),
    *(
        EffectRow(
            name,
            inputs=(READ_ROWS, PAGED_CACHE, PAGED_CACHE, *NORMS_AND_ROTARY),
            outputs=(REQUEST_ROWS,),
            meta=(QO, *PAGES),
            varies_by=("x",),
            data_types=ATTENTION_TYPES,
        )
        for name in ("TASK_PAGED_ATTENTION_1", "TASK_PAGED_ATTENTION_HOPPER", "TASK_ATTN_SM100")
    ),
    # The sums of weights start at row 0 for every request: requests overwrite each other's
    *(
        EffectRow(
            name,
            inputs=(READ_ROWS, CHUNK_CACHE, CHUNK_CACHE, *NORMS_AND_ROTARY),
            outputs=(disjoint(WRITE_ROWS, "z"), disjoint(WRITE_ROWS, "xz")),
            meta=(QO, *PAGES),
            varies_by=("x", "z"),
            data_types=(*("bf16",) * 7, "fp32", "bf16"),
        )
        for name in ("TASK_PAGED_ATTENTION_SPLIT_KV_HOPPER", "TASK_PAGED_ATTENTION_SPLIT_KV_SM100")
    ),
    EffectRow(
        "TASK_PAGED_ATTENTION_SPLIT_KV_MERGE_SM100",
        inputs=(READ_DYNAMIC, READ_DYNAMIC),
        outputs=(WRITE_ROWS,),
        meta=(QO, PAGES[0], PAGES[2]),
        varies_by=("x",),
        data_types=("fp32", "bf16", "bf16"),
    ),
)
