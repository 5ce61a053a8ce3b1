"""Pairs of tasks of two accesses that touch a common byte and that no event orders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from functools import cached_property

import numpy as np

from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.happens_before import HappensBefore
from mpkgraph.analysis.verify.peer_order import PeerOrder
from mpkgraph.analysis.verify.rules.hazards.access import Access, CellKey, Cells, EventCells
from mpkgraph.frozen import dataclass
from mpkgraph.model.byteset import expand
from mpkgraph.model.overlap import overlapping_pairs

MAX_MATRIX = 1 << 14
"""Pairs of events that are looked up before it is known whether their tiles meet."""
MAX_BLOCK = 1 << 21
"""Pairs of cells looked up at once."""
MAX_REMEMBERED = 1 << 12
MAX_KEPT_PAIRS = 1 << 20
"""Pairs of tasks that are listed for further questions; all are counted."""


@dataclass(frozen=True)
class Unordered:
    """Some pairs: how many, and the lowest."""

    count: int
    earlier: int
    """Task of the witness; the pair with the lowest ids."""
    later: int
    cells: tuple[IntArray, IntArray] = field(repr=False)
    """Positions among the two accesses' cells of the pairs; of very many the first."""


class PairFinder:
    """Finds unordered pairs; what overlaps is remembered, for the layers of a model repeat."""

    def __init__(self, context: VerifyContext) -> None:
        self.peers = PeerOrder.of(context.view)
        self.order = HappensBefore.of(self.peers.events)
        self._mirror = context.view.all_ranks
        self.cells = Cells(self.order.events)
        self._overlaps: dict[tuple[CellKey, CellKey], tuple[IntArray, IntArray]] = {}

    def unordered(self, earlier: Access, later: Access) -> Unordered | None:
        """Pairs with a common byte of which the first need not be complete before the second."""
        left, right = self.cells.triggering(earlier), self.cells.waiting(later)
        if len(left.nodes) == len(right.nodes) == 1:
            if self.order.is_ordered(int(left.nodes[0]), int(right.nodes[0])):
                return None
        elif self.order.are_all_ordered(left.nodes, right.nodes):
            return None
        elif len(left.nodes) * len(right.nodes) <= MAX_MATRIX:
            ordered = self.order.ordered(left.nodes[:, None], right.nodes[None, :])
            if ordered.all():
                return None
        count = 0
        lowest: tuple[int, int] | None = None
        kept: list[tuple[IntArray, IntArray]] = []
        for block in _cell_blocks(left, right, *self._meeting(earlier, later)):
            nodes = left.nodes[left.codes[block[0]]], right.nodes[right.codes[block[1]]]
            loose = ~self.order.ordered(*nodes)
            i, j = block[0][loose], block[1][loose]
            if not len(i):
                continue
            count += int((left.counts[i] * right.counts[j]).sum())
            tasks = left.first_tasks[i], right.first_tasks[j]
            first = tasks[0] == tasks[0].min()
            pair = int(tasks[0].min()), int(tasks[1][first].min())
            lowest = pair if lowest is None else min(lowest, pair)
            if count <= MAX_KEPT_PAIRS or not kept:
                kept.append((i, j))
        if lowest is None:
            return None
        cells = np.concatenate([x for x, _ in kept]), np.concatenate([x for _, x in kept])
        return Unordered(count, *lowest, cells)

    def tasks(
        self, earlier: Access, later: Access, found: Unordered
    ) -> tuple[IntArray, IntArray] | None:
        """All pairs of tasks that were found; None when they are more than can be listed."""
        if found.count > MAX_KEPT_PAIRS:
            return None
        left, right = self.cells.triggering(earlier), self.cells.waiting(later)
        i, j = found.cells
        rows, position = expand(left.counts[i] * right.counts[j])
        a, b = np.divmod(position, right.counts[j][rows])
        return left.tasks(i[rows], a), right.tasks(j[rows], b)

    def is_ordered_in_step(self, earlier: Access, later: Access, found: Unordered) -> bool:
        """Whether all these pairs would be ordered if every rank waited where this one does."""
        if not self.peers.is_remote.any():
            return False
        i, j = found.cells
        left, right = self.cells.triggering(earlier), self.cells.waiting(later)
        size = self.peers.events.num_nodes // 2
        triggers, dependents = left.nodes[left.codes[i]], right.nodes[right.codes[j]]
        triggers = np.where(triggers < 0, -1, triggers % size)
        dependents = np.where(dependents < 0, -1, dependents % size)
        return bool(self._in_step.ordered(triggers, dependents).all())

    @cached_property
    def _in_step(self) -> HappensBefore:
        return HappensBefore.of(self._mirror)

    def _meeting(self, earlier: Access, later: Access) -> tuple[IntArray, IntArray]:
        """Pairs of positions among the distinct offsets whose tiles share bytes."""
        key = earlier.key, later.key
        if key not in self._overlaps:
            if len(self._overlaps) > MAX_REMEMBERED:
                self._overlaps.clear()
            self._overlaps[key] = overlapping_pairs(
                earlier.layout, earlier.distinct_offsets, later.layout, later.distinct_offsets
            )
        return self._overlaps[key]


def _cell_blocks(
    left: EventCells, right: EventCells, i: IntArray, j: IntArray
) -> Iterator[tuple[IntArray, IntArray]]:
    """Pairs of distinct offsets as pairs of cells, some at a time."""
    (first_i, num_i), (first_j, num_j) = left.of_offset, right.of_offset
    counts = num_i[i] * num_j[j]
    ends = np.cumsum(counts)
    start = 0
    while start < len(counts):
        done = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + MAX_BLOCK, side="right")))
        rows, position = expand(counts[start:stop])
        rows += start
        a, b = np.divmod(position, num_j[j][rows])
        yield first_i[i][rows] + a, first_j[j][rows] + b
        start = stop
