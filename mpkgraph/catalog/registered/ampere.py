"""Names of the Ampere kernels, some of which later targets use too."""

from __future__ import annotations

import math

from mpkgraph.catalog.registered import keys
from mpkgraph.catalog.registered.arithmetic import divide, int32
from mpkgraph.catalog.registered.row import (
    ARCHITECTURES,
    RegisteredTaskRow,
    TaskFacts,
    VariantKey,
)


def _identity(facts: TaskFacts) -> VariantKey:
    """All dims but the last as one, the last, and the last of the output's tile."""
    source, output = facts.input(0), facts.output(0)
    outer = int32(math.prod(source.dims[: max(source.rank - 1, 0)]))
    # A tensor given as None has no last dim; what Mirage reads in its place is its rank, 0.
    return (outer, source.dims[source.rank - 1], output.tile[output.rank - 1])


def _silu_mul_linear(facts: TaskFacts) -> VariantKey:
    output = facts.output(0)
    return (*output.tile[:2], divide(facts.input(0).dims[1], 2), output.stride(0))


ROWS: tuple[RegisteredTaskRow, ...] = (
    RegisteredTaskRow(
        "embedding",
        "TASK_EMBEDDING",
        num_inputs=2,
        num_outputs=1,
        params=("input_source",),
        variant_key=keys.embedding,
        compiled_for=ARCHITECTURES,
    ),
    RegisteredTaskRow(
        "rmsnorm",
        "TASK_RMS_NORM",
        num_inputs=2,
        num_outputs=1,
        params=(),
        variant_key=keys.norm,
        compiled_for=("ampere",),
    ),
    RegisteredTaskRow(
        "rmsnorm_linear",
        "TASK_RMS_NORM_LINEAR",
        num_inputs=3,
        num_outputs=1,
        params=(),
        variant_key=keys.linear,
    ),
    RegisteredTaskRow(
        "linear",
        "TASK_LINEAR",
        num_inputs=2,
        num_outputs=1,
        params=(),
        variant_key=keys.linear,
        compiled_for=("ampere",),
    ),
    RegisteredTaskRow(
        "linear_with_residual",
        "TASK_LINEAR_WITH_RESIDUAL",
        num_inputs=3,
        num_outputs=1,
        params=(),
        variant_key=keys.linear,
        compiled_for=("ampere",),
    ),
    RegisteredTaskRow(
        "silu_mul",
        "TASK_SILU_MUL",
        num_inputs=1,
        num_outputs=1,
        params=(),
        variant_key=keys.silu_mul,
        compiled_for=ARCHITECTURES,
    ),
    RegisteredTaskRow(
        "silu_mul_linear_with_residual",
        "TASK_SILU_MUL_LINEAR_WITH_RESIDUAL",
        num_inputs=3,
        num_outputs=1,
        params=(),
        variant_key=_silu_mul_linear,
    ),
    RegisteredTaskRow(
        "identity",
        "TASK_IDENTITY",
        num_inputs=1,
        num_outputs=1,
        params=(),
        variant_key=_identity,
        compiled_for=("ampere",),
    ),
    # The one name that registers no code.
    RegisteredTaskRow(
        "argmax", "TASK_ARGMAX", num_inputs=1, num_outputs=1, params=(), variant_key=None
    ),
    RegisteredTaskRow(
        "argmax_partial",
        "TASK_ARGMAX_PARTIAL",
        num_inputs=1,
        num_outputs=2,
        params=("num_partial_tasks",),
        variant_key=keys.argmax_partial,
        compiled_for=("ampere", "hopper"),
    ),
    RegisteredTaskRow(
        "argmax_reduce",
        "TASK_ARGMAX_REDUCE",
        num_inputs=2,
        num_outputs=1,
        params=("chunk_size",),
        variant_key=keys.argmax_reduce,
        compiled_for=("ampere", "hopper"),
    ),
)
