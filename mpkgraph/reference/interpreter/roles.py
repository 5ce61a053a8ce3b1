"""Which tensors must hold a value before anything runs, and of what kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mpkgraph.reference.interpreter.operators import OperatorPlan, SlotPlan
from mpkgraph.reference.interpreter.program import RankProgram

Role = Literal[
    "output",
    "sum",
    "tokens",
    "cosine",
    "sine",
    "cache",
    "scale",
    "norm",
    "weight",
    "value",
    "routing",
    "experts",
]

COSINE, SINE = 5, 6
"""Slots of the attention kernels that rotate."""
EMBEDDINGS = ("TASK_EMBEDDING", "TASK_EMBEDDING_HOPPER")


@dataclass(frozen=True)
class TensorRole:
    """What a tensor is to the layers that use it."""

    role: Role
    """`output`: nothing, for a layer writes it first. `sum`: zeros, for tasks add to it."""
    limit: int = 0
    """Of tokens: ids are below it. Of routing: so many experts are chosen for a row."""
    reduction: int = 1
    """Of weights: how many products a sum has."""
    is_per_rank: bool = False
    """Whether ranks hold different parts."""
    rows: int = 0
    """Of routing and the list of experts: rows that are routed."""


def tensor_roles(rank: RankProgram) -> Mapping[str, TensorRole]:
    """By `base_ptr`. In the order in which layers mean to run, a tensor that is read before any
    task has written it is an input.
    """
    roles: dict[str, TensorRole] = {}
    order = reference_order(rank)
    vocabulary = _vocabulary(rank)
    for plan in order:
        for slot in plan.slots:
            if not slot.effect.reads:
                continue
            for name in slot.base_ptrs:
                if name not in roles:
                    roles[name] = _role(rank, plan, slot, name, vocabulary)
        for slot in plan.slots:
            if slot.is_output or slot.effect.writes or slot.effect.writes_remotely:
                for name in slot.base_ptrs:
                    roles.setdefault(name, TensorRole("output"))
    for call in rank.shuffled.values():
        role = roles.get(call.name, TensorRole("value"))
        for ref in call.inputs or ():
            if ref.name is not None:
                roles.setdefault(ref.name, role)
    for name in rank.shapes:
        roles.setdefault(name, TensorRole("value"))
    return roles


def reference_order(rank: RankProgram) -> tuple[OperatorPlan, ...]:
    """Operators in the order that their author means: program order, but that one which reads
    what only a later one writes comes after that one, unless the later one needs it.
    """
    order = list(rank.order)
    given = {x.base_ptr for x in rank.record.tensors} if rank.record is not None else set()
    writers: dict[str, list[int]] = {}
    for place, plan in enumerate(order):
        for name in _declared(plan, outputs=True):
            writers.setdefault(name, []).append(place)
    moves: dict[int, int] = {}
    for place, plan in enumerate(order):
        for name in _declared(plan, outputs=False):
            places = writers.get(name, [])
            if places and places[0] > place and name in (given or {name}):
                writer = places[0]
                if not _leads(order, place, writer):
                    moves[place] = max(moves.get(place, 0), writer)
    if not moves:
        return tuple(order)
    keys = [(float(moves[x]) + 0.5 if x in moves else float(x), x) for x in range(len(order))]
    return tuple(order[x] for _, x in sorted(keys))


def _leads(order: list[OperatorPlan], start: int, goal: int) -> bool:
    """Whether what an operator writes reaches a later one."""
    reached = set(_declared(order[start], outputs=True))
    for plan in order[start + 1 : goal + 1]:
        if reached & _declared(plan, outputs=False):
            if plan is order[goal]:
                return True
            reached |= _declared(plan, outputs=True)
    return bool(reached & _declared(order[goal], outputs=True))


def _declared(plan: OperatorPlan, *, outputs: bool) -> set[str]:
    if outputs:
        return {x for s in plan.slots if s.is_output or s.effect.writes for x in s.base_ptrs}
    return {x for s in plan.slots if not s.is_output and s.effect.reads for x in s.base_ptrs}


def _role(
    rank: RankProgram, plan: OperatorPlan, slot: SlotPlan, name: str, vocabulary: int
) -> TensorRole:
    shape = rank.shapes.get(name)
    dims = slot.slot.tensor_dims if shape is None else shape.dims
    kind = "" if shape is None else shape.type_name
    if slot.effect.access == "accumulate" or slot.is_output:
        return TensorRole("sum")
    if "TASK_MOE_W" in plan.task_type and slot.position in _routing_slots(plan):
        return _routing_role(plan, slot)
    if kind in {"DT_INT64", "DT_INT32"} and "scale" not in name:
        return TensorRole("tokens", limit=vocabulary)
    if "ATT" in plan.task_type and slot.position in {COSINE, SINE} and len(dims) == 2:
        return TensorRole("cosine" if slot.position == COSINE else "sine")
    if slot.effect.writes and slot.effect.footprint in {"dynamic", "anywhere"}:
        return TensorRole("cache")
    if "scale" in name.lower() or kind in {"DT_UINT8", "DT_INT32", "DT_UINT32", "float8_e8m0fnu"}:
        return TensorRole("scale", is_per_rank=True)
    if len(dims) == 1 and slot.effect.footprint == "whole":
        return TensorRole("norm")
    if slot.position >= 1 and len(dims) >= 2 and "LINEAR" in plan.task_type:
        return TensorRole("weight", reduction=dims[-1], is_per_rank=True)
    return TensorRole("value")


def _routing_slots(plan: OperatorPlan) -> tuple[int, int]:
    """Of an expert layer the routing, and the list of experts behind it."""
    return plan.num_inputs - 2, plan.num_inputs - 1


def _routing_role(plan: OperatorPlan, slot: SlotPlan) -> TensorRole:
    first, last = _routing_slots(plan)
    rows = (*plan.slots[first].slot.tensor_dims, 0, 0)[1]
    choices = (*plan.slots[plan.num_inputs].slot.tensor_dims, 0, 0)[1]
    role: Role = "experts" if slot.position == last else "routing"
    return TensorRole(role, limit=choices, rows=rows)


def _vocabulary(rank: RankProgram) -> int:
    """Ids that every embedding table has a row for."""
    rows = [
        plan.slots[1].slot.tensor_dims[0]
        for plan in rank.plans
        if plan.task_type in EMBEDDINGS and len(plan.slots) > 1 and plan.slots[1].slot.tensor_dims
    ]
    return min(rows, default=8)
