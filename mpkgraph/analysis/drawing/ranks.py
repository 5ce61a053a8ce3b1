"""The picture of several ranks' operators, joined by the events that the ranks share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from mpkgraph.analysis.drawing.edges import events_text
from mpkgraph.analysis.drawing.operators import (
    OperatorOptions,
    RankPart,
    draw_rank,
    facts_of,
    title_of,
)
from mpkgraph.analysis.drawing.picture import Drawing, DrawnCluster, DrawnEdge, check_size
from mpkgraph.catalog import DEFAULT, Catalog
from mpkgraph.errors import UsageError
from mpkgraph.model import ids


def draw_ranks(
    parts: Sequence[RankPart],
    *,
    catalog: Catalog = DEFAULT,
    reduce: bool = False,
    fold: bool | None = None,
    ends: bool = False,
    force: bool = False,
) -> Drawing:
    """The operators of several ranks side by side, joined by the events that they share.

    A frame a rank. A remote edge leads from the operator whose tasks trigger another rank's event
    to that rank's operator which waits on it; `reduce` looks at the edges inside a rank only.
    Other options and errors as for `draw_operators`.

    Raises UsageError for no part or two parts of one rank.
    """
    ranks = [part.graph.rank for part in parts]
    if not parts or len(set(ranks)) < len(ranks):
        raise UsageError(
            f"can't draw ranks {ranks} together", remedy="Give one graph file of each rank"
        )
    options = OperatorOptions(catalog, reduce, fold, ends)
    drawn = {
        part.graph.rank: draw_rank(
            part, options, f"rank{part.graph.rank}_", f"rank{part.graph.rank}", "layout"
        )
        for part in parts
    }
    remote = _edges_between(parts, {rank: part.node_ids for rank, part in drawn.items()})
    nodes = tuple(node for part in drawn.values() for node in part.nodes)
    edges = (*(edge for part in drawn.values() for edge in part.edges), *remote)
    if not force:
        check_size(len(nodes), len(edges))
    frames = tuple(
        DrawnCluster(f"rank{part.graph.rank}", " · ".join(facts_of(part))) for part in parts
    )
    return Drawing(
        title=", ".join(dict.fromkeys(title_of(part.graph) for part in parts)),
        facts=(f"{len(parts)} ranks",),
        nodes=nodes,
        edges=edges,
        clusters=(*frames, *(c for part in drawn.values() for c in part.clusters)),
        notes=tuple(dict.fromkeys(note for part in drawn.values() for note in part.notes)),
    )


def _edges_between(
    parts: Sequence[RankPart], node_ids: dict[int, tuple[str, ...]]
) -> list[DrawnEdge]:
    """Edges from operators that trigger another rank's events to those that wait on them there."""
    through: dict[tuple[str, str], Counter[tuple[int, int]]] = {}
    waiting = {part.graph.rank: _waiting_operators(part) for part in parts}
    for part in parts:
        tasks, rank = part.graph.tasks, part.graph.rank
        ranks = ids.event_ranks(tasks.trigger_events)
        away = (ranks != rank) & (ranks >= 0) & (part.operators.task_operators >= 0)
        rows = np.unique(
            np.stack(
                [part.operators.task_operators[away], ranks[away], tasks.trigger_indices[away]], 1
            ),
            axis=0,
        )
        for operator, other, event in rows.tolist():
            for consumer in waiting.get(other, {}).get(event, ()):
                pair = (node_ids[rank][operator], node_ids[other][consumer])
                through.setdefault(pair, Counter())[operator, consumer] += 1
    return [
        DrawnEdge(tail, head, note=events_text(counts.values()), style="remote")
        for (tail, head), counts in through.items()
    ]


def _waiting_operators(part: RankPart) -> dict[int, list[int]]:
    """For each of a rank's own events the operators whose tasks wait on it."""
    tasks, owner = part.graph.tasks, part.operators.task_operators
    own = (ids.event_ranks(tasks.dependent_events) == part.graph.rank) & (owner >= 0)
    pairs = np.unique(np.stack([tasks.dependent_indices[own], owner[own]], 1), axis=0)
    waiting: dict[int, list[int]] = {}
    for event, operator in pairs.tolist():
        waiting.setdefault(event, []).append(operator)
    return waiting
