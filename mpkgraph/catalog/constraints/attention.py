"""Sizes that attention takes."""

from __future__ import annotations

from mpkgraph.catalog.constraints.row import (
    ConstraintRow,
    Setting,
    Size,
    at_most,
    dims,
    exactly,
    multiple_of,
    param,
    tile,
)
from mpkgraph.catalog.registered import TaskFacts

PAGED = ("paged_attention", "paged_attention_hopper")
SM100 = ("paged_attention_sm100",)
SPLIT = ("paged_attention_split_kv_hopper", "paged_attention_split_kv_sm100")
MERGE = ("paged_attention_split_kv_merge_sm100",)

HEAD_DIM = tile("in", 1, 3, "the head dim of its caches")
PAGE_SIZE = param(5, "its page size")
SMALL_ROWS = 16
"""Query rows of one key head up to which a kernel with smaller tiles is taken."""


def _query_rows(facts: TaskFacts) -> int:
    """Tokens times query heads of a key head."""
    return facts.input(0).dims[0] * (facts.param(0) // facts.param(1))


QUERY_ROWS = Size(
    "the number of tokens times query heads of a key head",
    _query_rows,
    ("in", 0),
    needs_dims=True,
)
TOKENS = dims("in", 0, 0, "the number of tokens")
MERGE_HEAD_DIM = param(1, "its head dim")
CHUNKS = Size(
    "the extent of grid.z less its number of chunks", lambda f: f.grid_dim[2] - f.param(6)
)


def _many_rows(facts: TaskFacts, _setting: Setting) -> bool:
    return _query_rows(facts) > SMALL_ROWS


ROWS: tuple[ConstraintRow, ...] = (
    ConstraintRow(
        ("paged_attention",), QUERY_ROWS, at_most(64), "no kernel runs: nothing is written"
    ),
    ConstraintRow(
        ("paged_attention_hopper", *SPLIT),
        QUERY_ROWS,
        at_most(64),
        "rows beyond the first 64 are computed with other values of the cache",
    ),
    ConstraintRow(
        (*PAGED, *SM100, *SPLIT),
        PAGE_SIZE,
        multiple_of(64),
        "the kernel asserts it while it is compiled, so nvcc refuses the graph",
    ),
    ConstraintRow(
        ("paged_attention", "paged_attention_split_kv_sm100"),
        PAGE_SIZE,
        multiple_of(128),
        "the kernel for more than 16 query rows asserts it while it is compiled",
        only_if=_many_rows,
    ),
    ConstraintRow(
        ("paged_attention", *SM100), HEAD_DIM, multiple_of(8), "rows are copied by 16 bytes"
    ),
    ConstraintRow(
        ("paged_attention", "paged_attention_hopper"),
        HEAD_DIM,
        at_most(128),
        "the kernel's registers hold 128 values of a head",
    ),
    ConstraintRow(
        ("paged_attention_hopper",), HEAD_DIM, multiple_of(64), "the kernel's tiles have 64 values"
    ),
    ConstraintRow(
        ("attention", "single_batch_extend_attention"),
        HEAD_DIM,
        exactly(128),
        "the kernel is written for 128",
    ),
    ConstraintRow(
        SM100,
        TOKENS,
        at_most(8),
        "its shared memory has room for 8 new tokens of a request, and one with more overruns it",
        severity="warning",
    ),
    ConstraintRow(SPLIT, CHUNKS, exactly(0), "chunks are left out, or done where none is"),
    ConstraintRow(MERGE, MERGE_HEAD_DIM, multiple_of(16), "the rest of each head is left out"),
)
