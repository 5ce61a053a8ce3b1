"""A graph with its operators and names, and what questions about it need computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import overload

from mpkgraph.analysis.event_graph import EventGraph
from mpkgraph.analysis.extents import TensorExtents
from mpkgraph.analysis.layout_extents import LayoutExtents
from mpkgraph.analysis.levels import Levels, find_levels
from mpkgraph.analysis.names import operator_name
from mpkgraph.analysis.structure import OperatorEdges, operator_edges
from mpkgraph.catalog import DEFAULT, Catalog
from mpkgraph.model.graph import TaskGraph
from mpkgraph.model.operator import OperatorSet


@dataclass(frozen=True)
class GraphContext:
    """A graph, its operators and the names of its numbers; the rest is computed when asked for."""

    graph: TaskGraph
    operators: OperatorSet
    catalog: Catalog = DEFAULT

    @cached_property
    def events(self) -> EventGraph:
        """Order within this rank."""
        return EventGraph.of(self.graph)

    @cached_property
    def all_ranks(self) -> EventGraph:
        """Order over all ranks: an event of another rank stands for the one of its index here."""
        if not len(self.events.outside_keys):
            return self.events
        return EventGraph.of(self.graph, mirror=True)

    @cached_property
    def levels(self) -> Levels:
        """Levels over all ranks."""
        return find_levels(self.all_ranks)

    @cached_property
    def operator_edges(self) -> OperatorEdges:
        return operator_edges(self.graph, self.operators)

    @cached_property
    def operator_names(self) -> Sequence[str]:
        """Name of each operator."""
        return _Names(self.operators, self.catalog)

    @cached_property
    def layout_extents(self) -> LayoutExtents:
        """Bytes of a tile of each layout."""
        return LayoutExtents.of(self.graph.layouts, self.catalog)

    @cached_property
    def tensor_extents(self) -> TensorExtents:
        """Whole extents of every view of every tensor."""
        return TensorExtents.of(self.graph.layouts, self.operators)

    def owner_name(self, task_id: int) -> str:
        """Name of a task's operator, else of its task type."""
        index = int(self.operators.task_operators[task_id])
        if index >= 0:
            return self.operator_names[index]
        return self.catalog.layer_kind(int(self.graph.tasks.task_types[task_id]))


class _Names(Sequence[str]):
    """Names that are found when asked for: an operator of the cache is made then."""

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
        return operator_name(self._operators[index], self._catalog)
