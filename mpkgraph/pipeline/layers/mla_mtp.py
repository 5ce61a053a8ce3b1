"""Multi-head latent attention of several tokens a request (`persistent_kernel.py:1161-1348`).

These layers choose their grid themselves: DeepSeek V3's 128 heads, 128 cached tokens a split.
"""

from __future__ import annotations

from typing import Any

from mpkgraph.pipeline.layers.call import Call
from mpkgraph.pipeline.layers.run import layer_method
from mpkgraph.pipeline.layers.spec import (
    BlockSpec,
    Dispatch,
    LayerSpec,
    Param,
    SlotSpec,
    integers,
    tensors,
)

NUM_HEADS = 128
SPLIT_TOKENS = 128
VALUE_DIM = 512
REDUCE_DIMS = 2
"""Value dimensions that one reduce task covers."""

ROWS_PER_GROUP = {64: 2, 32: 4}
"""By heads of a rank, the most query rows that a tensor-parallel decode task takes."""
ROWS_PER_GROUP_TP8 = 2

# Multi-token decode and reduce


def head_groups(call: Call) -> None:
    """Heads that share a task: as many as fit 128 query rows and divide the heads."""
    with call.arithmetic("q_len", "kv_len"):
        heads = NUM_HEADS // call["q_len"]
        while NUM_HEADS % heads:
            heads -= 1
        call["num_groups"] = NUM_HEADS // heads
        call["num_splits"] = _splits(call)


def decode_launch(call: Call) -> None:
    requests = call.kernel.max_num_batched_requests
    call["grid_dim"] = (call["num_splits"], call["num_groups"], requests)
    call["block_dim"] = (128, 1, 1)


def reduce_launch(call: Call) -> None:
    call["rd_dv"] = REDUCE_DIMS
    requests = call.kernel.max_num_batched_requests
    call["grid_dim"] = (VALUE_DIM // REDUCE_DIMS, call["num_groups"], requests)
    call["block_dim"] = (256, 1, 1)


def _splits(call: Call) -> Any:
    return (call["kv_len"] + SPLIT_TOKENS - 1) // SPLIT_TOKENS


# Tensor-parallel variants: a public method for each number of ranks over a common helper


def row_groups(call: Call) -> None:
    """Query rows that share a task, by heads of a rank."""
    heads = call["num_heads"]
    with call.arithmetic("q_len", "kv_len"):
        if heads in ROWS_PER_GROUP:
            rows = min(ROWS_PER_GROUP[heads], call["q_len"])
        else:
            rows = ROWS_PER_GROUP_TP8
        call["num_groups"] = (call["q_len"] + rows - 1) // rows
        call["num_splits"] = _splits(call)


def tp_decode_launch(call: Call) -> None:
    """Splits of all groups on x, twice where the values are halved; requests on y."""
    halves = 2 if call["has_v_split"] else 1
    blocks = call["num_groups"] * call["num_splits"] * halves
    call["grid_dim"] = (blocks, call.kernel.max_num_batched_requests, 1)
    call["block_dim"] = (128, 1, 1)
    real = call["q_len_real"]
    call["q_len_real"] = call["q_len"] if real is None else real


def has_16_heads(call: Call) -> bool:
    return bool(call["num_heads"] == 16)


def task_name(call: Call) -> str:
    name: str = call["task_name"]
    return name


_DECODE_ARGS = ("q_input", "kv_input", "output_partial", "output_lse")
_REDUCE_ARGS = ("input_partial", "input_lse", "output")


def decode_tp2(call: Call) -> None:
    _decode(call, call["q_len"], num_heads=64, task_name="mla_mtp_decode_tp2_sm100")


def decode_tp4(call: Call) -> None:
    name = "mla_mtp_decode_tp4_sm100"
    _decode(call, call["q_len"], num_heads=32, task_name=name, has_v_split=True)


def decode_tp8(call: Call) -> None:
    name = "mla_mtp_decode_tp8_sm100"
    real = call["q_len_real"]
    _decode(call, _even(call), num_heads=16, task_name=name, q_len_real=real)


def reduce_tp2(call: Call) -> None:
    _reduce(call, call["q_len"], num_heads=64, task_name="mla_mtp_decode_tp2_reduce_sm100")


def reduce_tp4(call: Call) -> None:
    _reduce(call, call["q_len"], num_heads=32, task_name="mla_mtp_decode_tp4_reduce_sm100")


def reduce_tp8(call: Call) -> None:
    _reduce(call, _even(call), num_heads=16, task_name="mla_mtp_decode_tp8_reduce_sm100")


def _even(call: Call) -> Any:
    """With 8 ranks query rows are padded to an even number."""
    with call.arithmetic("q_len_real"):
        return (call["q_len_real"] + 1) & ~1


def _decode(call: Call, q_len: Any, **more: Any) -> None:
    helper = layer_method(call, "_mla_mtp_decode_tp_layer")
    helper(*(call[name] for name in _DECODE_ARGS), q_len, call["kv_len"], **more)


def _reduce(call: Call, q_len: Any, **more: Any) -> None:
    helper = layer_method(call, "_mla_mtp_reduce_tp_layer")
    helper(*(call[name] for name in _REDUCE_ARGS), q_len, call["kv_len"], **more)


_LENGTHS = integers("q_len kv_len")
_REAL_LENGTHS = integers("q_len_real kv_len")
_DECODE_SLOTS = (
    SlotSpec("q_input", shape="[batch * q_len * heads, d_k]"),
    SlotSpec("kv_input", shape="[batch * kv_len, d_k]"),
    SlotSpec("output_partial", shape="partial outputs by split"),
    SlotSpec("output_lse", shape="their log sums of exponentials"),
)
_REDUCE_SLOTS = (
    SlotSpec("input_partial", shape="partial outputs by split"),
    SlotSpec("input_lse", shape="their log sums of exponentials"),
    SlotSpec("output", shape="[batch, q_len, heads, d_v]"),
)
_TP_PARAMS = ("num_groups", "q_len", "kv_len", "num_splits")
_REDUCE_PARAMS = ("num_groups", "q_len", "num_splits", "rd_dv")

ROWS = (
    LayerSpec(
        method="mla_mtp_decode_layer",
        family="mla",
        doc="Decode of several query rows per request, over splits of the sequence.",
        parameters=(*tensors("q_input kv_input output_partial output_lse"), *_LENGTHS),
        steps=(head_groups, decode_launch),
        block=BlockSpec(_DECODE_SLOTS, (Dispatch("mla_mtp_decode_sm100", params=_TP_PARAMS),)),
    ),
    LayerSpec(
        method="mla_mtp_reduce_layer",
        family="mla",
        doc="One output from mla_mtp_decode_layer's splits.",
        parameters=(*tensors("input_partial input_lse output"), *_LENGTHS),
        steps=(head_groups, reduce_launch),
        block=BlockSpec(_REDUCE_SLOTS, (Dispatch("mla_mtp_reduce_sm100", params=_REDUCE_PARAMS),)),
    ),
    LayerSpec(
        method="_mla_mtp_decode_tp_layer",
        family="mla",
        doc="What the tensor-parallel decode layers share.",
        parameters=(
            *tensors("q_input kv_input output_partial output_lse"),
            *integers("q_len kv_len num_heads"),
            Param("task_name", "str"),
            Param("has_v_split", "bool", default=False),
            Param("q_len_real", "int", None),
        ),
        steps=(row_groups, tp_decode_launch),
        block=BlockSpec(
            _DECODE_SLOTS,
            (
                Dispatch(
                    "(task_name)",
                    params=(*_TP_PARAMS, "q_len_real"),
                    when=has_16_heads,
                    register=task_name,
                ),
                Dispatch("(task_name)", params=_TP_PARAMS, register=task_name),
            ),
        ),
    ),
    LayerSpec(
        method="_mla_mtp_reduce_tp_layer",
        family="mla",
        doc="What the tensor-parallel reduce layers share.",
        parameters=(
            *tensors("input_partial input_lse output"),
            *integers("q_len kv_len num_heads"),
            Param("task_name", "str"),
        ),
        steps=(row_groups, reduce_launch),
        block=BlockSpec(
            _REDUCE_SLOTS,
            (Dispatch("(task_name)", params=_REDUCE_PARAMS, register=task_name),),
        ),
    ),
    *(
        LayerSpec(
            method=f"mla_mtp_decode_tp{ranks}_layer",
            family="mla",
            doc=f"mla_mtp_decode_layer for one of {ranks} ranks, {128 // ranks} heads each.",
            parameters=(*tensors("q_input kv_input output_partial output_lse"), *lengths),
            expand=expand,
            calls=("_mla_mtp_decode_tp_layer",),
            tasks=(f"mla_mtp_decode_tp{ranks}_sm100",),
            shapes={slot.name: slot.shape for slot in _DECODE_SLOTS},
        )
        for ranks, lengths, expand in (
            (2, _LENGTHS, decode_tp2),
            (4, _LENGTHS, decode_tp4),
            (8, _REAL_LENGTHS, decode_tp8),
        )
    ),
    *(
        LayerSpec(
            method=f"mla_mtp_decode_tp{ranks}_reduce_layer",
            family="mla",
            doc=f"mla_mtp_reduce_layer for one of {ranks} ranks.",
            parameters=(*tensors("input_partial input_lse output"), *lengths),
            expand=expand,
            calls=("_mla_mtp_reduce_tp_layer",),
            tasks=(f"mla_mtp_decode_tp{ranks}_reduce_sm100",),
            shapes={slot.name: slot.shape for slot in _REDUCE_SLOTS},
        )
        for ranks, lengths, expand in (
            (2, _LENGTHS, reduce_tp2),
            (4, _LENGTHS, reduce_tp4),
            (8, _REAL_LENGTHS, reduce_tp8),
        )
    ),
)
