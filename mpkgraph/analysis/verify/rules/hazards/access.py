"""Accesses: what one slot of one operator does to one tensor, ready to be held against others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from functools import cached_property
from typing import Literal

import numpy as np

from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.event_graph import EventGraph
from mpkgraph.analysis.verify.context import SlotUse, VerifyContext
from mpkgraph.analysis.verify.happens_before import BoolArray
from mpkgraph.analysis.verify.peer_order import PeerOrder
from mpkgraph.frozen import dataclass
from mpkgraph.model.operator import Operator
from mpkgraph.model.tile import Tile, TileLayout

Kind = Literal["read", "accumulate", "write"]
KINDS: tuple[Kind, ...] = ("read", "accumulate", "write")
"""Two accesses of one kind other than `write` need no order between them."""

CellKey = tuple[TileLayout, bytes]


def conflicts_with(kind: Kind) -> frozenset[Kind]:
    """The kinds of accesses that must be ordered with one of this kind."""
    return frozenset(KINDS) if kind == "write" else frozenset(KINDS) - {kind}


@dataclass(frozen=True, eq=False)
class Access:
    """The tasks of one operator that touch one tensor through one slot, as columns."""

    use: SlotUse
    kind: Kind
    """What else it must be ordered with: one that reads and writes counts as `write`."""
    layout: TileLayout
    offsets: IntArray = field(repr=False)
    tasks: IntArray = field(repr=False)
    place: int
    """Position of its operator in program order."""
    task_shift: int = 0
    """What is added to `tasks` to look up their events: a peer's tasks write this rank's memory
    where this rank's write the peer's."""

    @property
    def operator(self) -> Operator:
        return self.use.operator

    @property
    def tensor(self) -> str:
        return self.use.tensor

    @property
    def is_remote(self) -> bool:
        """Whether a peer's tasks do this to the memory of this rank."""
        return self.task_shift > 0

    @property
    def reads(self) -> bool:
        return self.use.effect.reads

    @property
    def writes(self) -> bool:
        return self.use.effect.writes or self.is_remote

    @property
    def is_exact(self) -> bool:
        """Whether some legal input makes the kernel touch its tiles whole."""
        return self.use.effect.footprint not in {"dynamic", "anywhere"}

    @cached_property
    def distinct_offsets(self) -> IntArray:
        return sorted_set(self.offsets)

    @cached_property
    def key(self) -> CellKey:
        """Equal keys touch the same bytes of their tensors."""
        return self.layout, self.distinct_offsets.tobytes()

    def tile(self, position: int) -> Tile:
        """The tile of `tasks[position]`."""
        return Tile(self.tensor, int(self.offsets[position]), self.layout)

    def position(self, task: int) -> int:
        """Where a task is among `tasks`."""
        return int(np.flatnonzero(self.tasks == task)[0])


def program_order(context: VerifyContext) -> list[Operator]:
    """The record's order of layers; without a record the order of emission."""
    return sorted(
        context.operators,
        key=lambda x: (x.index if x.layer_index is None else x.layer_index, x.index),
    )


def accesses_by_operator(
    context: VerifyContext, peers: PeerOrder, can_run: BoolArray
) -> Iterator[tuple[Operator, list[Access]]]:
    """In program order each operator and what it does to tensors whose bytes are known.

    `can_run[node]` tells of events in no cycle; tasks that can never run touch nothing.
    """
    uses: dict[int, list[SlotUse]] = {}
    for use in context.uses:
        uses.setdefault(use.operator.index, []).append(use)
    runs = np.append(can_run, np.True_)  # -1, no event, picks the last
    dependents = peers.events.dependent_nodes
    for place, operator in enumerate(program_order(context)):
        found = []
        for use in uses.get(operator.index, ()):
            access = _access(use, place, runs[dependents[use.tasks]], peers)
            if access is not None:
                found.append(access)
        yield operator, found


def _access(use: SlotUse, place: int, runs: BoolArray, peers: PeerOrder) -> Access | None:
    layout, offsets, tasks = use.layout, use.offsets, use.tasks
    if use.effect.access == "none" or not layout.has_bytes:
        return None
    slot = use.slot
    if not use.effect.is_inside_tile and len(slot.base_ptrs) == 1:
        layout = TileLayout(slot.tensor_dims, slot.strides, layout.element_bytes)
        offsets = np.zeros_like(offsets)
    if not runs.all():
        offsets, tasks = offsets[runs], tasks[runs]
    if layout.is_empty or not len(tasks):
        return None
    kind: Kind = "read"
    is_put = use.effect.writes_remotely
    if is_put and layout.element_bytes and layout.strides[0] > 0:
        # Declared from this rank's plane on; together its peers put all planes but that
        layout = TileLayout(
            (slot.tensor_dims[0], *layout.dims[1:]), layout.strides, layout.element_bytes
        )
        offsets = offsets % (layout.strides[0] * (layout.element_bytes or 1))
    if use.effect.writes or is_put:
        kind = "accumulate" if use.effect.access == "accumulate" else "write"
    return Access(use, kind, layout, offsets, tasks, place, peers.num_tasks if is_put else 0)


@dataclass(frozen=True, eq=False)
class EventCells:
    """An access by distinct (offset, event): what order and overlap depend on."""

    access: Access
    task_nodes: IntArray
    """For each task of the access its event."""
    nodes: IntArray
    """The distinct events, ascending."""

    @classmethod
    def of(cls, access: Access, nodes_of_tasks: IntArray) -> EventCells:
        task_nodes = nodes_of_tasks[access.tasks + access.task_shift]
        first = task_nodes[:1]
        return cls(
            access, task_nodes, first if (task_nodes == first).all() else sorted_set(task_nodes)
        )

    @cached_property
    def order(self) -> IntArray:
        """Positions of the tasks by offset, event, id."""
        return np.lexsort((self.access.tasks, self.task_nodes, self.access.offsets))

    @cached_property
    def starts(self) -> IntArray:
        """Where in `order` each cell begins."""
        offsets, nodes = self.access.offsets[self.order], self.task_nodes[self.order]
        first = np.ones(len(offsets), dtype=np.bool_)
        first[1:] = (offsets[1:] != offsets[:-1]) | (nodes[1:] != nodes[:-1])
        starts: IntArray = np.flatnonzero(first)
        return starts

    @cached_property
    def counts(self) -> IntArray:
        """Tasks of each cell."""
        counts: IntArray = np.diff(self.starts, append=len(self.order))
        return counts

    @cached_property
    def first_tasks(self) -> IntArray:
        """Lowest task id of each cell."""
        return self.access.tasks[self.order[self.starts]]

    @cached_property
    def offsets(self) -> IntArray:
        """Of each cell; ascending."""
        return self.access.offsets[self.order[self.starts]]

    @cached_property
    def codes(self) -> IntArray:
        """For each cell the position of its event in `nodes`."""
        codes: IntArray = np.searchsorted(self.nodes, self.task_nodes[self.order[self.starts]])
        return codes

    @cached_property
    def of_offset(self) -> tuple[IntArray, IntArray]:
        """For each distinct offset of the access its first cell, and how many it has."""
        first: IntArray = np.searchsorted(self.offsets, self.access.distinct_offsets)
        return first, np.diff(first, append=len(self.offsets))

    def tasks(self, cells: IntArray, nth: IntArray) -> IntArray:
        """The nth task of each of some cells."""
        found: IntArray = self.access.tasks[self.order[self.starts[cells] + nth]]
        return found


class Cells:
    """The event cells of accesses, made once: by what they trigger, and by what they wait on."""

    def __init__(self, events: EventGraph) -> None:
        self.events = events
        self._made: tuple[dict[Access, EventCells], dict[Access, EventCells]] = ({}, {})

    def triggering(self, access: Access) -> EventCells:
        return self._of(access, self._made[0], self.events.trigger_nodes)

    def waiting(self, access: Access) -> EventCells:
        return self._of(access, self._made[1], self.events.dependent_nodes)

    def _of(self, access: Access, made: dict[Access, EventCells], nodes: IntArray) -> EventCells:
        if access not in made:
            made[access] = EventCells.of(access, nodes)
        return made[access]


def sorted_set(values: IntArray) -> IntArray:
    """Distinct values, ascending; for short columns several times faster than numpy's."""
    ordered = np.sort(values)
    first = np.ones(len(ordered), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return ordered[first]
