"""What differs between two matched operators: type, kernel, grid, splits, tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mpkgraph.analysis.diff.changes import Change
from mpkgraph.analysis.diff.names import TensorNames, joined, pair_slots
from mpkgraph.analysis.diff.side import Side
from mpkgraph.model.operator import Operator, OperatorSlot

_TILE_CAUSES = frozenset({"grid", "input_map", "shape", "stride", "dtype", "type"})
"""Aspects from which other tiles follow."""


def compare_operators(
    left: Side, right: Side, one: Operator, other: Operator, names: TensorNames
) -> tuple[list[Change], list[Change], list[Change]]:
    """Facts that differ; those of its tensors, which may differ in all operators alike; and those
    of tensors that stand in for another.

    Only what both sides know is compared: recovered operators leave things open.
    """
    found = [*_types(left, right, one, other)]
    same_tiles = not found and _own_sum(left, one) == _own_sum(right, other)
    pairs, missing, further = pair_slots(one, other)
    if missing or further:
        counts = [f"{len(x.inputs)} in, {len(x.outputs)} out" for x in (one, other)]
        found.append(Change.between("type", "slots", counts))
    is_recorded = one.origin == other.origin == "recorded"
    compares_grid = is_recorded or not same_tiles
    if compares_grid and _grids_differ(one, other):
        found.append(Change("grid", "grid", list(one.grid_dim), list(other.grid_dim)))
    of_tensors: list[Change] = []
    of_others: list[Change] = []
    for a, b in pairs:
        if compares_grid:
            found += _maps(one, other, a, b)
        is_same = names.is_same(a, b)
        if not is_same:
            found.append(Change("base", "tensor", a.name, b.name, a.position, joined(a.base_ptrs)))
        types = left.catalog.data_type_name(a.data_type), right.catalog.data_type_name(b.data_type)
        differing = _tensor(one, other, a, b, types, same_tiles=same_tiles and not is_recorded)
        (of_tensors if is_same else of_others).extend(differing)
    params = [_params(x, y) for x, y in ((left, one), (right, other))]
    if None not in params and params[0] != params[1]:
        found.append(Change.between("variant", "params", params))
    return found, of_tensors, of_others


def explains_tiles(changes: Sequence[Change]) -> bool:
    """Whether other tiles follow from these changes."""
    return any(x.aspect in _TILE_CAUSES for x in changes)


def effects_of(one: Operator, other: Operator) -> list[Change]:
    """What follows from other facts: tasks, tile dims."""
    found = []
    if one.num_tasks != other.num_tasks:
        found.append(Change("grid", "num_tasks", one.num_tasks, other.num_tasks))
    pairs, _, _ = pair_slots(one, other)
    for a, b in pairs:
        if a.tile_dims != b.tile_dims:
            found.append(
                Change(
                    "tiles",
                    "tile",
                    list(a.tile_dims),
                    list(b.tile_dims),
                    a.position,
                    joined(a.base_ptrs),
                )
            )
    return found


def _own_sum(side: Side, operator: Operator) -> int:
    return int(side.tile_sums[operator.index])


def _types(left: Side, right: Side, one: Operator, other: Operator) -> list[Change]:
    if one.task_type != other.task_type:
        types = [
            side.catalog.task_type_name(x.task_type) for side, x in ((left, one), (right, other))
        ]
        return [Change.between("type", "task_type", types)]
    names = [one.register_name, other.register_name]
    if None not in names and names[0] != names[1]:
        return [Change.between("type", "registered name", names)]
    if one.num_subtasks != other.num_subtasks:
        return [Change("ranks", "tasks a grid point", one.num_subtasks, other.num_subtasks)]
    return []


def _params(side: Side, operator: Operator) -> list[Any] | None:
    layer = side.layer(operator)
    return None if layer is None else list(layer.params or ())


def _grids_differ(one: Operator, other: Operator) -> bool:
    if one.grid_dim == other.grid_dim:
        return False
    if one.num_tasks != other.num_tasks or one.origin == "recorded":
        return True
    # The same number of tasks: told apart only where the tasks prove it
    return all(
        known and sure
        for a, b, known, sure in zip(
            one.grid_dim, other.grid_dim, one.known_grid, other.known_grid, strict=True
        )
        if a != b
    )


def _maps(one: Operator, other: Operator, a: OperatorSlot, b: OperatorSlot) -> list[Change]:
    recorded = one.origin == other.origin == "recorded"
    for axis in range(3):
        sizes = (one.grid_dim[axis], other.grid_dim[axis])
        # An axis of one block splits nothing; a recovered one does not even tell its dim
        if max(sizes) == 1 or (not recorded and min(sizes) == 1):
            continue
        if a.input_map[axis] != b.input_map[axis] and a.known_map[axis] and b.known_map[axis]:
            return [_map_change(a, b)]
    if one.grid_dim == other.grid_dim and a.tensor_dims == b.tensor_dims:
        # Which axis splits it may not be known, that another number of blocks does is
        for dim, tiles in enumerate(zip(a.tile_dims, b.tile_dims, strict=True)):
            if tiles[0] != tiles[1] and _splits(one, a, dim) != _splits(other, b, dim):
                return [_map_change(a, b)]
    return []


def _map_change(a: OperatorSlot, b: OperatorSlot) -> Change:
    maps = list(a.input_map), list(b.input_map)
    return Change.between("input_map", "input_map", maps, a.position, joined(a.base_ptrs))


def _tensor(
    one: Operator,
    other: Operator,
    a: OperatorSlot,
    b: OperatorSlot,
    types: tuple[str, str],
    *,
    same_tiles: bool,
) -> list[Change]:
    if not a.base_ptrs or not b.base_ptrs:
        return []
    found = []
    name = joined(a.base_ptrs)
    if a.data_type != b.data_type:
        found.append(Change.between("dtype", "dtype", types, a.position, name))
    dims_differ = not same_tiles and _dims_differ(one, other, a, b)
    if dims_differ:
        found.append(Change("shape", "dims", _dims(a), _dims(b), a.position, name))
    if a.strides != b.strides and not (dims_differ and _packed(a) and _packed(b)):
        found.append(
            Change("stride", "strides", list(a.strides), list(b.strides), a.position, name)
        )
    return found


def _dims_differ(one: Operator, other: Operator, a: OperatorSlot, b: OperatorSlot) -> bool:
    if len(a.tensor_dims) != len(b.tensor_dims):
        return True
    for dim, (x, y) in enumerate(zip(a.tensor_dims, b.tensor_dims, strict=True)):
        if a.known_dims[dim] and b.known_dims[dim]:
            if x != y:
                return True
        elif a.tile_dims[dim] != b.tile_dims[dim] and _splits(one, a, dim) == _splits(
            other, b, dim
        ):
            return True
    return False


def _splits(operator: Operator, slot: OperatorSlot, dim: int) -> tuple[tuple[int, int], ...]:
    """Grid axes that split a dim, with their sizes."""
    return tuple(
        (axis, size)
        for axis, size in enumerate(operator.grid_dim)
        if size > 1 and slot.input_map[axis] == dim
    )


def _dims(slot: OperatorSlot) -> list[int]:
    return list(slot.tensor_dims)


def _packed(slot: OperatorSlot) -> bool:
    """Whether the strides are those of a row-major tensor without gaps, as far as dims tell."""
    expected = 1
    for stride, dim in zip(reversed(slot.strides), reversed(slot.tensor_dims), strict=True):
        if stride != expected and dim != 1:
            return False
        expected = stride * dim if dim != 1 else expected
    return True
