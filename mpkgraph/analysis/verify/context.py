"""What rules look at: a graph with its operators, its record, effects and order."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.verify.finding import Location, TaskRef
from mpkgraph.catalog import Catalog
from mpkgraph.catalog.effects import EffectRow, SlotEffect, effects_of
from mpkgraph.frozen import dataclass
from mpkgraph.model.graph import TaskGraph
from mpkgraph.model.operator import Operator, OperatorSet, OperatorSlot
from mpkgraph.model.record import PipelineRecord, RecordedLayer
from mpkgraph.model.tile import TileLayout, tile_layouts

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class VerifyOptions:
    """What the user says beyond the graph."""

    num_workers: int | None = None
    """Workers of the GPU: adds what static placement orders, and hangs of that placement."""
    num_schedulers: int | None = None
    num_multiprocessors: int | None = None
    """Of the GPU, where the user names one."""
    target_cc: int | None = None
    """None takes the record's."""


@dataclass(frozen=True)
class SlotUse:
    """One slot of one operator: what its tasks do there. Arrays go by task of the operator."""

    operator: Operator
    slot: OperatorSlot
    effect: SlotEffect
    tensor: str
    """`base_ptr` of these tasks."""
    tasks: IntArray
    """Ids of the tasks, in grid order; of a fused tensor those that see this part."""
    layout: TileLayout
    offsets: IntArray
    """Byte offset of each task's tile."""


@dataclass(frozen=True)
class VerifyContext:
    """One rank's graph, ready to be checked; what rules share is computed once."""

    graph: TaskGraph
    operators: OperatorSet
    catalog: Catalog
    record: PipelineRecord | None = None
    """None: operators are recovered from the tasks, and rules that need a record are skipped."""
    options: VerifyOptions = VerifyOptions()
    memo: dict[Hashable, Any] = field(default_factory=dict, init=False, compare=False, repr=False)
    """What rules of one family keep for each other; a key starts with the module's name."""

    @cached_property
    def view(self) -> GraphContext:
        """Order, levels, names and extents."""
        return GraphContext(self.graph, self.operators, self.catalog)

    @cached_property
    def tile_layouts(self) -> tuple[TileLayout | None, ...]:
        """For each interned layout its tiles; None for null slots and types without a size."""
        return tile_layouts(self.graph, self.catalog)

    def effects(self, operator: Operator) -> EffectRow:
        """What the operator's kernel does to its slots; with a record, as its params decide."""
        inputs = sum(not slot.is_output for slot in operator.slots)
        name = self.catalog.task_type_name(operator.task_type)
        layer = self.layer(operator)
        registered = None if layer is None else layer.register_name
        row = effects_of(name, inputs, len(operator.slots) - inputs, registered)
        if layer is None:
            return row
        return row.given([int(x) for x in layer.params or ()], self.graph.rank)

    @cached_property
    def uses(self) -> tuple[SlotUse, ...]:
        """Every slot of every operator, in order of operators, then slots; null slots left out."""
        return tuple(use for operator in self.operators for use in self._uses_of(operator))

    @cached_property
    def uses_by_tensor(self) -> Mapping[str, tuple[SlotUse, ...]]:
        """By `base_ptr`, in the order of `uses`."""
        found: dict[str, list[SlotUse]] = {}
        for use in self.uses:
            found.setdefault(use.tensor, []).append(use)
        return {name: tuple(uses) for name, uses in found.items()}

    def layer(self, operator: Operator) -> RecordedLayer | None:
        """The recorded layer that emitted an operator; None without a record."""
        if self.record is None or operator.layer_index is None:
            return None
        return self.record.layers[operator.layer_index]

    def name(self, operator: Operator) -> str:
        return self.view.operator_names[operator.index]

    def task_ref(self, task_id: int) -> TaskRef:
        """A task for a witness."""
        index = int(self.operators.task_operators[task_id])
        if index < 0:
            return TaskRef(task_id)
        operator = self.operators[index]
        return TaskRef(task_id, index, self.name(operator), self.operators.grid_position(task_id))

    def location(
        self,
        operator: Operator | None = None,
        slot: OperatorSlot | None = None,
        *,
        tensor: str | None = None,
        elements: tuple[tuple[int, int], ...] | None = None,
        byte_range: tuple[int, int] | None = None,
        event: int | None = None,
    ) -> Location:
        """A location in an operator (and slot) of this rank; `tensor` defaults to the slot's."""
        layer = None if operator is None else self.layer(operator)
        site = None
        if layer is not None and self.record is not None:
            site = self.record.call_site(layer.where)
        return Location(
            rank=self.graph.rank,
            operator=None if operator is None else operator.index,
            operator_name=None if operator is None else self.name(operator),
            slot=None if slot is None else slot.position,
            tensor=slot.name if tensor is None and slot is not None else tensor,
            elements=elements,
            byte_range=byte_range,
            event=event,
            record_path=None if layer is None else layer.where,
            site=site,
        )

    def _uses_of(self, operator: Operator) -> Iterator[SlotUse]:
        columns = self.graph.tasks
        starts = columns.slot_starts[operator.task_ids]
        effects = self.effects(operator).slots
        for slot, effect in zip(operator.slots, effects, strict=True):
            places = starts + slot.position
            codes = columns.slot_layouts[places]
            for code in np.unique(codes).tolist():
                layout = self.tile_layouts[code]
                if layout is None:
                    continue
                mine = codes == code
                yield SlotUse(
                    operator=operator,
                    slot=slot,
                    effect=effect,
                    tensor=self.graph.layouts[code].base_ptr,
                    tasks=operator.task_ids[mine],
                    layout=layout,
                    offsets=columns.slot_offsets[places[mine]],
                )
