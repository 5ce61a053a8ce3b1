"""Paths between two tasks as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mpkgraph.render.text import TextWriter, count

if TYPE_CHECKING:
    from mpkgraph.analysis.context import GraphContext
    from mpkgraph.analysis.paths import Path, Paths


def paths_text(out: TextWriter, found: Paths, context: GraphContext, *, all_asked: bool) -> None:
    """Each path as a chain of tasks and events, one a line with its operator."""
    title = f"paths from task {found.source} to task {found.target}"
    if not found.paths:
        out.heading(title, "none")
        if found.source == found.target:
            out.paragraph("it is one task: give two")
        elif found.reverse:
            out.paragraph(
                f"task {found.source} waits for task {found.target}, not the other way round: "
                f"see --path {found.target} {found.source}"
            )
        else:
            out.paragraph("neither waits for the other: the events do not order them")
        return
    out.heading(title, f"{found.num_paths_text} in all, shown {len(found.paths)}")
    if found.across_ranks:
        out.paragraph("through events of other ranks, which have the same graph")
    if all_asked and not found.is_complete:
        out.paragraph("not all are shown: --limit shows more", fg="yellow")
    rows = _Rows(context)
    for path in found.paths:
        rows.add(path)
    for number, path in enumerate(found.paths, start=1):
        out.heading(f"path {number}", count(len(path) // 2, "event"))
        out.table(rows.of(path))


class _Rows:
    """What a line tells of a task and of an event, made once: paths share most of them."""

    def __init__(self, context: GraphContext) -> None:
        self._context = context
        self._operators: dict[int, str] = {}
        self._events: dict[int, str] = {}

    def add(self, path: Path) -> None:
        context = self._context
        tasks = [task for task in path[::2] if task not in self._operators]
        owners = context.operators.owners(np.array(tasks, dtype=np.int64)).tolist()
        for task, owner in zip(tasks, owners, strict=True):
            self._operators[task] = _operator(context, task, owner)
        for node in path[1::2]:
            if node not in self._events:
                self._events[node] = _event(context, node)

    def of(self, path: Path) -> dict[str, Sequence[object]]:
        tasks, events = path[::2], path[1::2]
        return {
            "task": list(tasks),
            "operator": [self._operators[task] for task in tasks],
            "triggers event": [*(self._events[node] for node in events), ""],
        }


def _operator(context: GraphContext, task: int, owner: int) -> str:
    return context.owner_name(task) if owner < 0 else f"{owner} {context.operator_names[owner]}"


def _event(context: GraphContext, node: int) -> str:
    events = context.events
    if node < events.num_local:
        return str(node)
    event = events.outside_events[node - events.num_local]
    return f"{event.event_index} of rank {event.rank}"
