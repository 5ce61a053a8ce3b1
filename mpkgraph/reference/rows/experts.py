"""Rows of the mixture of experts and of FP8."""

from __future__ import annotations

from types import MappingProxyType

from mpkgraph.reference.joins import Joins
from mpkgraph.reference.row import BF16, EXACT, FP8, FP32, TaskFunction

EXPERT = Joins(("..", ".n.", "..", ".", "..n"), walked="x")
EXPERT_3D = Joins(("...", ".n.", "..", ".", "..n"), walked="x")
DENSE = "a dense loop over rows and their experts with `linear` in float64"
WEIGHTS = MappingProxyType({"bf16": EXACT, "fp32": FP32})

ROWS_PER_WARP = "Rows beyond 8 warps' (8 for 256 experts, 16 for 128) stay without a choice."
LIST_ORDER = "The list of experts is in no fixed order, and may name some twice or stale; here it \
ascends, and -1 follows."
ROUTING_TAIL = "Up to 16 entries are read past the end of a row of the routing."


def lanes(number: int) -> str:
    """The stride through the list of experts that a kernel was compiled with."""
    return (
        f"A lane takes every {number}th expert, whatever grid.x: fewer lanes leave experts out, "
        "more do them again. Here a lane takes every grid.x-th."
    )


ROWS: tuple[TaskFunction, ...] = (
    *(
        TaskFunction(
            f"TASK_MOE_{layer}_LINEAR_{target}",
            f"moe.{layer.lower()}_linear",
            joins,
            DENSE,
            deviations=(lanes(number), ROUTING_TAIL, *more),
        )
        for target, layer, joins, number, more in (
            ("SM90", "W13", EXPERT, 5, ("Only the first 16 rows are right.",)),
            ("SM90", "W2", EXPERT_3D, 4, ("Only the first 16 rows are right.",)),
            ("SM100", "W13", EXPERT, 10, ()),
            ("SM100", "W2", EXPERT_3D, 8, ()),
        )
    ),
    TaskFunction(
        "TASK_MOE_TOPK_SOFTMAX_SM100",
        "moe.topk_softmax",
        None,
        "`torch.topk` of `torch.softmax` in float64",
        WEIGHTS,
        (ROWS_PER_WARP, LIST_ORDER),
    ),
    TaskFunction(
        "TASK_MOE_MUL_SUM_ADD_SM100",
        "elementwise.mul_sum_add",
        Joins(("b.n", "b.", "bn", "bn")),
        "`torch.einsum` in float64",
    ),
    TaskFunction(
        "TASK_MOE_TOPK_SIGMOID_SM100",
        "moe.topk_sigmoid",
        None,
        "a loop over groups and experts in float64",
        WEIGHTS,
        (ROWS_PER_WARP, LIST_ORDER),
    ),
)

MANTISSA = "Mantissas of the float32 scales are dropped, here too: up to a factor of 2 for each \
block. What `quantize_fp8` gives has them."

FP8_ROWS: tuple[TaskFunction, ...] = (
    TaskFunction(
        "TASK_MOE_W13_FP8_SM100",
        "moe.w13_fp8",
        Joins(("..", "..", ".n.", ".n.", "..", ".", "..n"), walked="x"),
        f"{DENSE} after dequantization by powers of two",
        deviations=(MANTISSA,),
    ),
    TaskFunction(
        "TASK_MOE_W2_FP8_SM100",
        "moe.w2_fp8",
        Joins(("...", "...", ".n.", ".n.", "..", ".", "..n"), walked="x"),
        f"{DENSE} after dequantization by powers of two",
        deviations=(MANTISSA,),
    ),
    TaskFunction(
        "TASK_QUANTIZE_FP8_SM100",
        "quantized.quantize",
        Joins(("..", "..", ".."), walked="x"),
        "the bound of the rounding error of e4m3, block by block",
        MappingProxyType({"fp8": FP8, "fp32": FP32}),
        (
            "Divisions are approximate, so that some values round the other way.",
            (
                "The kernel takes the number of its worker for the row, not that of the task: rows "
                "are quantized where tasks happen to run."
            ),
        ),
    ),
    TaskFunction(
        "TASK_LINEAR_FP8_SM100",
        "quantized.linear_fp8",
        Joins(("..", "..", "n.", "n.", ".n")),
        "`linear` in float64 after dequantization",
        deviations=("The kernel ends before its last stores are sure to be seen.",),
    ),
    TaskFunction(
        "TASK_LINEAR_FP8_WITH_RESIDUAL_SM100",
        "quantized.linear_fp8_with_residual",
        Joins(("..", "..", "n.", "n.", ".n", ".n")),
        "`linear` in float64 after dequantization",
        MappingProxyType({"bf16": BF16}),
        ("The kernel ends before its last stores are sure to be seen.",),
    ),
)
