"""Operators from the tasks alone: what one layer emitted, its grid, the split of every slot.

`segments` finds the tasks of a layer, `grids` its grid, `extents` completes whole-tensor dims
from other operators. Nothing here is a guess that is not marked: `known_grid`, `known_map` and
`known_dims` say what the tasks prove, `ambiguities` says the rest in words.
"""

from __future__ import annotations

import zlib
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

import numpy as np

from mpkgraph.catalog import DEFAULT, Catalog
from mpkgraph.model import ids
from mpkgraph.model.graph import SlotLayout, TaskColumns, TaskGraph, UInt64Column
from mpkgraph.model.operator import Operator, OperatorSet, OperatorSlot
from mpkgraph.views.extents import complete_extents
from mpkgraph.views.grids import GridSplit, known_columns, solve_grid
from mpkgraph.views.partial import is_partial, list_tasks, solve_partial
from mpkgraph.views.rows import Int, KeyTable, Rows, take_rows
from mpkgraph.views.segments import EventClasses, Layer, bundle_end, split_bundle, tile_numbers
from mpkgraph.views.slot_splits import Flags, SlotShape, Tasks

_Tuple = TypeVar("_Tuple", bound=tuple[object, ...])

_MAX_SOLUTIONS = 4096
"""Grids kept for layers that repeat; a real model has some hundred different ones."""
_ALLGATHER_PUT = "TASK_NVSHMEM_ALLGATHER_STRIDED_PUT"
"""The one task type with several tasks (one a peer) for each grid point."""


def recover_operators(graph: TaskGraph, catalog: Catalog = DEFAULT) -> OperatorSet:
    """The operators of a graph, recovered from its tasks and event ids.

    Task ids are in grid order. Facts that the tasks do not prove are marked as not known; see
    `Operator.known_grid`, `OperatorSlot.known_map`, `OperatorSlot.known_dims` and
    `Operator.ambiguities`.
    """
    stream = OperatorStream(catalog)
    operators = stream.feed(0, graph.tasks, graph.layouts)
    operators += stream.finish()
    operators = _reunited(operators, graph, stream)
    return OperatorSet(operators=tuple(complete_extents(operators)), num_tasks=graph.num_tasks)


def _reunited(
    operators: list[Operator], graph: TaskGraph, stream: OperatorStream
) -> list[Operator]:
    """Operators without the pieces of layers whose tasks do not follow each other.

    Mirage emits a layer in one go, but its order is not the only one that the events allow.
    """
    if not any(is_partial(x.ambiguities) for x in operators):
        return operators
    of_signature: dict[Hashable, list[Operator]] = {}
    for operator in operators:
        of_signature.setdefault(_signature(operator), []).append(operator)
    rows = stream.rows_of(graph)
    wholes: dict[int, Operator | None] = {}
    for alike in of_signature.values():
        if not any(is_partial(x.ambiguities) for x in alike):
            continue
        for pieces in _without_repeats(alike, graph.tasks):
            if len(pieces) > 1 and any(is_partial(x.ambiguities) for x in pieces):
                task_ids = np.sort(np.concatenate([x.task_ids for x in pieces]))
                whole = stream.operator_of(rows, task_ids)
                if not is_partial(whole.ambiguities):
                    wholes |= dict.fromkeys([x.index for x in pieces], None)
                    wholes[pieces[0].index] = whole
    if not wholes:
        return operators
    kept = [wholes.get(x.index, x) for x in operators]
    ordered = sorted((x for x in kept if x is not None), key=lambda x: int(x.task_ids.min()))
    return [replace(x, index=index) for index, x in enumerate(ordered)]


def _without_repeats(alike: list[Operator], tasks: TaskColumns) -> list[list[Operator]]:
    """Runs of operators that share no tile: a layer that runs again begins another run."""
    runs: list[list[Operator]] = []
    seen: set[bytes] = set()
    for operator in alike:
        starts = tasks.slot_starts[operator.task_ids][:, None] + np.arange(len(operator.slots))
        tiles = {x.tobytes() for x in tasks.slot_offsets[starts]}
        if not runs or seen & tiles:
            runs.append([])
            seen = set()
        runs[-1].append(operator)
        seen |= tiles
    return runs


def _signature(operator: Operator) -> Hashable:
    """What the pieces of one layer have in common."""
    return (
        operator.task_type,
        operator.variant_ids,
        tuple((x.base_ptrs, x.data_type, x.tile_dims, x.strides) for x in operator.slots),
    )


class OperatorStream:
    """Recovers operators from consecutive chunks of tasks, each as soon as its tasks are whole.

    Only the tasks of the last, unfinished layer (or fork) are carried over, and one small integer
    an event. Extents that only a later operator tells are left to `complete_extents`.
    """

    def __init__(self, catalog: Catalog = DEFAULT) -> None:
        self._catalog = catalog
        self._keys = KeyTable()
        self._classes = EventClasses()
        self._rows: Rows | None = None
        self._scanned = 0
        self._layouts: Sequence[SlotLayout] = ()
        self._num_operators = 0
        self._solutions: dict[tuple[object, ...], GridSplit | None] = {}
        self._tuples: dict[tuple[object, ...], Any] = {}
        """Small tuples of slots, each once: thousands of slots have a few dozen different ones."""

    @property
    def num_carried(self) -> int:
        """Tasks that wait for the end of their layer."""
        return 0 if self._rows is None else len(self._rows)

    def feed(
        self, first_task_id: int, tasks: TaskColumns, layouts: Sequence[SlotLayout]
    ) -> list[Operator]:
        """Operators that are complete now.

        `tasks` follow those of the call before; `layouts` may have grown since.
        """
        self._layouts = layouts
        rows = take_rows(first_task_id, tasks, layouts, self._keys, self._catalog)
        if self._rows is not None:
            rows = self._rows.extended(rows)
        operators: list[Operator] = []
        start = 0
        while start < len(rows):
            end = bundle_end(rows, start, start + self._scanned, self._classes, self._keys)
            if end == len(rows):
                break
            operators += self._finish_bundle(rows, start, end)
            start, self._scanned = end, 0
        self._scanned = len(rows) - start
        self._rows = rows if start == 0 else rows.tail(start)
        return operators

    def finish(self) -> list[Operator]:
        """The operators of the tasks carried over; call it once, after the last chunk."""
        rows, self._rows = self._rows, None
        return self._finish_bundle(rows, 0, len(rows)) if rows is not None and len(rows) else []

    def rows_of(self, graph: TaskGraph) -> Rows:
        """All tasks of a graph whose operators this stream has recovered."""
        return take_rows(0, graph.tasks, graph.layouts, self._keys, self._catalog)

    def operator_of(self, rows: Rows, task_ids: Int) -> Operator:
        """The operator that some tasks, in the order of the file, make together."""
        positions = np.searchsorted(rows.task_ids, task_ids)
        return self._operator(rows, Layer(positions, is_single=False))

    def _finish_bundle(self, rows: Rows, start: int, end: int) -> list[Operator]:
        operators = []
        layers = split_bundle(rows, start, end, self._classes, self._keys)
        self._classes.forget(rows.dependents[start:end])
        for layer in layers:
            self._classes.add_layer(rows.triggers[layer.positions])
            operators.append(self._operator(rows, layer))
        return operators

    def _operator(self, rows: Rows, layer: Layer) -> Operator:
        positions = layer.positions
        key = self._keys.keys[rows.keys[positions[0]]]
        task_type, variant_id, num_inputs = key[:3]
        num_slots = len(key) - 3
        slots = rows.slot_starts[positions][:, None] + np.arange(num_slots)
        offsets = rows.slot_offsets[slots]
        keys = rows.keys[positions]
        # tasks of one key have one layout a slot: no need to look at each
        is_fused = bool((keys != keys[0]).any())
        layout_ids = rows.slot_layouts[slots if is_fused else slots[:1]].astype(np.int64)
        num_subtasks = self._num_subtasks(task_type, rows, positions)
        points = slice(None, None, num_subtasks)
        tasks = self._tasks(
            rows, positions[points], offsets[points], layout_ids[points], num_inputs
        )
        split = self._solve(tasks) or solve_partial(tasks) or list_tasks(tasks)
        task_ids = rows.task_ids[positions]
        if split.order is not None:
            task_ids = task_ids.reshape(-1, num_subtasks)[split.order].reshape(-1)
        ambiguities = split.ambiguities
        known_grid = split.known_grid
        if not layer.is_single and split.repeats > 1:
            sentences = _identical_layers(rows, positions[points], split.repeats)
            if sentences:
                # metadata hold for each of several layers; what repetitions seemed to tell may not
                told = known_columns(tasks.coordinates)
                known_grid = (0 in told, 1 in told, 2 in told)
                ambiguities += sentences
        positions_in_grid = split.positions
        if positions_in_grid is not None and num_subtasks > 1:
            positions_in_grid = np.repeat(positions_in_grid, num_subtasks, axis=0)
        operator = Operator(
            index=self._num_operators,
            task_type=task_type,
            variant_ids=(variant_id,),
            grid_dim=split.grid_dim,
            num_subtasks=num_subtasks,
            task_ids=task_ids,
            slots=tuple(
                self._slot(position, layout_ids, num_inputs, split, known_grid)
                for position in range(num_slots)
            ),
            origin="recovered",
            ambiguities=ambiguities,
            grid_positions=positions_in_grid,
            known_grid=known_grid,
        )
        self._num_operators += 1
        return operator

    def _slot(
        self, position: int, layout_ids: Int, num_inputs: int, split: GridSplit, known_grid: Flags
    ) -> OperatorSlot:
        layout = int(layout_ids[0, position])
        shown = self._layouts[layout]
        names = [shown.base_ptr]
        if len(layout_ids) > 1 and (layout_ids[1:, position] != layout).any():
            unique, first = np.unique(layout_ids[:, position], return_index=True)
            names = [self._layouts[x].base_ptr for x in unique[np.argsort(first)].tolist()]
        solved = split.slots[position]
        return OperatorSlot(
            position=position,
            is_output=position >= num_inputs,
            base_ptrs=() if shown.is_null else tuple(dict.fromkeys(names)),
            data_type=shown.data_type,
            tile_dims=self._once(shown.dims),
            strides=self._once(shown.strides),
            input_map=self._once(solved.input_map),
            known_map=self._once(
                (
                    solved.known_map[0] and known_grid[0],
                    solved.known_map[1] and known_grid[1],
                    solved.known_map[2] and known_grid[2],
                )
            ),
            tensor_dims=self._once(solved.tensor_dims),
            known_dims=self._once(solved.known_dims),
        )

    def _once(self, values: _Tuple) -> _Tuple:
        # the type keeps (1, 0) and (True, False) apart
        key = (*values, *map(type, values))
        return cast("_Tuple", self._tuples.setdefault(key, values))

    def _tasks(
        self, rows: Rows, positions: Int, offsets: Int, layout_ids: Int, num_inputs: int
    ) -> Tasks:
        first = layout_ids[0]
        fused = (layout_ids != first).any(axis=0)
        shapes = []
        for layout, is_fused in zip(first.tolist(), fused.tolist(), strict=True):
            shown = self._layouts[layout]
            size = self._catalog.data_type_size(shown.data_type)
            if len(shown.dims) != len(shown.strides):
                size = None  # no place to count elements from
            shapes.append(SlotShape(shown.dims, shown.strides, size, is_fused))
        events = rows.dependents[positions]
        block_starts = np.ones(len(positions), dtype=np.bool_)
        block_starts[1:] = events[1:] != events[:-1]
        bases = offsets.min(axis=0)
        return Tasks(
            offsets=offsets - bases,
            bases=bases,
            tensors=np.where(fused, layout_ids, 0) if fused.any() else None,
            coordinates=rows.coordinates[positions],
            block_starts=block_starts,
            shapes=tuple(shapes),
            num_inputs=num_inputs,
        )

    def _solve(self, tasks: Tasks) -> GridSplit | None:
        # a model repeats its layers: the same tiles of other tensors have the same grid
        parts = [tasks.offsets, tasks.coordinates, tasks.block_starts]
        if tasks.tensors is not None:
            _, numbers = np.unique(tasks.tensors, return_inverse=True)
            parts.append(numbers)
        content = b"".join(part.tobytes() for part in parts)
        # 96 bits tell contents apart; hashlib would, too, for 4 MB of OpenSSL
        token = (
            tasks.shapes,
            tasks.num_inputs,
            tasks.offsets.shape,
            len(parts),
            hash(content),
            zlib.crc32(content),
        )
        if token not in self._solutions:
            if len(self._solutions) >= _MAX_SOLUTIONS:
                self._solutions.clear()
            self._solutions[token] = solve_grid(tasks)
        return self._solutions[token]

    def _num_subtasks(self, task_type: int, rows: Rows, positions: Int) -> int:
        """Tasks of one grid point: a put has one for each peer, alike but for the event's rank."""
        if len(positions) < 2 or self._catalog.task_type_name(task_type) != _ALLGATHER_PUT:
            return 1
        count = _num_peers(rows.trigger_ids[positions])
        tiles = tile_numbers(rows, positions)
        if len(positions) % count or (tiles.reshape(-1, count) != tiles[::count, None]).any():
            return 1
        return count


def _num_peers(trigger_ids: UInt64Column) -> int:
    """Length of the leading run of trigger events that belong to different ranks.

    A put that nothing waits on triggers the end event by its first task alone.
    """
    ranks = ids.event_ranks(trigger_ids).tolist()
    seen: set[int] = set()
    for count, rank in enumerate(ranks):
        if rank >= 0 and rank in seen:
            return count
        seen.add(rank)
    return len(ranks)


def _identical_layers(rows: Rows, positions: Int, repeats: int) -> tuple[str, ...]:
    """A sentence when the tasks might as well be several identical layers of one fork.

    Layers with a trigger event of their own have been told apart before.
    """
    events = rows.dependents[positions]
    bounds = np.flatnonzero(events[1:] != events[:-1]) + 1
    blocks = np.diff(np.concatenate([[0], bounds, [len(positions)]]))
    tiles = tile_numbers(rows, positions)
    starts = np.repeat(np.concatenate([[0], bounds]), blocks)
    inside = np.arange(len(positions)) - starts
    for count in range(2, repeats + 1):
        if repeats % count or (blocks % count).any():
            continue
        period = np.repeat(blocks // count, blocks)
        if (tiles == tiles[starts + inside % period]).all():
            sentence = (
                f"Each tile occurs {repeats} times under one event: this may also be"
                f" {count} identical layers"
            )
            return (sentence,)
    return ()
