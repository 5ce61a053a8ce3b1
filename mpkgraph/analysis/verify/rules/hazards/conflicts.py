"""Accesses that conflict and that events leave unordered, in one pass in program order.

For each byte only neighbours in program order need to be looked at: when a write is ordered before
another and that before a read, the first is ordered before the read. So an access is looked at
until later ones that hold all its bytes stand between it and whatever may come. That finds a pair
exactly when there is one, and each pair found is one; of pairs that follow from others not all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from typing import Literal

from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.rules.hazards.access import (
    Access,
    Kind,
    accesses_by_operator,
    conflicts_with,
)
from mpkgraph.analysis.verify.rules.hazards.pairs import PairFinder, Unordered
from mpkgraph.analysis.verify.rules.hazards.union import Unions
from mpkgraph.analysis.verify.rules.hazards.values import Values
from mpkgraph.frozen import dataclass
from mpkgraph.model.operator import Operator

Hazard = Literal["RAW", "WAW", "WAR"]


@dataclass(frozen=True)
class Conflict:
    """Pairs of tasks of two operators, the first earlier in program order."""

    hazard: Hazard
    earlier: Access
    later: Access
    pairs: Unordered
    is_same_value: bool
    """Whether what is written is what is there already: the writer repeats the last one's work."""
    is_first_write: bool
    """Whether nothing before `later` writes the tensor."""


@dataclass(eq=False)
class _Live:
    """An access that later ones may still have to be ordered with."""

    access: Access
    implied: set[Kind] = field(default_factory=set)
    """Kinds of later accesses whose order with this one follows from others."""


@dataclass
class _TensorState:
    live: list[_Live] = field(default_factory=list)
    written: list[Access] = field(default_factory=list)
    """Writes so far, equal ones once."""


@dataclass(frozen=True)
class Step:
    """One operator in program order, what it does and what it conflicts with."""

    operator: Operator
    accesses: list[Access]
    conflicts: list[Conflict]
    written_before: dict[str, list[Access]]
    """By tensor that it touches the writes before it."""


def walk_conflicts(
    context: VerifyContext, finder: PairFinder, *, prune: bool = True
) -> Iterator[Step]:
    """Each operator in program order with its conflicts with earlier ones.

    `prune=False` also gives the pairs that follow from others, in time quadratic in a tensor's
    accesses.
    """
    unions, values = Unions(), Values()
    states: dict[str, _TensorState] = {}
    steps = list(accesses_by_operator(context, finder.peers, finder.order.is_resolved))
    changing = {x.tensor for _, accesses in steps for x in accesses if x.writes}
    for operator, accesses in steps:
        outcome = values.of(operator, accesses)
        conflicts: list[Conflict] = []
        before = {x.tensor: list(states[x.tensor].written) for x in accesses if x.tensor in states}
        arriving: list[tuple[_TensorState, _Live]] = []
        between: list[tuple[_Live, Access]] = []
        for access in accesses:
            if access.tensor not in changing:
                continue
            state = states.setdefault(access.tensor, _TensorState())
            for live in state.live:
                apart = _are_apart(context, live.access, access)
                conflict = None
                if not apart:
                    conflict = _meet(live, access, finder, outcome.repeats(live.access, access))
                if conflict is not None:
                    pairs, same = conflict
                    first = not before.get(access.tensor)
                    conflicts.append(
                        Conflict(
                            _hazard(live.access, access), live.access, access, pairs, same, first
                        )
                    )
                settled = conflict is None or not conflict[1]
                if prune and settled and not apart and _stands_after(live, access):
                    between.append((live, access))
            arriving.append((state, _Live(access)))
        # Only now: accesses of one operator are in no order among each other
        for live, access in between:
            _imply(live, access, unions)
        for state, live in arriving:
            state.live = [x for x in state.live if not conflicts_with(x.access.kind) <= x.implied]
            state.live.append(live)
            if live.access.writes and all(x.key != live.access.key for x in state.written):
                state.written.append(live.access)
        values.commit(outcome)
        yield Step(operator, accesses, conflicts, before)


def _meet(
    live: _Live, access: Access, finder: PairFinder, same_value: bool
) -> tuple[Unordered, bool] | None:
    if access.kind not in conflicts_with(live.access.kind) or access.kind in live.implied:
        return None
    pairs = finder.unordered(live.access, access)
    return None if pairs is None else (pairs, same_value)


def _are_apart(context: VerifyContext, earlier: Access, later: Access) -> bool:
    """Whether two operators of one task type touch different parts, as their params say."""
    positions = earlier.use.effect.disjoint_params
    if not positions or earlier.operator.task_type != later.operator.task_type:
        return False
    layers = context.layer(earlier.operator), context.layer(later.operator)
    params = [() if x is None else x.params or () for x in layers]
    return any(
        x < min(len(params[0]), len(params[1])) and params[0][x] != params[1][x] for x in positions
    )


def _stands_after(live: _Live, access: Access) -> bool:
    """Whether an access is ordered after `live`, wherever both touch a byte."""
    return access.kind in conflicts_with(live.access.kind) or access.kind in live.implied


def _imply(live: _Live, access: Access, unions: Unions) -> None:
    """An access that stands between: what must come after it comes after `live` too."""
    more = conflicts_with(access.kind) - live.implied
    if more and unions.covers([access], live.access):
        live.implied |= more


def _hazard(earlier: Access, later: Access) -> Hazard:
    if earlier.writes and later.reads:
        return "RAW"
    return "WAW" if earlier.writes else "WAR"
