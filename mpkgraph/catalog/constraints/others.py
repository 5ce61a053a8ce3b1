"""Sizes that norms, elementwise kernels, sampling, latent attention and communication take."""

from __future__ import annotations

from mpkgraph.catalog.constraints.row import (
    ConstraintRow,
    Setting,
    Size,
    at_most,
    dims,
    exactly,
    grid,
    multiple_of,
    param,
    parts,
    tile,
)
from mpkgraph.catalog.registered import TaskFacts

SILU = ("silu_mul", "silu_mul_hopper")
ARGMAX_PARTIAL = ("argmax_partial", "argmax_partial_sm100")
ARGMAX_REDUCE = ("argmax_reduce", "argmax_reduce_sm100")
EMBEDDING = ("embedding", "embedding_hopper")
MLA_REDUCE = ("mla_mtp_reduce_sm100",)
MLA_DECODE_TP = ("mla_mtp_decode_tp2_sm100", "mla_mtp_decode_tp4_sm100", "mla_mtp_decode_tp8_sm100")
SCATTER = ("mtp_token_scatter", "mtp_float_scatter")

REFUSED = "the kernel asserts it while it is compiled, so nvcc refuses the graph"
ROW_PARTS = parts("out", 0, 0, "the number of parts of its rows")
ROWS_IN_USE = (
    "each part does as many rows as are in use in all, from its own first row on, past its end"
)


def _row_stride_difference(first: str, second: str) -> Size:
    """Of two slots, `in0` or `out0`."""

    def of(facts: TaskFacts, name: str) -> int:
        slots = facts.inputs if name.startswith("in") else facts.outputs
        slot = slots[int(name[-1])]
        return slot.stride(slot.rank - 2)

    return Size(
        f"the difference of the row strides of {first} and {second}",
        lambda facts: of(facts, first) - of(facts, second),
    )


def _several_tasks(facts: TaskFacts, _setting: Setting) -> bool:
    return facts.grid_dim[0] * facts.grid_dim[1] * facts.grid_dim[2] > 1


ROWS: tuple[ConstraintRow, ...] = (
    # Norms
    ConstraintRow(
        ("rmsnorm",),
        tile("out", 0, 0, "the number of rows of its tile"),
        exactly(1),
        REFUSED,
        severity="warning",
    ),
    ConstraintRow(
        ("rmsnorm",),
        dims("in", 0, 1, "the number of columns of its input"),
        multiple_of(256),
        "its threads share a row evenly, by 4 bytes",
    ),
    ConstraintRow(
        ("rmsnorm_hopper",),
        dims("in", 0, 1, "the number of columns of its input"),
        multiple_of(512),
        "its 256 threads share a row evenly, by 4 bytes",
    ),
    ConstraintRow(
        ("rmsnorm_linear",),
        dims("in", 0, 1, "the number of columns of its input"),
        multiple_of(128),
        REFUSED,
    ),
    # Elementwise
    ConstraintRow(SILU, ROW_PARTS, exactly(1), ROWS_IN_USE),
    # Embedding
    ConstraintRow(
        EMBEDDING,
        Size(
            "the difference of the row strides of its weight and its output",
            lambda f: f.input(1).stride(0) - f.output(0).stride(0),
            ("in", 1),
        ),
        exactly(0),
        "the kernel takes the output's for the weight's, and reads other rows",
    ),
    # Argmax
    ConstraintRow(ARGMAX_PARTIAL, ROW_PARTS, exactly(1), ROWS_IN_USE),
    ConstraintRow(
        ARGMAX_PARTIAL,
        Size(
            "the extent of grid.x less its number of partial tasks",
            lambda f: f.grid_dim[0] - f.param(0),
        ),
        exactly(0),
        "rows are taken for as long as that many tiles",
    ),
    ConstraintRow(
        ARGMAX_REDUCE,
        Size("the number of its tasks", lambda f: f.grid_dim[0] * f.grid_dim[1] * f.grid_dim[2]),
        exactly(1),
        "its inputs and its output are split along other dims, and all rows in use are done from "
        "the start of each part",
        only_if=_several_tasks,
    ),
    # Latent attention
    ConstraintRow(
        MLA_REDUCE, param(2, "its number of splits"), at_most(32), "shared memory holds 32 splits"
    ),
    ConstraintRow(
        ("mla_reduce_sm100",),
        param(2, "its number of splits"),
        at_most(32),
        "shared memory holds 32 splits",
    ),
    ConstraintRow(MLA_REDUCE, param(3, "its dims of a task"), exactly(2), "others are not reduced"),
    ConstraintRow(
        MLA_DECODE_TP,
        param(1, "its number of query tokens"),
        at_most(8),
        "the kernel returns without a word when there are more",
    ),
    # Speculation
    ConstraintRow(
        SCATTER,
        param(0, "its number of rows"),
        at_most(256),
        "one thread does one row: others stay",
    ),
    ConstraintRow(
        ("prob_extract_sm100",), param(1, "its number of values"), at_most(256), "others stay"
    ),
    ConstraintRow(
        ("find_ngram_global",), param(1, "its draft length"), at_most(32), "a draft is lost"
    ),
    ConstraintRow(
        ("mtp_build_embed_input",),
        grid(0),
        exactly(1),
        "the task of every request writes all rows, and the last one stays",
        severity="warning",
    ),
    # Several GPUs
    ConstraintRow(
        ("reduction",),
        _row_stride_difference("in0", "out0"),
        exactly(0),
        "the kernel takes one for the other",
    ),
    ConstraintRow(
        ("nvshmem_tile_allreduce", "nvshmem_allgather_strided_put"),
        _row_stride_difference("in0", "out0"),
        exactly(0),
        "the kernel takes the input's for the output's",
    ),
    ConstraintRow(
        ("nvshmem_tile_allreduce",),
        tile("out", 0, 1, "the number of columns of its tile"),
        multiple_of(8),
        REFUSED,
    ),
    ConstraintRow(
        ("nvshmem_tile_allreduce", "nvshmem_allgather_strided_put", "reduction"),
        parts("in", 0, 0, "the number of parts of its rows"),
        exactly(1),
        ROWS_IN_USE,
    ),
)
