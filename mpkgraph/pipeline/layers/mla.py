"""Multi-head latent attention (`persistent_kernel.py:984-1160`); several tokens: `mla_mtp`."""

from __future__ import annotations

from mpkgraph.model.operator import InputMap
from mpkgraph.pipeline.layers.call import Call
from mpkgraph.pipeline.layers.checks import numbers_in
from mpkgraph.pipeline.layers.spec import (
    LAUNCH,
    WHOLE,
    BlockSpec,
    Dispatch,
    LayerSpec,
    Param,
    SlotSpec,
    tensors,
)


def partial_map(call: Call) -> InputMap:
    """With several query rows the kernel finds its part itself."""
    with call.arithmetic("q_len"):
        return WHOLE if call["q_len"] > 1 else (0, -1, -1)


_MLA_PARAMS = Param("mla_params", "tuple")
_GATHER = ("d_k", "d_v", "page_size")
_GATHER_INPUTS = (
    SlotSpec("c_latent_new", (-1, 1, -1), shape="[num_tokens, d_v]"),
    SlotSpec("k_pe_new", (-1, 1, -1), shape="[num_tokens, d_k - d_v]"),
    SlotSpec("paged_cache", (-1, 2, -1), 1, shape="[num_pages, page_size, d_k]"),
)
_GATHER_NOTE = "Mirage declares no outputs: no later layer waits for what it writes."

ROWS = (
    LayerSpec(
        method="mla_kv_gather_layer",
        family="mla",
        doc="New latents into the paged cache, and the whole sequence into one buffer.",
        parameters=(
            *tensors("c_latent_new k_pe_new paged_cache contiguous_kv"),
            _MLA_PARAMS,
            *LAUNCH,
        ),
        steps=(numbers_in("mla_params", *_GATHER),),
        block=BlockSpec(
            slots=(*_GATHER_INPUTS, SlotSpec("contiguous_kv", shape="[max_seq_len, d_k]")),
            dispatch=(Dispatch("mla_kv_gather_sm100", params=_GATHER),),
        ),
        notes=_GATHER_NOTE,
        shapes={"mla_params": "(d_k, d_v, page_size)"},
    ),
    LayerSpec(
        method="mla_kv_gather_split_layer",
        family="mla",
        doc="As mla_kv_gather_layer, into one buffer for latents and one for rotary keys.",
        parameters=(
            *tensors("c_latent_new k_pe_new paged_cache ckv_sep kpe_sep"),
            _MLA_PARAMS,
            *LAUNCH,
        ),
        steps=(numbers_in("mla_params", *_GATHER),),
        block=BlockSpec(
            slots=(
                *_GATHER_INPUTS,
                SlotSpec("ckv_sep", shape="[max_seq_len, d_v]"),
                SlotSpec("kpe_sep", shape="[max_seq_len, d_k - d_v]"),
            ),
            dispatch=(Dispatch("mla_kv_gather_split_sm100", params=_GATHER),),
        ),
        notes=_GATHER_NOTE,
        shapes={"mla_params": "(d_k, d_v, page_size)"},
    ),
    LayerSpec(
        method="mla_decode_layer",
        family="mla",
        doc="Decode over splits of the sequence (grid axis x), to be reduced.",
        parameters=(
            *tensors("q_input kv_input output_partial output_lse"),
            _MLA_PARAMS,
            *LAUNCH,
            Param("q_len", "int", 1),
        ),
        steps=(
            numbers_in(
                "mla_params",
                *("num_heads", "d_k", "d_v", "num_splits", "kv_len"),
                or_names=("num_heads", "d_k", "d_v", "num_splits", "kv_len", "q_len"),
            ),
        ),
        block=BlockSpec(
            slots=(
                SlotSpec("q_input", (0, -1, -1), shape="[batch * q_len * heads, d_k]"),
                SlotSpec("kv_input", (0, -1, -1), shape="[kv_len, d_k]"),
                SlotSpec("output_partial", partial_map, shape="[q_len * splits, d_v * heads]"),
                SlotSpec("output_lse", partial_map, shape="[q_len * splits, heads]"),
            ),
            dispatch=(
                Dispatch(
                    "mla_decode_sm100",
                    params=("num_heads", "d_k", "d_v", "num_splits", "kv_len", "q_len"),
                ),
            ),
        ),
        shapes={"mla_params": "(num_heads, d_k, d_v, num_splits, kv_len[, q_len])"},
    ),
    LayerSpec(
        method="mla_reduce_layer",
        family="mla",
        doc="One output from mla_decode_layer's splits.",
        parameters=(
            *tensors("input_partial input_lse output"),
            _MLA_PARAMS,
            *LAUNCH,
            Param("q_len", "int", 1),
        ),
        steps=(
            numbers_in(
                "mla_params",
                *("num_heads", "d_v", "num_splits", "d_start", "d_count"),
                or_names=("num_heads", "d_v", "num_splits", "d_start", "d_count", "q_len"),
            ),
        ),
        block=BlockSpec(
            slots=(
                SlotSpec("input_partial", partial_map, shape="[q_len * splits, d_v * heads]"),
                SlotSpec("input_lse", partial_map, shape="[q_len * splits, heads]"),
                SlotSpec("output", partial_map, shape="[batch * q_len, heads, d_v]"),
            ),
            dispatch=(
                Dispatch(
                    "mla_reduce_sm100",
                    params=("num_heads", "d_v", "num_splits", "d_start", "d_count", "q_len"),
                ),
            ),
        ),
        shapes={"mla_params": "(num_heads, d_v, num_splits, d_start, d_count[, q_len])"},
    ),
    LayerSpec(
        method="mla_prefill_layer",
        family="mla",
        doc="Attention of a chunk of a prompt; grid (heads, query blocks, batch).",
        parameters=(*tensors("q_nope q_pe ckv kpe output"), _MLA_PARAMS, *LAUNCH),
        steps=(numbers_in("mla_params", "num_heads", "seq_len", "d_ckv", "d_kpe", "d_v"),),
        block=BlockSpec(
            slots=(
                SlotSpec("q_nope", shape="[seq_len, heads, d_ckv]"),
                SlotSpec("q_pe", shape="[seq_len, heads, d_kpe]"),
                SlotSpec("ckv", shape="[seq_len, d_ckv]"),
                SlotSpec("kpe", shape="[seq_len, d_kpe]"),
                SlotSpec("output", shape="[seq_len, heads, d_v]"),
            ),
            dispatch=(
                Dispatch(
                    "mla_prefill_sm100",
                    params=("num_heads", "seq_len", "d_ckv", "d_kpe", "d_v"),
                ),
            ),
        ),
        notes=_GATHER_NOTE,
        shapes={"mla_params": "(num_heads, seq_len, d_ckv, d_kpe, d_v)"},
    ),
    LayerSpec(
        method="mla_prefill_tp8_layer",
        family="mla",
        doc="Prefill with expanded keys and values, 8 ranks; grid (heads, query blocks, batch).",
        parameters=(*tensors("q_nope q_pe k v output"), _MLA_PARAMS, *LAUNCH),
        steps=(numbers_in("mla_params", "num_heads", "seq_len"),),
        block=BlockSpec(
            slots=(
                SlotSpec("q_nope", shape="[batch, seq_len, heads, 128]"),
                SlotSpec("q_pe", shape="[batch, seq_len, heads, 64]"),
                SlotSpec("k", shape="[batch, seq_len, 192]"),
                SlotSpec("v", shape="[batch, seq_len, 128]"),
                SlotSpec("output", shape="[batch, seq_len, heads, 128]"),
            ),
            dispatch=(Dispatch("mla_prefill_tp8_sm100", params=("num_heads", "seq_len")),),
        ),
        shapes={"mla_params": "(num_heads, seq_len)"},
    ),
)
