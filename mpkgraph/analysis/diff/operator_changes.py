"""Which operators differ, and what follows from that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from mpkgraph.analysis.diff.changes import (
    Change,
    OperatorChange,
    OperatorKind,
    TensorChange,
    TileMove,
)
from mpkgraph.analysis.diff.correspondence import Correspondence
from mpkgraph.analysis.diff.facts import compare_operators, effects_of, explains_tiles
from mpkgraph.analysis.diff.labels import label_of, ref_of
from mpkgraph.analysis.diff.matching import Matching
from mpkgraph.analysis.diff.moves import find_moved
from mpkgraph.analysis.diff.names import TensorNames
from mpkgraph.analysis.diff.orders import Orders
from mpkgraph.analysis.diff.side import Side
from mpkgraph.analysis.diff.splits import Regrouping
from mpkgraph.analysis.diff.task_changes import TaskComparer
from mpkgraph.analysis.diff.tile_moves import tile_moves
from mpkgraph.analysis.diff.variants import is_same_variant, match_variants

Pair = tuple[int, int]
End = tuple[str, int]
"""An operator of a side: ("left", index)."""


@dataclass
class _Draft:
    """An operator's differences while they are gathered."""

    changes: list[Change] = field(default_factory=list)
    effects: list[Change] = field(default_factory=list)


class OperatorComparer:
    """Compares matched operators; what differs in a tensor everywhere is the tensor's change."""

    def __init__(
        self,
        left: Side,
        right: Side,
        matching: Matching,
        names: TensorNames,
        tasks: Correspondence,
        orders: Orders,
        groups: Sequence[Regrouping] = (),
    ) -> None:
        self.left, self.right = left, right
        self.matching = matching
        self.names = names
        self.tasks = tasks
        self.groups = groups
        self._drafts: dict[Pair, _Draft] = {}
        self._of_added: dict[int, list[Change]] = {}
        self._of_removed: dict[int, list[Change]] = {}
        """By added or removed operator what follows from it."""
        self._of_tensors: dict[tuple[object, ...], list[tuple[Pair, Change]]] = {}
        self._facts()
        self._variants()
        self._moved = self._find_moved(orders)

    def changes(self, ignored: frozenset[str]) -> list[OperatorChange]:
        """Operators that differ in aspects that are not ignored, in the order of the left."""
        found: list[tuple[Pair, OperatorChange]] = []
        grouped: tuple[set[int], set[int]] = (set(), set())
        if "operators" not in ignored:
            for group in self.groups:
                grouped[0].update(group.left)
                grouped[1].update(group.right)
                kind: OperatorKind = "split" if group.is_split else "fused"
                effects = [y for x in group.left for y in self._of_removed.get(x, ())]
                effects += [y for x in group.right for y in self._of_added.get(x, ())]
                change = self._change(kind, group.left, group.right, _Draft(effects=effects))
                found.append((self.place(group.left[0], None), change))
        for pair in self.matching.pairs:
            changed = self._changed(pair, ignored)
            if changed is not None:
                found.append((self.place(*pair), changed))
        if "operators" not in ignored:
            for index in self.matching.removed:
                if index not in grouped[0]:
                    draft = _Draft(effects=self._of_removed.get(index, []))
                    change = self._change("removed", (index,), (), draft)
                    found.append((self.place(index, None), change))
            for index in self.matching.added:
                if index not in grouped[1]:
                    draft = _Draft(effects=self._of_added.get(index, []))
                    change = self._change("added", (), (index,), draft)
                    found.append((self.place(None, index), change))
        return [x for _, x in sorted(found, key=lambda x: x[0])]

    def tensors(self, ignored: frozenset[str]) -> list[TensorChange]:
        """Tensors that differ in all operators that use them."""
        found = []
        for uses in self._of_tensors.values():
            pair, change = uses[0]
            if change.aspect in ignored:
                continue
            slot = self.left.operators[pair[0]].slots[change.slot or 0]
            name = change.tensor or slot.name
            right = "+".join(self.names.right_of.get(x, "?") for x in slot.base_ptrs)
            found.append(TensorChange(change, name, right, len(uses)))
        return found

    def touched(self, changes: Sequence[OperatorChange]) -> set[End]:
        """Operators that differ by themselves, or whose tensors do, ignored aspects included."""
        found: set[End] = {("left", y) for x in changes for m in x.members for y in m[0]}
        found |= {("right", y) for x in changes for m in x.members for y in m[1]}
        found |= {("left", x) for x in self.matching.removed}
        found |= {("right", x) for x in self.matching.added}
        pairs = {pair for uses in self._of_tensors.values() for pair, _ in uses}
        pairs |= {x for x, draft in self._drafts.items() if draft.changes or draft.effects}
        for one, other in pairs:
            found |= {("left", one), ("right", other)}
        return found

    def place(self, left: int | None, right: int | None) -> Pair:
        """Where a change is told of: by the left's order, an addition after what is before it."""
        if left is not None:
            return self.left.program_order[left], -1
        at = self.right.program_order[right or 0]
        return self._last_before[at], at

    @cached_property
    def _last_before(self) -> list[int]:
        """By place in the right's program the last place on the left of all pairs before it."""
        size = max(self.right.program_order, default=-1) + 1
        found = [-1] * (size + 1)
        for one, other in self.matching.pairs:
            found[self.right.program_order[other] + 1] = self.left.program_order[one]
        for place in range(size):
            found[place + 1] = max(found[place], found[place + 1])
        return found

    def _facts(self) -> None:
        comparer = TaskComparer(self.left, self.right, self.tasks, self.names)
        for pair in self.matching.pairs:
            one, other = self.left.operators[pair[0]], self.right.operators[pair[1]]
            changes, of_tensors, of_others = compare_operators(
                self.left, self.right, one, other, self.names
            )
            draft = _Draft(effects=of_others)
            draft.changes += [
                x for x in changes if x.aspect != "base" or not self._follows(pair, x)
            ]
            for change in of_tensors:
                key = (change.aspect, change.tensor, str(change.left), str(change.right))
                self._of_tensors.setdefault(key, []).append((pair, change))
            if explains_tiles((*changes, *of_tensors, *of_others)):
                draft.effects += effects_of(one, other)
            elif self._needs_tasks(pair):
                known = {(x.aspect, x.slot) for x in changes}
                draft.changes += [
                    x for x in comparer.compare(one, other) if (x.aspect, x.slot) not in known
                ]
            if draft.changes or draft.effects:
                self._drafts[pair] = draft

    def _needs_tasks(self, pair: Pair) -> bool:
        """Whether some task of the pair may differ: by hash, or where names differ task by task."""
        if self.left.tile_sums[pair[0]] != self.right.tile_sums[pair[1]]:
            return True
        if not self.names.renamed and (
            self.left.named_sums[pair[0]] != self.right.named_sums[pair[1]]
        ):
            return True
        return any(len(x.base_ptrs) > 1 for x in self.left.operators[pair[0]].slots)

    def _follows(self, pair: Pair, change: Change) -> bool:
        """Whether another tensor in a slot follows from an added or removed operator: notes it."""
        slot = change.slot or 0
        source = self.left.sources[pair[0]][slot]
        sources = self.right.sources[pair[1]]
        now = sources[slot] if slot < len(sources) else -1
        label = label_of(self.right, pair[1])
        effect = Change("base", f"{label} reads", change.left, change.right, slot, change.tensor)
        if now in self._added:
            self._of_added.setdefault(now, []).append(effect)
            return True
        if source in self._removed:
            self._of_removed.setdefault(source, []).append(effect)
            return True
        return False

    @cached_property
    def _added(self) -> frozenset[int]:
        return frozenset(self.matching.added)

    @cached_property
    def _removed(self) -> frozenset[int]:
        return frozenset(self.matching.removed)

    def _variants(self) -> None:
        """Kernels of operators that are otherwise the same; numbers alone say nothing."""
        left, right = self.left.operators, self.right.operators
        in_tensors = {pair for uses in self._of_tensors.values() for pair, _ in uses}
        variants = match_variants(
            (left[x].task_type, left[x].variant_ids, right[y].variant_ids)
            for x, y in self.matching.pairs
            if (x, y) not in self._drafts
            and (x, y) not in in_tensors
            and left[x].task_type == right[y].task_type
        )
        for pair in self.matching.pairs:
            one, other = left[pair[0]], right[pair[1]]
            if one.task_type != other.task_type or is_same_variant(
                variants, one.task_type, one.variant_ids, other.variant_ids
            ):
                continue
            numbers = list(one.variant_ids), list(other.variant_ids)
            change = Change.between("variant", "variant_id", numbers)
            draft = self._drafts.get(pair)
            if draft is not None:
                if one.variant_ids != other.variant_ids:
                    draft.effects.append(change)
            elif pair not in in_tensors:
                self._drafts[pair] = _Draft([change])

    def _find_moved(self, orders: Orders) -> frozenset[Pair]:
        moved, rebound = find_moved(self.left, self.right, self.matching, self.names, orders)
        back = {y: x for x, y in self.matching.pairs}
        for item in rebound:
            labels = (
                label_of(self.left, item.source) if item.source >= 0 else None,
                label_of(self.right, item.now) if item.now >= 0 else None,
            )
            name = self.left.operators[item.pair[0]].slots[item.slot].name
            what = "source"
            if item.follows:
                # Told of with the operator that writes the tensor now, or did before
                what = f"{label_of(self.right, item.pair[1])} reads what is written by"
            change = Change.between("orderings", what, labels, item.slot, name)
            if not item.follows:
                self._drafts.setdefault(item.pair, _Draft()).changes.append(change)
            elif item.now >= 0 and (back[item.now], item.now) in self._drafts:
                self._drafts[back[item.now], item.now].effects.append(change)
            elif item.source >= 0:
                writer = item.source, self.matching.right_of[item.source]
                self._drafts.setdefault(writer, _Draft()).effects.append(change)
        return frozenset(moved)

    def _changed(self, pair: Pair, ignored: frozenset[str]) -> OperatorChange | None:
        draft = self._drafts.get(pair, _Draft())
        changes = [x for x in draft.changes if x.aspect not in ignored]
        kind: OperatorKind = "changed"
        if pair in self._moved and "operators" not in ignored:
            kind = "moved"
            changes.insert(0, self._after(pair))
        if not changes:
            return None
        kept = _Draft(changes, [x for x in draft.effects if x.aspect not in ignored])
        moves: tuple[TileMove, ...] = ()
        if "tiles" not in ignored:
            moves = tile_moves(self.left.operators[pair[0]], self.right.operators[pair[1]])
        return self._change(kind, pair[:1], pair[1:], kept, moves)

    def _change(
        self,
        kind: OperatorKind,
        left: tuple[int, ...],
        right: tuple[int, ...],
        draft: _Draft,
        moves: tuple[TileMove, ...] = (),
    ) -> OperatorChange:
        return OperatorChange(
            kind=kind,
            left=tuple(ref_of(self.left, x) for x in left),
            right=tuple(ref_of(self.right, x) for x in right),
            changes=tuple(draft.changes),
            effects=tuple(draft.effects),
            tiles=moves,
            members=((left, right),),
        )

    def _after(self, pair: Pair) -> Change:
        """What a moved operator comes after, on both sides."""
        labels = []
        for side, index in ((self.left, pair[0]), (self.right, pair[1])):
            edges = zip(side.edges.producers.tolist(), side.edges.consumers.tolist(), strict=True)
            before = sorted({x for x, y in edges if y == index and x != index})
            labels.append([label_of(side, x) for x in before])
        return Change.between("operators", "after", labels)
