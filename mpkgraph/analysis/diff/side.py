"""One side of a diff: a graph with its operators, and what matching and comparing look at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import field, replace
from functools import cached_property

import numpy as np

from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.diff.hashing import HashArray, combined, sums_by
from mpkgraph.analysis.diff.numbering import is_in_emission_order, operators_in_any_order
from mpkgraph.analysis.diff.task_hashes import TaskHashes
from mpkgraph.analysis.drawing.model_layers import model_layers
from mpkgraph.analysis.structure import OperatorEdges
from mpkgraph.catalog import DEFAULT, Catalog
from mpkgraph.frozen import dataclass
from mpkgraph.model.graph import TaskGraph
from mpkgraph.model.operator import Operator, OperatorSet
from mpkgraph.model.record import PipelineRecord, RecordedLayer
from mpkgraph.planner.registered import RegisteredTasks
from mpkgraph.views.operators import recover_operators


@dataclass(frozen=True)
class Side:
    """A rank's graph, ready to be compared."""

    name: str
    """What the user calls it: a path, or a function."""
    graph: TaskGraph
    operators: OperatorSet
    catalog: Catalog = DEFAULT
    record: PipelineRecord | None = None
    tasks: RegisteredTasks | None = field(default=None, repr=False)
    """Names that layers of the record can be registered as; None for Mirage's own."""

    @classmethod
    def of(
        cls,
        graph: TaskGraph,
        operators: OperatorSet | None = None,
        record: PipelineRecord | None = None,
        *,
        name: str = "",
        catalog: Catalog = DEFAULT,
    ) -> Side:
        """With the operators of the record when they are given, else with recovered ones."""
        if operators is None:
            operators = recover_operators(graph, catalog)
        return cls(name or graph.source.path or "graph", graph, operators, catalog, record)

    @property
    def is_recorded(self) -> bool:
        return bool(len(self.operators)) and self.operators[0].origin == "recorded"

    @cached_property
    def is_in_emission_order(self) -> bool:
        return is_in_emission_order(self.graph)

    @cached_property
    def hashes(self) -> TaskHashes:
        return TaskHashes.of(self.graph)

    def recovered(self, *, any_order: bool) -> Side:
        """The same with operators that are recovered from the tasks."""
        if any_order:
            found = operators_in_any_order(self.graph, self.catalog, self.hashes)
        else:
            found = recover_operators(self.graph, self.catalog)
        # What the record says of names and parameters has no operators to go with any more
        return self.with_operators(found)

    def with_operators(self, operators: OperatorSet) -> Side:
        """The same graph with other operators."""
        side = replace(self, operators=operators)
        for known in ("hashes", "is_in_emission_order"):
            if known in self.__dict__:
                side.__dict__[known] = self.__dict__[known]
        return side

    @cached_property
    def view(self) -> GraphContext:
        return GraphContext(self.graph, self.operators, self.catalog)

    @cached_property
    def edges(self) -> OperatorEdges:
        """Which operator waits on which, through events."""
        return self.view.operator_edges

    def operator_name(self, operator: Operator) -> str:
        return self.view.operator_names[operator.index]

    def layer(self, operator: Operator) -> RecordedLayer | None:
        """The recorded layer that emitted an operator; None for recovered ones."""
        if self.record is None or operator.layer_index is None:
            return None
        return self.record.layers[operator.layer_index]

    @cached_property
    def program_order(self) -> tuple[int, ...]:
        """By operator its place in the program: of its layer when recorded, else of its tasks."""
        layers = [x.layer_index for x in self.operators]
        if any(x is None for x in layers):
            return tuple(range(len(self.operators)))
        return tuple(x or 0 for x in layers)

    @cached_property
    def sources(self) -> tuple[tuple[int, ...], ...]:
        """By operator and slot, inputs first, the operator that wrote an input last; -1 for none.

        With a record in the order of the program, as Mirage binds a slot to the latest writer of
        its tensor; without one, the last of the writers that events order before. An output has
        none: who wrote its buffer before is no matter of data.
        """
        return self._by_program if self.is_recorded else self._by_order

    @property
    def _by_program(self) -> tuple[tuple[int, ...], ...]:
        latest: dict[str, int] = {}
        found: list[tuple[int, ...]] = [()] * len(self.operators)
        for index in np.argsort(self.program_order, kind="stable").tolist():
            operator = self.operators[index]
            found[index] = tuple(
                -1
                if slot.is_output
                else max((latest.get(x, -1) for x in slot.base_ptrs), default=-1)
                for slot in operator.slots
            )
            for slot in operator.outputs:
                for name in slot.base_ptrs:
                    latest[name] = index
        return tuple(found)

    @property
    def _by_order(self) -> tuple[tuple[int, ...], ...]:
        levels = self.view.levels.task_levels
        depths = [int(levels[x.task_ids].max(initial=-1)) for x in self.operators]
        writers: dict[str, list[int]] = {}
        for operator in sorted(self.operators, key=lambda x: (-depths[x.index], x.index)):
            for slot in operator.outputs:
                for name in slot.base_ptrs:
                    writers.setdefault(name, []).append(operator.index)
        found = []
        for operator in self.operators:
            before = self.before[operator.index]
            found.append(
                tuple(
                    -1
                    if slot.is_output
                    else next(
                        (w for x in slot.base_ptrs for w in writers.get(x, ()) if before >> w & 1),
                        -1,
                    )
                    for slot in operator.slots
                )
            )
        return tuple(found)

    @cached_property
    def before(self) -> tuple[int, ...]:
        """By operator the bits of all operators that events order before it."""
        into: list[list[int]] = [[] for _ in self.operators]
        for tail, head in zip(
            self.edges.producers.tolist(), self.edges.consumers.tolist(), strict=True
        ):
            if tail != head:
                into[head].append(tail)
        return tuple(closed_bits(into, [1 << x for x in range(len(into))]))

    @cached_property
    def named_sums(self) -> HashArray:
        """As `tile_sums`, with the names of tensors."""
        hashes = combined(self.hashes.tiles, self.hashes.metadata, self.hashes.names)
        return sums_by(self.task_operators, hashes, len(self.operators))

    def is_last_writer(self, writer: int, reader: int, names: Sequence[str]) -> bool:
        """Whether events order a writer of one of the tensors before a reader, and no other writer
        of it in between: several may be the last where nothing orders them.
        """
        if not self.before[reader] >> writer & 1:
            return False
        return not any(
            self.before[reader] >> other & 1 and self.before[other] >> writer & 1
            for name in names
            for other in self._writers.get(name, ())
        )

    @cached_property
    def _writers(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for operator in self.operators:
            for slot in operator.outputs:
                for name in slot.base_ptrs:
                    found.setdefault(name, []).append(operator.index)
        return found

    @cached_property
    def readers(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """By operator those that read what it wrote: (operator, slot position)."""
        found: list[list[tuple[int, int]]] = [[] for _ in self.operators]
        for operator, sources in zip(self.operators, self.sources, strict=True):
            for slot, source in zip(operator.slots, sources, strict=True):
                if source >= 0 and not slot.is_output:
                    found[source].append((operator.index, slot.position))
        return tuple(tuple(x) for x in found)

    @cached_property
    def written(self) -> frozenset[str]:
        """Tensors that some operator declares as an output."""
        return frozenset(
            name for x in self.operators for slot in x.outputs for name in slot.base_ptrs
        )

    @cached_property
    def model_layers(self) -> tuple[int | None, ...]:
        """By operator the number of its model layer, as far as names tell."""
        pairs = zip(self.edges.producers.tolist(), self.edges.consumers.tolist(), strict=True)
        return tuple(model_layers(self.operators.operators, pairs))

    @cached_property
    def task_operators(self) -> IntArray:
        return self.operators.task_operators.astype(np.int64)

    @cached_property
    def tile_sums(self) -> HashArray:
        """By operator a hash of its tasks' types, tiles and metadata, in any order."""
        hashes = combined(self.hashes.tiles, self.hashes.metadata)
        return sums_by(self.task_operators, hashes, len(self.operators))

    def weights(self, operator: Operator) -> tuple[str, ...]:
        """Inputs that no operator writes."""
        names = (name for slot in operator.inputs for name in slot.base_ptrs)
        return tuple(dict.fromkeys(name for name in names if name not in self.written))

    def parts(self, name: str) -> tuple[str, ...]:
        """The tensors that a shuffled or fused one was made of, as the record says; else itself."""
        return self._parts.get(name, (name,))

    @cached_property
    def _parts(self) -> dict[str, tuple[str, ...]]:
        if self.record is None:
            return {}
        tensors = self.record.tensor_by_id
        found = {}
        for call in self.record.calls.values():
            ids = [x.tensor for x in call.inputs or () if x.tensor is not None]
            parts = [tensors[x] for x in ids if x in tensors]
            if parts and call.tensor in tensors:
                found[tensors[call.tensor].base_ptr] = tuple(x.base_ptr for x in parts)
        return found

    def subject(self, operator: Operator) -> str:
        """What tells an operator from its like: a tensor that only it has, else its output."""
        weights = self.weights(operator)
        outputs = [n for slot in operator.outputs for n in slot.base_ptrs]
        inputs = [n for slot in operator.inputs for n in slot.base_ptrs]
        for names in (weights, outputs, inputs):
            if names:
                # The largest of the weights: a linear is known by its matrix, not its input
                return min(names, key=lambda x: (self._uses[x], -self._sizes[x], names.index(x)))
        return ""

    @cached_property
    def _sizes(self) -> dict[str, int]:
        """By tensor its elements, as far as operators tell."""
        found: dict[str, int] = {}
        for operator in self.operators:
            for slot in operator.slots:
                for name in slot.base_ptrs:
                    found[name] = max(found.get(name, 0), math.prod(slot.tensor_dims))
        return found

    def num_uses(self, name: str) -> int:
        """Operators that name a tensor."""
        return self._uses.get(name, 0)

    @cached_property
    def _uses(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for operator in self.operators:
            for name in {n for slot in operator.slots for n in slot.base_ptrs}:
                counts[name] = counts.get(name, 0) + 1
        return counts


def closed_bits(neighbours: Sequence[Sequence[int]], own: Sequence[int]) -> list[int]:
    """For each node the bits of all nodes that are reached from it; itself only in a cycle.

    `own[x]` is the bit of node x, 0 for none. Edges that close a cycle are left out.
    """
    found = [0] * len(neighbours)
    state = [0] * len(neighbours)
    # Depth first, so that nodes may be numbered in any order
    for start in range(len(neighbours)):
        stack = [] if state[start] else [start]
        while stack:
            node = stack[-1]
            if state[node] == 0:
                state[node] = 1
                stack += [x for x in neighbours[node] if not state[x]]
                continue
            stack.pop()
            if state[node] == 1:
                state[node] = 2
                for other in neighbours[node]:
                    found[node] |= found[other] | own[other]
    return found
