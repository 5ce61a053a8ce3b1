"""Names of the prompt-lookup decoding kernels, which no set of kernels includes."""

from __future__ import annotations

from mpkgraph.catalog.registered.row import RegisteredTaskRow, TaskFacts, VariantKey


def _find_ngram_partial(facts: TaskFacts) -> VariantKey:
    return (facts.param(0), facts.output(0).tile[1])


def _find_ngram_global(facts: TaskFacts) -> VariantKey:
    return (facts.param(0), facts.param(1), facts.input(0).tile[1])


def _target_verify_greedy(facts: TaskFacts) -> VariantKey:
    return (facts.input(0).tile[1],)


ROWS: tuple[RegisteredTaskRow, ...] = (
    RegisteredTaskRow(
        "find_ngram_partial",
        "TASK_FIND_NGRAM_PARTIAL",
        num_inputs=1,
        num_outputs=1,
        params=("ngram_size",),
        variant_key=_find_ngram_partial,
    ),
    RegisteredTaskRow(
        "find_ngram_global",
        "TASK_FIND_NGRAM_GLOBAL",
        num_inputs=2,
        num_outputs=1,
        params=("ngram_size", "spec_length"),
        variant_key=_find_ngram_global,
    ),
    RegisteredTaskRow(
        "target_verify_greedy",
        "TASK_TARGET_VERIFY_GREEDY",
        num_inputs=2,
        num_outputs=1,
        params=(),
        variant_key=_target_verify_greedy,
    ),
)
