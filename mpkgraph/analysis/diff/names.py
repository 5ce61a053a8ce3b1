"""Which tensor of the right is which of the left, and the slots of matched operators, paired."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from mpkgraph.analysis.diff.matching import Matching
from mpkgraph.analysis.diff.side import Side
from mpkgraph.frozen import dataclass
from mpkgraph.model.operator import Operator, OperatorSlot

SlotPair = tuple[OperatorSlot, OperatorSlot]


@dataclass(frozen=True)
class TensorNames:
    """Tensors of the left by those of the right that they are; no two are one."""

    right_of: Mapping[str, str]
    ignore_names: bool = False

    @property
    def left_of(self) -> dict[str, str]:
        return {right: left for left, right in self.right_of.items()}

    @property
    def renamed(self) -> tuple[tuple[str, str], ...]:
        return tuple(x for x in self.right_of.items() if x[0] != x[1])

    def is_same(self, left: OperatorSlot, right: OperatorSlot) -> bool:
        """Whether two slots name the same tensors."""
        return tuple(self.right_of.get(x) for x in left.base_ptrs) == right.base_ptrs


def pair_slots(left: Operator, right: Operator) -> tuple[list[SlotPair], int, int]:
    """Slots that stand for each other, and how many either side has beyond.

    By position where there are as many inputs and outputs, else those of the same name first, then
    those of the same type and rank.
    """
    pairs: list[SlotPair] = []
    extra = [0, 0]
    for ones, others in ((left.inputs, right.inputs), (left.outputs, right.outputs)):
        if len(ones) == len(others):
            pairs += zip(ones, others, strict=True)
            continue
        rest = list(others)
        unnamed = []
        for one in ones:
            same = next((x for x in rest if x.base_ptrs == one.base_ptrs), None)
            if same is None:
                unnamed.append(one)
            else:
                pairs.append((one, same))
                rest.remove(same)
        for one in unnamed:
            alike = next((x for x in rest if _kind(x) == _kind(one)), None)
            if alike is None:
                extra[0] += 1
            else:
                pairs.append((one, alike))
                rest.remove(alike)
        extra[1] += len(rest)
    return sorted(pairs, key=lambda x: x[0].position), extra[0], extra[1]


def _kind(slot: OperatorSlot) -> tuple[int, int]:
    return slot.data_type, len(slot.tensor_dims)


def match_names(left: Side, right: Side, matching: Matching, *, ignore_names: bool) -> TensorNames:
    """From the slots of matched operators: most votes first.

    A name that both sides have is the same tensor, unless names are ignored.
    """
    votes: Counter[tuple[str, str]] = Counter()
    for one, other in matching.pairs:
        pairs, _, _ = pair_slots(left.operators[one], right.operators[other])
        for a, b in pairs:
            if len(a.base_ptrs) == len(b.base_ptrs):
                votes.update(zip(a.base_ptrs, b.base_ptrs, strict=True))
    found: dict[str, str] = {}
    if not ignore_names:
        shared = set(left.graph.tensors) & set(right.graph.tensors)
        found = {name: name for name in left.graph.tensors if name in shared}
    taken = set(found.values())
    for pair, _ in sorted(votes.items(), key=lambda x: (-x[1], x[0][0] != x[0][1], x[0])):
        if pair[0] not in found and pair[1] not in taken:
            found[pair[0]] = pair[1]
            taken.add(pair[1])
    return TensorNames(found, ignore_names)


def joined(names: Iterable[str]) -> str:
    """What to call a slot's tensors."""
    return "+".join(names) or "nullptr"
