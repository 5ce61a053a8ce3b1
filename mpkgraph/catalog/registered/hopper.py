"""Names of the Hopper kernels (attention and MoE apart)."""

from __future__ import annotations

from mpkgraph.catalog.registered import keys
from mpkgraph.catalog.registered.arithmetic import divide
from mpkgraph.catalog.registered.row import RegisteredTaskRow, TaskFacts, VariantKey

_HOPPER_ON = ("hopper", "blackwell")
_BOX_COLUMNS = 64
"""Columns that one TMA copy brings at most."""


def _linear_boxes(facts: TaskFacts) -> VariantKey:
    """With the number of boxes that make up the output: a tile without columns kills Mirage."""
    num_columns = facts.output(0).tile[1]
    box = min(num_columns, _BOX_COLUMNS)
    widest = next((width for width in (256, 128, 64, 32) if num_columns >= width), 16)
    return (*keys.linear(facts), divide(widest + box - 1, box))


ROWS: tuple[RegisteredTaskRow, ...] = (
    RegisteredTaskRow(
        "linear_hopper",
        "TASK_LINEAR_HOPPER",
        num_inputs=2,
        num_outputs=1,
        params=(),
        variant_key=_linear_boxes,
        compiled_for=_HOPPER_ON,
    ),
    RegisteredTaskRow(
        "linear_with_residual_hopper",
        "TASK_LINEAR_WITH_RESIDUAL_HOPPER",
        num_inputs=3,
        num_outputs=1,
        params=(),
        variant_key=_linear_boxes,
        compiled_for=_HOPPER_ON,
    ),
    RegisteredTaskRow(
        "linear_swapAB_hopper",
        "TASK_LINEAR_SWAPAB_HOPPER",
        num_inputs=2,
        num_outputs=1,
        params=(),
        variant_key=keys.linear,
        compiled_for=_HOPPER_ON,
    ),
    RegisteredTaskRow(
        "linear_swapAB_with_residual_hopper",
        "TASK_LINEAR_SWAPAB_WITH_RESIDUAL_HOPPER",
        num_inputs=3,
        num_outputs=1,
        params=("enable_residual",),
        variant_key=keys.linear_optional_residual,
        compiled_for=_HOPPER_ON,
    ),
    # The split of K is not in the text: the kernel is told the whole reduction size.
    RegisteredTaskRow(
        "splitk_linear_swapAB_hopper",
        "TASK_SPLITK_LINEAR_SWAPAB_HOPPER",
        num_inputs=2,
        num_outputs=1,
        params=(),
        variant_key=keys.linear,
        compiled_for=_HOPPER_ON,
    ),
    RegisteredTaskRow(
        "linear_cutlass_hopper",
        "TASK_LINEAR_CUTLASS_HOPPER",
        num_inputs=2,
        num_outputs=1,
        params=(),
        variant_key=keys.linear,
        compiled_for=_HOPPER_ON,
    ),
    RegisteredTaskRow(
        "linear_cutlass_with_residual_hopper",
        "TASK_LINEAR_CUTLASS_WITH_RESIDUAL_HOPPER",
        num_inputs=3,
        num_outputs=1,
        params=(),
        variant_key=keys.linear,
        compiled_for=_HOPPER_ON,
    ),
    RegisteredTaskRow(
        "rmsnorm_hopper",
        "TASK_RMS_NORM_HOPPER",
        num_inputs=2,
        num_outputs=1,
        params=(),
        variant_key=keys.norm,
        compiled_for=_HOPPER_ON,
    ),
    RegisteredTaskRow(
        "silu_mul_hopper",
        "TASK_SILU_MUL_HOPPER",
        num_inputs=1,
        num_outputs=1,
        params=(),
        variant_key=keys.silu_mul,
        compiled_for=_HOPPER_ON,
    ),
    RegisteredTaskRow(
        "embedding_hopper",
        "TASK_EMBEDDING_HOPPER",
        num_inputs=2,
        num_outputs=1,
        params=("input_source",),
        variant_key=keys.embedding,
        compiled_for=("hopper",),
    ),
)
