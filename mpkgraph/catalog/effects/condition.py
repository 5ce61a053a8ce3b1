"""Conditions on the params of a layer and its rank, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Condition = Callable[[Sequence[int], int], bool]
"""Of the ints given to `register_task` and the rank; True where a param is not there."""


def param(position: int, *values: int) -> Condition:
    """Whether the param at `position` is one of `values`."""

    def holds(params: Sequence[int], _rank: int) -> bool:
        return position >= len(params) or params[position] in values

    return holds


def param_above(position: int, limit: int, default: int) -> Condition:
    """Whether the param at `position` (`default` when left out) is more than `limit`."""

    def holds(params: Sequence[int], _rank: int) -> bool:
        return (params[position] if position < len(params) else default) > limit

    return holds


def first_rank(_params: Sequence[int], rank: int) -> bool:
    """Whether this is rank 0: residuals are added there only."""
    return rank == 0


def all_of(*conditions: Condition) -> Condition:
    """Whether every condition holds."""

    def holds(params: Sequence[int], rank: int) -> bool:
        return all(condition(params, rank) for condition in conditions)

    return holds
