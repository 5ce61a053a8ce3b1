"""Waits for work that nobody who waits needs.

An event gathers whole groups of producers and consumers, as coarse as the greatest common divisor
of their grids: a consumer then waits for producers whose tiles it does not read.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.verify.context import SlotUse, VerifyContext
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.rule import CheckRow, Rule
from mpkgraph.frozen import dataclass
from mpkgraph.model.intersect import shared_bytes
from mpkgraph.model.operator import Operator

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

SPARE_FRACTION = 0.25
"""Advice is given when at least this part of the waits is for nothing."""
MAX_WAITS = 1 << 22
"""Pairs of tasks of two operators that are looked at; beyond it the pair is left out."""

OVER_SYNCHRONISED = Rule(
    "MPK502",
    "over-synchronised",
    "advice",
    "tasks that wait for producers whose bytes they do not read",
    "An event completes when the last of its producers is done. Consumers that need only some of "
    "them are held up by the others.",
    "Choose grids of which one divides the other along the shared dim.",
    is_default=False,
)


@dataclass(frozen=True)
class _Waits:
    """Pairs of tasks of two operators, one waiting for the other: ids."""

    producers: IntArray
    consumers: IntArray


def check_waits(context: VerifyContext) -> Iterator[Finding]:
    """For each two operators with an event between them, waits that are for nothing."""
    written = _uses_by_operator(context, writes=True)
    read = _uses_by_operator(context, writes=False)
    known: dict[object, BoolArray] = {}
    for first, second in _linked(context):
        links = [
            (a, b)
            for a in written.get(first, ())
            for b in read.get(second, ())
            if a.tensor == b.tensor
        ]
        # What may lie anywhere in the tensor is taken to be needed
        if not links or not all(
            x.effect.is_inside_tile and x.layout.has_bytes for pair in links for x in pair
        ):
            continue
        waits = _waits(context, first, second)
        if waits is None:
            continue
        producer, consumer = context.operators[first], context.operators[second]
        shape = _shape(links, waits)
        needed = known.get(shape)
        if needed is None:
            needed = known[shape] = _needed(links, waits)
        total = len(needed)
        spare = total - int(needed.sum())
        if spare < total * SPARE_FRACTION:
            continue
        index = int(np.flatnonzero(~needed)[0])
        pair = (int(waits.producers[index]), int(waits.consumers[index]))
        unread = sum(x.layout.num_bytes for x in {a.slot.position: a for a, _ in links}.values())
        event = int(context.graph.tasks.dependent_indices[pair[1]])
        yield Finding(
            OVER_SYNCHRONISED,
            f"of {total:,} waits of tasks of {context.name(consumer)} for tasks of "
            f"{context.name(producer)}, {spare:,} are for tiles ({unread:,} bytes each) that the "
            "waiting task does not read",
            context.location(consumer, links[0][1].slot, tensor=links[0][1].tensor, event=event),
            _remedy(producer, consumer),
            witness=tuple(context.task_ref(x) for x in pair),
            count=spare,
            count_of="waits",
            key=(
                producer.task_type,
                consumer.task_type,
                producer.grid_dim,
                consumer.grid_dim,
                total,
                spare,
            ),
        )


def _remedy(producer: Operator, consumer: Operator) -> str:
    if producer.grid_dim == consumer.grid_dim:
        return (
            "A fork or join that both take part in makes their events as coarse as its coarsest "
            "branch: split that branch along the same dim"
        )
    return (
        f"Let one grid divide the other along the shared dim: now {producer.grid_dim} and "
        f"{consumer.grid_dim}"
    )


def _uses_by_operator(context: VerifyContext, *, writes: bool) -> dict[int, list[SlotUse]]:
    found: dict[int, list[SlotUse]] = {}
    for use in context.uses:
        if use.effect.writes if writes else use.effect.reads:
            found.setdefault(use.operator.index, []).append(use)
    return found


def _linked(context: VerifyContext) -> list[tuple[int, int]]:
    """(operator, operator) of which the second waits on an event that the first triggers."""
    columns = context.graph.tasks
    owners = context.operators.task_operators.astype(np.int64)
    num_events = len(context.graph.events)
    sides = []
    for events in (columns.trigger_indices, columns.dependent_indices):
        here = (events >= 0) & (events < num_events) & (owners >= 0)
        pairs = np.unique(np.stack([events[here], owners[here]], axis=1), axis=0)
        sides.append(pairs)
    producers, consumers = sides
    starts = np.searchsorted(consumers[:, 0], producers[:, 0], "left")
    stops = np.searchsorted(consumers[:, 0], producers[:, 0], "right")
    found = {
        (operator, int(consumers[place, 1]))
        for operator, start, stop in zip(
            producers[:, 1].tolist(), starts.tolist(), stops.tolist(), strict=True
        )
        for place in range(start, stop)
    }
    return sorted(found)


def _waits(context: VerifyContext, first: int, second: int) -> _Waits | None:
    """Every (producer, consumer) with an event between them; None when there are too many."""
    columns = context.graph.tasks
    producers = context.operators[first].task_ids
    consumers = context.operators[second].task_ids
    order = np.argsort(columns.dependent_indices[consumers], kind="stable")
    waiting = columns.dependent_indices[consumers][order]
    triggered = columns.trigger_indices[producers]
    starts = np.searchsorted(waiting, triggered, "left")
    sizes = np.searchsorted(waiting, triggered, "right") - starts
    total = int(sizes.sum())
    if not 0 < total <= MAX_WAITS:
        return None
    ends = np.cumsum(sizes)
    places = np.arange(total) - np.repeat(ends - sizes, sizes) + np.repeat(starts, sizes)
    return _Waits(np.repeat(producers, sizes), consumers[order][places])


def _shape(links: list[tuple[SlotUse, SlotUse]], waits: _Waits) -> object:
    """What decides which waits are needed: equal for the repeats of a model layer."""
    return (
        tuple(
            (a.layout, b.layout, a.offsets.tobytes(), b.offsets.tobytes(), _ranks(a), _ranks(b))
            for a, b in links
        ),
        (waits.producers - waits.producers.min()).tobytes(),
        (waits.consumers - waits.consumers.min()).tobytes(),
    )


def _ranks(use: SlotUse) -> bytes:
    relative: IntArray = use.tasks - use.operator.task_ids.min()
    return relative.tobytes()


def _needed(links: list[tuple[SlotUse, SlotUse]], waits: _Waits) -> BoolArray:
    """For each wait whether the consumer reads a byte that the producer wrote."""
    needed = np.zeros(len(waits.producers), dtype=np.bool_)
    for a, b in links:
        left, has_left = _starts_of(a, waits.producers)
        right, has_right = _starts_of(b, waits.consumers)
        both = np.flatnonzero(has_left & has_right & ~needed)
        if not len(both):
            continue
        deltas, inverse = np.unique(right[both] - left[both], return_inverse=True)
        meets = shared_bytes(a.layout.levels, b.layout.levels, deltas) > 0
        needed[both] |= meets[inverse.ravel()]
    return needed


def _starts_of(use: SlotUse, tasks: IntArray) -> tuple[IntArray, BoolArray]:
    """The lowest byte of the tile of each task, and whether it has one here."""
    order = np.argsort(use.tasks)
    places = np.searchsorted(use.tasks[order], tasks)
    places = np.minimum(places, len(order) - 1)
    index = order[places]
    return use.offsets[index] + use.layout.lowest, use.tasks[index] == tasks


CHECKS: tuple[CheckRow, ...] = (CheckRow(check_waits, (OVER_SYNCHRONISED,)),)
