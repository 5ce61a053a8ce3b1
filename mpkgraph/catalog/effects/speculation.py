"""Effects of speculative decoding: multi-token prediction and prompt lookup."""

from __future__ import annotations

from mpkgraph.catalog.effects.attention import STEP
from mpkgraph.catalog.effects.row import (
    NONE,
    READ_ANYWHERE,
    READ_DYNAMIC,
    READ_ROWS,
    READ_WHOLE,
    WRITE_ROWS,
    WRITE_WHOLE,
    EffectRow,
    MetaRead,
    SlotEffect,
    disjoint,
)

TOKENS = MetaRead("tokens")
WRITE_PART = SlotEffect("write", "anywhere")
SLOT_COLUMN = SlotEffect("write", "anywhere", disjoint_params=(2,))
"""One column, the one that `slot_index` (param 2) names."""

ROWS: tuple[EffectRow, ...] = (
    # Multi-token prediction. Counts and tokens of row 0, whatever the grid
    EffectRow(
        "TASK_MTP_VERIFY_STRICT",
        inputs=(READ_WHOLE, READ_WHOLE),
        outputs=(WRITE_PART, WRITE_PART),
        data_types=("int64", "int64", "int32", "int64"),
    ),
    EffectRow(
        "TASK_MTP_VERIFY_PROBABILISTIC",
        inputs=(READ_WHOLE,) * 5,
        outputs=(WRITE_PART, WRITE_PART),
        data_types=("int64", "int64", "fp32", "fp32", "uint64", "int32", "int64"),
    ),
    EffectRow(
        "TASK_MTP_ACCEPT_COMMIT",
        inputs=(READ_ANYWHERE, READ_WHOLE, READ_ANYWHERE),
        outputs=(WRITE_PART,) * 3,
        data_types=("int32", "int64", "int32", "int32", "int64", "int32"),
    ),
    EffectRow(
        "TASK_MTP_TOKEN_SCATTER",
        inputs=(READ_WHOLE,),
        outputs=(SLOT_COLUMN,),
        data_types=("int64", "int64"),
    ),
    EffectRow(
        "TASK_MTP_FLOAT_SCATTER",
        inputs=(READ_WHOLE,),
        outputs=(SLOT_COLUMN,),
        data_types=("fp32", "fp32"),
    ),
    # Writes the tokens of its request through an input
    EffectRow(
        "TASK_MTP_PREPARE_VERIFY",
        inputs=(READ_ANYWHERE, READ_ANYWHERE, disjoint(WRITE_PART, "x"), READ_ANYWHERE),
        outputs=(disjoint(WRITE_PART, "x"),),
        varies_by=("x",),
        data_types=("int64", "int64", "int64", "int32", "int32"),
    ),
    # Every request's task writes all rows
    EffectRow(
        "TASK_MTP_BUILD_EMBED_INPUT",
        inputs=(READ_ANYWHERE,),
        outputs=(WRITE_WHOLE,),
        meta=(TOKENS, STEP),
        varies_by=("x",),
        data_types=("int64", "int64"),
    ),
    EffectRow(
        "TASK_SOFTMAX_GATHER_SM100",
        inputs=(READ_WHOLE, READ_WHOLE),
        outputs=(WRITE_WHOLE,),
        data_types=("bf16", "int64", "fp32"),
    ),
    EffectRow(
        "TASK_PROB_SCATTER_SM100",
        inputs=(READ_WHOLE, READ_WHOLE),
        outputs=(SlotEffect("write", "dynamic"),),
        data_types=("fp32", "int32", "fp32"),
    ),
    EffectRow(
        "TASK_PROB_EXTRACT_SM100",
        inputs=(READ_DYNAMIC, READ_WHOLE),
        outputs=(WRITE_WHOLE,),
        data_types=("fp32", "int32", "fp32"),
    ),
    # Prompt lookup. Nothing is written while the sequence is shorter than the n-gram
    EffectRow(
        "TASK_FIND_NGRAM_PARTIAL",
        inputs=(READ_ROWS,),
        outputs=(WRITE_ROWS,),
        meta=(STEP,),
        varies_by=("x",),
        data_types=("int64", "int64"),
    ),
    EffectRow(
        "TASK_FIND_NGRAM_GLOBAL",
        inputs=(READ_ROWS, READ_ROWS),
        outputs=(WRITE_ROWS,),
        meta=(STEP,),
        data_types=("int64", "int64", "int64"),
    ),
    # The declared output is never written: results go to meta tensors
    EffectRow(
        "TASK_TARGET_VERIFY_GREEDY",
        inputs=(READ_ROWS, READ_ROWS),
        outputs=(NONE,),
        meta=(MetaRead("num_new_tokens"), TOKENS, STEP),
        data_types=("int64", "int64", "any"),
    ),
)
