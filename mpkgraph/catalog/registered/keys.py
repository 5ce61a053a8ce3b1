"""Variant keys that several families share, named after the kernels that they belong to."""

from __future__ import annotations

from mpkgraph.catalog.registered.row import KeyFunction, TaskFacts, VariantKey


def embedding(facts: TaskFacts) -> VariantKey:
    output = facts.output(0)
    source = facts.param(0)
    # Another source than tokens (0) and slot (1) leaves the argument out, whichever it is.
    return (*output.tile[:2], output.stride(0), source if source in {0, 1} else None)


def norm(facts: TaskFacts) -> VariantKey:
    output = facts.output(0)
    return output.tile[:2]


def linear(facts: TaskFacts) -> VariantKey:
    """Batch, output size, the whole reduction size, output stride.

    The residual is no part of it: with and without one are different task types.
    """
    output = facts.output(0)
    return (*output.tile[:2], facts.input(0).dims[1], output.stride(0))


def linear_optional_residual(facts: TaskFacts) -> VariantKey:
    """A linear layer whose residual this rank adds only if `enable_residual` is exactly 1."""
    return (*linear(facts), facts.param(0) == 1)


def silu_mul(facts: TaskFacts) -> VariantKey:
    """Rows are counted at run time; see `moe.silu_mul` for the name of the same task type."""
    output = facts.output(0)
    return (*output.tile[:2], facts.input(0).dims[1], output.stride(0), "active rows")


def argmax_partial(facts: TaskFacts) -> VariantKey:
    logits = facts.input(0)
    return (*logits.tile[:2], facts.param(0))


def argmax_reduce(facts: TaskFacts) -> VariantKey:
    return (*facts.input(0).tile[:2], facts.param(0))


def first_params(count: int) -> KeyFunction:
    """The key of a kernel that is told the first `count` ints and nothing of its tensors."""

    def key(facts: TaskFacts) -> VariantKey:
        return tuple(facts.param(position) for position in range(count))

    return key
