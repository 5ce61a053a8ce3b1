"""Names of the mixture-of-experts kernels: routing, grouped GEMM, activation, combination."""

from __future__ import annotations

from mpkgraph.catalog.registered.arithmetic import divide, float_text, int32
from mpkgraph.catalog.registered.row import (
    ARCHITECTURES,
    RegisteredTaskRow,
    TaskFacts,
    VariantKey,
)


def _topk_softmax(facts: TaskFacts) -> VariantKey:
    """Experts and batch from the routing indices, experts a token from the weights."""
    weights, routing = facts.output(0), facts.output(1)
    return (*routing.tile[:2], weights.tile[1])


def _topk_sigmoid(facts: TaskFacts) -> VariantKey:
    """The scaling factor comes as the bits of a float32 and is printed with 6 decimals."""
    num_experts, num_groups = facts.output(1).tile[0], facts.param(0)
    return (
        *_topk_softmax(facts),
        num_groups,
        divide(num_experts, num_groups),
        facts.param(1),
        float_text(facts.param(2)),
    )


def _grouped_linear(facts: TaskFacts, *, weight: int, reduction_dim: int) -> VariantKey:
    """Experts, whole and sliced output size, reduction size, batch, experts a token, stride."""
    weights, output = facts.input(weight), facts.output(0)
    return (
        weights.tile[0],
        weights.dims[1],
        facts.input(0).tile[reduction_dim],
        *output.tile[:3],
        output.stride(1),
    )


def _w13_linear(facts: TaskFacts) -> VariantKey:
    """The input is [batch, reduction]."""
    return _grouped_linear(facts, weight=1, reduction_dim=1)


def _w2_linear(facts: TaskFacts) -> VariantKey:
    """The input is [batch, experts a token, reduction]."""
    return _grouped_linear(facts, weight=1, reduction_dim=2)


def _w13_fp8(facts: TaskFacts) -> VariantKey:
    """The experts that a task takes are `grid_dim[0]` apart; elsewhere that is a constant."""
    return (*_grouped_linear(facts, weight=2, reduction_dim=1), facts.grid_dim[0])


def _w2_fp8(facts: TaskFacts) -> VariantKey:
    return (*_grouped_linear(facts, weight=2, reduction_dim=2), facts.grid_dim[0])


def _silu_mul(facts: TaskFacts) -> VariantKey:
    """As the dense `keys.silu_mul`, with which it shares a task type, but of a fixed row count."""
    output = facts.output(0)
    batch, experts_per_token, size = output.tile[:3]
    num_rows = int32(batch * experts_per_token)
    return (batch, size, facts.input(0).dims[2], output.stride(1), num_rows)


def _mul_sum_add(facts: TaskFacts) -> VariantKey:
    output = facts.output(0)
    return (*output.tile[:2], facts.input(0).tile[1], output.stride(0))


ROWS: tuple[RegisteredTaskRow, ...] = (
    RegisteredTaskRow(
        "moe_topk_softmax_sm100",
        "TASK_MOE_TOPK_SOFTMAX_SM100",
        num_inputs=1,
        num_outputs=3,
        params=(),
        variant_key=_topk_softmax,
        compiled_for=("hopper", "blackwell"),
    ),
    RegisteredTaskRow(
        "moe_topk_sigmoid_sm100",
        "TASK_MOE_TOPK_SIGMOID_SM100",
        num_inputs=2,
        num_outputs=3,
        params=("num_groups", "topk_group", "scaling_factor_bits"),
        variant_key=_topk_sigmoid,
        compiled_for=("blackwell",),
    ),
    RegisteredTaskRow(
        "moe_w13_linear_sm90",
        "TASK_MOE_W13_LINEAR_SM90",
        num_inputs=4,
        num_outputs=1,
        params=(),
        variant_key=_w13_linear,
        compiled_for=("hopper",),
    ),
    RegisteredTaskRow(
        "moe_w2_linear_sm90",
        "TASK_MOE_W2_LINEAR_SM90",
        num_inputs=4,
        num_outputs=1,
        params=(),
        variant_key=_w2_linear,
        compiled_for=("hopper",),
    ),
    RegisteredTaskRow(
        "moe_w13_linear_sm100",
        "TASK_MOE_W13_LINEAR_SM100",
        num_inputs=4,
        num_outputs=1,
        params=(),
        variant_key=_w13_linear,
        compiled_for=("blackwell",),
    ),
    RegisteredTaskRow(
        "moe_w2_linear_sm100",
        "TASK_MOE_W2_LINEAR_SM100",
        num_inputs=4,
        num_outputs=1,
        params=(),
        variant_key=_w2_linear,
        compiled_for=("blackwell",),
    ),
    RegisteredTaskRow(
        "moe_w13_fp8_sm100",
        "TASK_MOE_W13_FP8_SM100",
        num_inputs=6,
        num_outputs=1,
        params=(),
        variant_key=_w13_fp8,
        compiled_for=("blackwell",),
    ),
    RegisteredTaskRow(
        "moe_w2_fp8_sm100",
        "TASK_MOE_W2_FP8_SM100",
        num_inputs=6,
        num_outputs=1,
        params=(),
        variant_key=_w2_fp8,
        compiled_for=("blackwell",),
    ),
    RegisteredTaskRow(
        "moe_silu_mul",
        "TASK_SILU_MUL",
        num_inputs=1,
        num_outputs=1,
        params=(),
        variant_key=_silu_mul,
        compiled_for=ARCHITECTURES,
    ),
    RegisteredTaskRow(
        "moe_mul_sum_add_sm100",
        "TASK_MOE_MUL_SUM_ADD_SM100",
        num_inputs=3,
        num_outputs=1,
        params=(),
        variant_key=_mul_sum_add,
        compiled_for=("hopper", "blackwell"),
    ),
)
