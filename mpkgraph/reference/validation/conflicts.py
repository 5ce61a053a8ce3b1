"""Pairs of tasks whose order could matter: they touch a common byte, and one of them writes it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mpkgraph.analysis.csr import IntArray
from mpkgraph.errors import UsageError
from mpkgraph.model.overlap import overlapping_pairs
from mpkgraph.model.tile import TileLayout
from mpkgraph.reference.interpreter.memory import RankMemory
from mpkgraph.reference.interpreter.program import Program

MAX_TASKS = 512
"""Of graphs whose orders are all tried."""


@dataclass(frozen=True)
class _Access:
    tasks: IntArray
    """Numbers."""
    layout: TileLayout
    offsets: IntArray
    writes: bool
    accumulates: bool


def conflicting_pairs(
    program: Program, memories: Sequence[RankMemory]
) -> tuple[IntArray, IntArray]:
    """Columns of task numbers, pair by pair. Two names of one memory are one memory.

    Raises UsageError for a graph too large to try all its orders.
    """
    if len(program.tasks) > MAX_TASKS:
        raise UsageError(
            f"all orders of {len(program.tasks)} tasks are too many to try",
            remedy=f"It takes graphs of up to {MAX_TASKS} tasks; use --schedule adversarial or "
            "random",
        )
    accesses = _accesses(program, memories)
    found: set[tuple[int, int]] = set()
    for uses in accesses.values():
        for i, one in enumerate(uses):
            for other in uses[i:]:
                if not (one.writes or other.writes):
                    continue
                if one.accumulates and other.accumulates:
                    continue  # sums differ by rounding alone
                left, right = overlapping_pairs(
                    one.layout, one.offsets, other.layout, other.offsets
                )
                for a, b in zip(one.tasks[left].tolist(), other.tasks[right].tolist(), strict=True):
                    if a != b:
                        found.add((min(a, b), max(a, b)))
    pairs = np.array(sorted(found), dtype=np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _accesses(
    program: Program, memories: Sequence[RankMemory]
) -> dict[tuple[int, int], list[_Access]]:
    """By memory what slots do to it."""
    found: dict[tuple[int, int], list[_Access]] = defaultdict(list)
    for position, rank in enumerate(program.ranks):
        start = int(program.tasks.starts[position])
        for use in rank.context.uses:
            effect = use.effect
            if effect.access == "none" or use.tensor not in memories[position].buffers:
                continue
            places = range(len(program.ranks)) if effect.writes_remotely else [position]
            for place in places:
                buffer = memories[place].buffers[use.tensor]
                layout, offsets = use.layout, use.offsets
                if not effect.is_inside_tile:
                    layout = TileLayout((buffer.num_bytes,), (1,), 1)
                    offsets = np.zeros(len(use.tasks), dtype=np.int64)
                found[place, buffer.raw.data_ptr()].append(
                    _Access(
                        use.tasks + start,
                        layout,
                        offsets + buffer.guard,
                        effect.writes or effect.writes_remotely,
                        effect.access == "accumulate",
                    )
                )
    return found
