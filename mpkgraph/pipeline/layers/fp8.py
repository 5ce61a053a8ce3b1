"""Quantised to FP8 with a scale for every 128 columns (`persistent_kernel.py:1472-1618`)."""

from __future__ import annotations

from mpkgraph.pipeline.layers.call import Call
from mpkgraph.pipeline.layers.checks import ranks
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

NO_TASK = Refusal(AssertionError, "FP8 group GEMM requires SM100 (Blackwell)")


def packed_scale(call: Call) -> bool:
    return bool(call["scale_ue8m0"])


_LINEAR_INPUTS = (
    SlotSpec("input_fp8", shape="[batch, K]"),
    SlotSpec("input_scale", shape="scales of the input"),
    SlotSpec("weight_fp8", (0, -1, -1), shape="[N, K]"),
    SlotSpec("weight_scale", (0, -1, -1), shape="[N, packed K / 128], column-major"),
)
_ROUTING = (
    SlotSpec("moe_routing_indices", shape="[experts, batch] int32"),
    SlotSpec("moe_mask", shape="[experts + 1] int32"),
)
_MOE_PARAMETERS = tensors(
    "input_fp8 input_scale weight_fp8 weight_scale moe_routing_indices moe_mask output"
)

ROWS = (
    LayerSpec(
        method="quantize_fp8_layer",
        family="fp8",
        doc="FP8 values and scales of a bfloat16 tensor.",
        parameters=(
            *tensors("input output_fp8 output_scale"),
            *LAUNCH,
            Param("scale_ue8m0", "bool", default=True),
        ),
        block=BlockSpec(
            slots=(
                SlotSpec("input", shape="[batch, K] bfloat16"),
                SlotSpec("output_fp8", shape="[batch, K]"),
                SlotSpec("output_scale", shape="scales: packed UE8M0, or float32"),
            ),
            dispatch=(
                Dispatch("quantize_fp8_sm100", params=(), when=packed_scale),
                Dispatch("quantize_fp8_f32scale_sm100", params=()),
            ),
        ),
        notes="scale_ue8m0=True is for linear_fp8_layer, False for the expert layers.",
    ),
    LayerSpec(
        method="linear_fp8_layer",
        family="fp8",
        doc="Product of FP8 tensors.",
        parameters=(
            *tensors("input_fp8 input_scale weight_fp8 weight_scale output"),
            *LAUNCH,
        ),
        block=BlockSpec(
            slots=(*_LINEAR_INPUTS, SlotSpec("output", (1, -1, -1), shape="[batch, N]")),
            dispatch=(Dispatch("linear_fp8_sm100", params=()),),
        ),
    ),
    LayerSpec(
        method="linear_fp8_with_residual_layer",
        family="fp8",
        doc="Product of FP8 tensors, plus a residual.",
        parameters=(
            *tensors("input_fp8 input_scale weight_fp8 weight_scale residual output"),
            *LAUNCH,
        ),
        block=BlockSpec(
            slots=(
                *_LINEAR_INPUTS,
                SlotSpec("residual", (1, -1, -1), shape="[batch, N]"),
                SlotSpec("output", (1, -1, -1), shape="[batch, N]"),
            ),
            dispatch=(Dispatch("linear_fp8_with_residual_sm100", params=(1,)),),
        ),
        notes="Every rank adds the residual, unlike linear_with_residual_layer.",
    ),
    LayerSpec(
        method="moe_w13_fp8_layer",
        family="fp8",
        doc="Gate and up products of the routed experts in FP8.",
        parameters=(*_MOE_PARAMETERS, *LAUNCH),
        steps=(
            ranks(
                input_fp8=2,
                input_scale=2,
                weight_fp8=3,
                weight_scale=3,
                moe_routing_indices=2,
                moe_mask=1,
                output=3,
            ),
        ),
        block=BlockSpec(
            slots=(
                SlotSpec("input_fp8", shape="[batch, hidden]"),
                SlotSpec("input_scale", shape="[batch, hidden / 128] float32"),
                SlotSpec("weight_fp8", (-1, 1, -1), shape="[experts, 2 * intermediate, hidden]"),
                SlotSpec(
                    "weight_scale",
                    (-1, 1, -1),
                    shape="[experts, 2 * intermediate, hidden / 128] float32",
                ),
                *_ROUTING,
                SlotSpec(
                    "output", (-1, 2, -1), shape="[batch, experts_per_token, 2 * intermediate]"
                ),
            ),
            dispatch=(Dispatch("moe_w13_fp8_sm100", (100,)),),
            refusal=NO_TASK,
        ),
    ),
    LayerSpec(
        method="moe_w2_fp8_layer",
        family="fp8",
        doc="Down product of the routed experts in FP8.",
        parameters=(*_MOE_PARAMETERS, *LAUNCH),
        steps=(
            ranks(
                input_fp8=3,
                input_scale=3,
                weight_fp8=3,
                weight_scale=3,
                moe_routing_indices=2,
                moe_mask=1,
                output=3,
            ),
        ),
        block=BlockSpec(
            slots=(
                SlotSpec("input_fp8", shape="[batch, experts_per_token, intermediate]"),
                SlotSpec(
                    "input_scale", shape="[batch, experts_per_token, intermediate / 128] float32"
                ),
                SlotSpec("weight_fp8", (-1, 1, -1), shape="[experts, hidden, intermediate]"),
                SlotSpec(
                    "weight_scale",
                    (-1, 1, -1),
                    shape="[experts, hidden, intermediate / 128] float32",
                ),
                *_ROUTING,
                SlotSpec("output", (-1, 2, -1), shape="[batch, experts_per_token, hidden]"),
            ),
            dispatch=(Dispatch("moe_w2_fp8_sm100", (100,)),),
            refusal=NO_TASK,
        ),
    ),
)
