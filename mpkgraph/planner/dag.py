"""Layers and who waits for whom, as Mirage's generator derives it from the layers alone.

An input slot is bound to the layer that last declared its tensor as an output; an edge that a
longer path makes superfluous (a residual connection) is stripped; and each edge says how its
producer's and consumer's blocks are grouped into events (`src/kernel/annotated_graph.cc` at
`de8745d`).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence

from mpkgraph.frozen import dataclass
from mpkgraph.model.operator import Grid, InputMap

MAX_TENSOR_DIMS = 4


@dataclass(frozen=True, slots=True)
class LayerShape:
    """What the order of tasks depends on; tensors are told apart by id (None: no tensor)."""

    grid_dim: Grid
    inputs: tuple[tuple[int | None, InputMap], ...]
    outputs: tuple[tuple[int | None, InputMap], ...]
    num_subtasks: int = 1
    """Tasks of one block: one, or one for each other GPU."""
    is_remote: bool = False
    """Whether its tasks trigger events of other GPUs, through NVSHMEM."""

    @property
    def num_tasks(self) -> int:
        return math.prod(self.grid_dim) * self.num_subtasks


class EmissionError(Exception):
    """Mirage's generator refuses these layers, or dies of them.

    `layer` is the index of the one at fault, `remedy` what its author can do.
    """

    def __init__(
        self,
        layer: int,
        what: str,
        remedy: str = "",
        *,
        others: Sequence[int] = (),
        tensors: Sequence[int] = (),
    ) -> None:
        super().__init__(layer, what, remedy)
        self.layer = layer
        self.what = what
        self.remedy = remedy
        self.others = tuple(others)
        """Further layers that `what` speaks of."""
        self.tensors = tuple(dict.fromkeys(tensors))
        """The tensors, by id, that make the edges at fault."""


class TooManyTasksError(EmissionError):
    """The layers make more tasks than the caller allows."""


@dataclass(slots=True)
class Edge:
    """One input slot bound to the layer that last wrote its tensor."""

    producer: int
    consumer: int
    tensor: int
    output_map: InputMap
    input_map: InputMap
    event_dims: list[int]
    """Events along each tensor dim."""
    producer_blocks: list[int]
    """Consecutive producer blocks of one event, by grid axis."""
    consumer_blocks: list[int]


class LayerDag:
    """Layers and the edges that survive the stripping of residual ones."""

    def __init__(self, layers: Sequence[LayerShape]) -> None:
        self.layers = layers
        edges = list(_bind(layers))
        kept = _strip_residual(edges, len(layers))
        self.in_edges: list[list[Edge]] = [[] for _ in layers]
        self.out_edges: list[list[Edge]] = [[] for _ in layers]
        for edge in kept:
            self.in_edges[edge.consumer].append(edge)
            self.out_edges[edge.producer].append(edge)
        self.is_fork = [len({e.consumer for e in out}) > 1 for out in self.out_edges]
        self.is_join = [len({e.producer for e in into}) > 1 for into in self.in_edges]
        self._refuse_two_roles()
        for index, is_fork in enumerate(self.is_fork):
            if is_fork:
                self._unify_fork(index)
        for index, is_join in enumerate(self.is_join):
            if is_join:
                self._unify_join(index)

    def _refuse_two_roles(self) -> None:
        # Mirage's "case 2" (a join after a fork) is the same pair of layers seen from the join,
        # which comes later in program order: "case 3" is always found first.
        for index, is_fork in enumerate(self.is_fork):
            joins = [e.consumer for e in self.out_edges[index] if self.is_join[e.consumer]]
            if is_fork and joins:
                out, into = self.out_edges[index], self.in_edges[joins[0]]
                consumers = sorted({e.consumer for e in out})
                producers = sorted({e.producer for e in into})
                raise EmissionError(
                    index,
                    f"it forks (to layers {_listed(consumers)}), and its consumer {joins[0]} joins "
                    f"layers {_listed(producers)}: a task can't trigger two events (case 3)",
                    "Put an identity layer between the two, or let only one layer read it",
                    others=sorted({*consumers, *producers} - {index}),
                    tensors=[e.tensor for e in (*out, *into)],
                )

    def _unify_fork(self, index: int) -> None:
        edges = self.out_edges[index]
        blocks = self._common_blocks(index, [e.producer_blocks for e in edges], edges)
        for edge in edges:
            _coarsen(edge, edge.output_map, edge.producer_blocks, blocks, index)
            edge.producer_blocks = blocks
            grid = self.layers[edge.consumer].grid_dim
            edge.consumer_blocks = _blocks(edge.event_dims, grid, edge.input_map)

    def _unify_join(self, index: int) -> None:
        edges = self.in_edges[index]
        blocks = self._common_blocks(index, [e.consumer_blocks for e in edges], edges)
        for edge in edges:
            _coarsen(edge, edge.input_map, edge.consumer_blocks, blocks, index)
            edge.consumer_blocks = blocks
            grid = self.layers[edge.producer].grid_dim
            edge.producer_blocks = _blocks(edge.event_dims, grid, edge.output_map)

    def _common_blocks(
        self, index: int, sides: list[list[int]], edges: Sequence[Edge]
    ) -> list[int]:
        blocks = [math.lcm(*(side[axis] for side in sides)) for axis in range(3)]
        grid = self.layers[index].grid_dim
        if not all(blocks):
            grids = [self.layers[x].grid_dim for e in edges for x in (e.producer, e.consumer)]
            if any(0 in x for x in grids):
                raise EmissionError(
                    index,
                    f"its grid {grid} or a neighbour's has no blocks: Mirage dies of a division by "
                    "zero",
                    "Make every grid axis at least 1",
                    tensors=[e.tensor for e in edges],
                )
            raise EmissionError(
                index,
                f"two axes of its grid {grid} or of a neighbour's split one dim of a tensor: "
                "Mirage dies of a division by zero",
                "Map each grid axis to a tensor dim of its own",
                tensors=[e.tensor for e in edges],
            )
        if any(size % block for size, block in zip(grid, blocks, strict=True)):
            raise EmissionError(
                index,
                f"its events would take groups of {tuple(blocks)} blocks, which do not divide its "
                f"grid {grid}",
                "Map each grid axis to a tensor dim of its own",
                others=sorted({e.producer + e.consumer - index for e in edges}),
                tensors=[e.tensor for e in edges],
            )
        return blocks

    def order(self) -> list[int]:
        """Layers in the order of emission: topological, ties by depth, then program order."""
        depth = [0] * len(self.layers)
        for index, into in enumerate(self.in_edges):  # program order is topological
            depth[index] = max((depth[e.producer] + 1 for e in into), default=0)
        waiting = [len(into) for into in self.in_edges]
        ready = [(0, index) for index, count in enumerate(waiting) if not count]
        heapq.heapify(ready)
        order = []
        while ready:
            _, index = heapq.heappop(ready)
            order.append(index)
            for edge in self.out_edges[index]:
                waiting[edge.consumer] -= 1
                if not waiting[edge.consumer]:
                    heapq.heappush(ready, (depth[edge.consumer], edge.consumer))
        return order


def _listed(layers: Sequence[int]) -> str:
    *rest, last = map(str, layers)
    return f"{', '.join(rest)} and {last}" if rest else last


def _bind(layers: Sequence[LayerShape]) -> Iterator[Edge]:
    """An edge for each input slot whose tensor some earlier layer declared as an output."""
    last_writer: dict[int, tuple[int, InputMap]] = {}
    for index, layer in enumerate(layers):
        for tensor, input_map in layer.inputs:
            if tensor is not None and tensor in last_writer:
                producer, output_map = last_writer[tensor]
                yield _edge(layers, producer, index, tensor, output_map, input_map)
        for tensor, output_map in layer.outputs:
            if tensor is not None:
                last_writer[tensor] = (index, output_map)


def _edge(
    layers: Sequence[LayerShape],
    producer: int,
    consumer: int,
    tensor: int,
    output_map: InputMap,
    input_map: InputMap,
) -> Edge:
    grids = layers[producer].grid_dim, layers[consumer].grid_dim
    splits = _partition(grids[0], output_map), _partition(grids[1], input_map)
    event_dims = [math.gcd(*pair) for pair in zip(*splits, strict=True)]
    return Edge(
        producer=producer,
        consumer=consumer,
        tensor=tensor,
        output_map=output_map,
        input_map=input_map,
        event_dims=event_dims,
        producer_blocks=_blocks(event_dims, grids[0], output_map),
        consumer_blocks=_blocks(event_dims, grids[1], input_map),
    )


def _strip_residual(edges: list[Edge], num_layers: int) -> list[Edge]:
    """The edges u-v of which no other successor of u reaches v."""
    successors: list[set[int]] = [set() for _ in range(num_layers)]
    for edge in edges:
        successors[edge.producer].add(edge.consumer)
    reach = [0] * num_layers  # bit v of reach[u]: u reaches v
    for index in reversed(range(num_layers)):
        for successor in successors[index]:
            reach[index] |= reach[successor] | 1 << successor
    indirect = [0] * num_layers  # through a successor (which never reaches itself)
    for index in range(num_layers):
        for successor in successors[index]:
            indirect[index] |= reach[successor]
    return [edge for edge in edges if not indirect[edge.producer] >> edge.consumer & 1]


def _partition(grid: Grid, input_map: InputMap) -> list[int]:
    """Into how many parts a layer cuts each tensor dim; the last axis on a dim counts."""
    parts = [1] * MAX_TENSOR_DIMS
    for axis, dim in enumerate(input_map):
        if 0 <= dim < MAX_TENSOR_DIMS:
            parts[dim] = grid[axis]
    return parts


def _blocks(event_dims: list[int], grid: Grid, input_map: InputMap) -> list[int]:
    """Consecutive blocks of one event by grid axis: all of them where the axis splits nothing."""
    return [
        grid[axis] // event_dims[dim] if 0 <= dim < MAX_TENSOR_DIMS else grid[axis]
        for axis, dim in enumerate(input_map)
    ]


def _coarsen(edge: Edge, axis_map: InputMap, own: list[int], common: list[int], layer: int) -> None:
    """Fewer events along the dims whose blocks grow from `own` to `common`."""
    for axis, dim in enumerate(axis_map):
        scale = common[axis] // max(own[axis], 1)
        if scale > 1 and 0 <= dim < MAX_TENSOR_DIMS:
            if edge.event_dims[dim] % scale:
                raise EmissionError(
                    layer,
                    f"its {edge.event_dims[dim]} events along dim {dim} can't be merged {scale} at "
                    "a time",
                    "Map each grid axis to a tensor dim of its own",
                    others=[edge.producer + edge.consumer - layer],
                    tensors=[edge.tensor],
                )
            edge.event_dims[dim] //= scale
