"""Names of the multi-token-prediction kernels: draft tokens, their verification, probabilities."""

from __future__ import annotations

from mpkgraph.catalog.registered import keys
from mpkgraph.catalog.registered.row import RegisteredTaskRow, TaskFacts, VariantKey


def _softmax_gather(facts: TaskFacts) -> VariantKey:
    return facts.input(0).tile[:2]


def _prob_scatter(facts: TaskFacts) -> VariantKey:
    return (facts.input(0).tile[0], facts.param(0))


def _prob_extract(facts: TaskFacts) -> VariantKey:
    return (facts.input(0).tile[0], facts.param(0), facts.param(1))


ROWS: tuple[RegisteredTaskRow, ...] = (
    RegisteredTaskRow(
        "mtp_verify_strict",
        "TASK_MTP_VERIFY_STRICT",
        num_inputs=2,
        num_outputs=2,
        params=("num_draft_tokens",),
        variant_key=keys.first_params(1),
        compiled_for=("blackwell",),
    ),
    RegisteredTaskRow(
        "mtp_verify_probabilistic",
        "TASK_MTP_VERIFY_PROBABILISTIC",
        num_inputs=5,
        num_outputs=2,
        params=("num_draft_tokens",),
        variant_key=keys.first_params(1),
        compiled_for=("blackwell",),
    ),
    RegisteredTaskRow(
        "mtp_accept_commit",
        "TASK_MTP_ACCEPT_COMMIT",
        num_inputs=3,
        num_outputs=3,
        params=("num_draft_tokens",),
        variant_key=keys.first_params(1),
        compiled_for=("blackwell",),
    ),
    RegisteredTaskRow(
        "mtp_token_scatter",
        "TASK_MTP_TOKEN_SCATTER",
        num_inputs=1,
        num_outputs=1,
        params=("batch_size", "num_slots", "slot_index"),
        variant_key=keys.first_params(3),
        compiled_for=("blackwell",),
    ),
    RegisteredTaskRow(
        "mtp_float_scatter",
        "TASK_MTP_FLOAT_SCATTER",
        num_inputs=1,
        num_outputs=1,
        params=("batch_size", "num_slots", "slot_index"),
        variant_key=keys.first_params(3),
        compiled_for=("blackwell",),
    ),
    RegisteredTaskRow(
        "mtp_prepare_verify",
        "TASK_MTP_PREPARE_VERIFY",
        num_inputs=4,
        num_outputs=1,
        params=("num_draft_tokens", "max_seq_len"),
        variant_key=keys.first_params(2),
        compiled_for=("blackwell",),
    ),
    RegisteredTaskRow(
        "mtp_build_embed_input",
        "TASK_MTP_BUILD_EMBED_INPUT",
        num_inputs=1,
        num_outputs=1,
        params=("batch_size", "max_seq_len"),
        variant_key=keys.first_params(2),
        compiled_for=("blackwell",),
    ),
    RegisteredTaskRow(
        "softmax_gather_sm100",
        "TASK_SOFTMAX_GATHER_SM100",
        num_inputs=2,
        num_outputs=1,
        params=(),
        variant_key=_softmax_gather,
        compiled_for=("blackwell",),
    ),
    RegisteredTaskRow(
        "prob_scatter_sm100",
        "TASK_PROB_SCATTER_SM100",
        num_inputs=2,
        num_outputs=1,
        params=("max_positions",),
        variant_key=_prob_scatter,
        compiled_for=("blackwell",),
    ),
    RegisteredTaskRow(
        "prob_extract_sm100",
        "TASK_PROB_EXTRACT_SM100",
        num_inputs=2,
        num_outputs=1,
        params=("max_positions", "num_extract"),
        variant_key=_prob_extract,
        compiled_for=("blackwell",),
    ),
)
