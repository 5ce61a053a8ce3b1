"""Two graphs compared: sides in, a result out."""

from __future__ import annotations

from collections.abc import Sequence

from mpkgraph.analysis.diff.changes import EdgeChange, OrderChange, OrderKind
from mpkgraph.analysis.diff.correspondence import Correspondence, find_correspondence
from mpkgraph.analysis.diff.costs import compare_costs
from mpkgraph.analysis.diff.edge_changes import EdgeComparer
from mpkgraph.analysis.diff.equality import unequal_columns
from mpkgraph.analysis.diff.folding import fold_edges, fold_operators, fold_orders, fold_tensors
from mpkgraph.analysis.diff.in_place import with_common_operators
from mpkgraph.analysis.diff.labels import ref_of
from mpkgraph.analysis.diff.matching import Matching, match_operators, without_pairs
from mpkgraph.analysis.diff.names import TensorNames, match_names
from mpkgraph.analysis.diff.operator_changes import OperatorComparer
from mpkgraph.analysis.diff.options import DiffOptions
from mpkgraph.analysis.diff.orders import Orders
from mpkgraph.analysis.diff.overview import Overview, overview_of
from mpkgraph.analysis.diff.result import DiffResult, SideFacts
from mpkgraph.analysis.diff.side import Side
from mpkgraph.analysis.diff.splits import Regrouping, find_regroupings
from mpkgraph.analysis.diff.whole import whole_changes
from mpkgraph.frozen import dataclass

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
    overview: Overview
    """Operators side by side, for pictures."""
    is_original: bool = True
    """Whether the operators are those that the sides came with, not recovered anew."""


def compare(left: Side, right: Side, options: DiffOptions = DEFAULT_OPTIONS) -> Comparison:
    """The differences of two graphs; `left` is what was, `right` what is now.

    Operators are those of records when both sides have one, else those recovered from the tasks.
    """
    given = left, right
    left, right = _alike(left, right)
    matching = match_operators(left, right, names=not options.ignore_names)
    if not left.is_recorded and _are_told_apart_otherwise(left, right):
        # The same tasks, told apart into other operators: how they are numbered misled recovery
        left, right = (x.recovered(any_order=True) for x in (left, right))
        matching = match_operators(left, right, names=not options.ignore_names)
    common = None if left.is_recorded else with_common_operators(left, right)
    if common is not None:
        left, right = common
        matching = match_operators(left, right, names=not options.ignore_names)
    names = match_names(left, right, matching, ignore_names=options.ignore_names)
    groups = find_regroupings(left, right, matching, names)
    if groups:
        # One of the parts may have been matched with the whole
        lefts, rights = {y for x in groups for y in x.left}, {y for x in groups for y in x.right}
        matching = without_pairs(matching, lefts, rights)
        names = match_names(left, right, matching, ignore_names=options.ignore_names)
    tasks = find_correspondence(left, right, matching)
    result = _result(left, right, matching, names, tasks, groups, options)
    overview = overview_of(left, right, matching, result.operators, result.tensors)
    is_original = left is given[0] and right is given[1]
    return Comparison(left, right, matching, names, tasks, result, overview, is_original)


def _alike(left: Side, right: Side) -> tuple[Side, Side]:
    """Both sides with operators from the same kind of source."""
    if left.is_recorded and right.is_recorded:
        return left, right
    in_order = left.is_in_emission_order and right.is_in_emission_order
    if in_order and not left.is_recorded and not right.is_recorded:
        return left, right
    return left.recovered(any_order=not in_order), right.recovered(any_order=not in_order)


def _are_told_apart_otherwise(left: Side, right: Side) -> bool:
    """Whether both graphs have the same tasks, by tiles, but other operators."""
    if left.graph.num_tasks != right.graph.num_tasks:
        return False
    if int(left.hashes.tiles.sum()) != int(right.hashes.tiles.sum()):
        return False
    return sorted(left.tile_sums.tolist()) != sorted(right.tile_sums.tolist())


def _result(
    left: Side,
    right: Side,
    matching: Matching,
    names: TensorNames,
    tasks: Correspondence,
    groups: Sequence[Regrouping],
    options: DiffOptions,
) -> DiffResult:
    ignored = options.ignored
    orders = Orders.of(left, right, matching)
    comparer = OperatorComparer(left, right, matching, names, tasks, orders, groups)
    operators = comparer.changes(ignored)
    tensors = comparer.tensors(ignored)
    edges: list[EdgeChange] = []
    if "events" not in ignored:
        edges = EdgeComparer(comparer, comparer.touched(operators)).changes()
        edges = [x for x in edges if not (x.is_remote and "ranks" in ignored)]
    other = whole_changes(left, right, tasks, explained=bool(operators or tensors or edges))
    if not (operators or tensors or edges or other or options.ignore):
        # Hashes may collide: what is said to be equal is compared once more, value by value
        other = unequal_columns(left, right, tasks, names)
    known = tasks.tasks[tasks.tasks >= 0]
    return DiffResult(
        left=_facts_of(left),
        right=_facts_of(right),
        operators=fold_operators(operators),
        tensors=fold_tensors(tensors),
        events=fold_edges(edges),
        orderings=() if "orderings" in ignored else fold_orders(_orderings(left, right, orders)),
        other=tuple(x for x in other if x.aspect not in ignored),
        renamed=() if options.ignore_names else names.renamed,
        costs=compare_costs(left, right),
        num_matched=len(matching.pairs),
        matched_by=matching.num_by_stage,
        pairs=matching.pairs,
        ignored=tuple(sorted(ignored)),
        num_lost_orders=orders.num_lost,
        num_new_orders=orders.num_new,
        is_numbered_alike=bool((known[1:] > known[:-1]).all()),
    )


def _orderings(left: Side, right: Side, orders: Orders) -> list[OrderChange]:
    found = []
    kinds: tuple[tuple[OrderKind, list[tuple[int, int]], Side, int], ...] = (
        ("lost", orders.lost(), left, 0),
        ("new", orders.new(), right, 1),
    )
    for kind, numbers, side, place in kinds:
        for one, other in numbers:
            earlier, later = (ref_of(side, orders.pairs[x][place]) for x in (one, other))
            found.append(OrderChange(kind, earlier, later))
    return found


def _facts_of(side: Side) -> SideFacts:
    return SideFacts(
        name=side.name,
        rank=side.graph.rank,
        num_tasks=side.graph.num_tasks,
        num_operators=len(side.operators),
        num_events=side.graph.num_events,
        origin="recorded" if side.is_recorded else "recovered",
    )
