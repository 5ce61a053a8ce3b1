"""Two graphs compared: sides in, a result out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from mpkgraph.diff.correspondence import Correspondence, find_correspondence
from mpkgraph.diff.costs import compare_costs
from mpkgraph.diff.edges import END, EdgeKey, find_edges
from mpkgraph.diff.facts import compare_operators, effects_of, explains_tiles
from mpkgraph.diff.folding import fold_edges, fold_operators, fold_orders, fold_tensors
from mpkgraph.diff.matching import Matching, match_operators
from mpkgraph.diff.moves import find_moved
from mpkgraph.diff.names import TensorNames, match_names
from mpkgraph.diff.options import DiffOptions
from mpkgraph.diff.orders import Orders
from mpkgraph.diff.result import (
    Change,
    DiffResult,
    Edge,
    EdgeChange,
    OperatorChange,
    OperatorRef,
    OrderChange,
    SideFacts,
    TensorChange,
)
from mpkgraph.diff.side import Side
from mpkgraph.diff.splits import find_regroupings
from mpkgraph.diff.task_changes import TaskComparer
from mpkgraph.diff.tile_moves import tile_moves
from mpkgraph.diff.variants import is_same_variant, match_variants
from mpkgraph.diff.whole import whole_changes

END_OF_GRAPH = "end of graph"
DEFAULT_OPTIONS = DiffOptions()


@dataclass(frozen=True)
class Comparison:
    """Everything that was found out about two sides: the result, and what a patch is made of."""

    left: Side
    right: Side
    matching: Matching
    names: TensorNames
    tasks: Correspondence
    result: DiffResult


def compare(left: Side, right: Side, options: DiffOptions = DEFAULT_OPTIONS) -> Comparison:
    """The differences of two graphs; `left` is what was, `right` what is now.

    Operators are those of records when both sides have one, else those recovered from the tasks.
    """
    left, right = _alike(left, right)
    matching = match_operators(left, right, names=not options.ignore_names)
    if not left.is_recorded and matching.num_by_stage.keys() - {"identity"} and _same_tasks(
        left, right
    ):
        # The same tasks, told apart into other operators: how they are numbered misled recovery
        left, right = (x.recovered(any_order=True) for x in (left, right))
        matching = match_operators(left, right, names=not options.ignore_names)
    return _Comparer(left, right, matching, options).run()


def _alike(left: Side, right: Side) -> tuple[Side, Side]:
    """Both sides with operators from the same kind of source."""
    if left.is_recorded and right.is_recorded:
        return left, right
    in_order = left.is_in_emission_order and right.is_in_emission_order
    if in_order and not left.is_recorded and not right.is_recorded:
        return left, right
    return left.recovered(any_order=not in_order), right.recovered(any_order=not in_order)


def _same_tasks(left: Side, right: Side) -> bool:
    """Whether both graphs have the same tasks, by tiles, in any order."""
    if left.graph.num_tasks != right.graph.num_tasks:
        return False
    if int(left.hashes.tiles.sum()) != int(right.hashes.tiles.sum()):
        return False
    return left.tile_sums.tolist() != right.tile_sums.tolist()


@dataclass
class _Draft:
    """An operator's differences while they are gathered."""

    changes: list[Change] = field(default_factory=list)
    effects: list[Change] = field(default_factory=list)


class _Comparer:
    def __init__(
        self, left: Side, right: Side, matching: Matching, options: DiffOptions
    ) -> None:
        self.left, self.right = left, right
        self.matching = matching
        self.options = options
        self.names = match_names(left, right, matching, ignore_names=options.ignore_names)
        self.tasks = find_correspondence(left, right, matching)
        self.orders = Orders.of(left, right, matching)
        self.drafts: dict[tuple[int, int], _Draft] = {}
        self.of_added: dict[int, list[Change]] = {}
        """By added operator what follows from it; by removed operator likewise."""
        self.of_removed: dict[int, list[Change]] = {}
        self.tensor_changes: dict[tuple[object, ...], list[tuple[tuple[int, int], Change]]] = {}

    def run(self) -> Comparison:
        self._facts()
        self._variants()
        moved = self._moved()
        regroupings = find_regroupings(self.left, self.right, self.matching, self.names)
        operators = self._operator_changes(moved, regroupings)
        tensors = [x for x in self._tensors() if x.change.aspect not in self.options.ignored]
        edges = [] if "events" in self.options.ignored else self._edge_changes(
            operators, tensors
        )
        if "ranks" in self.options.ignored:
            edges = [x for x in edges if not x.is_remote]
        other = [
            x
            for x in whole_changes(self.left, self.right, self.tasks, explained=bool(
                operators or tensors or edges
            ))
            if x.aspect not in self.options.ignored
        ]
        orderings = [] if "orderings" in self.options.ignored else self._order_changes()
        result = DiffResult(
            left=_facts_of(self.left),
            right=_facts_of(self.right),
            operators=fold_operators(operators),
            tensors=fold_tensors(tensors),
            events=fold_edges(edges),
            orderings=fold_orders(orderings),
            other=tuple(other),
            renamed=() if self.options.ignore_names else self.names.renamed,
            costs=compare_costs(self.left, self.right),
            num_matched=len(self.matching.pairs),
            matched_by=self.matching.num_by_stage,
            pairs=self.matching.pairs,
            ignored=tuple(sorted(self.options.ignored)),
            num_lost_orders=self.orders.num_lost,
            num_new_orders=self.orders.num_new,
            is_numbered_alike=self._is_numbered_alike,
        )
        return Comparison(
            self.left, self.right, self.matching, self.names, self.tasks, result
        )

    def _facts(self) -> None:
        comparer = TaskComparer(self.left, self.right, self.tasks, self.names)
        for pair in self.matching.pairs:
            one, other = self.left.operators[pair[0]], self.right.operators[pair[1]]
            changes, of_tensors, of_others = compare_operators(
                self.left, self.right, one, other, self.names
            )
            draft = _Draft(effects=of_others)
            for change in changes:
                if change.aspect == "base" and self._follows(pair, change):
                    continue
                draft.changes.append(change)
            for change in of_tensors:
                key = (change.aspect, change.tensor, str(change.left), str(change.right))
                self.tensor_changes.setdefault(key, []).append((pair, change))
            is_explained = explains_tiles((*changes, *of_tensors, *of_others))
            if not is_explained and self._needs_tasks(pair):
                known = {(x.aspect, x.slot) for x in changes}
                draft.changes += [
                    x
                    for x in comparer.compare(one, other)
                    if (x.aspect, x.slot) not in known
                ]
            if is_explained:
                draft.effects += effects_of(one, other, changes)
            if draft.changes or draft.effects:
                self.drafts[pair] = draft

    def _needs_tasks(self, pair: tuple[int, int]) -> bool:
        """Whether some task of the pair may differ: by hash, or where names differ task by task."""
        left, right = self.left, self.right
        if left.tile_sums[pair[0]] != right.tile_sums[pair[1]]:
            return True
        return any(len(x.base_ptrs) > 1 for x in left.operators[pair[0]].slots)

    def _follows(self, pair: tuple[int, int], change: Change) -> bool:
        """Whether another tensor in a slot follows from an added or removed operator: notes it."""
        slot = change.slot or 0
        source = self.left.sources[pair[0]][slot]
        sources = self.right.sources[pair[1]]
        now = sources[slot] if slot < len(sources) else -1
        label = self._label(self.right, pair[1])
        effect = Change("base", f"{label} reads", change.left, change.right, slot, change.tensor)
        if now in self._added:
            self.of_added.setdefault(now, []).append(effect)
            return True
        if source in self._removed:
            self.of_removed.setdefault(source, []).append(effect)
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
        plain = [
            pair
            for pair in self.matching.pairs
            if pair not in self.drafts and left[pair[0]].task_type == right[pair[1]].task_type
        ]
        variants = match_variants(
            (left[x].task_type, left[x].variant_ids, right[y].variant_ids) for x, y in plain
        )
        for pair in self.matching.pairs:
            one, other = left[pair[0]], right[pair[1]]
            if one.task_type != other.task_type or is_same_variant(
                variants, one.task_type, one.variant_ids, other.variant_ids
            ):
                continue
            change = Change(
                "variant", "variant_id", list(one.variant_ids), list(other.variant_ids)
            )
            draft = self.drafts.setdefault(pair, _Draft())
            if draft.changes or draft.effects:
                if one.variant_ids != other.variant_ids:
                    draft.effects.append(change)
            elif not self._touched_by_tensor(pair):
                draft.changes.append(change)

    def _touched_by_tensor(self, pair: tuple[int, int]) -> bool:
        return any(pair == x for uses in self.tensor_changes.values() for x, _ in uses)

    def _moved(self) -> list[tuple[int, int]]:
        moved, rebound = find_moved(self.left, self.right, self.matching, self.orders)
        for item in rebound:
            change = Change(
                "orderings",
                "source",
                self._label(self.left, item.source),
                self._label(self.right, item.now),
                item.slot,
                self.left.operators[item.pair[0]].slots[item.slot].name,
            )
            self.drafts.setdefault(item.pair, _Draft()).changes.append(change)
        return moved

    def _operator_changes(
        self, moved: Sequence[tuple[int, int]], regroupings: Sequence[object]
    ) -> list[OperatorChange]:
        from mpkgraph.diff.splits import Regrouping

        ignored = self.options.ignored
        found: list[tuple[tuple[int, int], OperatorChange]] = []
        grouped: tuple[set[int], set[int]] = (set(), set())
        for group in regroupings:
            if isinstance(group, Regrouping) and "operators" not in ignored:
                grouped[0].update(group.left)
                grouped[1].update(group.right)
                kind = "split" if group.is_split else "fused"
                found.append((self._place(group.left[0], None), self._change(
                    kind, group.left, group.right, _Draft()
                )))
        for pair in self.matching.pairs:
            if pair[0] in grouped[0] and pair[1] in grouped[1]:
                continue
            draft = self.drafts.get(pair, _Draft())
            changes = [x for x in draft.changes if x.aspect not in ignored]
            kind = "changed"
            if pair in moved and "operators" not in ignored:
                kind = "moved"
                changes.insert(0, self._after(pair))
            if changes:
                kept = _Draft(changes, [x for x in draft.effects if x.aspect not in ignored])
                found.append((self._place(*pair), self._change(kind, pair[:1], pair[1:], kept)))
        if "operators" not in ignored:
            for index in self.matching.removed:
                if index not in grouped[0]:
                    draft = _Draft(effects=self.of_removed.get(index, []))
                    found.append(
                        (self._place(index, None), self._change("removed", (index,), (), draft))
                    )
            for index in self.matching.added:
                if index not in grouped[1]:
                    draft = _Draft(effects=self.of_added.get(index, []))
                    found.append(
                        (self._place(None, index), self._change("added", (), (index,), draft))
                    )
        return [x for _, x in sorted(found, key=lambda x: x[0])]

    def _place(self, left: int | None, right: int | None) -> tuple[int, int]:
        """Where a change is told of: by the left's order, an addition after what is before it."""
        if left is not None:
            return self.left.program_order[left], -1
        order = self.right.program_order
        at = order[right or 0]
        before = [
            self.left.program_order[x] for x, y in self.matching.pairs if order[y] < at
        ]
        return max(before, default=-1), at

    def _change(
        self, kind: str, left: tuple[int, ...], right: tuple[int, ...], draft: _Draft
    ) -> OperatorChange:
        moves = ()
        if kind in {"changed", "moved"}:
            one, other = self.left.operators[left[0]], self.right.operators[right[0]]
            if "tiles" not in self.options.ignored:
                moves = tile_moves(one, other)
        return OperatorChange(
            kind=kind,  # type: ignore[arg-type]
            left=tuple(_ref(self.left, x) for x in left),
            right=tuple(_ref(self.right, x) for x in right),
            changes=tuple(draft.changes),
            effects=tuple(draft.effects),
            tiles=moves,
            members=((left, right),),
        )

    def _after(self, pair: tuple[int, int]) -> Change:
        """What a moved operator comes after, on both sides."""
        labels = []
        for side, index in ((self.left, pair[0]), (self.right, pair[1])):
            edges = zip(side.edges.producers.tolist(), side.edges.consumers.tolist(), strict=True)
            before = sorted({x for x, y in edges if y == index and x != index})
            labels.append([self._label(side, x) for x in before])
        return Change("operators", "after", *labels)

    def _tensors(self) -> list[TensorChange]:
        found = []
        for uses in self.tensor_changes.values():
            pair, change = uses[0]
            slot = self.left.operators[pair[0]].slots[change.slot or 0]
            name = change.tensor or slot.name
            right = "+".join(self.names.right_of.get(x, "?") for x in slot.base_ptrs)
            found.append(TensorChange(change, name, right, len(uses)))
        return found

    def _edge_changes(
        self, operators: Sequence[OperatorChange], tensors: Sequence[TensorChange]
    ) -> list[EdgeChange]:
        lefts, rights = find_edges(self.left), find_edges(self.right)
        partner = {**self.matching.right_of, END: END}
        back = {y: x for x, y in partner.items()}
        touched = self._touched(operators)
        beside = self._beside(lefts, rights)
        found: list[tuple[tuple[int, int], EdgeChange]] = []

        def add(left: EdgeKey | None, right: EdgeKey | None) -> None:
            one = None if left is None else lefts[left]
            other = None if right is None else rights[right]
            ends = [("left", x) for x in (left or ())[:2]] + [("right", x) for x in (right or ())[:2]]
            near = {y for x in ends for y in beside.get(x, ())} | set(ends)
            producer_left = left[0] if left else back.get(right[0]) if right else None
            producer_right = right[0] if right else partner.get(left[0]) if left else None
            consumer_left = left[1] if left else back.get(right[1]) if right else None
            consumer_right = right[1] if right else partner.get(left[1]) if left else None
            is_remote = bool((left or right or (0, 0, False))[2])
            change = EdgeChange(
                producer=self._either(producer_left, producer_right),
                consumer=self._either(consumer_left, consumer_right),
                producer_left=producer_left,
                producer_right=producer_right,
                consumer_left=consumer_left if consumer_left != END else None,
                consumer_right=consumer_right if consumer_right != END else None,
                left=one,
                right=other,
                is_remote=is_remote,
                because=not touched.isdisjoint(near),
            )
            place = self._place(producer_left, producer_right)
            found.append((place, change))

        for key, edge in lefts.items():
            producer, consumer = partner.get(key[0]), partner.get(key[1])
            if producer is None or consumer is None:
                add(key, None)
                continue
            image = (producer, consumer, key[2])
            if image not in rights:
                add(key, None)
            elif rights[image] != edge:
                add(key, image)
        for key in rights:
            producer, consumer = back.get(key[0]), back.get(key[1])
            if producer is None or consumer is None or (producer, consumer, key[2]) not in lefts:
                add(None, key)
        changes = [x for _, x in sorted(found, key=lambda x: x[0])]
        return changes + self._rewired(lefts, rights, changes, touched)

    def _rewired(
        self,
        lefts: object,
        rights: object,
        changes: Sequence[EdgeChange],
        touched: set[tuple[str, int]],
    ) -> list[EdgeChange]:
        """Operators whose tasks wait on or trigger other events, though the numbers agree."""
        seen = {x.producer_left for x in changes} | {x.consumer_left for x in changes}
        left, right = self.left.graph.tasks, self.right.graph.tasks
        partner = np.append(self.tasks.events, -1)
        tasks = np.flatnonzero(self.tasks.tasks >= 0)
        images = self.tasks.tasks[tasks]
        wrong = np.zeros(len(tasks), dtype=np.bool_)
        for one, other in (
            (left.dependent_indices, right.dependent_indices),
            (left.trigger_indices, right.trigger_indices),
        ):
            mine = one[tasks]
            inside = mine < len(self.tasks.events)
            wrong |= np.where(inside, partner[np.where(inside, mine, -1)], mine) != other[images]
        owners = self.left.task_operators[tasks]
        counts = np.bincount(owners[wrong & (owners >= 0)], minlength=len(self.left.operators))
        found = []
        for index in np.flatnonzero(counts).tolist():
            if index in seen or ("left", index) in touched:
                continue
            label = self._label(self.left, index)
            number = int(counts[index])
            found.append(
                EdgeChange(
                    producer=label,
                    consumer=END_OF_GRAPH,
                    producer_left=index,
                    producer_right=self.matching.right_of.get(index),
                    consumer_left=None,
                    consumer_right=None,
                    left=None,
                    right=None,
                    is_remote=False,
                    because=bool(changes) or bool(touched),
                    what=f"{number} tasks wait on or trigger other events",
                )
            )
        return found

    def _touched(self, operators: Sequence[OperatorChange]) -> set[tuple[str, int]]:
        """Operators that differ by themselves, or whose tensors do."""
        found = {("left", y) for x in operators for m in x.members for y in m[0]}
        found |= {("right", y) for x in operators for m in x.members for y in m[1]}
        for uses in self.tensor_changes.values():
            for pair, _ in uses:
                found |= {("left", pair[0]), ("right", pair[1])}
        for pair, draft in self.drafts.items():
            if draft.changes or draft.effects:
                found |= {("left", pair[0]), ("right", pair[1])}
        return found

    def _beside(
        self, lefts: object, rights: object
    ) -> dict[tuple[str, int], set[tuple[str, int]]]:
        """By operator of a side those that share events with it, on either side."""
        found: dict[tuple[str, int], set[tuple[str, int]]] = {}
        for name, edges in (("left", lefts), ("right", rights)):
            assert isinstance(edges, dict)
            for producer, consumer, _ in edges:
                if consumer != END:
                    found.setdefault((name, producer), set()).add((name, consumer))
                    found.setdefault((name, consumer), set()).add((name, producer))
        for one, other in self.matching.pairs:
            both = found.get(("left", one), set()) | found.get(("right", other), set())
            both |= {("left", one), ("right", other)}
            found["left", one] = found["right", other] = both
        return found

    def _order_changes(self) -> list[OrderChange]:
        pairs = self.orders.pairs
        found = []
        for kind, numbers, side in (
            ("lost", self.orders.lost(), 0),
            ("new", self.orders.new(), 1),
        ):
            for one, other in numbers:
                refs = [
                    _ref((self.left, self.right)[side], pairs[x][side]) for x in (one, other)
                ]
                found.append(OrderChange(kind, *refs))  # type: ignore[arg-type]
        return found

    def _either(self, left: int | None, right: int | None) -> str:
        if left == END or right == END:
            return END_OF_GRAPH
        if left is not None:
            return self._label(self.left, left)
        return "?" if right is None else self._label(self.right, right)

    def _label(self, side: Side, index: int) -> str:
        operator = side.operators[index]
        return f"{side.operator_name(operator)} {side.subject(operator)}".rstrip()

    @cached_property
    def _is_numbered_alike(self) -> bool:
        known = self.tasks.tasks[self.tasks.tasks >= 0]
        return bool((known[1:] > known[:-1]).all())


def _ref(side: Side, index: int) -> OperatorRef:
    operator = side.operators[index]
    layer = side.layer(operator)
    site = None
    if layer is not None and side.record is not None:
        found = side.record.call_site(layer.where)
        site = None if found is None else str(found)
    return OperatorRef(
        index=index,
        name=side.operator_name(operator),
        subject=side.subject(operator),
        layer=side.model_layers[index],
        grid_dim=operator.grid_dim,
        num_tasks=operator.num_tasks,
        first_task_id=int(operator.task_ids.min()) if operator.num_tasks else -1,
        site=site,
    )


def _facts_of(side: Side) -> SideFacts:
    return SideFacts(
        name=side.name,
        rank=side.graph.rank,
        num_tasks=side.graph.num_tasks,
        num_operators=len(side.operators),
        num_events=side.graph.num_events,
        origin="recorded" if side.is_recorded else "recovered",
    )


__all__ = ["Comparison", "Edge", "compare"]
