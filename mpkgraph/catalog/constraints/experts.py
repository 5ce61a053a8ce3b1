"""Sizes that the mixture of experts and FP8 take."""

from __future__ import annotations

from mpkgraph.catalog.constraints.row import (
    ConstraintRow,
    Size,
    at_least,
    at_most,
    exactly,
    grid,
    multiple_of,
    one_of,
    tile,
)
from mpkgraph.catalog.registered import TaskFacts

SM90 = ("moe_w13_linear_sm90", "moe_w2_linear_sm90")
SM100 = ("moe_w13_linear_sm100", "moe_w2_linear_sm100")
FP8 = ("moe_w13_fp8_sm100", "moe_w2_fp8_sm100")
TOPK = ("moe_topk_softmax_sm100", "moe_topk_sigmoid_sm100")

FEW_LANES = "experts are dealt to that many tasks, and those of the others are skipped"
MANY_LANES = "experts are dealt to that many tasks, and the others do work that is done already"
LANES = (
    ("moe_w13_linear_sm90", 5),
    ("moe_w2_linear_sm90", 4),
    ("moe_w13_linear_sm100", 10),
    ("moe_w2_linear_sm100", 8),
)
"""The stride over experts that each kernel is compiled with."""
ROWS_OUT = tile("out", 0, 0, "the number of rows of its output tile")
COLUMNS_OUT = tile("out", 0, 2, "the number of columns of its output tile")
WEIGHT_K = tile("in", 1, 2, "the number of columns (K) of its weight")
FP8_WEIGHT_K = tile("in", 2, 2, "the number of columns (K) of its weight")
EXPERTS = tile("in", 0, 1, "the number of experts")

WARPS, LANES_OF_A_WARP, VECTOR = 8, 32, 8


def _unrouted_rows(facts: TaskFacts) -> int:
    """Rows beyond those that the warps of one task take: each lane holds 8 experts of a row."""
    lanes_of_a_row = max(facts.input(0).tile[1] // VECTOR, 1)
    rows = WARPS * max(LANES_OF_A_WARP // lanes_of_a_row, 1)
    return max(facts.input(0).tile[0] - rows, 0)


UNROUTED = Size("the number of rows beyond those that fit its warps", _unrouted_rows, ("in", 0))

QUANTIZE = ("quantize_fp8_sm100", "quantize_fp8_f32scale_sm100")


def _hidden(facts: TaskFacts) -> int:
    slot = facts.input(0)
    return slot.dims[max(slot.rank - 1, 0)]


HIDDEN = Size("the length of its input's rows", _hidden, ("in", 0), needs_dims=True)


def _split_axes(facts: TaskFacts) -> int:
    return sum(
        size > 1 and axis >= 0
        for slot in (*facts.inputs, *facts.outputs)
        for axis, size in zip(slot.input_map, facts.grid_dim, strict=True)
    )


SPLIT_AXES = Size("the number of grid axes that split its tensors", _split_axes)

ROWS: tuple[ConstraintRow, ...] = (
    *(ConstraintRow((name,), grid(0), at_least(lanes), FEW_LANES) for name, lanes in LANES),
    *(
        ConstraintRow((name,), grid(0), at_most(lanes), MANY_LANES, severity="warning")
        for name, lanes in LANES
    ),
    ConstraintRow(
        SM90, ROWS_OUT, at_most(16), "the kernel stores every block of 16 rows over the first"
    ),
    ConstraintRow((*SM90, *SM100), WEIGHT_K, multiple_of(64), "the rest of K is left out"),
    ConstraintRow(
        SM100,
        COLUMNS_OUT,
        multiple_of(128),
        "the kernel writes past the end of its tile",
        severity="warning",
    ),
    ConstraintRow(FP8, FP8_WEIGHT_K, multiple_of(128), "scales are of blocks of 128"),
    ConstraintRow(
        ("moe_topk_softmax_sm100",),
        EXPERTS,
        one_of(128, 256),
        "the kernel asserts it while it is compiled, so nvcc refuses the graph",
    ),
    ConstraintRow(
        ("moe_topk_sigmoid_sm100",),
        EXPERTS,
        one_of(8, 16, 32, 64, 128, 256),
        "the kernel deals experts to lanes by powers of two",
    ),
    ConstraintRow(TOPK, UNROUTED, exactly(0), "their tokens are routed to no expert"),
    ConstraintRow(
        TOPK, grid(0), exactly(1), "each task clears the routing that the others have written"
    ),
    ConstraintRow(QUANTIZE, HIDDEN, multiple_of(128), "the rest of each row is not written"),
    ConstraintRow(
        QUANTIZE,
        SPLIT_AXES,
        exactly(0),
        "the kernel chooses the row itself, from the start of the tile",
    ),
)
