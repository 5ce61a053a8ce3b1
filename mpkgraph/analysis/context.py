"""A graph with its operators and names, and what questions about it need computed once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, overload

from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.event_graph import EventGraph
from mpkgraph.analysis.levels import Levels, find_levels
from mpkgraph.catalog import DEFAULT, Catalog
from mpkgraph.frozen import dataclass
from mpkgraph.model.graph import TaskGraph
from mpkgraph.model.operator import OperatorSet

if TYPE_CHECKING:
    # Each is imported for the questions that need it: most need few
    from mpkgraph.analysis.event_detail import EventDetail
    from mpkgraph.analysis.extents import Extent, TensorExtents, ViewKey
    from mpkgraph.analysis.layout_extents import LayoutExtents
    from mpkgraph.analysis.operator_totals import OperatorTotals
    from mpkgraph.analysis.structure import OperatorEdges
    from mpkgraph.analysis.task_detail import SlotDetail
    from mpkgraph.analysis.tensor_totals import TensorTotals

MAX_LONE_OPERATORS = 8
"""Operators whose edges are found one by one, each in a tenth of the time that all edges take."""
MAX_LONE_TENSORS = 8
"""Likewise tensors whose extents are found one by one."""
MAX_REMEMBERED = 1 << 14
"""Details of events, and of slots, that are kept for the tasks that share them."""


class KeptAnswers(Protocol):
    """Where answers about a graph are kept between commands."""

    def event_levels(self, num_events: int) -> IntArray | None:
        """Levels of the events of a graph without cycles and without events of other indices."""

    def keep_event_levels(self, levels: IntArray) -> None: ...

    def operator_totals(self, num_operators: int) -> OperatorTotals | None: ...

    def keep_operator_totals(self, totals: OperatorTotals) -> None: ...

    def tensor_totals(self, num_tensors: int) -> TensorTotals | None:
        """Totals of the tensors of a graph, in the order of `TaskGraph.tensors`."""

    def keep_tensor_totals(self, totals: TensorTotals) -> None: ...


@dataclass(frozen=True)
class GraphContext:
    """A graph, its operators and the names of its numbers; the rest is computed when asked for."""

    graph: TaskGraph
    operators: OperatorSet
    catalog: Catalog = DEFAULT
    kept: KeptAnswers | None = None
    """What was computed of this graph before."""

    @cached_property
    def events(self) -> EventGraph:
        """Order within this rank."""
        return EventGraph.of(self.graph)

    @cached_property
    def all_ranks(self) -> EventGraph:
        """Order over all ranks: an event of another rank stands for the one of its index here."""
        return EventGraph.of(self.graph, mirror=True, strict=self.events)

    @cached_property
    def levels(self) -> Levels:
        """Levels over all ranks."""
        events = self.all_ranks
        known = None if self.kept is None else self.kept.event_levels(self.graph.num_events)
        if known is not None:
            return Levels(events, known, cycle=())
        found = find_levels(events)
        if self.kept is not None and events.num_nodes == events.num_local and not found.cycle:
            self.kept.keep_event_levels(found.event_levels)
        return found

    @cached_property
    def operator_totals(self) -> OperatorTotals:
        known = None if self.kept is None else self.kept.operator_totals(len(self.operators))
        if known is not None:
            return known
        from mpkgraph.analysis.operator_totals import OperatorTotals

        found = OperatorTotals.of(self)
        if self.kept is not None:
            self.kept.keep_operator_totals(found)
        return found

    @cached_property
    def tensor_totals(self) -> TensorTotals:
        known = None if self.kept is None else self.kept.tensor_totals(len(self.graph.tensors))
        if known is not None:
            return known
        from mpkgraph.analysis.tensor_totals import TensorTotals

        found = TensorTotals.of(self)
        if self.kept is not None:
            self.kept.keep_tensor_totals(found)
        return found

    def edges_of(self, operator: int) -> OperatorEdges:
        """The edges that lead to or from an operator."""
        from mpkgraph.analysis.structure import edges_of_operator

        self._asked_operators.add(operator)
        if len(self._asked_operators) <= MAX_LONE_OPERATORS:
            return edges_of_operator(self.graph, self.operators, self.all_ranks, operator)
        return self.operator_edges.of(operator)

    @cached_property
    def operator_edges(self) -> OperatorEdges:
        from mpkgraph.analysis.structure import operator_edges

        return operator_edges(self.graph, self.operators)

    @cached_property
    def _asked_operators(self) -> set[int]:
        return set()

    @cached_property
    def event_details(self) -> dict[int, EventDetail]:
        """Details of events, by 64-bit id, that were asked for: tasks share events."""
        return {}

    @cached_property
    def slot_details(self) -> dict[tuple[object, ...], SlotDetail]:
        """Likewise of slots, by all that they are made from: tasks share tiles."""
        return {}

    @cached_property
    def operator_names(self) -> Sequence[str]:
        """Name of each operator."""
        return _Names(self.operators, self.catalog)

    @cached_property
    def layout_extents(self) -> LayoutExtents:
        """Bytes of a tile of each layout."""
        from mpkgraph.analysis.layout_extents import LayoutExtents

        return LayoutExtents.of(self.graph.layouts, self.catalog)

    @cached_property
    def tensor_extents(self) -> TensorExtents:
        """Whole extents of every view of every tensor."""
        from mpkgraph.analysis.extents import TensorExtents

        return TensorExtents.of(self.graph.layouts, self.operators)

    def extents_of(self, tensor: str) -> Mapping[ViewKey, Extent]:
        """Whole extents of every view of one tensor."""
        self._asked_tensors.add(tensor)
        if "tensor_extents" in self.__dict__ or len(self._asked_tensors) > MAX_LONE_TENSORS:
            found = self.tensor_extents
        else:
            from mpkgraph.analysis.extents import TensorExtents

            layouts = (x for x in self.graph.layouts if x.base_ptr == tensor)
            found = TensorExtents.of(layouts, self.operators.with_tensor(tensor))
        return {key: extent for key, extent in found.items() if key.base_ptr == tensor}

    @cached_property
    def _asked_tensors(self) -> set[str]:
        return set()

    def owner_name(self, task_id: int) -> str:
        """Name of a task's operator, else of its task type."""
        index = self.operators.owner(task_id)
        if index >= 0:
            return self.operator_names[index]
        return self.catalog.layer_kind(self.graph.tasks.value("task_types", task_id))


class _Names(Sequence[str]):
    """Names as `operator_name` tells them, found when asked for."""

    def __init__(self, operators: OperatorSet, catalog: Catalog) -> None:
        self._operators = operators
        self._catalog = catalog

    def __len__(self) -> int:
        return len(self._operators)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        if isinstance(index, slice):
            return tuple(self[place] for place in range(len(self))[index])
        registered, task_type = self._operators.naming(index)
        return registered or self._catalog.layer_kind(task_type)
