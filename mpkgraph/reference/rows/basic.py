"""Rows of the kernels without a family of their own: norms, linears, elementwise, argmax."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mpkgraph.reference.joins import Joins
from mpkgraph.reference.row import EXACT, TaskFunction, Tolerance

LINEAR = Joins(("b.", "n.", "bn"))
LINEAR_WITH_RESIDUAL = Joins(("b.", "n.", "bn", "bn"))
SUMS_OF_PRODUCTS = "`torch.nn.functional.linear` in float64"
COPIES = MappingProxyType({"bf16": EXACT})
INDICES: Mapping[str, Tolerance] = MappingProxyType({})
"""No output is of a type with rounding."""

ALL_ROWS_MULTIPLIED = "Built without CUTLASS, the kernel stores 0 (or the bare residual) in rows \
that are not in use; with it, it does all rows, as here."
NOT_CLIPPED = "Rows in use are counted from the tile's start: a grid that splits rows makes each \
task run past its tile."

ROWS: tuple[TaskFunction, ...] = (
    TaskFunction(
        "TASK_EMBEDDING",
        "embedding.embedding",
        # Ids are read from the start of the tile, whatever its shape: rows stay together
        Joins(("..", ".c", ".c")),
        "`torch.nn.functional.embedding`",
        COPIES,
        (
            "The output's row stride is taken for the table's: a padded one reads other rows.",
            "Nothing checks that ids are inside the table.",
        ),
    ),
    TaskFunction(
        "TASK_RMS_NORM",
        "norm.rmsnorm",
        Joins(("b.", ".", "b.")),
        "`torch.nn.functional.rms_norm` in float64",
    ),
    TaskFunction(
        "TASK_RMS_NORM_LINEAR",
        "norm.rmsnorm_linear",
        Joins(("..", ".", "n.", ".n")),
        "`rms_norm` and `linear` in float64",
    ),
    TaskFunction(
        "TASK_LINEAR",
        "linear.linear",
        LINEAR,
        SUMS_OF_PRODUCTS,
        deviations=(
            ALL_ROWS_MULTIPLIED,
            "Row strides of input and weight are taken to be K.",
        ),
    ),
    TaskFunction(
        "TASK_LINEAR_WITH_RESIDUAL",
        "linear.linear_with_residual",
        LINEAR_WITH_RESIDUAL,
        SUMS_OF_PRODUCTS,
        deviations=(
            ALL_ROWS_MULTIPLIED,
            "The residual is read with the output's row stride.",
        ),
    ),
    TaskFunction(
        "TASK_SILU_MUL",
        "elementwise.silu_mul",
        Joins((".c", ".c")),
        "`torch.nn.functional.silu` in float64",
        deviations=(NOT_CLIPPED,),
    ),
    TaskFunction(
        "TASK_SILU_MUL_LINEAR_WITH_RESIDUAL",
        "linear.silu_mul_linear_with_residual",
        Joins(("b.", "n.", "bn", "bn")),
        "`silu` and `linear` in float64",
    ),
    TaskFunction(
        "TASK_IDENTITY",
        "elementwise.identity",
        Joins((".c", ".c")),
        "the input",
        COPIES,
        ("The kernel copies all outer rows with the input's row length as stride.",),
    ),
    TaskFunction(
        "TASK_ARGMAX",
        "elementwise.nothing",
        None,
        "an untouched output",
        INDICES,
        ("No code is registered for the type: its tasks do nothing.",),
    ),
    TaskFunction(
        "TASK_ARGMAX_PARTIAL",
        "argmax.argmax_partial",
        Joins((".c", ".c", ".c")),
        "`torch.max` of each chunk, a thread-by-thread reduction for ties",
        COPIES,
        (NOT_CLIPPED,),
    ),
    TaskFunction(
        "TASK_ARGMAX_REDUCE",
        "argmax.argmax_reduce",
        None,
        "`torch.argmax` of whole rows",
        INDICES,
        ("Values up to -5e4 have no argmax (-1).",),
    ),
)

HOPPER_ROWS: tuple[TaskFunction, ...] = (
    TaskFunction(
        "TASK_LINEAR_WITH_RESIDUAL_HOPPER",
        "linear.linear_with_residual",
        LINEAR_WITH_RESIDUAL,
        SUMS_OF_PRODUCTS,
    ),
    TaskFunction("TASK_LINEAR_HOPPER", "linear.linear", LINEAR, SUMS_OF_PRODUCTS),
    TaskFunction(
        "TASK_RMS_NORM_HOPPER",
        "norm.rmsnorm",
        Joins(("b.", ".", "b.")),
        "`torch.nn.functional.rms_norm` in float64",
        deviations=("Rows are taken to be dense.",),
    ),
    TaskFunction(
        "TASK_LINEAR_SWAPAB_HOPPER",
        "linear.linear",
        LINEAR,
        SUMS_OF_PRODUCTS,
        deviations=("K below 128 hangs the kernel.",),
    ),
    TaskFunction(
        "TASK_LINEAR_SWAPAB_WITH_RESIDUAL_HOPPER",
        "linear.linear_with_residual",
        LINEAR_WITH_RESIDUAL,
        SUMS_OF_PRODUCTS,
        deviations=("Asked to add on a rank other than 0, the kernel stores what it never wrote.",),
    ),
    TaskFunction("TASK_LINEAR_CUTLASS_HOPPER", "linear.linear", LINEAR, SUMS_OF_PRODUCTS),
    TaskFunction(
        "TASK_LINEAR_CUTLASS_WITH_RESIDUAL_HOPPER",
        "linear.linear_with_residual",
        LINEAR_WITH_RESIDUAL,
        SUMS_OF_PRODUCTS,
    ),
    TaskFunction(
        "TASK_SILU_MUL_HOPPER",
        "elementwise.silu_mul",
        Joins((".c", ".c")),
        "`torch.nn.functional.silu` in float64",
        deviations=(NOT_CLIPPED,),
    ),
    TaskFunction(
        "TASK_EMBEDDING_HOPPER",
        "embedding.embedding",
        Joins(("..", ".c", ".c")),
        "`torch.nn.functional.embedding`",
        COPIES,
    ),
    TaskFunction(
        "TASK_SPLITK_LINEAR_SWAPAB_HOPPER",
        "linear.splitk_linear",
        LINEAR,
        SUMS_OF_PRODUCTS,
        deviations=("Slices are added in no fixed order.",),
    ),
)

BLACKWELL_ROWS: tuple[TaskFunction, ...] = (
    TaskFunction(
        "TASK_SPLITK_LINEAR_SM100",
        "linear.splitk_linear",
        LINEAR,
        SUMS_OF_PRODUCTS,
        deviations=(
            "Slices are added in no fixed order.",
            "With fewer than 16 rows the kernel waits for bytes that its descriptor does not load.",
        ),
    ),
    TaskFunction(
        "TASK_LINEAR_WITH_RESIDUAL_SM100",
        "linear.linear_with_residual",
        LINEAR_WITH_RESIDUAL,
        SUMS_OF_PRODUCTS,
        deviations=("The residual is read with the output's row stride.",),
    ),
    TaskFunction("TASK_LINEAR_SM100", "linear.linear", LINEAR, SUMS_OF_PRODUCTS),
    TaskFunction(
        "TASK_ARGMAX_REDUCE_SM100",
        "argmax.argmax_reduce",
        None,
        "`torch.argmax` of whole rows",
        INDICES,
        ("Values up to -5e4 have no argmax (-1).",),
    ),
    TaskFunction(
        "TASK_ARGMAX_PARTIAL_SM100",
        "argmax.argmax_partial",
        Joins((".c", ".c", ".c")),
        "`torch.max` of each chunk",
        COPIES,
        (NOT_CLIPPED,),
    ),
    TaskFunction(
        "TASK_TENSOR_INIT",
        "elementwise.tensor_init",
        Joins(("bc", "bc", "bc")),
        "zeros",
        COPIES,
    ),
    TaskFunction(
        "TASK_SAMPLING_SM100",
        "sampling.sampling",
        None,
        "known answers of Philox 4x32-10; frequencies against `softmax`",
        INDICES,
        (
            (
                "The generator's offset is always 0, and rows are counted from the tile: the same "
                "noise in each iteration and each tile."
            ),
        ),
    ),
    TaskFunction(
        "TASK_ELEMENTWISE_ADD_SM100",
        "elementwise.elementwise_add",
        Joins(("bc", "bc", "bc")),
        "`torch.add` in float64",
    ),
)
