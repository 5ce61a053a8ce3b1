"""A diff as an overlay of the right graph's page: which tasks are new, which differ, and how."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from mpkgraph.analysis.diff.changes import (
    Change,
    EdgeChange,
    OperatorChange,
    OrderChange,
    TensorChange,
)
from mpkgraph.analysis.diff.result import DiffResult
from mpkgraph.analysis.page.overlay import Category, Overlay, OverlayItem
from mpkgraph.model.operator import OperatorSet

NAME: Final = "diff"
CATEGORIES: Final = (
    Category("removed", "removed"),
    Category("added", "added"),
    Category("changed", "changed"),
    Category("moved", "advice"),
    Category("same", "same"),
)
_CODES: Final = {"removed": 0, "added": 1, "changed": 2, "split": 2, "fused": 2, "moved": 3}
_SAME: Final = 4
MAX_VALUE_CHARACTERS: Final = 80


def diff_overlay(result: DiffResult, operators: OperatorSet) -> Overlay:
    """The right side of a diff, by operator.

    `operators` are those of the right side that were compared. What is only on the left has no
    task here: the list says so.
    """
    codes = np.where(operators.task_operators >= 0, _SAME, -1).astype(np.int64)
    for change in result.operators:
        for _, there in change.members:
            for operator in there:
                codes[operators[operator].task_ids] = _CODES[change.kind]
    items = [
        *(_operator(x, operators) for x in result.operators),
        *(_tensor(x) for x in result.tensors),
        *(_edge(x, operators) for x in result.own_events),
        *(_order(x) for x in result.orderings),
        *(OverlayItem(_line(x), category=_CODES["changed"]) for x in result.other),
    ]
    count = result.num_differences
    return Overlay(
        NAME,
        f"Against {result.left.name}",
        "no difference" if not count else f"{count} difference{'' if count == 1 else 's'}",
        codes=codes,
        categories=CATEGORIES,
        items=tuple(items),
        rank=result.right.rank,
    )


def _first_tasks(operators: OperatorSet, indices: Iterator[int]) -> tuple[int, ...]:
    """A task of each operator: tasks are the same however operators are recovered."""
    return tuple(int(operators[i].task_ids.min()) for i in indices if operators[i].num_tasks)


def _operator(change: OperatorChange, operators: OperatorSet) -> OverlayItem:
    name = f"{change.first.name} {change.first.subject}".strip()
    alike = f" ({len(change.members)} alike)" if len(change.members) > 1 else ""
    lines = [_line(x) for x in (*change.changes, *change.effects)]
    kind = f"{change.kind}: " if change.kind in {"split", "fused"} else ""
    return OverlayItem(
        title=f"{kind}{name}{alike}",
        text="\n".join(lines),
        category=_CODES[change.kind],
        tasks=_first_tasks(operators, (i for _, there in change.members for i in there)),
    )


def _tensor(change: TensorChange) -> OverlayItem:
    alike = f" ({len(change.names)} alike)" if len(change.names) > 1 else ""
    return OverlayItem(
        title=f"tensor {change.right_name}{alike}",
        text=_line(change.change),
        category=_CODES["changed"],
        tensors=(change.right_name,),
    )


def _edge(change: EdgeChange, operators: OperatorSet) -> OverlayItem:
    ends = (change.producer_right, change.consumer_right)
    verb = "removed" if change.right is None else "added" if change.left is None else "changed"
    return OverlayItem(
        title=f"events from {change.producer} to {change.consumer}",
        text=change.what or "",
        category=_CODES[verb],
        tasks=_first_tasks(operators, (x for x in ends if x is not None)),
    )


def _order(change: OrderChange) -> OverlayItem:
    return OverlayItem(
        title=f"order {change.kind}: {change.earlier.name} {change.earlier.subject}, then "
        f"{change.later.name} {change.later.subject}",
        category=_CODES["removed" if change.kind == "lost" else "changed"],
    )


def _line(change: Change) -> str:
    where = "" if change.tensor is None else f" of {change.tensor}"
    return f"{change.what}{where}: {_short(change.left)} → {_short(change.right)}"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= MAX_VALUE_CHARACTERS else f"{text[:MAX_VALUE_CHARACTERS]}…"
