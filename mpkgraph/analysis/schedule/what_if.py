"""Questions of the form "what if": a type faster, an event split, counts repaired."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, replace

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.names import find_types, match_names, unknown_name
from mpkgraph.analysis.schedule.system import System
from mpkgraph.errors import SelectionError, TooLargeError, UsageError
from mpkgraph.frozen import dataclass
from mpkgraph.model.overlap import overlapping_pairs
from mpkgraph.model.tile import TileLayout, tile_layouts

MAX_TILE_PAIRS = 20_000_000
"""Pairs of producing and waiting tasks, over all events to split, that are compared at most."""
REMEDY = (
    "Write TYPE=FACTOR (TASK_LINEAR=0.5: twice as fast), event:INDEX=split, events=split or "
    "counts=repair"
)


@dataclass(frozen=True)
class WhatIf:
    """What is changed before the schedule is simulated."""

    factors: tuple[tuple[int, float], ...] = ()
    """(task type, factor on its durations)."""
    split_events: tuple[int, ...] = ()
    """Indices of events."""
    split_all: bool = False
    repair_counts: bool = False
    """Whether each event needs as many triggers as there are tasks that trigger it."""
    texts: tuple[str, ...] = field(default=(), compare=False)
    """As the user wrote them."""

    def __bool__(self) -> bool:
        return bool(self.factors or self.split_events or self.split_all or self.repair_counts)


NOTHING = WhatIf()


def parse_what_if(texts: Sequence[str], context: GraphContext) -> WhatIf:
    """Raises UsageError for what has none of the forms, SelectionError for unknown names."""
    factors: dict[int, float] = {}
    events: list[int] = []
    split_all = repair = False
    for text in texts:
        name, _, value = (part.strip() for part in text.partition("="))
        if name.startswith("event:") and value == "split":
            events.append(_event_index(name.removeprefix("event:"), context, text))
        elif name == "events" and value == "split":
            split_all = True
        elif name == "counts" and value == "repair":
            repair = True
        else:
            factor = _factor(value, text)
            factors.update((task_type, factor) for task_type in _types(name, context))
    return WhatIf(
        tuple(sorted(factors.items())),
        tuple(sorted(set(events))),
        split_all,
        repair,
        tuple(texts),
    )


def scaled(durations: IntArray, task_types: IntArray, what_if: WhatIf) -> IntArray:
    """Durations with the factors of their types."""
    if not what_if.factors:
        return durations
    changed: IntArray = durations.copy()
    for task_type, factor in what_if.factors:
        of_type = task_types == task_type
        changed[of_type] = np.rint(durations[of_type] * factor).astype(np.int64)
    return changed


def with_counts_repaired(system: System) -> System:
    """Each event needs as many triggers as it gets: those that Mirage counts twice complete."""
    triggers = np.where(system.workers >= 0, system.triggers, -1)
    counts = np.bincount(triggers[triggers >= 0], minlength=system.num_nodes)
    return replace(system, needs=np.where(counts > 0, counts, system.needs))


def with_events_split(system: System, contexts: Sequence[GraphContext], what_if: WhatIf) -> System:
    """Each task that waits on a split event waits only for the producers of bytes that it reads.

    What it costs to trigger several events is not counted: this is how much a finer event could
    gain at most. A task that reads nothing of its event's producers goes on waiting for all.

    Raises TooLargeError when there are too many pairs of tasks to compare.
    """
    nodes = _nodes_to_split(system, what_if)
    by_trigger = _grouped(np.where(system.workers >= 0, system.triggers, -1), nodes)
    by_wait = _grouped(np.where(system.workers >= 0, system.dependents, -1), nodes)
    total = sum(len(by_trigger[node]) * len(by_wait[node]) for node in nodes)
    if total > MAX_TILE_PAIRS:
        raise TooLargeError(
            f"{len(nodes)} events have {total:,} pairs of producing and waiting tasks",
            remedy="Split fewer events: --what-if event:INDEX=split",
        )
    tiles = [tile_layouts(context.graph, context.catalog) for context in contexts]
    dependents = system.dependents.copy()
    extra_tasks, extra_nodes = [system.extra_tasks], [system.extra_nodes]
    needs = [system.needs]
    num_nodes = system.num_nodes
    for node in nodes:
        producers, waiting = by_trigger[node], by_wait[node]
        if len(producers) < 2 or not len(waiting):
            continue
        reads = _reads(system, contexts, tiles, producers, waiting)
        distinct, of = np.unique(reads, axis=0, return_inverse=True)
        for index, row in enumerate(distinct):
            if not row.any() or row.all():
                continue
            mine = waiting[of.ravel() == index]
            dependents[mine] = num_nodes
            extra_tasks.append(producers[row])
            extra_nodes.append(np.full(int(row.sum()), num_nodes))
            needs.append(np.array([int(row.sum())]))
            num_nodes += 1
    tasks = np.concatenate(extra_tasks)
    order = np.argsort(tasks, kind="stable")
    return replace(
        system,
        dependents=dependents,
        needs=np.concatenate(needs),
        extra_tasks=tasks[order],
        extra_nodes=np.concatenate(extra_nodes)[order],
    )


def _types(name: str, context: GraphContext) -> list[int]:
    """Types of the graph's tasks of that name, else those that a pattern or a part of it fits."""
    present = {
        context.catalog.layer_kind(task_type): task_type
        for task_type in np.unique(context.graph.tasks.task_types[2:]).tolist()
        if task_type >= 0
    }
    found = match_names(name.lower().removeprefix("task_"), present)
    if name.isdecimal():
        found = {kind for kind, task_type in present.items() if task_type == int(name)}
    if not found:
        find_types(name, context.graph, context.catalog)
        raise unknown_name(name, sorted(present), "task type")
    return [present[kind] for kind in found]


def _nodes_to_split(system: System, what_if: WhatIf) -> list[int]:
    if what_if.split_all:
        running = system.workers >= 0
        waited = np.unique(system.dependents[running & (system.dependents >= 0)])
        return [int(node) for node in waited.tolist()]
    return [
        int(start) + event
        for start in system.node_starts[: system.num_ranks].tolist()
        for event in what_if.split_events
    ]


def _grouped(owners: IntArray, nodes: Sequence[int]) -> dict[int, IntArray]:
    """Tasks of each of some nodes, ascending."""
    wanted = np.unique(np.array(nodes, dtype=np.int64))
    tasks = np.flatnonzero(np.isin(owners, wanted))
    order = tasks[np.argsort(owners[tasks], kind="stable")]
    starts = np.searchsorted(owners[order], wanted)
    ends = np.searchsorted(owners[order], wanted, side="right")
    return {
        int(node): order[start:end]
        for node, start, end in zip(wanted, starts.tolist(), ends.tolist(), strict=True)
    }


def _reads(
    system: System,
    contexts: Sequence[GraphContext],
    tiles: Sequence[Sequence[TileLayout | None]],
    producers: IntArray,
    waiting: IntArray,
) -> npt.NDArray[np.bool_]:
    """(waiting, producers): whether a tile that the one has meets an output of the other.

    Tiles of the same tensor name only. Inputs that a kernel writes count as its outputs where the
    other reads them too: both slots name them.
    """
    met = np.zeros((len(waiting), len(producers)), dtype=np.bool_)
    made = _slots(system, contexts, producers, only_outputs=True)
    read = _slots(system, contexts, waiting, only_outputs=False)
    for (rank, tensor, layout), (places, offsets) in made.items():
        tile = tiles[rank][layout]
        if tile is None or not tile.has_bytes:
            continue
        for (other_rank, other_tensor, other_layout), slots in read.items():
            if other_tensor != tensor:
                continue
            other_places, other_offsets = slots
            other = tiles[other_rank][other_layout]
            if other is None or not other.has_bytes:
                continue
            left, right = overlapping_pairs(tile, offsets, other, other_offsets)
            met[other_places[right], places[left]] = True
    return met


SlotColumns = dict[tuple[int, str, int], tuple[IntArray, IntArray]]


def _slots(
    system: System, contexts: Sequence[GraphContext], tasks: IntArray, *, only_outputs: bool
) -> SlotColumns:
    """By (rank, tensor, layout) the places in `tasks` and the offsets of the slots."""
    found: dict[tuple[int, str, int], list[tuple[int, int]]] = {}
    for place, task in enumerate(tasks.tolist()):
        rank, own = system.local_task(task)
        columns = contexts[rank].graph.tasks
        start, end = columns.slot_starts[own : own + 2].tolist()
        if only_outputs:
            start += int(columns.num_inputs[own])
        for slot in range(start, end):
            layout = int(columns.slot_layouts[slot])
            name = contexts[rank].graph.layouts[layout].base_ptr
            found.setdefault((rank, name, layout), []).append(
                (place, int(columns.slot_offsets[slot]))
            )
    return {
        key: (
            np.array([place for place, _ in rows], dtype=np.int64),
            np.array([offset for _, offset in rows], dtype=np.int64),
        )
        for key, rows in found.items()
    }


def _event_index(text: str, context: GraphContext, whole: str) -> int:
    if not text.isdecimal():
        raise UsageError(f"{whole[:60]!r} names no event", where="--what-if", remedy=REMEDY)
    if int(text) >= context.graph.num_events:
        raise SelectionError(
            f"there is no event {text[:20]}",
            where="--what-if",
            remedy=f"Events go from 0 to {context.graph.num_events - 1}",
        )
    return int(text)


def _factor(text: str, whole: str) -> float:
    try:
        factor = float(text)
    except ValueError:
        factor = -1.0
    if not 0 <= factor <= 1000:
        raise UsageError(f"{whole[:60]!r} is no change", where="--what-if", remedy=REMEDY)
    return factor
