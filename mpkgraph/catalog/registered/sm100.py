"""Names of the Blackwell (SM100) kernels for dense layers: GEMM, elementwise, sampling."""

from __future__ import annotations

from mpkgraph.catalog.registered import keys
from mpkgraph.catalog.registered.row import RegisteredTaskRow, TaskFacts, VariantKey


def _splitk_linear(facts: TaskFacts) -> VariantKey:
    """Unlike Hopper's, the text holds the slice of K as well as the whole of it."""
    return (*keys.linear(facts), facts.input(0).tile[1])


def _sampling(facts: TaskFacts) -> VariantKey:
    logits = facts.input(0)
    return (*logits.tile[:2], facts.param(0))


def _tensor_init(facts: TaskFacts) -> VariantKey:
    """Of the first input, which is the tensor that it clears."""
    target = facts.input(0)
    return (*target.tile[:2], target.dims[1])


def _elementwise_add(facts: TaskFacts) -> VariantKey:
    """The pitch of rows is the whole tensor's width, not its stride."""
    output = facts.output(0)
    return (*output.tile[:2], output.dims[1])


ROWS: tuple[RegisteredTaskRow, ...] = (
    RegisteredTaskRow(
        "linear_sm100",
        "TASK_LINEAR_SM100",
        num_inputs=2,
        num_outputs=1,
        params=(),
        variant_key=keys.linear,
        compiled_for=("blackwell",),
    ),
    RegisteredTaskRow(
        "linear_with_residual_sm100",
        "TASK_LINEAR_WITH_RESIDUAL_SM100",
        num_inputs=3,
        num_outputs=1,
        params=("enable_residual",),
        variant_key=keys.linear_optional_residual,
        compiled_for=("blackwell",),
    ),
    RegisteredTaskRow(
        "splitk_linear_sm100",
        "TASK_SPLITK_LINEAR_SM100",
        num_inputs=2,
        num_outputs=1,
        params=(),
        variant_key=_splitk_linear,
        compiled_for=("blackwell",),
    ),
    RegisteredTaskRow(
        "tensor_init",
        "TASK_TENSOR_INIT",
        num_inputs=2,
        num_outputs=1,
        params=(),
        variant_key=_tensor_init,
        compiled_for=("blackwell",),
    ),
    RegisteredTaskRow(
        "elementwise_add_sm100",
        "TASK_ELEMENTWISE_ADD_SM100",
        num_inputs=2,
        num_outputs=1,
        params=(),
        variant_key=_elementwise_add,
        compiled_for=("blackwell",),
    ),
    RegisteredTaskRow(
        "argmax_partial_sm100",
        "TASK_ARGMAX_PARTIAL_SM100",
        num_inputs=1,
        num_outputs=2,
        params=("num_partial_tasks",),
        variant_key=keys.argmax_partial,
        compiled_for=("hopper", "blackwell"),
    ),
    RegisteredTaskRow(
        "argmax_reduce_sm100",
        "TASK_ARGMAX_REDUCE_SM100",
        num_inputs=2,
        num_outputs=1,
        params=("chunk_size",),
        variant_key=keys.argmax_reduce,
        compiled_for=("hopper", "blackwell"),
    ),
    RegisteredTaskRow(
        "sampling_sm100",
        "TASK_SAMPLING_SM100",
        num_inputs=1,
        num_outputs=1,
        params=("seed",),
        variant_key=_sampling,
        compiled_for=("blackwell",),
    ),
)
