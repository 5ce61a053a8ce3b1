"""How alike two operators are that no fingerprint matches: named scores, added up.

Names of tensors weigh most, as they say what an operator is for; then what it is, who stands
around it, and last its sizes, which are what changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.diff.side import Side
from mpkgraph.analysis.layer_names import without_layer_number
from mpkgraph.frozen import dataclass

SAME_WEIGHTS = 4.0
"""The same tensors that nobody writes, where there are any."""
SAME_OUTPUTS = 3.0
SAME_INPUTS = 2.0
"""All input names; each shared first name counts a part."""
SAME_NAME_PATTERN = 1.0
"""Names agree but for the numbers of model layers."""
SAME_TYPE = 3.0
SAME_KIND = 1.5
"""The same family of task types: linear, attention, ..."""
SAME_SLOTS = 0.5
"""As many inputs and outputs."""
SAME_SOURCE = 1.5
"""For each slot (at most `MAX_SLOTS`) whose writers were matched with each other."""
SAME_READERS = 2.0
"""The first reader of one was matched with that of the other."""
SAME_SHAPES = 1.0
SAME_GRID = 0.5
SAME_GAP = 2.0
"""They stand between the same matched operators."""
SAME_PLACE = 5.0
"""As many slots of the same shapes, all written by the same operators, between the same others:
what does another thing there was retyped, whatever its name.
"""
DIFFERENT_KIND = -4.0
"""A linear that takes the place of a norm is another operator, whatever its tensors."""
OTHER_WEIGHTS = -4.0
"""Both have weights, of other names that the other side has elsewhere."""
ENOUGH = 5.0
"""What two operators must score to be one that changed."""
MAX_SLOTS = 4
MAX_CELLS = 1 << 24
"""Most pairs that are aligned at once (64 MiB of scores); beyond, pairs in the same gap alone."""

Scores = npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Codes:
    """By operator, numbers that are equal where operators agree; -1 agrees with nothing."""

    same: dict[str, npt.NDArray[np.int64]]
    sources: npt.NDArray[np.int64]
    """(operators, MAX_SLOTS): the partner on the right of who wrote the slot; -1 for none."""
    readers: npt.NDArray[np.int64]
    gaps: npt.NDArray[np.int64]


class Similarity:
    """Scores between unmatched operators of two sides."""

    def __init__(
        self, sides: tuple[Side, Side], partner: tuple[list[int], list[int]], *, names: bool
    ) -> None:
        self.sides = sides
        self.partner = partner
        self.names = names
        self._interned: dict[tuple[str, object], int] = {}
        self._codes = tuple(self._code(side) for side in (0, 1))

    def aligned(self, left: Sequence[int], right: Sequence[int]) -> list[tuple[int, int]]:
        """Pairs in the same order on both sides, of the largest total score."""
        lefts = sorted(left, key=self.sides[0].program_order.__getitem__)
        rights = sorted(right, key=self.sides[1].program_order.__getitem__)
        if len(lefts) * len(rights) <= MAX_CELLS:
            return self._align(lefts, rights)
        found: list[tuple[int, int]] = []
        gaps = [self._by_gap(side, x) for side, x in ((0, lefts), (1, rights))]
        for gap, members in gaps[0].items():
            others = gaps[1].get(gap, [])
            if others and len(members) * len(others) <= MAX_CELLS:
                found += self._align(members, others)
        return found

    def best(self, left: Sequence[int], right: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Pairs in any order, the best first."""
        if not left or not right or len(left) * len(right) > MAX_CELLS:
            return
        scores = np.array([self._row(x, right) for x in left])
        order = np.argsort(-scores, axis=None, kind="stable")
        order = order[scores.ravel()[order] >= ENOUGH]
        taken: tuple[set[int], set[int]] = (set(), set())
        for place in order.tolist():
            one, other = divmod(place, len(right))
            if one not in taken[0] and other not in taken[1]:
                taken[0].add(one)
                taken[1].add(other)
                yield left[one], right[other]

    def _align(self, left: list[int], right: list[int]) -> list[tuple[int, int]]:
        table = np.zeros((len(left) + 1, len(right) + 1), dtype=np.float32)
        scores = np.empty((len(left), len(right)), dtype=np.float32)
        for row, index in enumerate(left):
            scores[row] = self._row(index, right)
            scores[row][scores[row] < ENOUGH] = -1.0
            # Skipping costs nothing, so the best up to a column is the running maximum
            met = np.maximum(table[row, 1:], table[row, :-1] + scores[row])
            np.maximum.accumulate(met, out=table[row + 1, 1:])
        found = []
        row, column = len(left), len(right)
        while row and column:
            here = table[row, column]
            if here == table[row - 1, column]:
                row -= 1
            elif here == table[row, column - 1]:
                column -= 1
            else:
                row, column = row - 1, column - 1
                found.append((left[row], right[column]))
        return found[::-1]

    def _row(self, index: int, right: Sequence[int]) -> Scores:
        """The scores of one left operator with some right ones."""
        one, other = self._codes
        places = np.asarray(right, dtype=np.int64)
        total = np.zeros(len(places), dtype=np.float32)

        def same(name: str) -> npt.NDArray[np.bool_]:
            code = one.same[name][index]
            equal: npt.NDArray[np.bool_] = (other.same[name][places] == code) & (code >= 0)
            return equal

        for name, score in (
            ("type", SAME_TYPE),
            ("slots", SAME_SLOTS),
            ("shapes", SAME_SHAPES),
            ("grid", SAME_GRID),
            ("pattern", SAME_NAME_PATTERN),
            ("outputs", SAME_OUTPUTS),
            ("weights", SAME_WEIGHTS),
            ("inputs", SAME_INPUTS / 2),
            ("input", SAME_INPUTS / 2),
        ):
            total += score * same(name)
        kinds = same("kind")
        total += np.where(kinds, SAME_KIND, DIFFERENT_KIND).astype(np.float32)
        weights = one.same["weights"][index]
        if weights >= 0 and one.same["weights known"][index] == 1:
            theirs = other.same["weights"][places]
            elsewhere = other.same["weights known"][places] == 1
            total += OTHER_WEIGHTS * ((theirs >= 0) & (theirs != weights) & elsewhere)
        in_place = same("shapes") & same("slots") & (other.gaps[places] == one.gaps[index])
        for slot in range(MAX_SLOTS):
            source = one.sources[index, slot]
            agrees = other.sources[places, slot] == source
            in_place &= agrees
            if source >= 0:
                total += SAME_SOURCE * agrees
        total += SAME_PLACE * in_place
        if one.readers[index] >= 0:
            total += SAME_READERS * (other.readers[places] == one.readers[index])
        total += SAME_GAP * (other.gaps[places] == one.gaps[index])
        return total

    def _code(self, number: int) -> _Codes:
        side, mine = self.sides[number], self.partner[number]
        columns: dict[str, list[int]] = {}
        everywhere = self._shared_names if self.names else frozenset()
        for operator in side.operators:
            weights = side.weights(operator) if self.names else ()
            outputs = tuple(x.base_ptrs for x in operator.outputs)
            inputs = tuple(x.base_ptrs for x in operator.inputs)
            named = (inputs, outputs)
            facts: dict[str, object] = {
                "type": operator.task_type,
                "kind": side.catalog.task_type_row(operator.task_type).kind,
                "slots": (len(inputs), len(outputs)),
                "shapes": tuple((x.tensor_dims, x.data_type) for x in operator.slots),
                "grid": operator.grid_dim,
                "pattern": _pattern(named) if self.names else None,
                "outputs": outputs if self.names and outputs else None,
                "weights": weights or None,
                "inputs": inputs if self.names and inputs else None,
                "input": inputs[0] if self.names and inputs and inputs[0] else None,
            }
            for name, fact in facts.items():
                columns.setdefault(name, []).append(self._intern(name, fact))
            known = bool(weights) and everywhere.issuperset(weights)
            columns.setdefault("weights known", []).append(int(known))
        partners = np.array([*mine, -1], dtype=np.int64)
        if number == 1:  # what is matched is told by its index on the right
            partners = np.where(partners >= 0, np.arange(len(partners)), -1)
        sources = np.full((len(mine), MAX_SLOTS), -1, dtype=np.int64)
        readers = np.full(len(mine), -1, dtype=np.int64)
        for index in range(len(mine)):
            for slot, source in enumerate(side.sources[index][:MAX_SLOTS]):
                if source >= 0:
                    sources[index, slot] = partners[source]
            matched = [partners[x] for x, _ in side.readers[index] if partners[x] >= 0]
            readers[index] = min(matched, default=-1)
        return _Codes(
            {name: np.array(x, dtype=np.int64) for name, x in columns.items()}
            or dict.fromkeys(_ALL_CODES, np.empty(0, dtype=np.int64)),
            sources,
            readers,
            self._gaps(number),
        )

    def _intern(self, name: str, fact: object) -> int:
        return -1 if fact is None else self._interned.setdefault((name, fact), len(self._interned))

    @property
    def _shared_names(self) -> frozenset[str]:
        """Names that both sides have."""
        names = [
            {n for x in side.operators for s in x.slots for n in s.base_ptrs} for side in self.sides
        ]
        return frozenset(names[0] & names[1])

    def _gaps(self, number: int) -> npt.NDArray[np.int64]:
        """By operator the partner (as an index on the right) of the last matched one before it."""
        side, mine = self.sides[number], self.partner[number]
        gaps = np.full(len(mine), -1, dtype=np.int64)
        last = -1
        for index in np.argsort(side.program_order, kind="stable").tolist():
            if mine[index] >= 0:
                last = index if number else mine[index]
            gaps[index] = last
        return gaps

    def _by_gap(self, number: int, indices: Iterable[int]) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for index in indices:
            found.setdefault(int(self._codes[number].gaps[index]), []).append(index)
        return found


_ALL_CODES = (
    "type",
    "kind",
    "slots",
    "shapes",
    "grid",
    "pattern",
    "outputs",
    "weights",
    "inputs",
    "input",
    "weights known",
)


def _pattern(named: tuple[tuple[tuple[str, ...], ...], ...]) -> object:
    return tuple(tuple(tuple(map(without_layer_number, names)) for names in part) for part in named)
