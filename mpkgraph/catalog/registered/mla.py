"""Names of the multi-head latent attention kernels: prefill, decode by splits, gathering KV."""

from __future__ import annotations

from mpkgraph.catalog.registered import keys
from mpkgraph.catalog.registered.arithmetic import divide, int32
from mpkgraph.catalog.registered.row import (
    KeyFunction,
    RegisteredTaskRow,
    TaskFacts,
    VariantKey,
)

_BLOCK_ROWS = 128
"""Rows of a block: queries times heads."""
_KV_TILE = 128
"""KV tokens of a tile."""

_KV_SHAPE = ("d_k", "d_v", "page_size")
_GROUPED_REDUCE = ("num_groups", "q_len", "num_splits", "dv_per_task")


def _num_head_groups(num_heads: int, q_len: int) -> int:
    """Groups of equally many heads, so large that a group's queries fit a block."""
    heads_per_block = min(divide(_BLOCK_ROWS, q_len), num_heads)
    while heads_per_block > 0 and num_heads % heads_per_block:
        heads_per_block -= 1
    return num_heads // max(heads_per_block, 1)


def _is_single_tile(kv_len: int, num_splits: int) -> bool:
    """Whether each split has exactly one KV tile."""
    num_tiles = divide(int32(kv_len + _KV_TILE - 1), _KV_TILE)
    return divide(int32(num_tiles + num_splits - 1), num_splits) == 1


def _decode(facts: TaskFacts) -> VariantKey:
    num_heads, num_splits, q_len = facts.param(0), facts.param(3), facts.param(5, 1)
    return (num_heads, num_splits, q_len, _num_head_groups(num_heads, q_len))


def _reduce(facts: TaskFacts) -> VariantKey:
    num_heads, num_splits, d_start = facts.param(0), facts.param(2), facts.param(3)
    q_len = facts.param(5, 1)
    return (num_heads, num_splits, d_start, q_len, _num_head_groups(num_heads, q_len))


def _prefill(facts: TaskFacts) -> VariantKey:
    """`d_v` shows only in the pitch of the output's rows, `seq_len` not at all."""
    num_heads, d_ckv, d_kpe, d_v = (facts.param(position) for position in (0, 2, 3, 4))
    return (num_heads, d_ckv, d_kpe, int32(num_heads * d_v))


def _mtp_decode(facts: TaskFacts) -> VariantKey:
    return (facts.param(0), *_mtp_decode_split(q_len=1)(facts))


def _mtp_decode_split(*, q_len: int) -> KeyFunction:
    """The key of decoding where the param at `q_len` bounds the queries; heads are built in."""

    def key(facts: TaskFacts) -> VariantKey:
        kv_len, num_splits = facts.param(2), facts.param(3)
        return (facts.param(q_len), num_splits, _is_single_tile(kv_len, num_splits))

    return key


ROWS: tuple[RegisteredTaskRow, ...] = (
    # Prefill
    RegisteredTaskRow(
        "mla_prefill_sm100",
        "TASK_MLA_PREFILL_SM100",
        num_inputs=5,
        num_outputs=0,
        params=("num_heads", "seq_len", "d_ckv", "d_kpe", "d_v"),
        variant_key=_prefill,
        compiled_for=("blackwell",),
    ),
    RegisteredTaskRow(
        "mla_prefill_tp8_sm100",
        "TASK_MLA_PREFILL_TP8_SM100",
        num_inputs=4,
        num_outputs=1,
        params=("num_heads", "seq_len"),
        variant_key=keys.first_params(2),
        compiled_for=("blackwell",),
    ),
    # Decode
    RegisteredTaskRow(
        "mla_decode_sm100",
        "TASK_MLA_DECODE_SM100",
        num_inputs=2,
        num_outputs=2,
        params=("num_heads", "d_k", "d_v", "num_splits", "kv_len", "q_len"),
        variant_key=_decode,
        compiled_for=("blackwell",),
        num_optional_params=1,
    ),
    RegisteredTaskRow(
        "mla_reduce_sm100",
        "TASK_MLA_REDUCE_SM100",
        num_inputs=2,
        num_outputs=1,
        params=("num_heads", "d_v", "num_splits", "d_start", "d_count", "q_len"),
        variant_key=_reduce,
        compiled_for=("blackwell",),
        num_optional_params=1,
    ),
    # Decode of several tokens a request, for one GPU and for the heads of 2, 4 and 8
    RegisteredTaskRow(
        "mla_mtp_decode_sm100",
        "TASK_MLA_MTP_DECODE_SM100",
        num_inputs=2,
        num_outputs=2,
        params=("num_head_groups", "q_len", "kv_len", "num_splits"),
        variant_key=_mtp_decode,
        compiled_for=("blackwell",),
    ),
    RegisteredTaskRow(
        "mla_mtp_reduce_sm100",
        "TASK_MLA_MTP_REDUCE_SM100",
        num_inputs=2,
        num_outputs=1,
        params=("num_head_groups", "q_len", "num_splits", "dv_per_task"),
        variant_key=keys.first_params(4),
        compiled_for=("blackwell",),
    ),
    RegisteredTaskRow(
        "mla_mtp_decode_tp2_sm100",
        "TASK_MLA_MTP_DECODE_TP2_SM100",
        num_inputs=2,
        num_outputs=2,
        params=("num_groups", "q_len", "kv_len", "num_splits"),
        variant_key=_mtp_decode_split(q_len=1),
        compiled_for=("blackwell",),
    ),
    RegisteredTaskRow(
        "mla_mtp_decode_tp2_reduce_sm100",
        "TASK_MLA_MTP_DECODE_TP2_REDUCE_SM100",
        num_inputs=2,
        num_outputs=1,
        params=_GROUPED_REDUCE,
        variant_key=keys.first_params(3),
        compiled_for=("blackwell",),
    ),
    RegisteredTaskRow(
        "mla_mtp_decode_tp4_sm100",
        "TASK_MLA_MTP_DECODE_TP4_SM100",
        num_inputs=2,
        num_outputs=2,
        params=("num_groups", "q_len", "kv_len", "num_splits"),
        variant_key=_mtp_decode_split(q_len=1),
        compiled_for=("blackwell",),
    ),
    RegisteredTaskRow(
        "mla_mtp_decode_tp4_reduce_sm100",
        "TASK_MLA_MTP_DECODE_TP4_REDUCE_SM100",
        num_inputs=2,
        num_outputs=1,
        params=_GROUPED_REDUCE,
        variant_key=keys.first_params(3),
        compiled_for=("blackwell",),
    ),
    RegisteredTaskRow(
        "mla_mtp_decode_tp8_sm100",
        "TASK_MLA_MTP_DECODE_TP8_SM100",
        num_inputs=2,
        num_outputs=2,
        params=("num_groups", "q_len_padded", "kv_len", "num_splits", "q_len"),
        variant_key=_mtp_decode_split(q_len=4),
        compiled_for=("blackwell",),
    ),
    RegisteredTaskRow(
        "mla_mtp_decode_tp8_reduce_sm100",
        "TASK_MLA_MTP_DECODE_TP8_REDUCE_SM100",
        num_inputs=2,
        num_outputs=1,
        params=("num_groups", "q_len_padded", "num_splits", "dv_per_task"),
        variant_key=keys.first_params(3),
        compiled_for=("blackwell",),
    ),
    # Gathering of the paged cache
    RegisteredTaskRow(
        "mla_kv_gather_sm100",
        "TASK_MLA_KV_GATHER_SM100",
        num_inputs=4,
        num_outputs=0,
        params=_KV_SHAPE,
        variant_key=keys.first_params(3),
        compiled_for=("blackwell",),
    ),
    RegisteredTaskRow(
        "mla_kv_gather_split_sm100",
        "TASK_MLA_KV_GATHER_SPLIT_SM100",
        num_inputs=5,
        num_outputs=0,
        params=_KV_SHAPE,
        variant_key=keys.first_params(3),
        compiled_for=("blackwell",),
    ),
)
