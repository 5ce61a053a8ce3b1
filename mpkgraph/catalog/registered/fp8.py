"""Names of the FP8 kernels for dense layers: quantization and GEMM."""

from __future__ import annotations

from mpkgraph.catalog.registered.arithmetic import int32
from mpkgraph.catalog.registered.row import RegisteredTaskRow, TaskFacts, VariantKey


def _quantize(facts: TaskFacts, *, packed_scale: bool) -> VariantKey:
    """Rows, row size, row pitch; the two leading dims of a 3-D input count as one."""
    source = facts.input(0)
    last = 2 if source.rank == 3 else 1
    num_rows = source.tile[0] * source.tile[1] if source.rank == 3 else source.tile[0]
    return (int32(num_rows), source.tile[last], source.dims[last], packed_scale)


def _quantize_packed(facts: TaskFacts) -> VariantKey:
    return _quantize(facts, packed_scale=True)


def _quantize_float32(facts: TaskFacts) -> VariantKey:
    return _quantize(facts, packed_scale=False)


def _linear(facts: TaskFacts) -> VariantKey:
    """Unlike the bf16 GEMMs, without the output stride."""
    output = facts.output(0)
    return (*output.tile[:2], facts.input(0).dims[1])


def _linear_with_residual(facts: TaskFacts) -> VariantKey:
    return (*_linear(facts), facts.param(0) == 1)


ROWS: tuple[RegisteredTaskRow, ...] = (
    RegisteredTaskRow(
        "quantize_fp8_sm100",
        "TASK_QUANTIZE_FP8_SM100",
        num_inputs=1,
        num_outputs=2,
        params=(),
        variant_key=_quantize_packed,
        compiled_for=("blackwell",),
    ),
    RegisteredTaskRow(
        "quantize_fp8_f32scale_sm100",
        "TASK_QUANTIZE_FP8_SM100",
        num_inputs=1,
        num_outputs=2,
        params=(),
        variant_key=_quantize_float32,
        compiled_for=("blackwell",),
    ),
    RegisteredTaskRow(
        "linear_fp8_sm100",
        "TASK_LINEAR_FP8_SM100",
        num_inputs=4,
        num_outputs=1,
        params=(),
        variant_key=_linear,
        compiled_for=("blackwell",),
    ),
    RegisteredTaskRow(
        "linear_fp8_with_residual_sm100",
        "TASK_LINEAR_FP8_WITH_RESIDUAL_SM100",
        num_inputs=5,
        num_outputs=1,
        params=("enable_residual",),
        variant_key=_linear_with_residual,
        compiled_for=("blackwell",),
    ),
)
