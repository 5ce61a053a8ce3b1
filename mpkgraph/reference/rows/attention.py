"""Rows of attention, multi-head latent attention included."""

from __future__ import annotations

from mpkgraph.reference.joins import Joins
from mpkgraph.reference.row import BF16, FP32, TaskFunction

PAGED = Joins((".h", "..h.", "..h.", ".", ".", "..", "..", ".h"), walked="x")
"""Requests along x; the columns of a kv head go with the head of the cache."""
SDPA = "`scaled_dot_product_attention` in float64 over gathered pages"
SDPA_CONTIGUOUS = "`scaled_dot_product_attention` in float64"
WEIGHTS = BF16
"""Weights are rounded to bfloat16 against the maximum so far, here against that of the row."""
LSE = {"bf16": WEIGHTS, "fp32": FP32}

TOO_MANY_ROWS = "With more than 64 rows of (token, query head) nothing runs, or not all of it."
PAGE_LIST = "The page list of a request with four pages or more is read from the wrong place \
(or misaligned) unless it is the first request."
WRONG_ROW = "On an H100 a request of two tokens and 130 positions got columns of its first row \
wrong, by up to 0.3; Ampere's kernel gets the same request right."
ONE_WARP = "The sums are those of one of four warps, the last to write, where rows of (token, \
query head) are at most 16: chunks are weighed wrong when they are merged."
EMPTY_AS_ONE = "A request without new tokens is done as if it had one; here it is left out."
ROW_BASE = "Rows of a request start at its number times its count of tokens, which is right when \
all requests have as many."
GROUPS_BY_RUN = "Blocks are numbered by the groups of this run where they are written, and by \
those of the layer where they are read: only the first request is right when the two differ."
CONTIGUOUS = "Rows of a request start at its number times its own length: requests of different \
length overlap. Here they are as far apart as the longest is long."

EMPTY_SPLIT = "A split without positions writes nothing, and the merge reads what lay there; here \
it says that it weighs nothing."
QUERY_ROWS = "The queries' descriptor expects rows of 576; the DeepSeek builder's tensor has rows \
of 128 * 576."

ROWS: tuple[TaskFunction, ...] = (
    TaskFunction(
        "TASK_ATTENTION_1",
        "attention.attention",
        None,
        SDPA_CONTIGUOUS,
        deviations=("Up to 64 positions the new key is neither normed nor turned.",),
    ),
    TaskFunction(
        "TASK_SINGLE_BATCH_EXTEND_ATTENTION",
        "attention.single_batch_extend_attention",
        None,
        SDPA_CONTIGUOUS,
        deviations=(
            "Rows of the input are taken to be 8 kv heads long.",
            "Without a norm, new keys in the first 64 positions are not turned.",
        ),
    ),
    TaskFunction(
        "TASK_PAGED_ATTENTION_1",
        "attention.paged_attention",
        PAGED,
        SDPA,
        deviations=(TOO_MANY_ROWS, PAGE_LIST),
    ),
    TaskFunction(
        "TASK_PAGED_ATTENTION_HOPPER",
        "attention.paged_attention",
        PAGED,
        SDPA,
        deviations=(TOO_MANY_ROWS, PAGE_LIST, WRONG_ROW),
    ),
    TaskFunction(
        "TASK_ATTN_SM100",
        "attention.paged_attention",
        PAGED,
        SDPA,
        deviations=("More than 8 new tokens of a request overrun shared memory.",),
    ),
    *(
        TaskFunction(
            name,
            "attention.paged_attention_split",
            None,
            f"{SDPA}, merged",
            LSE,
            (
                "The sums of every request start at row 0: requests overwrite each other's.",
                "New tokens in two chunks, and pages beyond the first, are read at wrong rows.",
                *((ONE_WARP,) if name.endswith("SM100") else ()),
            ),
        )
        for name in ("TASK_PAGED_ATTENTION_SPLIT_KV_HOPPER", "TASK_PAGED_ATTENTION_SPLIT_KV_SM100")
    ),
    TaskFunction(
        "TASK_PAGED_ATTENTION_SPLIT_KV_MERGE_SM100",
        "attention.merge_split",
        None,
        f"{SDPA}, after the split",
        deviations=("Rows of every request start at row 0.",),
    ),
)

# Places follow from metadata, whatever the tile: layers split nothing, so all may be joined
DECODE = Joins(("..", "..", "..", ".."), walked="xyz")
REDUCE = Joins(("..", "..", ".."), walked="xyz")
DENSE = "attention with dense float64 `softmax` over the rows of the cache"

MLA_ROWS: tuple[TaskFunction, ...] = (
    TaskFunction(
        "TASK_MLA_DECODE_SM100",
        "mla_decode.mla_decode",
        DECODE,
        f"{DENSE}, merged",
        LSE,
        (
            ROW_BASE,
            EMPTY_AS_ONE,
            CONTIGUOUS,
            EMPTY_SPLIT,
            (
                "Places are counted from the tile, which the layer splits along x; here from the "
                "tensor's start."
            ),
        ),
    ),
    TaskFunction(
        "TASK_MLA_REDUCE_SM100", "mla_reduce.mla_reduce", REDUCE, DENSE, deviations=(ROW_BASE,)
    ),
    TaskFunction(
        "TASK_MLA_PREFILL_SM100",
        "mla_prefill.mla_prefill",
        Joins(("..",) * 5, walked="xyz"),
        f"{DENSE}, causal",
    ),
    TaskFunction(
        "TASK_MLA_MTP_DECODE_SM100",
        "mla_decode.mla_mtp_decode",
        DECODE,
        f"{DENSE}, merged",
        LSE,
        (
            ROW_BASE,
            EMPTY_AS_ONE,
            CONTIGUOUS,
            EMPTY_SPLIT,
            QUERY_ROWS,
        ),
    ),
    TaskFunction(
        "TASK_MLA_MTP_REDUCE_SM100",
        "mla_reduce.mla_mtp_reduce",
        REDUCE,
        DENSE,
        deviations=(ROW_BASE,),
    ),
    TaskFunction(
        "TASK_MLA_KV_GATHER_SM100",
        "mla_prefill.kv_gather",
        Joins(("..", "..", "...", ".."), walked="x"),
        "a loop over positions",
        {},
        (CONTIGUOUS, "Rotary rows are taken to be 128 wide."),
    ),
    *(
        row
        for ranks in ("TP2", "TP4", "TP8")
        for row in (
            TaskFunction(
                f"TASK_MLA_MTP_DECODE_{ranks}_SM100",
                "mla_decode.mla_mtp_decode_ranks",
                DECODE,
                f"{DENSE}, merged",
                LSE,
                (
                    ROW_BASE,
                    EMPTY_AS_ONE,
                    CONTIGUOUS,
                    GROUPS_BY_RUN,
                    *(
                        ("Over several tiles the second half loses a part of its columns.",)
                        if ranks == "TP4"
                        else ()
                    ),
                ),
            ),
            TaskFunction(
                f"TASK_MLA_MTP_DECODE_{ranks}_REDUCE_SM100",
                "mla_reduce.mla_mtp_reduce_ranks",
                REDUCE,
                DENSE,
                deviations=(
                    ROW_BASE,
                    GROUPS_BY_RUN,
                    *(
                        ("An odd number of tokens writes one row too many.",)
                        if ranks == "TP8"
                        else ()
                    ),
                ),
            ),
        )
    ),
    TaskFunction(
        "TASK_MLA_KV_GATHER_SPLIT_SM100",
        "mla_prefill.kv_gather_split",
        Joins(("..", "..", "...", "..", ".."), walked="x"),
        "a loop over positions",
        {},
        ("Rotary rows are taken to be 128 wide.",),
    ),
    TaskFunction(
        "TASK_MLA_PREFILL_TP8_SM100",
        "mla_prefill.mla_prefill_tp8",
        Joins(("..", "..", "..", "..", ".."), walked="xyz"),
        f"{SDPA_CONTIGUOUS}, causal",
        deviations=("Keys and values of every sequence are those of the first.",),
    ),
)
