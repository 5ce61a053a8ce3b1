"""The order of events, closed: whether one event is always complete before another's tasks start.

Task a precedes task b iff b's dependent event can be reached from a's trigger event. Most events of
a model lie on, before or behind one long chain, so each event keeps the first event of the chain
that it reaches and the last that reaches it: that answers for nearly all pairs. What goes past the
chain stays near, and is kept as bits over a window of positions in topological order. Ranks that
wait only for each other, never for themselves, run along chains side by side; where bits would be
too many, more chains are laid, and what goes past all of them is listed.
"""

from __future__ import annotations

from dataclasses import field

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.event_graph import EventGraph
from mpkgraph.analysis.levels import Levels, find_levels
from mpkgraph.frozen import dataclass

BoolArray = npt.NDArray[np.bool_]

MAX_WORDS = 1 << 24
"""Most words of bits that are kept (128 MiB); beyond, what events reach is listed."""
MAX_LISTED = 1 << 23
"""Most pairs of events that are listed; beyond, each event that is asked for is searched from."""
_WORD_SHIFT = 6
_NOWHERE = np.iinfo(np.int64).max
_MAX_CHAINS = 4


@dataclass(frozen=True)
class _Chain:
    """One path of events, told of per event: places on it."""

    first_reached: IntArray
    last_reaching: IntArray

    def at(self, order: IntArray, size: int) -> _Chain:
        """The same by node, where it is by position."""
        return _Chain(
            _by_node(self.first_reached, order, size, _NOWHERE),
            _by_node(self.last_reaching, order, size, -1),
        )


@dataclass(frozen=True)
class HappensBefore:
    """Reachability between the events of a graph. Events in or behind a cycle reach nothing."""

    events: EventGraph
    is_resolved: BoolArray = field(repr=False)
    """For each node whether it is neither in nor behind a cycle: its tasks can run."""
    _positions: IntArray = field(repr=False)
    """By node its place in a topological order of nodes that tasks wait on; -1 for others."""
    _chains: tuple[_Chain, ...] = field(repr=False)
    """By node; at least one."""
    _words: npt.NDArray[np.uint64] | None = field(repr=False)
    _listed: IntArray | None = field(repr=False)
    """Where bits are too many: what each position reaches past the chains, as sorted numbers
    `position * size + reached`."""
    _word_starts: IntArray = field(repr=False)
    """By position: where its bits begin, as if for position 0 on."""
    _ends: IntArray = field(repr=False)
    """By position: past the last position that its bits tell of."""

    @classmethod
    def of(
        cls,
        events: EventGraph,
        levels: Levels | None = None,
        *,
        max_words: int = MAX_WORDS,
        max_listed: int = MAX_LISTED,
    ) -> HappensBefore:
        """The closed order of an event graph, in memory bounded by the two limits."""
        depth = (levels or find_levels(events)).event_levels
        resolved = depth >= 0
        waited_on = np.zeros(events.num_nodes, dtype=np.bool_)
        waited_on[events.dependent_nodes[events.dependent_nodes >= 0]] = True
        kept = np.flatnonzero(waited_on & resolved)
        order = kept[np.argsort(depth[kept], kind="stable")]
        positions = np.full(events.num_nodes, -1, dtype=np.int64)
        positions[order] = np.arange(len(order))

        sources, targets = positions[events.edge_sources], positions[events.edge_targets]
        inner = (sources >= 0) & (targets >= 0)
        sources, targets = sources[inner], targets[inner]
        by_source = np.argsort(sources, kind="stable")
        edges = (sources[by_source].tolist(), targets[by_source].tolist())
        path = _longest_path(edges, len(order), set())
        chains = [_labels(edges, path, len(order))]

        # Behind this position every event is behind the first of the chain that is reached
        lowest_after = np.minimum.accumulate(chains[0].last_reaching[::-1])[::-1]
        here = np.arange(len(order))
        ends = np.searchsorted(lowest_after, chains[0].first_reached, side="left")
        ends = np.minimum(ends, _furthest(edges, len(order)) + 1)
        ends = np.maximum(ends, here + 1)
        low = here >> _WORD_SHIFT
        sizes = ((ends - 1) >> _WORD_SHIFT) - low + 1
        stops = np.cumsum(sizes)
        starts = stops - sizes - low
        words = listed = None
        if not len(order) or int(stops[-1]) <= max_words:
            words = _close(edges, starts, low, sizes)
        else:
            taken = set(path)
            while len(chains) < _MAX_CHAINS and len(path) > 1:
                path = _longest_path(edges, len(order), taken)
                taken.update(path)
                chains.append(_labels(edges, path, len(order)))
            listed = _list(edges, chains, max_listed)
        return cls(
            events=events,
            is_resolved=resolved,
            _positions=positions,
            _chains=tuple(x.at(order, events.num_nodes) for x in chains),
            _words=words,
            _listed=listed,
            _word_starts=starts,
            _ends=ends,
        )

    def ordered(self, triggers: npt.ArrayLike, dependents: npt.ArrayLike) -> BoolArray:
        """Whether each dependent node is reached from each trigger node; broadcast as in numpy.

        Nodes are those of the event graph; -1 (no event) is ordered with nothing.
        """
        left, right = np.broadcast_arrays(
            np.asarray(triggers, np.int64), np.asarray(dependents, np.int64)
        )
        if self._words is None and self._listed is None:
            return self._searched(left, right)
        result = np.zeros(left.shape, dtype=np.bool_)
        if not len(self._ends):
            return result
        source = np.where(left >= 0, self._positions[left], -1)
        target = np.where(right >= 0, self._positions[right], -1)
        known = (source >= 0) & (target >= 0)
        for chain in self._chains:
            result |= chain.first_reached[left] <= chain.last_reaching[right]
        result &= known
        near = known & ~result & (source <= target) & (target < self._ends[source])
        source, target = source[near], target[near]
        if self._words is None:
            result[near] = (source == target) | self._is_listed(source, target)
            return result
        words = self._words[self._word_starts[source] + (target >> _WORD_SHIFT)]
        bits = words >> (target & 63).astype(np.uint64) & np.uint64(1)
        result[near] = bits.astype(np.bool_)
        return result

    def is_ordered(self, trigger: int, dependent: int) -> bool:
        """`ordered` for one pair."""
        if trigger < 0 or dependent < 0:
            return False
        if self._words is None:
            return bool(self.ordered([trigger], [dependent])[0])
        source, target = int(self._positions[trigger]), int(self._positions[dependent])
        if source < 0 or target < source:
            return False
        chain = self._chains[0]
        if chain.first_reached[trigger] <= chain.last_reaching[dependent]:
            return True
        if target >= self._ends[source]:
            return False
        word = int(self._words[self._word_starts[source] + (target >> _WORD_SHIFT)])
        return bool(word >> (target & 63) & 1)

    def are_all_ordered(self, triggers: IntArray, dependents: IntArray) -> bool:
        """Whether a chain alone shows every pair of these nodes to be ordered; quick."""
        if (triggers < 0).any() or (dependents < 0).any():
            return False
        source, target = self._positions[triggers], self._positions[dependents]
        if (source < 0).any() or (target < 0).any():
            return False
        return any(
            x.first_reached[triggers].max() <= x.last_reaching[dependents].min()
            for x in self._chains
        )

    def _is_listed(self, source: IntArray, target: IntArray) -> BoolArray:
        listed = self._listed
        if listed is None or not len(listed):
            return np.zeros(source.shape, dtype=np.bool_)
        keys = source * len(self._ends) + target
        places = np.minimum(np.searchsorted(listed, keys), len(listed) - 1)
        found: BoolArray = listed[places] == keys
        return found

    def _searched(self, left: IntArray, right: IntArray) -> BoolArray:
        """As `ordered`, by a search from each of the nodes on the left."""
        result = np.zeros(left.shape, dtype=np.bool_)
        for node in np.unique(left).tolist():
            if node >= 0 and self._positions[node] >= 0:
                mine = (left == node) & (right >= 0)
                seen = self.events.reachable(np.array([node])) & (self._positions >= 0)
                result[mine] = seen[right[mine]]
        return result


def _by_node(values: IntArray, order: IntArray, num_nodes: int, other: int) -> IntArray:
    column = np.full(num_nodes, other, dtype=np.int64)
    column[order] = values
    return column


def _longest_path(edges: tuple[list[int], list[int]], size: int, without: set[int]) -> list[int]:
    """Positions of one longest path past the given ones, in order."""
    lengths, before = [0] * size, [-1] * size
    # Ascending sources: what comes before an event is final when its own edges are followed
    for source, target in zip(*edges, strict=True):
        if lengths[source] >= lengths[target] and not (source in without or target in without):
            lengths[target], before[target] = lengths[source] + 1, source
    if not size:
        return []
    walk = [max(range(size), key=lengths.__getitem__)]
    while before[walk[-1]] >= 0:
        walk.append(before[walk[-1]])
    return walk[::-1]


def _labels(edges: tuple[list[int], list[int]], path: list[int], size: int) -> _Chain:
    """By position: the first place on a path that is reached, the last that reaches it."""
    first, last = [_NOWHERE] * size, [-1] * size
    for place, position in enumerate(path):
        first[position] = last[position] = place
    for source, target in zip(*edges, strict=True):
        last[target] = max(last[target], last[source])
    for source, target in zip(reversed(edges[0]), reversed(edges[1]), strict=True):
        first[source] = min(first[source], first[target])
    return _Chain(np.array(first, dtype=np.int64), np.array(last, dtype=np.int64))


def _furthest(edges: tuple[list[int], list[int]], size: int) -> IntArray:
    """By position: the last position that is reached."""
    furthest = list(range(size))
    for source, target in zip(reversed(edges[0]), reversed(edges[1]), strict=True):
        furthest[source] = max(furthest[source], furthest[target])
    return np.array(furthest, dtype=np.int64)


def _close(
    edges: tuple[list[int], list[int]], starts: IntArray, low: IntArray, sizes: IntArray
) -> npt.NDArray[np.uint64]:
    """Bits of what each position reaches within its window, itself included."""
    words = np.zeros(int(sizes.sum()), dtype=np.uint64)
    here = np.arange(len(starts), dtype=np.int64)
    words[starts + low] = np.uint64(1) << (here & 63).astype(np.uint64)
    begins, lows = (starts + low).tolist(), low.tolist()
    counts = sizes.tolist()
    for source, target in zip(reversed(edges[0]), reversed(edges[1]), strict=True):
        skip = lows[target] - lows[source]
        count = min(counts[source] - skip, counts[target])
        if count > 0:
            into = words[begins[source] + skip : begins[source] + skip + count]
            into |= words[begins[target] : begins[target] + count]
    return words


def _list(edges: tuple[list[int], list[int]], chains: list[_Chain], limit: int) -> IntArray | None:
    """As `_close`, listed: for many events that reach few others each. None beyond `limit`."""
    size = len(chains[0].first_reached)
    places = [(x.first_reached.tolist(), x.last_reaching.tolist()) for x in chains]
    reached: list[set[int]] = [set() for _ in range(size)]
    total = 0
    for source, target in zip(reversed(edges[0]), reversed(edges[1]), strict=True):
        bounds = [(firsts[source], lasts) for firsts, lasts in places]
        if any(lasts[target] >= bound for bound, lasts in bounds):
            continue  # a chain tells, of the target and of all behind it
        own = reached[source]
        before = len(own)
        own.add(target)
        for other in reached[target]:
            if not any(lasts[other] >= bound for bound, lasts in bounds):
                own.add(other)
        total += len(own) - before
        if total > limit:
            return None
    counts = np.fromiter((len(x) for x in reached), dtype=np.int64, count=size)
    targets = np.fromiter((y for x in reached for y in x), dtype=np.int64, count=total)
    keys: IntArray = np.sort(np.repeat(np.arange(size), counts) * size + targets)
    return keys
