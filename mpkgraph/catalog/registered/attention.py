"""Names of the attention kernels over a KV cache of heads, for every target.

Head counts divide: a layer with 0 heads kills Mirage. The flags `qk_norm` and `rotary` are on when
they are positive.
"""

from __future__ import annotations

from mpkgraph.catalog.registered.arithmetic import divide, int32
from mpkgraph.catalog.registered.row import RegisteredTaskRow, TaskFacts, VariantKey

_HEADS = ("num_q_heads", "num_kv_heads", "qk_norm", "rotary")
_PAGED = (*_HEADS, "max_seq_len", "page_size")


def _heads(facts: TaskFacts, head_dim: int) -> VariantKey:
    """Queries a KV head, size of a head, of a KV row, and the two flags.

    The number of KV heads shows only through the first and the third.
    """
    num_q_heads, num_kv_heads = facts.param(0), facts.param(1)
    return (
        divide(num_q_heads, num_kv_heads),
        head_dim,
        int32(head_dim * num_kv_heads),
        facts.param(2) > 0,
        facts.param(3) > 0,
    )


def _single_batch(facts: TaskFacts) -> VariantKey:
    """The size of a head follows from the width of the output."""
    return _heads(facts, divide(facts.output(0).dims[1], facts.param(0)))


def _single_batch_extend(facts: TaskFacts) -> VariantKey:
    return (*_single_batch(facts), facts.param(4), facts.param(5))


def _paged(facts: TaskFacts) -> VariantKey:
    widths = facts.input(0).dims[1], facts.output(0).dims[1]
    return (*_single_batch(facts), *widths, facts.param(4), facts.param(5))


def _paged_max_tokens(facts: TaskFacts) -> VariantKey:
    return (*_paged(facts), facts.input(0).dims[0])


def _paged_hopper(facts: TaskFacts) -> VariantKey:
    return (*_paged_max_tokens(facts), facts.param(1))


def _paged_split_kv(facts: TaskFacts) -> VariantKey:
    """Here the size of a head is that of the K cache's tile."""
    head_dim = facts.input(1).tile[3]
    num_q_heads, num_kv_heads, num_kv_chunks = facts.param(0), facts.param(1), facts.param(6)
    return (
        *_heads(facts, head_dim),
        num_kv_heads,
        *facts.input(0).dims[:2],
        int32(head_dim * num_q_heads * num_kv_chunks),
        facts.param(4),
        facts.param(5),
        num_kv_chunks,
    )


_SPLIT_KV_CHUNK = 256
"""Tokens of KV a chunk."""


def _split_kv_merge(facts: TaskFacts) -> VariantKey:
    heads_per_kv, head_dim, max_seq_len, page_size, num_kv_heads = (
        facts.param(position) for position in range(5)
    )
    return (
        heads_per_kv,
        head_dim,
        divide(max_seq_len, _SPLIT_KV_CHUNK),
        page_size,
        num_kv_heads,
        facts.input(0).dims[0],
    )


ROWS: tuple[RegisteredTaskRow, ...] = (
    RegisteredTaskRow(
        "attention",
        "TASK_ATTENTION_1",
        num_inputs=7,
        num_outputs=1,
        params=_HEADS,
        variant_key=_single_batch,
    ),
    RegisteredTaskRow(
        "single_batch_extend_attention",
        "TASK_SINGLE_BATCH_EXTEND_ATTENTION",
        num_inputs=7,
        num_outputs=1,
        params=(*_HEADS, "extend_num", "output_stride"),
        variant_key=_single_batch_extend,
    ),
    RegisteredTaskRow(
        "paged_attention",
        "TASK_PAGED_ATTENTION_1",
        num_inputs=7,
        num_outputs=1,
        params=_PAGED,
        variant_key=_paged_max_tokens,
        compiled_for=("ampere",),
    ),
    RegisteredTaskRow(
        "paged_attention_hopper",
        "TASK_PAGED_ATTENTION_HOPPER",
        num_inputs=7,
        num_outputs=1,
        params=_PAGED,
        variant_key=_paged_hopper,
        compiled_for=("hopper", "blackwell"),
    ),
    RegisteredTaskRow(
        "paged_attention_split_kv_hopper",
        "TASK_PAGED_ATTENTION_SPLIT_KV_HOPPER",
        num_inputs=7,
        num_outputs=2,
        params=(*_PAGED, "num_kv_chunks"),
        variant_key=_paged_split_kv,
        compiled_for=("hopper", "blackwell"),
    ),
    RegisteredTaskRow(
        "paged_attention_sm100",
        "TASK_ATTN_SM100",
        num_inputs=7,
        num_outputs=1,
        params=_PAGED,
        variant_key=_paged,
        compiled_for=("hopper", "blackwell"),
    ),
    RegisteredTaskRow(
        "paged_attention_split_kv_sm100",
        "TASK_PAGED_ATTENTION_SPLIT_KV_SM100",
        num_inputs=7,
        num_outputs=2,
        params=(*_PAGED, "num_kv_chunks"),
        variant_key=_paged_split_kv,
        compiled_for=("blackwell",),
    ),
    RegisteredTaskRow(
        "paged_attention_split_kv_merge_sm100",
        "TASK_PAGED_ATTENTION_SPLIT_KV_MERGE_SM100",
        num_inputs=2,
        num_outputs=1,
        params=("num_q_heads_per_kv", "head_dim", "max_seq_len", "page_size", "num_kv_heads"),
        variant_key=_split_kv_merge,
        compiled_for=("hopper", "blackwell"),
    ),
)
