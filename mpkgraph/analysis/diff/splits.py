"""Operators that were split into several, or fused into one."""

from __future__ import annotations

import math
from collections.abc import Iterable

from mpkgraph.analysis.diff.matching import Matching
from mpkgraph.analysis.diff.names import TensorNames
from mpkgraph.analysis.diff.side import Side
from mpkgraph.frozen import dataclass
from mpkgraph.model.operator import Operator


@dataclass(frozen=True)
class Regrouping:
    """One operator of one side that does what several of the other do."""

    is_split: bool
    """One on the left, several on the right; else fused."""
    left: tuple[int, ...]
    right: tuple[int, ...]


def find_regroupings(
    left: Side, right: Side, matching: Matching, names: TensorNames
) -> list[Regrouping]:
    """Splits and fusions among operators without a partner: the same kind of operator, parts of
    the same outputs (or weights), and together as many elements written.
    """
    found = []
    partner = {y: x for x, y in matching.pairs}
    taken: set[int] = set()
    for one in _ordered(left, range(len(left.operators))):
        own = matching.right_of.get(one)
        parts = _parts(left, right, one, [x for x in matching.added if x not in taken], own, names)
        if parts:
            taken |= set(parts)
            found.append(Regrouping(is_split=True, left=(one,), right=tuple(sorted(parts))))
    taken = {x for y in found for x in y.left}
    back = TensorNames(names.left_of)
    for other in _ordered(right, range(len(right.operators))):
        own = partner.get(other)
        free = [x for x in matching.removed if x not in taken]
        parts = _parts(right, left, other, free, own, back)
        if parts:
            taken |= set(parts)
            found.append(Regrouping(is_split=False, left=tuple(sorted(parts)), right=(other,)))
    return found


def _ordered(side: Side, indices: Iterable[int]) -> list[int]:
    return sorted(indices, key=side.program_order.__getitem__)


def _parts(
    side: Side, others: Side, index: int, free: list[int], partner: int | None, names: TensorNames
) -> list[int]:
    """Operators of the other side that together do what this one does; none if there are not."""
    whole = side.operators[index]
    candidates = [x for x in free if _is_part(side, others, whole, others.operators[x], names)]
    if not candidates:
        return []
    if partner is not None:
        other = others.operators[partner]
        if not _is_part(side, others, whole, other, names):
            return []
        candidates.append(partner)
    if len(candidates) < 2:
        return []
    written = sum(_elements(others.operators[x]) for x in candidates)
    return candidates if written == _elements(whole) and written else []


def _is_part(side: Side, others: Side, whole: Operator, part: Operator, names: TensorNames) -> bool:
    kinds = [x.catalog.task_type_row(o.task_type).kind for x, o in ((side, whole), (others, part))]
    if kinds[0] != kinds[1]:
        return False
    outputs = [{n for s in x.outputs for n in s.base_ptrs} for x in (whole, part)]
    renamed = {names.right_of.get(x) for x in outputs[0]}
    if outputs[1] and outputs[1] <= renamed:
        return True
    # What goes into a linear besides its matrix is no weight that could be split
    mine = _own_weights(side, whole)
    renamed_weights = {names.right_of.get(x, x) for x in mine}
    weights = _own_weights(others, part)
    return bool(weights) and weights <= renamed_weights


def _own_weights(side: Side, operator: Operator) -> set[str]:
    """Weights that no other operator reads, in the parts that they were put together from."""
    return {y for x in side.weights(operator) if side.num_uses(x) == 1 for y in side.parts(x)}


def _elements(operator: Operator) -> int:
    """Elements that the tasks of an operator write, by its outputs' tiles."""
    return operator.num_tasks * sum(math.prod(slot.tile_dims) for slot in operator.outputs)
