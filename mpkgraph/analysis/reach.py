"""What lies between two events: which events and edges, and how far from the end.

With levels at hand, edges in ascending order of their source's level are a topological order, and
one pass over them does; where there is a cycle it takes searches.
"""

from __future__ import annotations

import itertools
from dataclasses import field

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.csr import Csr, IntArray
from mpkgraph.analysis.event_graph import EventGraph
from mpkgraph.analysis.levels import Levels
from mpkgraph.frozen import dataclass
from mpkgraph.model import ids
from mpkgraph.model.distinct import distinct

FAR = 1 << 62
"""Distance of an event that does not lead to the last one."""
MIN_LAYER_EDGES = 8
"""Edges that a layer has on average where numpy takes less time than one look at each edge."""


@dataclass(frozen=True)
class Reach:
    """The events and edges on some way from `first` to `last`."""

    first: int
    last: int
    to_last: IntArray
    """For each node the fewest edges to `last`; FAR for those on no way."""
    edges: IntArray | None
    """Positions of the edges on some way in topological order; None when there is a cycle."""
    joints: list[int] = field(default_factory=list)
    """Places in `edges` where those begin that lead from an event which is on every way."""
    layers: list[int] = field(default_factory=list)
    """Places in `edges` where those begin that lead from events of one height, and last their
    number; empty where there are no heights."""


def reach_between(events: EventGraph, levels: Levels, first: int, last: int) -> Reach | None:
    """None when no way leads from `first` to `last`."""
    events.num_edges  # noqa: B018  (then nodes are counted at once, not by a look at each task)
    heights = _heights(events, levels)
    if heights is not None:
        return _by_heights(events, heights, first, last)
    return _by_searches(events, first, last)


def _heights(events: EventGraph, levels: Levels) -> IntArray | None:
    """For each node a number that grows along every edge; None where there are none.

    `levels` are those of all ranks together, where an event of another rank stands for the one of
    its index here.
    """
    known = levels.event_levels
    if levels.cycle:
        return None
    if levels.events is events or events.num_nodes == events.num_local == len(known):
        heights = known
    else:
        indices = (events.outside_keys & np.uint64(ids.EVENT_INDEX_MASK)).astype(np.int64)
        if len(known) < events.num_local or (indices >= events.num_local).any():
            return None
        heights = np.concatenate((known[: events.num_local], known[indices]))
    grows = heights[events.edge_targets] > heights[events.edge_sources]
    return heights if grows.all() else None


def _by_heights(events: EventGraph, heights: IntArray, first: int, last: int) -> Reach | None:
    if first == last:
        edges = np.empty(0, dtype=np.int64)
    else:
        low, high = heights[first], heights[last]
        if low >= high:
            return None
        inside = heights[events.edge_sources] >= low
        inside &= heights[events.edge_targets] <= high
        edges = np.flatnonzero(inside)
        edges = edges[np.argsort(heights[events.edge_sources[edges]], kind="stable")]
    sources, targets = events.edge_sources[edges], events.edge_targets[edges]
    layers = layer_starts(heights[sources])
    ahead = np.zeros(events.num_nodes, dtype=np.bool_)
    ahead[first] = True
    _go_ahead(ahead, sources, targets, layers)
    if not ahead[last]:
        return None
    reached = ahead[sources]
    edges, sources, targets = edges[reached], sources[reached], targets[reached]
    to_last = np.full(events.num_nodes, FAR, dtype=np.int64)
    to_last[last] = 0
    _go_back(to_last, sources, targets, layer_starts(heights[sources]))
    leads = to_last[targets] < FAR
    edges, sources, targets = edges[leads], sources[leads], targets[leads]
    low_ends = heights[sources]
    return Reach(
        first,
        last,
        to_last,
        edges,
        _joints(sources, low_ends, heights[targets]),
        layer_starts(low_ends),
    )


def layer_starts(low_ends: IntArray) -> list[int]:
    """Where edges begin that lead from one height, given the heights of their sources, ascending;
    last the number of edges.
    """
    steps = np.flatnonzero(low_ends[1:] > low_ends[:-1]) + 1
    return [0, *steps.tolist(), len(low_ends)] if len(low_ends) else [0]


def are_wide(layers: list[int]) -> bool:
    """Whether layers have edges enough for numpy; few are followed sooner one by one."""
    return layers[-1] >= MIN_LAYER_EDGES * (len(layers) - 1)


def _go_ahead(
    ahead: npt.NDArray[np.bool_], sources: IntArray, targets: IntArray, layers: list[int]
) -> None:
    """Marks what marked nodes lead to, through edges in topological order."""
    if are_wide(layers):
        for start, stop in itertools.pairwise(layers):
            ahead[targets[start:stop][ahead[sources[start:stop]]]] = True
        return
    marks = bytearray(ahead)
    for here, there in zip(sources.tolist(), targets.tolist(), strict=True):
        if marks[here]:
            marks[there] = 1
    ahead[:] = np.frombuffer(marks, np.bool_)


def _go_back(to_last: IntArray, sources: IntArray, targets: IntArray, layers: list[int]) -> None:
    """Lowers distances against edges in topological order; those of one source are together."""
    if are_wide(layers):
        runs = np.flatnonzero(np.diff(sources, prepend=-1))
        run_sources = sources[runs]
        cuts = np.searchsorted(runs, layers).tolist()
        for place in range(len(layers) - 2, -1, -1):
            start, stop, few = layers[place], layers[place + 1], slice(*cuts[place : place + 2])
            nearest = np.minimum.reduceat(to_last[targets[start:stop]], runs[few] - start)
            to_last[run_sources[few]] = np.minimum(nearest + 1, FAR)
        return
    distances = to_last.tolist()
    for here, there in zip(sources[::-1].tolist(), targets[::-1].tolist(), strict=True):
        if distances[there] + 1 < distances[here]:  # noqa: PLR1730  (min takes twice the time)
            distances[here] = distances[there] + 1
    to_last[:] = distances


def _joints(sources: IntArray, low_ends: IntArray, high_ends: IntArray) -> list[int]:
    """Places where the edges begin that lead from an event which is on every way; edges are given
    by their sources and by the heights of their ends, ascending in the lower one.
    """
    if not len(sources):
        return []
    starts = np.flatnonzero(np.diff(low_ends, prepend=low_ends[0] - 1))
    alone = np.minimum.reduceat(sources, starts) == np.maximum.reduceat(sources, starts)
    # What begins lower ends no higher: no edge passes by
    highest = np.concatenate((low_ends[:1], np.maximum.accumulate(high_ends)[starts[1:] - 1]))
    found: list[int] = starts[alone & (highest <= low_ends[starts])].tolist()
    return found


def _by_searches(events: EventGraph, first: int, last: int) -> Reach | None:
    ahead = events.reachable(np.array([first]))
    if not ahead[last]:
        return None
    kept = ahead & events.reachable(np.array([last]), backward=True)
    inside = kept[events.edge_sources] & kept[events.edge_targets]
    edges = np.flatnonzero(inside)
    sources, targets = events.edge_sources[edges], events.edge_targets[edges]
    to_last = _distances(Csr.from_edges(targets, sources, events.num_nodes), last)
    order = _topological(sources.tolist(), targets.tolist(), np.flatnonzero(kept).tolist())
    if order is None:
        return Reach(first, last, to_last, None)
    places = np.zeros(events.num_nodes, dtype=np.int64)
    places[order] = np.arange(len(order))
    return Reach(first, last, to_last, edges[np.argsort(places[sources], kind="stable")])


def _distances(backward: Csr, last: int) -> IntArray:
    """Fewest edges from each event to `last`."""
    distances = np.full(backward.num_rows, FAR, dtype=np.int64)
    distances[last] = 0
    frontier: IntArray = np.array([last])
    steps = 0
    while len(frontier):
        steps += 1
        reached = distinct(backward.gather(frontier))
        frontier = reached[distances[reached] == FAR]
        distances[frontier] = steps
    return distances


def _topological(sources: list[int], targets: list[int], nodes: list[int]) -> list[int] | None:
    """The nodes, each after those that lead to it; None when there is a cycle."""
    pending = dict.fromkeys(nodes, 0)
    following: dict[int, list[int]] = {}
    for here, there in zip(sources, targets, strict=True):
        pending[there] += 1
        following.setdefault(here, []).append(there)
    ready = [node for node, count in pending.items() if not count]
    order = []
    while ready:
        node = ready.pop()
        order.append(node)
        for there in following.get(node, ()):
            pending[there] -= 1
            if not pending[there]:
                ready.append(there)
    return order if len(order) == len(nodes) else None
