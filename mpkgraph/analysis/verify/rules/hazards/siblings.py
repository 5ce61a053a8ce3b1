"""Tasks of one operator that get in each other's way: they run in any order, at once."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from functools import cached_property

import numpy as np

from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.verify.rules.hazards.access import Access
from mpkgraph.frozen import dataclass
from mpkgraph.model.operator import Operator
from mpkgraph.model.overlap import overlapping_pairs

_AXES = {"x": 0, "y": 1, "z": 2}


@dataclass(frozen=True)
class SiblingConflict:
    """Pairs of tasks of one operator: the first writes, the second writes or reads the same."""

    writer: Access
    other: Access
    reads: bool
    """Whether `other` reads (else both write)."""
    count: int
    first: int
    second: int
    """Tasks of the witness."""


class Siblings:
    """Finds such conflicts; what is clean is remembered, for the layers of a model repeat."""

    def __init__(self) -> None:
        self._clean: set[Hashable] = set()

    def conflicts(
        self, operator: Operator, accesses: Sequence[Access], varies_by: Sequence[str] = ()
    ) -> list[SiblingConflict]:
        """Where tasks of one operator overwrite what others of it write differently, or read.

        `varies_by` are the grid axes that the kernel learns from metadata: work differs there.
        """
        shape = _shape(operator, accesses)
        if shape is not None and shape in self._clean:
            return []
        found = list(_conflicts(operator, accesses, varies_by))
        if not found and shape is not None:
            self._clean.add(shape)
        return found


def _shape(operator: Operator, accesses: Sequence[Access]) -> Hashable:
    """What conflicts depend on, whatever the tensors are called; None where tasks are missing."""
    if operator.grid_positions is not None:
        return None
    names = [x.tensor for x in accesses]
    parts = []
    for access in accesses:
        if len(access.tasks) != operator.num_tasks:
            return None
        offsets = access.offsets.tobytes()
        first = names.index(access.tensor)
        parts.append((first, access.kind, access.use.effect, access.layout, offsets))
    return operator.task_type, operator.grid_dim, operator.num_subtasks, tuple(parts)


def _conflicts(
    operator: Operator, accesses: Sequence[Access], varies_by: Sequence[str]
) -> Iterator[SiblingConflict]:
    work: _Work | None = None
    for index, writer in enumerate(accesses):
        if not writer.writes or writer.is_remote:
            continue
        for place, other in enumerate(accesses):
            if other.tensor != writer.tensor or other.is_remote:
                continue
            if other.writes and place < index:
                continue
            if writer.kind == other.kind == "accumulate":
                continue
            if writer is other and not _meets_itself(writer):
                continue
            if work is None:
                work = _Work(operator, accesses, varies_by)
            pair = (writer, other)
            if (writer.kind, other.kind) == ("accumulate", "write"):
                pair = (other, writer)  # of the two it is the one that also reads
            found = _conflict(work, *pair)
            if found is not None:
                yield found


def _meets_itself(access: Access) -> bool:
    """False where distinct tiles, side by side, are plain to see."""
    if len(access.distinct_offsets) < len(access.offsets):
        return True
    gaps = np.diff(access.distinct_offsets)
    if not len(gaps) or gaps.min() >= access.layout.extent_bytes:
        return False
    left, _ = overlapping_pairs(
        access.layout, access.distinct_offsets, access.layout, access.distinct_offsets
    )
    return len(left) > len(access.distinct_offsets)


@dataclass(frozen=True)
class _Work:
    """What the tasks of an operator do: equal numbers are equal work on equal tiles."""

    operator: Operator
    accesses: Sequence[Access]
    varies_by: Sequence[str]

    @cached_property
    def numbers(self) -> IntArray:
        """By position among the operator's tasks."""
        columns = []
        for access in self.accesses:
            column = np.full(self.operator.num_tasks, np.iinfo(np.int64).min, dtype=np.int64)
            column[self.positions(access)] = access.offsets
            columns.append(column)
        columns.append(self._parts(np.arange(self.operator.num_tasks), self.varies_by))
        _, numbers = np.unique(np.stack(columns), axis=1, return_inverse=True)
        flat: IntArray = numbers.ravel().astype(np.int64)
        return flat

    @cached_property
    def _order(self) -> IntArray:
        return np.argsort(self.operator.task_ids, kind="stable")

    def positions(self, access: Access) -> IntArray:
        """Of an access's tasks among the operator's."""
        place = np.searchsorted(self.operator.task_ids[self._order], access.tasks)
        found: IntArray = self._order[place]
        return found

    def parts(self, access: Access, axes: Sequence[str]) -> IntArray:
        """For each task of an access a number of its place along some grid axes."""
        return self._parts(self.positions(access), axes)

    def _parts(self, positions: IntArray, axes: Sequence[str]) -> IntArray:
        if self.operator.grid_positions is not None:
            points = self.operator.grid_positions[positions].astype(np.int64)
        else:
            _, ny, nz = self.operator.grid_dim
            point = positions // self.operator.num_subtasks
            points = np.stack([point // (ny * nz), point // nz % ny, point % nz], axis=1)
        part = np.zeros(len(positions), dtype=np.int64)
        for axis in axes:
            number = _AXES[axis]
            part = part * self.operator.grid_dim[number] + points[:, number]
        return part


def _conflict(work: _Work, writer: Access, other: Access) -> SiblingConflict | None:
    axes = [
        axis
        for axis in writer.use.effect.disjoint_by
        if writer is other or axis in other.use.effect.disjoint_by
    ]
    reads = other.reads and not (writer is other and other.kind == "accumulate")
    left, right = _rows(work, writer, axes), _rows(work, other, axes)
    apart = _extent_bytes(writer, other)
    i, j = overlapping_pairs(
        writer.layout,
        left.offsets + left.parts * apart,
        other.layout,
        right.offsets + right.parts * apart,
    )
    same_work = left.work[i] == right.work[j]
    counts = left.counts[i] * right.counts[j]
    if reads:
        # Equal work meets itself: each of several tasks that read what the others overwrite
        counts = np.where(same_work, left.counts[i] * (left.counts[i] - 1), counts)
        wanted = counts > 0
    else:
        wanted = ~same_work & (i < j if writer is other else np.True_)
    i, j, counts = i[wanted], j[wanted], counts[wanted]
    if not len(i):
        return None
    total = int(counts.sum())
    if reads and writer is other:
        total //= 2  # each pair was met from both sides
    first, second = left.tasks[i], right.tasks[j]
    second = np.where(first == second, right.last_tasks[j], second)
    lowest = int(np.lexsort((second, first))[0])
    return SiblingConflict(writer, other, reads, total, int(first[lowest]), int(second[lowest]))


def _extent_bytes(left: Access, right: Access) -> int:
    """How far parts are moved from each other so that tiles of different parts never meet."""
    lows = [int(x.distinct_offsets[0]) + x.layout.lowest for x in (left, right)]
    highs = [
        int(x.distinct_offsets[-1]) + x.layout.lowest + x.layout.extent_bytes for x in (left, right)
    ]
    return max(highs) - min(lows)


@dataclass(frozen=True)
class _Rows:
    """Tasks of an access by distinct (offset, part, work)."""

    offsets: IntArray
    parts: IntArray
    work: IntArray
    counts: IntArray
    tasks: IntArray
    """Lowest of each."""
    last_tasks: IntArray


def _rows(work: _Work, access: Access, axes: Sequence[str]) -> _Rows:
    parts = work.parts(access, axes)
    numbers = work.numbers[work.positions(access)]
    order = np.lexsort((access.tasks, numbers, parts, access.offsets))
    offsets, parts, numbers = access.offsets[order], parts[order], numbers[order]
    first = np.zeros(len(order), dtype=np.bool_)
    first[:1] = True
    for column in (offsets, parts, numbers):
        first[1:] |= column[1:] != column[:-1]
    starts = np.flatnonzero(first)
    counts = np.diff(starts, append=len(order))
    tasks = access.tasks[order]
    return _Rows(
        offsets=offsets[starts],
        parts=parts[starts],
        work=numbers[starts],
        counts=counts,
        tasks=tasks[starts],
        last_tasks=tasks[starts + counts - 1],
    )
