"""Builds a summary from batches of tasks and the operators found in them, in little memory."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mpkgraph.analysis.csr import counted
from mpkgraph.analysis.extents import TensorExtents, ViewKey
from mpkgraph.analysis.layer_names import layer_number
from mpkgraph.analysis.names import operator_name
from mpkgraph.analysis.operator_totals import UNKNOWN, OperatorTotals
from mpkgraph.analysis.repeats import Repeat, find_repeats
from mpkgraph.analysis.streamed_order import StreamedOrder
from mpkgraph.analysis.summary_result import (
    Summary,
    SummaryOperator,
    SummarySlot,
    SummaryTensor,
)
from mpkgraph.analysis.traffic import PendingTasks, TileBytes, Traffic
from mpkgraph.analysis.workers import WorkerLoad, worker_load
from mpkgraph.catalog import Catalog
from mpkgraph.frozen import dataclass
from mpkgraph.model import ids
from mpkgraph.model.graph import NULL_TASK_TYPE, EventColumns, GraphSource, SlotLayout, TaskColumns
from mpkgraph.model.operator import Operator, OperatorSlot

if TYPE_CHECKING:
    from mpkgraph.analysis.event_order import EventOrder, KnownOrder

NUM_LARGEST_TENSORS = 5
"""Tensors that a summary names: what fits beside the operators on one screen."""

_INT64_MAX = (1 << 63) - 1
_NUMBERED = re.compile(r"(\D*)(\d{0,18})")


@dataclass(frozen=True)
class SummaryOptions:
    """What a summary is to tell beside what the graph holds."""

    num_workers: int | None = None
    num_schedulers: int | None = None
    mirage_version: str | None = None
    num_largest_tensors: int = NUM_LARGEST_TENSORS


class SummaryBuilder:
    """Takes tasks in order and operators as they become whole, then makes the summary.

    Kept are the operators' rows, counts, the columns of tasks that no operator has claimed yet,
    and what `order` keeps of events; so memory grows with events and operators, not with tasks.
    """

    def __init__(
        self,
        catalog: Catalog,
        options: SummaryOptions,
        order: EventOrder | StreamedOrder | KnownOrder,
    ) -> None:
        self._catalog = catalog
        self._options = options
        self._types: Counter[int] = Counter()
        self._trigger_ranks: Counter[int] = Counter()
        self._num_tasks = 0
        self._order = order
        self._totals: list[tuple[int, ...]] = []
        self._first_wait = _INT64_MAX
        self._last_wait = -1
        self._bytes = TileBytes(catalog)
        self._pending = PendingTasks()
        self._extents = TensorExtents()
        self._rows: list[SummaryOperator] = []
        self._origins: set[str] = set()
        self._shapes: list[int] = []
        self._shape_numbers: dict[tuple[object, ...], int] = {}
        self._slots: dict[SummarySlot, SummarySlot] = {}

    def add_tasks(
        self, first_task_id: int, tasks: TaskColumns, layouts: Sequence[SlotLayout]
    ) -> None:
        """Tasks that follow those of the call before; `layouts` may have grown since."""
        self._num_tasks += len(tasks)
        for column, counts in (
            (tasks.task_types, self._types),
            (ids.event_ranks(tasks.trigger_events), self._trigger_ranks),
        ):
            values, numbers = counted(column)
            counts.update(dict(zip(values.tolist(), numbers.tolist(), strict=True)))
        self._order.add(first_task_id, tasks)
        levels = self._order.task_levels(first_task_id, tasks)
        self._pending.add(first_task_id, tasks, *self._bytes.add(tasks, layouts), levels)

    def add_operators(self, operators: Iterable[Operator]) -> None:
        """Operators in order whose tasks have been added."""
        last = -1
        for operator in operators:
            traffic = self._pending.of(operator.task_ids)
            row = self._row(operator, traffic)
            self._rows.append(row)
            self._add_totals(row, operator, traffic)
            shape = _shape(operator)
            self._shapes.append(self._shape_numbers.setdefault(shape, len(self._shape_numbers)))
            self._origins.add(operator.origin)
            self._extents.add_operator(operator)
            last = max(last, int(operator.task_ids.max()))
        self._pending.drop_before(last + 1)

    def finish(
        self,
        *,
        source: GraphSource,
        rank: int,
        events: EventColumns,
        num_first_tasks: int,
        layouts: Sequence[SlotLayout],
        extras: Mapping[str, Any],
    ) -> Summary:
        """The summary; call it once, when all tasks and operators have been added."""
        catalog, options = self._catalog, self._options
        tasks_per_level, cycle = self._order.finish(len(events))
        event_types, counts = counted(events.event_types)
        return Summary(
            source=source,
            rank=rank,
            mirage_version=options.mirage_version,
            catalog_source=catalog.source,
            num_tasks=self._num_tasks,
            num_null_tasks=self._types.get(NULL_TASK_TYPE, 0),
            num_events=len(events),
            num_first_tasks=num_first_tasks,
            num_tensors=len({x.base_ptr for x in layouts if not x.is_null}),
            task_types={
                catalog.task_type_name(value): self._types[value] for value in sorted(self._types)
            },
            event_types={
                catalog.event_type_name(value): count
                for value, count in zip(event_types.tolist(), counts.tolist(), strict=True)
            },
            operators=tuple(self._rows),
            operators_origin=min(self._origins, default=None),
            repeats=self._repeats(),
            depth=len(tasks_per_level),
            width=int(tasks_per_level.max()) if len(tasks_per_level) else 0,
            cycle=cycle,
            num_remote_triggers=sum(
                count for owner, count in self._trigger_ranks.items() if owner not in {-1, rank}
            ),
            load=self._load(),
            largest_tensors=self._largest_tensors(layouts),
            extras=dict(extras),
        )

    def totals(self, num_events: int, rank: int) -> OperatorTotals | None:
        """Of the operators so far. None when they are not known: without levels, or when a task
        waits on an event that is not of this graph.
        """
        lowest, end = rank << ids.EVENT_RANK_SHIFT, (rank << ids.EVENT_RANK_SHIFT) + num_events
        outside = self._first_wait < lowest or self._last_wait >= end
        if not self._order.levels_come_at_once or outside:
            return None
        return OperatorTotals.of_rows(self._totals)

    def _add_totals(self, row: SummaryOperator, operator: Operator, traffic: Traffic) -> None:
        self._first_wait = min(self._first_wait, traffic.first_wait)
        self._last_wait = max(self._last_wait, traffic.last_wait)
        known = (UNKNOWN if x is None else x for x in (traffic.bytes_read, traffic.bytes_written))
        self._totals.append(
            (
                row.num_tasks,
                row.first_task_id,
                int(operator.task_ids.max()),
                traffic.num_events_in,
                traffic.num_events_out,
                traffic.first_level,
                traffic.last_level,
                *known,
            )
        )

    def _repeats(self) -> tuple[Repeat, ...]:
        """Model layers to tell once. Operators that merely look alike (the branches of a fork,
        say) are wired differently and must all be seen.
        """
        found = find_repeats(self._shapes, [row.layer for row in self._rows])
        return tuple(
            repeat
            for repeat in found
            if repeat.period > 1 and (repeat.layers is not None or repeat.count > 2)
        )

    def _load(self) -> WorkerLoad | None:
        options = self._options
        if options.num_workers is None:
            return None
        return worker_load(self._num_tasks, options.num_workers, options.num_schedulers)

    def _row(self, operator: Operator, traffic: Traffic) -> SummaryOperator:
        catalog = self._catalog
        numbers = [
            number
            for slot in operator.slots
            for name in slot.base_ptrs
            if (number := layer_number(name)) is not None
        ]
        return SummaryOperator(
            index=operator.index,
            name=operator_name(operator, catalog),
            task_type_name=catalog.task_type_name(operator.task_type),
            kind=catalog.task_type_row(operator.task_type).kind,
            layer_method=operator.layer_method,
            grid_dim=operator.grid_dim,
            known_grid=operator.known_grid,
            num_subtasks=operator.num_subtasks,
            num_tasks=operator.num_tasks,
            first_task_id=int(operator.task_ids.min()),
            variant_ids=operator.variant_ids,
            inputs=tuple(self._slot(slot) for slot in operator.inputs),
            outputs=tuple(self._slot(slot) for slot in operator.outputs),
            num_events_in=traffic.num_events_in,
            num_events_out=traffic.num_events_out,
            bytes_read=traffic.bytes_read,
            bytes_written=traffic.bytes_written,
            # Activations may be named after the layer before: the weights' number is the largest
            layer=max(numbers, default=None),
        )

    def _slot(self, slot: OperatorSlot) -> SummarySlot:
        made = SummarySlot(slot.name, self._catalog.data_type_name(slot.data_type), slot.tile_dims)
        return self._slots.setdefault(made, made)

    def _largest_tensors(self, layouts: Sequence[SlotLayout]) -> tuple[SummaryTensor, ...]:
        spans = self._bytes.spans(layouts)
        largest = sorted(spans, key=lambda name: (-spans[name], _natural(name)))
        largest = largest[: self._options.num_largest_tensors]
        views: dict[str, ViewKey] = {}
        for layout in layouts:
            if layout.base_ptr in largest and not layout.is_null:
                self._extents.add_layout(layout)
                key = ViewKey(layout.base_ptr, layout.data_type, layout.strides)
                views.setdefault(layout.base_ptr, key)
        return tuple(
            SummaryTensor(
                name=name,
                data_type_name=self._catalog.data_type_name(views[name].data_type),
                dims=self._extents[views[name]].dims,
                known_dims=self._extents[views[name]].known,
                num_bytes=spans[name],
            )
            for name in largest
        )


def _shape(operator: Operator) -> tuple[object, ...]:
    """What operators of equal model layers have in common: all but names and variants."""
    slots = tuple((slot.is_output, slot.data_type, slot.tile_dims) for slot in operator.slots)
    return operator.task_type, operator.grid_dim, operator.num_subtasks, operator.num_tasks, slots


def _natural(name: str) -> tuple[tuple[str, int], ...]:
    """Sorts `layer_2` before `layer_10`."""
    return tuple((text, int(digits or 0)) for text, digits in _NUMBERED.findall(name))
