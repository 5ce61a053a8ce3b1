"""What the parts of a diff are called, alike in all forms. Names in the words are not escaped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from mpkgraph.analysis.diff.changes import (
    Change,
    Edge,
    EdgeChange,
    OperatorChange,
    OperatorRef,
    TensorChange,
    TileMove,
)
from mpkgraph.analysis.diff.report import DiffReport
from mpkgraph.analysis.diff.result import Cost, DiffResult
from mpkgraph.render.text import count, size

SIGNS = {
    "added": "+",
    "removed": "-",
    "changed": "~",
    "moved": ">",
    "split": "<",
    "fused": "&",
}
KIND_WORDS = {
    "added": "added",
    "removed": "removed",
    "changed": "changed",
    "moved": "moved",
    "split": "split into several",
    "fused": "fused into one",
}
MAX_NAMES = 4
_HEADLINE_COSTS = {"tasks", "depth", "makespan"}
_LISTS = {"params", "variant_id", "input_map", "strides"}
"""Facts that are no sizes."""


def headline(result: DiffResult) -> str:
    """One line on what differs: `--stat`, and the first line of a report."""
    if result.is_identical:
        return "identical"
    if result.is_equal:
        return "no difference" if result.is_numbered_alike else "no difference but numbering"
    parts = []
    kinds: dict[str, list[OperatorChange]] = {}
    for change in result.operators:
        kinds.setdefault(change.kind, []).append(change)
    for kind, changes in kinds.items():
        total = sum(len(x.members) for x in changes)
        alike = ""
        if len(changes) < total:
            alike = f" in {len(changes)} ways" if len(changes) > 1 else " alike"
        parts.append(f"{count(total, 'operator')} {kind}{alike}")
    if result.tensors:
        total = len({y for x in result.tensors for y in x.names or (x.left_name,)})
        parts.append(f"{count(total, 'tensor')} changed")
    events = result.own_events
    if not result.operators and not result.tensors:
        events = result.events  # what would explain them was left out
    if events:
        total = sum(x.num_alike for x in events)
        parts.append(f"events changed in {count(total, 'place')}")
    if result.num_lost_orders or result.num_new_orders:
        parts.append(f"orders -{result.num_lost_orders:,} +{result.num_new_orders:,}")
    if result.renamed and "names" not in result.ignored:
        parts.append(f"{count(len(result.renamed), 'tensor')} renamed")
    parts += [other_words(x) for x in result.other]
    parts += cost_words(result.costs)
    return "; ".join(parts) or "events differ"


def cost_words(costs: Sequence[Cost]) -> list[str]:
    """Costs that differ, of those that a line has room for."""
    return [
        f"{cost.name} {_signed(cost)}"
        for cost in costs
        if cost.is_changed and cost.name in _HEADLINE_COSTS
    ]


def _signed(cost: Cost) -> str:
    ratio = cost.ratio
    if cost.left is None or cost.right is None:
        return "not known on one side"
    change = cost.right - cost.left
    number = f"{change:+,.1f} {cost.unit}" if isinstance(change, float) else f"{change:+,}"
    return number if ratio is None else f"{number} ({ratio:+.1%})"


def cost_value(cost: Cost, value: float | None) -> str:
    if value is None:
        return "not known"
    if cost.unit == "bytes":
        return size(int(value))
    text = f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"
    return f"{text} {cost.unit}" if cost.unit and cost.unit != "tasks" else text


def operator_words(ref: OperatorRef) -> str:
    return f"{ref.name} {ref.subject}".rstrip()


def title_words(change: OperatorChange) -> str:
    """The operators of a change: `linear o_proj`, or `linear a, linear b -> linear c`."""
    if change.kind in {"split", "fused"}:
        sides = [", ".join(operator_words(x) for x in side) for side in (change.left, change.right)]
        return " -> ".join(sides)
    left, right = (change.left or change.right)[0], (change.right or change.left)[0]
    if left.name != right.name:
        return f"{left.name} -> {right.name} {left.subject}".rstrip()
    return operator_words(left)


def where_words(change: OperatorChange) -> str:
    """Which model layers, or which operators, differ alike; and the user's line."""
    total = len(change.members)
    parts = []
    if change.layers and total > 1:
        parts.append(f"{layer_words(change.layers)} ({total} alike)")
    elif total > 1:
        numbers = [(x or y)[0] for x, y in change.members]
        parts.append(f"operators {_few(list(map(str, numbers)))} ({total} alike)")
    site = (change.right or change.left)[0].site
    if site:
        parts.append(site)
    return "  ".join(parts)


def layer_words(layers: Sequence[int]) -> str:
    """Numbers of model layers, runs of them short.

    >>> layer_words((0, 1, 2, 5))
    'layers 0-2, 5'
    """
    runs: list[list[int]] = []
    for layer in layers:
        if runs and layer == runs[-1][-1] + 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    text = ", ".join(str(x[0]) if len(x) == 1 else f"{x[0]}-{x[-1]}" for x in runs)
    return f"layer{'s' * (len(layers) > 1)} {text}"


def change_words(change: Change) -> tuple[str, str]:
    """A label and what differs."""
    left, right = value_words(change.left), value_words(change.right)
    if change.what in _LISTS:
        left, right = (f"({', '.join(map(str, x))})" for x in (change.left, change.right))
    label, subject = "tasks" if change.what == "num_tasks" else change.what, ""
    if change.tensor is not None and change.what != "after":
        subject = f"{change.tensor}: "
    if change.what.endswith(" reads"):
        return "reader", f"{change.what} {right}, no longer {left}"
    if change.what.endswith(" written by"):
        return "reader", f"{change.what} {right}, no longer by {left}"
    if change.what == "after":
        return "after", f"{left or 'nothing'} -> {right or 'nothing'}"
    tasks = "" if change.num_tasks is None else f" (in {count(change.num_tasks, 'task')})"
    return label, f"{subject}{left} -> {right}{tasks}"


def value_words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {value_words(v)}" for k, v in value.items())
    if isinstance(value, (list, tuple)):
        if value and all(isinstance(x, int) and x >= 0 for x in value):
            return "x".join(map(str, value))
        return ", ".join(map(value_words, value))
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "none" if value is None else str(value)


def move_words(move: TileMove) -> str:
    """How a slot is cut otherwise."""
    cut = (
        f"{move.tensor}: {count(move.left_tiles, 'tile')} of {value_words(move.left_tile)} -> "
        f"{move.right_tiles:,} of {value_words(move.right_tile)}"
    )
    if not move.moved or not move.elements:
        return cut
    share = move.moved / move.elements
    return f"{cut}; {share:.0%} of its elements ({move.moved:,}) are in another task"


def edge_words(change: EdgeChange) -> str:
    """`8 events of 8 triggers -> 1 event of 32 triggers`."""
    if change.what is not None:
        return change.what
    if change.left is None or change.right is None:
        side = change.left or change.right
        words = "" if side is None else _edge(side)
        if side is not None and change.ends_graph:
            words = count(side.num_triggering, "task")
        return f"{words} -> none" if change.right is None else f"none -> {words}"
    left, right = change.left, change.right
    if change.ends_graph:
        words = f"{left.num_triggering:,} -> {count(right.num_triggering, 'task')}"
        if left.triggers == right.triggers:
            return words
        more = f"{left.triggers[1]:,} -> {right.triggers[1]:,}"
        missing = f"triggers that it needs beyond those of tasks: {more}"
        return missing if left.num_triggering == right.num_triggering else f"{words}; {missing}"
    counts = (left.num_events, left.triggers), (right.num_events, right.triggers)
    waits = f"{left.num_waiting:,} -> {count(right.num_waiting, 'task')} wait"
    if counts[0] == counts[1]:
        if left.num_waiting != right.num_waiting:
            return f"{_edge(left)}: {waits}"
        triggering = f"{left.num_triggering:,} -> {count(right.num_triggering, 'task')} trigger"
        return f"{_edge(left)}: {triggering}"
    words = f"{_edge(left)} -> {_edge(right)}"
    return words if left.num_waiting == right.num_waiting else f"{words}; {waits}"


def _edge(edge: Edge) -> str:
    low, high = edge.triggers
    triggers = count(high, "trigger") if low == high else f"{low:,} to {high:,} triggers"
    return f"{count(edge.num_events, 'event')} of {triggers}"


def edges_of(result: DiffResult, change: OperatorChange) -> list[tuple[str, EdgeChange]]:
    """Events that follow from an operator's change: (what they lead to or from, the change)."""
    lefts, rights = change.members[0]
    found = []
    for edge in result.events:
        if not edge.because:
            continue
        if edge.producer_left in lefts or edge.producer_right in rights:
            found.append((f"to {edge.consumer}", edge))
        elif edge.consumer_left in lefts or edge.consumer_right in rights:
            found.append((f"from {edge.producer}", edge))
    return found


def effect_rows(result: DiffResult, change: OperatorChange) -> list[tuple[str, str]]:
    """What follows from an operator's change: tasks, tiles, events, then the rest."""
    moved = {x.slot for x in change.tiles}
    rest = [x for x in change.effects if not (x.what == "tile" and x.slot in moved)]
    rows = [change_words(x) for x in rest if x.what == "num_tasks"]
    rows += [("tiles", move_words(x)) for x in change.tiles]
    rows += [("events", f"{where}: {edge_words(edge)}") for where, edge in edges_of(result, change)]
    rows += [change_words(x) for x in rest if x.what != "num_tasks"]
    return rows


def tensor_words(change: TensorChange) -> tuple[str, str]:
    """What differs in which tensors."""
    fact = change.change
    left, right = fact.left, fact.right
    if fact.aspect == "shape" and len(left) == len(right) and len(change.names) > 1:
        words = ", ".join(
            f"dim {dim}: {a:,} -> {b:,}"
            for dim, (a, b) in enumerate(zip(left, right, strict=True))
            if a != b
        )
    else:
        words = f"{value_words(left)} -> {value_words(right)}"
    names = change.names or (change.left_name,)
    if len(names) == 1:
        text = f"{names[0]}: {words}"
    else:
        text = f"{words} in {count(len(names), 'tensor')}: {_few(names)}"
    return fact.what, f"{text} ({count(change.num_uses, 'slot')})"


def other_words(change: Change) -> str:
    tasks = "" if change.num_tasks is None else f" (in {count(change.num_tasks, 'record')})"
    if change.left is None and change.right is None:
        return f"{change.what} differ{tasks}"
    return f"{change.what}: {value_words(change.left)} -> {value_words(change.right)}{tasks}"


def beyond(result: DiffResult, first: DiffResult) -> DiffResult:
    """What a rank has that the first one does not: ranks of one pipeline differ nearly alike."""
    return replace(
        result,
        operators=tuple(x for x in result.operators if x not in first.operators),
        tensors=tuple(x for x in result.tensors if x not in first.tensors),
        events=tuple(x for x in result.events if x not in first.events),
        orderings=tuple(x for x in result.orderings if x not in first.orderings),
        costs=result.costs if _numbers(result) != _numbers(first) else (),
        renamed=tuple(x for x in result.renamed if x not in first.renamed),
    )


def _numbers(result: DiffResult) -> list[tuple[float | None, float | None]]:
    return [(x.left, x.right) for x in result.costs]


def rank_groups(report: DiffReport) -> Iterator[tuple[DiffResult, list[int]]]:
    """Results that are alike but for the rank, told once: the first, and all ranks of them."""
    groups: dict[str, tuple[DiffResult, list[int]]] = {}
    for result in report.results:
        content = result.to_json()
        for side in ("left", "right"):
            content[side] = None
        key = repr(content)
        groups.setdefault(key, (result, []))[1].append(result.right.rank)
    yield from groups.values()


def _few(names: Sequence[str], limit: int = MAX_NAMES) -> str:
    shown = ", ".join(names[:limit])
    rest = len(names) - limit
    return f"{shown}, {rest} more" if rest > 0 else shown
