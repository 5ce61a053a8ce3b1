"""Mixture of experts in bfloat16 (`persistent_kernel.py:1372-1470`, `1620-1694`)."""

from __future__ import annotations

import struct

from mpkgraph.pipeline.layers.call import Call
from mpkgraph.pipeline.layers.checks import ranks, tensors_in
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

NO_TASK = Refusal(AssertionError)
_ROUTES = ("moe_topk_weight", "moe_routing_indices", "moe_masks")
_ROUTING_OUTPUTS = (
    SlotSpec("moe_topk_weight", (0, -1, -1), shape="[batch, experts_per_token]"),
    SlotSpec("moe_routing_indices", shape="[experts, batch] int32"),
    SlotSpec("moe_masks", shape="[experts + 1] int32"),
)
_TRIPLE = Param("output", "tuple[DTensor, DTensor, DTensor]")
_ROUTE_RANKS = ranks(moe_topk_weight=2, moe_routing_indices=2, moe_masks=1)
_ROUTING_INPUTS = (
    SlotSpec("moe_routing_indices", shape="[experts, batch] int32"),
    SlotSpec("moe_mask", shape="[experts + 1] int32"),
)


def scaling_bits(call: Call) -> None:
    """The scaling factor as a float32's bits, to pass as an int."""
    with call.arithmetic("routed_scaling_factor"):
        packed = struct.pack("f", call["routed_scaling_factor"])
    call["scaling_bits"] = struct.unpack("i", packed)[0]


ROWS = (
    LayerSpec(
        method="moe_topk_softmax_routing_layer",
        family="moe",
        doc="Experts of each token by softmax of the router's logits.",
        parameters=(Param("input"), _TRIPLE, *LAUNCH),
        steps=(ranks(input=2), tensors_in("output", *_ROUTES), _ROUTE_RANKS),
        block=BlockSpec(
            slots=(
                SlotSpec("input", (0, -1, -1), shape="[batch, experts]"),
                *_ROUTING_OUTPUTS,
            ),
            dispatch=(Dispatch("moe_topk_softmax_sm100"),),
        ),
    ),
    LayerSpec(
        method="moe_topk_sigmoid_routing_layer",
        family="moe",
        doc="Experts of each token by sigmoid, with a bias and groups of experts (DeepSeek V3).",
        parameters=(
            *tensors("input bias"),
            _TRIPLE,
            *LAUNCH,
            Param("num_groups", "int", 8),
            Param("topk_group", "int", 4),
            Param("routed_scaling_factor", "float", 2.5),
        ),
        steps=(
            ranks(input=2, bias=1),
            tensors_in("output", *_ROUTES),
            _ROUTE_RANKS,
            scaling_bits,
        ),
        block=BlockSpec(
            slots=(
                SlotSpec("input", (0, -1, -1), shape="[batch, experts]"),
                SlotSpec("bias", shape="[experts]"),
                *_ROUTING_OUTPUTS,
            ),
            dispatch=(
                Dispatch(
                    "moe_topk_sigmoid_sm100", params=("num_groups", "topk_group", "scaling_bits")
                ),
            ),
        ),
    ),
    LayerSpec(
        method="moe_w13_linear_layer",
        family="moe",
        doc="Gate and up products of the routed experts (grid axis x: experts, y: columns).",
        parameters=(*tensors("input weight moe_routing_indices moe_mask output"), *LAUNCH),
        steps=(ranks(input=2, weight=3, moe_routing_indices=2, moe_mask=1, output=3),),
        block=BlockSpec(
            slots=(
                SlotSpec("input", forloop_dim=1, shape="[batch, hidden]"),
                SlotSpec("weight", (-1, 1, -1), 2, shape="[experts, 2 * intermediate, hidden]"),
                *_ROUTING_INPUTS,
                SlotSpec(
                    "output", (-1, 2, -1), shape="[batch, experts_per_token, 2 * intermediate]"
                ),
            ),
            dispatch=(
                Dispatch("moe_w13_linear_sm100", (100,)),
                Dispatch("moe_w13_linear_sm90", (90,)),
            ),
            refusal=NO_TASK,
        ),
    ),
    LayerSpec(
        method="moe_silu_mul_layer",
        family="moe",
        doc="SiLU of the gate times up, for each token and expert.",
        parameters=(*tensors("input output"), *LAUNCH),
        steps=(ranks(input=3, output=3),),
        block=BlockSpec(
            slots=(
                SlotSpec("input", (0, 1, -1), shape="[batch, experts_per_token, 2 * intermediate]"),
                SlotSpec("output", (0, 1, -1), shape="[batch, experts_per_token, intermediate]"),
            ),
            dispatch=(Dispatch("moe_silu_mul"),),
        ),
    ),
    LayerSpec(
        method="moe_w2_linear_layer",
        family="moe",
        doc="Down product of the routed experts (grid axis x: experts, y: columns).",
        parameters=(*tensors("input weight moe_routing_indices moe_mask output"), *LAUNCH),
        steps=(ranks(input=3, weight=3, moe_routing_indices=2, moe_mask=1, output=3),),
        block=BlockSpec(
            slots=(
                SlotSpec("input", forloop_dim=2, shape="[batch, experts_per_token, intermediate]"),
                SlotSpec("weight", (-1, 1, -1), 2, shape="[experts, hidden, intermediate]"),
                *_ROUTING_INPUTS,
                SlotSpec("output", (-1, 2, -1), shape="[batch, experts_per_token, hidden]"),
            ),
            dispatch=(
                Dispatch("moe_w2_linear_sm100", (100,)),
                Dispatch("moe_w2_linear_sm90", (90,)),
            ),
            refusal=NO_TASK,
        ),
    ),
    LayerSpec(
        method="moe_mul_sum_add_layer",
        family="moe",
        doc="Weighted sum over a token's experts, plus a residual.",
        parameters=(*tensors("input weight residual output"), *LAUNCH),
        steps=(ranks(input=3, weight=2, residual=2, output=2),),
        block=BlockSpec(
            slots=(
                SlotSpec("input", (0, 2, -1), shape="[batch, experts_per_token, hidden]"),
                SlotSpec("weight", (0, -1, -1), shape="[batch, experts_per_token]"),
                SlotSpec("residual", (0, 1, -1), shape="[batch, hidden]"),
                SlotSpec("output", (0, 1, -1), shape="[batch, hidden]"),
            ),
            dispatch=(Dispatch("moe_mul_sum_add_sm100"),),
        ),
    ),
)
