"""Sizes that linears take."""

from __future__ import annotations

from mpkgraph.catalog.constraints.row import (
    ConstraintRow,
    Setting,
    at_least,
    at_most,
    dims,
    multiple_of,
    one_of,
    one_of_or_multiple,
    parts,
    tile,
)
from mpkgraph.catalog.registered import TaskFacts

AMPERE = ("linear", "linear_with_residual")
SWAPAB = ("linear_swapAB_hopper", "linear_swapAB_with_residual_hopper")
SPLITK_SWAPAB = ("splitk_linear_swapAB_hopper",)
WGMMA = ("linear_hopper", "linear_with_residual_hopper")
CUTLASS = ("linear_cutlass_hopper", "linear_cutlass_with_residual_hopper")
SM100 = ("linear_sm100", "linear_with_residual_sm100")
FUSED = ("rmsnorm_linear", "silu_mul_linear_with_residual")

ROWS_OUT = tile("out", 0, 0, "the number of rows of its output tile")
COLUMNS_OUT = tile("out", 0, 1, "the number of columns of its output tile")
K = dims("in", 0, 1, "the number of columns (K) of its input")
K_PARTS = parts("in", 0, 1, "the number of parts of K")


def _ptx(_facts: TaskFacts, setting: Setting) -> bool:
    return setting.use_cutlass is False


def _cutlass(_facts: TaskFacts, setting: Setting) -> bool:
    return setting.use_cutlass is True


ROWS: tuple[ConstraintRow, ...] = (
    ConstraintRow(
        (*AMPERE, *SWAPAB, *WGMMA, *CUTLASS, *SM100),
        K_PARTS,
        at_most(1),
        "the kernel loops over all of K from the start of each part, past the end of its rows",
    ),
    # Ampere
    ConstraintRow(
        AMPERE,
        ROWS_OUT,
        one_of(8, 16),
        "the kernel without CUTLASS loads rows by eights, and none of fewer than 8",
        severity="warning",
        only_if=_ptx,
    ),
    ConstraintRow(
        AMPERE,
        COLUMNS_OUT,
        multiple_of(64),
        "the kernel without CUTLASS computes columns by 64",
        severity="warning",
        only_if=_ptx,
    ),
    ConstraintRow(AMPERE, K, multiple_of(128), "the rest of K is left out of the sum"),
    ConstraintRow(
        AMPERE,
        K,
        at_least(256),
        "the kernel's pipeline needs two blocks of 128",
        severity="warning",
    ),
    ConstraintRow(
        AMPERE,
        COLUMNS_OUT,
        multiple_of(32),
        "the CUTLASS kernel is built of tiles of 32 columns",
        only_if=_cutlass,
    ),
    ConstraintRow(
        FUSED, ROWS_OUT, at_most(16), "the kernel does one block of 16 rows; others are lost"
    ),
    # Hopper
    ConstraintRow(
        (*SWAPAB, *SPLITK_SWAPAB),
        ROWS_OUT,
        at_most(16),
        "the kernel asserts it while it is compiled, so nvcc refuses the graph",
    ),
    ConstraintRow(SWAPAB, K, at_least(128), "with less it waits for ever, seen on an H100"),
    ConstraintRow(WGMMA, COLUMNS_OUT, one_of_or_multiple(256, 16, 32, 64, 128), "no such MMA is"),
    ConstraintRow(WGMMA, K, at_least(64), "K is loaded by 64"),
    ConstraintRow(
        WGMMA,
        ROWS_OUT,
        multiple_of(64),
        "the MMA has 64 rows, and writes all of them into memory of as many rows as the tile has",
        severity="warning",
    ),
    ConstraintRow(
        CUTLASS, COLUMNS_OUT, at_most(64), "the kernel computes one block of 64 columns only"
    ),
    ConstraintRow(CUTLASS, ROWS_OUT, one_of(8, 16), "no such MMA is"),
    # Blackwell
    ConstraintRow(
        ("splitk_linear_sm100",),
        ROWS_OUT,
        at_least(16),
        "the host describes boxes of 16 rows where the kernel waits for the bytes of fewer",
        severity="warning",
    ),
)
