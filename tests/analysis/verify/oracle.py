"""A slow second opinion on hazards: all pairs of tasks, sets of bytes, paths in networkx."""

from __future__ import annotations

import itertools
from collections import defaultdict

import networkx as nx

from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.catalog import DEFAULT
from mpkgraph.model import ids
from mpkgraph.planner.plan import plan
from mpkgraph.views.recorded import recorded_operators
from tests.pipelines.kit import record_of

Pair = tuple[int, int]


def context_of(record, options=None) -> VerifyContext:
    """What the planner makes of a record, ready to be checked."""
    graph = plan(record).graph
    operators = recorded_operators(graph, record, DEFAULT)
    more = {} if options is None else {"options": options}
    return VerifyContext(graph, operators, DEFAULT, record, **more)


def built(build, cc=90, **init) -> VerifyContext:
    return context_of(record_of(build, cc, **init))


def tile_bytes(slot) -> frozenset[int]:
    """Every byte of a slot's tile, one by one."""
    size = DEFAULT.data_type_size(slot.layout.data_type)
    firsts = [
        slot.offset + size * sum(i * s for i, s in zip(index, slot.strides, strict=True))
        for index in itertools.product(*(range(d) for d in slot.dims))
    ]
    return frozenset(first + k for first in firsts for k in range(size))


class Oracle:
    """Everything by brute force, from the graph and the table of effects."""

    def __init__(self, context: VerifyContext) -> None:
        self.context = context
        graph = context.graph
        order = nx.DiGraph()
        for task in range(ids.NUM_FIXED_TASKS, graph.num_tasks):
            waits = int(graph.tasks.dependent_indices[task])
            fires = int(graph.tasks.trigger_indices[task])
            order.add_node(("task", task))
            if waits >= 0:
                order.add_edge(("event", waits), ("task", task))
            if fires >= 0:
                order.add_edge(("task", task), ("event", fires))
        self.after = {node: nx.descendants(order, node) for node in order if node[0] == "task"}
        self.touches = []
        """(layer, task, slot, kind, tensor, bytes)"""
        for operator in context.operators:
            effects = context.effects(operator).slots
            for task in operator.task_ids.tolist():
                for position, slot in enumerate(graph.slots(task)):
                    effect = effects[position]
                    if effect.access == "none" or slot.layout.is_null:
                        continue
                    kind = {"read": "read", "accumulate": "accumulate"}.get(effect.access, "write")
                    where = operator.layer_index, task, position
                    self.touches.append((*where, kind, slot.base_ptr, tile_bytes(slot)))
        self.by_byte = defaultdict(list)
        for layer, task, _, kind, tensor, touched in self.touches:
            for byte in touched:
                self.by_byte[tensor, byte].append((layer, task, kind))

    def ordered(self, a: int, b: int) -> bool:
        return ("task", b) in self.after["task", a]

    def all_pairs(self) -> set[Pair]:
        """Conflicting pairs of tasks of different layers that no path orders."""
        return {
            (a, b)
            for accesses in self.by_byte.values()
            for (i, a, kind_a), (j, b, kind_b) in itertools.permutations(accesses, 2)
            if i < j and conflict(kind_a, kind_b) and not self.ordered(a, b)
        }

    def neighbours(self) -> set[Pair]:
        """Those that for some byte follow from no chain of conflicts through layers between."""
        found = set()
        for accesses in self.by_byte.values():
            layers = sorted({(layer, kind) for layer, _, kind in accesses})
            chains = nx.DiGraph()
            chains.add_nodes_from(layers)
            chains.add_edges_from(
                (x, y) for x in layers for y in layers if x[0] < y[0] and conflict(x[1], y[1])
            )
            direct = set(nx.transitive_reduction(chains).edges)
            found |= {
                (a, b)
                for (i, a, kind_a), (j, b, kind_b) in itertools.permutations(accesses, 2)
                if ((i, kind_a), (j, kind_b)) in direct and not self.ordered(a, b)
            }
        return found

    def sibling_pairs(self, *, reads: bool) -> dict[tuple[int, str], int]:
        """By layer and tensor how many pairs of its tasks write the same from different work, or
        (`reads`) of which one writes what the other reads.
        """
        work = defaultdict(list)
        for _, task, _, _, tensor, touched in self.touches:
            work[task].append((tensor, touched))
        found = defaultdict(set)
        for one, two in itertools.permutations(self.touches, 2):
            same_place = one[0] == two[0] and one[4] == two[4] and one[1] != two[1]
            if not same_place or one[3] == "read" or not one[5] & two[5]:
                continue
            if reads and two[3] != "write" and conflict(one[3], two[3]):
                found[one[0], one[4]].add((one[1], two[1]))
            if not reads and one[3] == two[3] == "write" and work[one[1]] != work[two[1]]:
                found[one[0], one[4]].add(tuple(sorted((one[1], two[1]))))
        return {key: len(pairs) for key, pairs in found.items()}

    def unwritten_reads(self, tensors: set[str]) -> set[tuple[int, int]]:
        """(layer, slot) that reads bytes which no layer before it writes."""
        return {
            (layer, position)
            for layer, _, position, kind, tensor, touched in self.touches
            if tensor in tensors and kind != "write"
            for byte in touched
            if not any(i < layer and k != "read" for i, _, k in self.by_byte[tensor, byte])
        }


def conflict(one: str, two: str) -> bool:
    return one != two or one == "write"
