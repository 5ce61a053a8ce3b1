"""Attention over plain, paged and split caches (`persistent_kernel.py:648-981`)."""

from __future__ import annotations

from mpkgraph.pipeline.layers.call import Call
from mpkgraph.pipeline.layers.checks import element, ranks, require_dim
from mpkgraph.pipeline.layers.spec import (
    LAUNCH,
    BlockSpec,
    Dispatch,
    LayerSpec,
    Param,
    Refusal,
    SlotSpec,
    tensors,
)

NO_TASK = Refusal(ValueError, "Unsupported target CC: {cc}")


def cache_matches_pages(call: Call) -> None:
    """Both caches hold the kernel's pages: [max_num_pages, page_size, kv heads, head dim]."""
    for dim, size, means in (
        (0, call.kernel.max_num_pages, "the kernel's max_num_pages"),
        (1, call.kernel.page_size, "the kernel's page_size"),
    ):
        for name in ("k_cache", "v_cache"):
            require_dim(call, name, dim, size, means)


def cache_heads(call: Call) -> None:
    """Head dim and kv heads of the cache."""
    cache = call.tensor("k_cache")
    call["head_dim"], call["num_kv_heads"] = cache.dim(3), cache.dim(2)


def query_heads(call: Call) -> None:
    """Query heads: what of the output's columns one head takes."""
    with call.arithmetic("head_dim"):
        call["num_q_heads"] = call.tensor("output").dim(1) // call["head_dim"]


def optional_pairs(call: Call) -> None:
    """Rotary tables and query/key norms come in pairs, or not at all."""
    head_dim = call["head_dim"]
    call["rotary_embed"] = _pair(call, ("cos_pos_embed", "sin_pos_embed"), 2)
    if call["rotary_embed"]:
        for name in ("cos_pos_embed", "sin_pos_embed"):
            require_dim(call, name, 1, head_dim, "the head dimension of k_cache")
    call["qk_norm"] = _pair(call, ("q_norm", "k_norm"), 1)
    if call["qk_norm"]:
        for name in ("q_norm", "k_norm"):
            require_dim(call, name, 0, head_dim, "the head dimension of k_cache")


def _pair(call: Call, names: tuple[str, str], rank: int) -> int:
    if all(call[name] is None for name in names):
        return 0
    ranks(**dict.fromkeys(names, rank))(call)
    return 1


def extension(call: Call) -> None:
    """Rows after the first are tokens to extend by."""
    call["extend_num"] = call.tensor("input").dim(0) - 1
    call["output_stride"] = call.tensor("output").dim(1)


def split_parameters(call: Call) -> None:
    """`attention_params` is (query heads, chunks of the cache)."""
    call["num_q_heads"] = element(call, "attention_params", 0)
    call["num_kv_chunks"] = element(call, "attention_params", 1)


def merge_parameters(call: Call) -> None:
    """`attention_params` is (query heads, head dim); grid axis y is the kv heads.

    The quotient is a float, as in Mirage, whose core drops the fraction.
    """
    num_q_heads = element(call, "attention_params", 0)
    call["head_dim"] = element(call, "attention_params", 1)
    call["num_kv_heads"] = element(call, "grid_dim", 1)
    with call.arithmetic("attention_params", "grid_dim"):
        call["num_qo_heads_per_kv"] = num_q_heads / call["num_kv_heads"]


def grid_is_requests_by_heads(call: Call) -> None:
    """One task for each request (x) and kv head (y)."""
    grid = call["grid_dim"]
    needed = (call.kernel.max_num_batched_requests, call["num_kv_heads"])
    names = ("the kernel's max_num_batched_requests", "the kv heads of k_cache")
    for axis, (size, means) in enumerate(zip(needed, names, strict=True)):
        if grid[axis] != size:
            call.fail(
                f"grid_dim is {grid}: axis {'xyz'[axis]} is {grid[axis]}, but {means} is {size}",
                remedy=f"Use grid_dim={(*needed, *grid[2:])}",
            )


_CACHE = "[num_pages, page_size, kv_heads, head_dim]"
_OPTIONAL = (
    SlotSpec("q_norm", shape="[head_dim] or None"),
    SlotSpec("k_norm", shape="[head_dim] or None"),
    SlotSpec("cos_pos_embed", shape="[seq_len, head_dim] or None"),
    SlotSpec("sin_pos_embed", shape="[seq_len, head_dim] or None"),
)
_BATCH_SLOTS = (
    SlotSpec("input", (0, 1, -1), shape="[batch, fused q, k and v columns]"),
    SlotSpec("k_cache", (0, 2, -1), 1, shape="[batch, seq_len, kv_heads, head_dim]"),
    SlotSpec("v_cache", (0, 2, -1), 1, shape="[batch, seq_len, kv_heads, head_dim]"),
    *_OPTIONAL,
    SlotSpec("output", (0, 1, -1), shape="[batch, q_heads * head_dim]"),
)
_PAGED_INPUTS = (
    SlotSpec("input", (-1, 1, -1), shape="[num_tokens, fused q, k and v columns by kv head]"),
    SlotSpec("k_cache", (-1, 2, -1), 1, shape=_CACHE),
    SlotSpec("v_cache", (-1, 2, -1), 1, shape=_CACHE),
    *_OPTIONAL,
)
_TENSORS = "input k_cache v_cache q_norm k_norm cos_pos_embed sin_pos_embed"
_HEADS = ("num_q_heads", "num_kv_heads", "qk_norm", "rotary_embed")
_PAGED_PARAMS = (*_HEADS, "kernel.max_seq_length", "kernel.page_size")
_SPLIT_PARAMS = (*_PAGED_PARAMS, "num_kv_chunks")
_MERGE_PARAMS = (
    "num_qo_heads_per_kv",
    "head_dim",
    "kernel.max_seq_length",
    "kernel.page_size",
    "num_kv_heads",
)
_RANKS = ranks(input=2, output=2, k_cache=4, v_cache=4)
_NO_KERNEL = "Can be planned; its kernel is in no target's build of Mirage."

ROWS = (
    LayerSpec(
        method="attention_layer",
        family="attention",
        doc="Attention of one new token per request over a contiguous cache.",
        parameters=(*tensors(f"{_TENSORS} output"), *LAUNCH),
        steps=(_RANKS, cache_heads, query_heads, optional_pairs),
        block=BlockSpec(_BATCH_SLOTS, (Dispatch("attention", params=_HEADS),)),
        notes=_NO_KERNEL,
    ),
    LayerSpec(
        method="single_batch_extend_attention_layer",
        family="attention",
        doc="Attention of several new tokens of one request over a contiguous cache.",
        parameters=(*tensors(f"{_TENSORS} output"), *LAUNCH),
        steps=(_RANKS, cache_heads, query_heads, extension, optional_pairs),
        block=BlockSpec(
            _BATCH_SLOTS,
            (
                Dispatch(
                    "single_batch_extend_attention",
                    params=(*_HEADS, "extend_num", "output_stride"),
                ),
            ),
        ),
        notes=_NO_KERNEL,
    ),
    LayerSpec(
        method="paged_attention_layer",
        family="attention",
        doc="Attention over a paged cache: one task for each request and kv head.",
        parameters=(*tensors(f"{_TENSORS} output"), *LAUNCH),
        steps=(_RANKS, cache_matches_pages, cache_heads, query_heads, optional_pairs),
        block=BlockSpec(
            slots=(
                *_PAGED_INPUTS,
                SlotSpec("output", (-1, 1, -1), shape="[num_tokens, q_heads * head_dim]"),
            ),
            dispatch=(
                Dispatch("paged_attention_hopper", (90,), _PAGED_PARAMS),
                Dispatch("paged_attention_sm100", (100,), _PAGED_PARAMS),
                Dispatch("paged_attention", params=_PAGED_PARAMS),
            ),
            grid_checks=(grid_is_requests_by_heads,),
        ),
    ),
    LayerSpec(
        method="paged_attention_split_kv_layer",
        family="attention",
        doc="Attention over chunks of a paged cache (grid axis z), to be merged.",
        parameters=(
            *tensors(f"{_TENSORS} lse output"),
            Param("attention_params", "tuple"),
            *LAUNCH,
        ),
        steps=(
            ranks(input=2, k_cache=4, v_cache=4),
            cache_matches_pages,
            ranks(output=3, lse=3),
            cache_heads,
            split_parameters,
            optional_pairs,
        ),
        block=BlockSpec(
            slots=(
                *_PAGED_INPUTS,
                SlotSpec("lse", (-1, 2, 1), shape="[num_tokens, chunks * q_per_kv, kv_heads]"),
                SlotSpec(
                    "output",
                    (-1, 2, 1),
                    shape="[num_tokens, chunks * q_per_kv * head_dim, kv_heads]",
                ),
            ),
            dispatch=(
                Dispatch("paged_attention_split_kv_sm100", (100,), _SPLIT_PARAMS),
                Dispatch("paged_attention_split_kv_hopper", (90,), _SPLIT_PARAMS),
            ),
            refusal=NO_TASK,
            grid_checks=(grid_is_requests_by_heads,),
        ),
        shapes={"attention_params": "(query heads, chunks)"},
    ),
    LayerSpec(
        method="paged_attention_split_kv_merge_layer",
        family="attention",
        doc="One output from the chunks of paged_attention_split_kv_layer.",
        parameters=(
            *tensors("lse output_tmp output"),
            Param("attention_params", "tuple"),
            *LAUNCH,
        ),
        steps=(ranks(lse=3, output_tmp=3, output=2), merge_parameters),
        block=BlockSpec(
            slots=(
                SlotSpec("lse", (-1, 2, -1), shape="[num_tokens, chunks * q_per_kv, kv_heads]"),
                SlotSpec(
                    "output_tmp",
                    (-1, 2, -1),
                    shape="[num_tokens, chunks * q_per_kv * head_dim, kv_heads]",
                ),
                SlotSpec("output", (-1, 1, -1), shape="[num_tokens, q_heads * head_dim]"),
            ),
            dispatch=(Dispatch("paged_attention_split_kv_merge_sm100", (90, 100), _MERGE_PARAMS),),
            refusal=NO_TASK,
        ),
        shapes={"attention_params": "(query heads, head dim)"},
    ),
)
