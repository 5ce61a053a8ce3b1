"""Which operator of the right side is which of the left, in stages from certain to similar.

1. identity: equal fingerprints of an operator, of all above and of all below it
2. exact subgraph: equal above, or equal below; with names, then without
3. weights: the one operator of its kind that has these
4. neighbourhood: equal operators in the same slots beside matched ones, most witnesses first
5. similarity: what is left is scored, kept in order first, then regardless of order

A group of operators that none of these tells apart is matched in order when both sides have as
many. Whatever is matched is compared value by value afterwards, so a match claims no equality.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from heapq import heappop, heappush

from mpkgraph.analysis.diff.fingerprints import Fingerprints
from mpkgraph.analysis.diff.side import Side
from mpkgraph.analysis.diff.similarity import Similarity
from mpkgraph.frozen import dataclass


@dataclass(frozen=True)
class Matching:
    """Pairs of operator indices, and those without a partner."""

    pairs: tuple[tuple[int, int], ...]
    """By left index."""
    removed: tuple[int, ...]
    added: tuple[int, ...]
    num_by_stage: dict[str, int]
    """How many pairs each stage found."""

    @cached_property
    def right_of(self) -> dict[int, int]:
        return dict(self.pairs)


def without_pairs(matching: Matching, lefts: set[int], rights: set[int]) -> Matching:
    """The matching in which pairs of these operators are none."""
    dropped = {x for x in matching.pairs if x[0] in lefts and x[1] in rights}
    return replace(
        matching,
        pairs=tuple(x for x in matching.pairs if x not in dropped),
        removed=tuple(sorted({*matching.removed, *(x for x, _ in dropped)})),
        added=tuple(sorted({*matching.added, *(x for _, x in dropped)})),
    )


class _Matcher:
    def __init__(self, left: Side, right: Side, *, names: bool) -> None:
        self.sides = (left, right)
        self.prints = tuple(Fingerprints.of(x, names=names) for x in self.sides)
        self.names = names
        self.partner: tuple[list[int], list[int]] = (
            [-1] * len(left.operators),
            [-1] * len(right.operators),
        )
        self.num_by_stage: dict[str, int] = {}

    def run(self) -> Matching:
        self._identity()
        self._subgraphs()
        self._similar()
        return self._result()

    def _pair(self, left: int, right: int, stage: str) -> None:
        self.partner[0][left], self.partner[1][right] = right, left
        self.num_by_stage[stage] = self.num_by_stage.get(stage, 0) + 1

    def _by_keys(self, keys: Sequence[Sequence[object]], stage: str, *, single: bool) -> None:
        """Pairs groups of equal keys that are as large on both sides (or have one member)."""
        groups: list[dict[object, list[int]]] = [{}, {}]
        for side in (0, 1):
            order = sorted(
                (x for x, other in enumerate(self.partner[side]) if other < 0),
                key=self.sides[side].program_order.__getitem__,
            )
            for index in order:
                groups[side].setdefault(keys[side][index], []).append(index)
        for key, members in groups[0].items():
            others = groups[1].get(key, [])
            if len(others) == len(members) and (len(members) == 1 or not single):
                for left, right in zip(members, others, strict=True):
                    self._pair(left, right, stage)

    def _identity(self) -> None:
        self._by_keys(
            [list(zip(x.named, x.named_up, x.named_down, strict=True)) for x in self.prints],
            "identity",
            single=False,
        )

    def _subgraphs(self) -> None:
        stage = "exact subgraph"
        for up_or_down in ("named_up", "named_down"):
            keys = [list(zip(x.named, getattr(x, up_or_down), strict=True)) for x in self.prints]
            self._by_keys(keys, stage, single=False)
        self._by_keys([x.named for x in self.prints], stage, single=True)
        self._weights()
        self._neighbours()
        for columns in (("up", "down"), ("up",), ("down",)):
            keys = [
                list(zip(x.own, *(getattr(x, c) for c in columns), strict=True))
                for x in self.prints
            ]
            self._by_keys(keys, stage, single=bool(self.names and any(self.partner[0])))
            self._neighbours()

    def _weights(self) -> None:
        """Operators of one kind that alone on their side have these weights."""
        if not self.names:
            return
        keys = [
            [
                (side.catalog.task_type_row(x.task_type).kind, weights)
                if (weights := side.weights(x))
                else (number, x.index)
                for x in side.operators
            ]
            for number, side in enumerate(self.sides)
        ]
        self._by_keys(keys, "weights", single=True)

    def _neighbours(self) -> None:
        """From pairs to equal operators in the same slots beside both, most witnesses first."""
        votes: Counter[tuple[int, int]] = Counter()
        heap: list[tuple[int, int, int]] = []

        def vote(left: int, right: int) -> None:
            for pair in self._facing(left, right):
                if self._is_free(*pair):
                    votes[pair] += 1
                    heappush(heap, (-votes[pair], *pair))

        for left, right in enumerate(self.partner[0]):
            if right >= 0:
                vote(left, right)
        while heap:
            negative, one, other = heappop(heap)
            # An older entry of a pair that has got more votes since comes later, and is void then
            if self._is_free(one, other) and votes[one, other] == -negative:
                self._pair(one, other, "neighbourhood")
                vote(one, other)

    def _is_free(self, one: int, other: int) -> bool:
        """Whether two operators are equal and neither has a partner."""
        return (
            self.partner[0][one] < 0
            and self.partner[1][other] < 0
            and self.prints[0].own[one] == self.prints[1].own[other]
        )

    def _facing(self, left: int, right: int) -> Iterable[tuple[int, int]]:
        """Unmatched neighbours of a pair that stand in the same place on both sides."""
        yield from (
            (x, y)
            for x, y in zip(self.sides[0].sources[left], self.sides[1].sources[right], strict=False)
            if x >= 0 and y >= 0
        )
        ones, others = (self._readers(side, index) for side, index in ((0, left), (1, right)))
        for key, one in ones.items():
            if len(one) == 1 and len(others.get(key, ())) == 1:
                yield one[0], others[key][0]

    def _readers(self, side: int, index: int) -> dict[tuple[int, int], list[int]]:
        found: dict[tuple[int, int], list[int]] = {}
        for reader, position in self.sides[side].readers[index]:
            if self.partner[side][reader] < 0:
                key = (position, self.prints[side].own[reader])
                found.setdefault(key, []).append(reader)
        return found

    def _similar(self) -> None:
        rest = [[x for x, y in enumerate(self.partner[side]) if y < 0] for side in (0, 1)]
        if not rest[0] or not rest[1]:
            return
        similarity = Similarity(self.sides, self.partner, names=self.names)
        for left, right in similarity.aligned(*rest):
            self._pair(left, right, "similarity")
        rest = [[x for x in part if self.partner[side][x] < 0] for side, part in enumerate(rest)]
        for left, right in similarity.best(*rest):
            self._pair(left, right, "similarity, moved")

    def _result(self) -> Matching:
        pairs = [(x, y) for x, y in enumerate(self.partner[0]) if y >= 0]
        return Matching(
            pairs=tuple(pairs),
            removed=tuple(x for x, y in enumerate(self.partner[0]) if y < 0),
            added=tuple(x for x, y in enumerate(self.partner[1]) if y < 0),
            num_by_stage=self.num_by_stage,
        )


def match_operators(left: Side, right: Side, *, names: bool = True) -> Matching:
    """Match the operators of two sides; without `names` what tensors are called counts nothing."""
    return _Matcher(left, right, names=names).run()
