"""Why Mirage made no event for a pair of layers: the generator's own steps, asked again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Literal

from mpkgraph.analysis.verify.rules.hazards.conflicts import Conflict
from mpkgraph.frozen import dataclass
from mpkgraph.model.operator import Operator, OperatorSlot
from mpkgraph.planner.dag import EmissionError, LayerDag, LayerShape

Cause = Literal["undeclared", "later-writer", "stripped", "second-edge", "groups", "no-edge"]


@dataclass(frozen=True)
class Bindings:
    """Layers in program order, and which edges between them the generator makes and keeps.

    Without a record the operators stand for the layers, in their order of emission.
    """

    operators: Sequence[Operator]

    @cached_property
    def places(self) -> dict[int, int]:
        """By index of an operator its place in program order."""
        return {operator.index: place for place, operator in enumerate(self.operators)}

    @cached_property
    def _ids(self) -> dict[str, int]:
        names = {slot.name for operator in self.operators for slot in operator.slots}
        return {name: number for number, name in enumerate(sorted(names))}

    @cached_property
    def dag(self) -> LayerDag | None:
        """None where the operators are no layers that the generator takes."""
        shapes = [
            LayerShape(
                grid_dim=operator.grid_dim,
                inputs=tuple(self._bound(x) for x in operator.inputs),
                outputs=tuple(self._bound(x) for x in operator.outputs),
                num_subtasks=operator.num_subtasks,
            )
            for operator in self.operators
        ]
        try:
            return LayerDag(shapes)
        except EmissionError:
            return None

    def _bound(self, slot: OperatorSlot) -> tuple[int | None, tuple[int, int, int]]:
        return (self._ids[slot.name] if slot.base_ptrs else None), slot.input_map

    def last_writer(self, tensor: str, before: Operator) -> Operator | None:
        """The layer that the generator binds a reader of a tensor to."""
        found = None
        for operator in self.operators[: self.places[before.index]]:
            if any(tensor in slot.base_ptrs for slot in operator.outputs):
                found = operator
        return found

    def cause(self, conflict: Conflict) -> Cause:
        """Why the later one's tasks do not wait for the earlier one's."""
        earlier, later = conflict.earlier, conflict.later
        if earlier.writes and not earlier.use.slot.is_output:
            return "undeclared"
        if conflict.hazard != "RAW":
            return "no-edge"
        writer = self.last_writer(conflict.later.tensor, later.operator)
        if writer is None or writer.index != earlier.operator.index:
            return "later-writer"
        if self.dag is None:
            return "no-edge"
        place, tensor = self.places[later.operator.index], self._ids.get(earlier.use.slot.name)
        mine = [
            edge
            for edge in self.dag.in_edges[place]
            if edge.producer == self.places[earlier.operator.index]
        ]
        if not mine:
            return "stripped"
        reader = later.use.slot
        first = mine[0]
        if first.tensor != tensor or (first.input_map != reader.input_map and not reader.is_output):
            return "second-edge"
        return "groups"
