"""Recovered operators against the records of the same graphs, on everything real Mirage made.

What the recovery claims to know must be so; how much it knows is counted and must not shrink.
"""

import functools
from collections import Counter

import numpy as np
import pytest

from mpkgraph.model.operator import Operator, OperatorSet, OperatorSlot
from tests import goldens, loaded

MAX_BYTES = None if goldens.EVERY_GOLDEN else 40_000_000
"""The larger one (DeepSeek-V3 in full, 188 MB) repeats the layers of smaller ones: it is looked at
when every golden is asked for.
"""
AXES = range(3)


@functools.cache
def compare(golden: goldens.Golden) -> tuple[Counter[str], tuple[str, ...]]:
    """Counts of facts, and what is wrong, of one golden."""
    recovered, recorded = loaded.recovered(golden), loaded.recorded(golden)
    counts: Counter[str] = Counter()
    faults: list[str] = []
    theirs = {frozenset(x.task_ids.tolist()): x for x in recorded}
    ours = {frozenset(x.task_ids.tolist()): x for x in recovered}
    counts["layers"] = len(theirs)
    counts["layers found"] = len(theirs.keys() & ours.keys())
    if theirs.keys() != ours.keys():
        faults.append(f"{len(theirs.keys() - ours.keys())} layers not found")
    for tasks in theirs.keys() & ours.keys():
        _compare_operators(ours[tasks], theirs[tasks], counts, faults)
    _check_order(recovered, faults)
    return counts, tuple(faults)


def _check_order(operators: OperatorSet, faults: list[str]) -> None:
    firsts = [int(x.task_ids.min()) for x in operators]
    if firsts != sorted(firsts):
        faults.append("not in the order of emission")
    if [x.index for x in operators] != list(range(len(operators))):
        faults.append("indices are not positions")


def _compare_operators(
    ours: Operator, theirs: Operator, counts: Counter[str], faults: list[str]
) -> None:
    where = f"{theirs.layer_method} of task {int(theirs.task_ids[0])}"
    faults += _differences(ours, theirs, ("task_type", "variant_ids", "num_subtasks"), where)
    counts["grids right"] += ours.grid_dim == theirs.grid_dim
    counts["grids known"] += all(ours.known_grid)
    if any(ours.known_grid[a] and ours.grid_dim[a] != theirs.grid_dim[a] for a in AXES):
        faults.append(f"{where}: grid {ours.grid_dim} is {theirs.grid_dim}")
    if not all(ours.known_grid) and not any("told apart" in x for x in ours.ambiguities):
        faults.append(f"{where}: an axis is open, and no sentence says so")
    if all(ours.known_grid) and not np.array_equal(ours.task_ids, theirs.task_ids):
        faults.append(f"{where}: tasks are not in grid order")
    for slot, true in zip(ours.slots, theirs.slots, strict=True):
        _compare_slots(slot, true, theirs, counts, faults, where)


def _differences(ours: object, theirs: object, names: tuple[str, ...], where: str) -> list[str]:
    return [
        f"{where}: {name} {getattr(ours, name)} is {getattr(theirs, name)}"
        for name in names
        if getattr(ours, name) != getattr(theirs, name)
    ]


def _compare_slots(
    ours: OperatorSlot,
    theirs: OperatorSlot,
    operator: Operator,
    counts: Counter[str],
    faults: list[str],
    where: str,
) -> None:
    where = f"{where}, slot {ours.position}"
    names = ("position", "is_output", "base_ptrs", "data_type", "tile_dims", "strides")
    faults += _differences(ours, theirs, names, where)
    for axis in AXES:
        if operator.grid_dim[axis] == 1:
            if ours.known_map[axis]:
                faults.append(f"{where}: an axis of size 1 leaves no trace")
            continue
        right = ours.input_map[axis] == theirs.input_map[axis]
        counts["maps"] += 1
        counts["maps known"] += ours.known_map[axis]
        counts["maps right"] += right
        if ours.known_map[axis] and not right:
            faults.append(f"{where}: input_map {ours.input_map} is {theirs.input_map}")
    for ours_dim, true, known in zip(
        ours.tensor_dims, theirs.tensor_dims, ours.known_dims, strict=True
    ):
        counts["dims"] += 1
        counts["dims known"] += known
        counts["dims right"] += ours_dim == true
        if (known and ours_dim != true) or ours_dim > true:
            faults.append(f"{where}: dims {ours.tensor_dims} are {theirs.tensor_dims}")


@pytest.mark.parametrize("golden", goldens.graphs(max_bytes=MAX_BYTES), ids=str)
def test_what_is_claimed_is_so(golden):
    _, faults = compare(golden)
    assert not faults


def test_how_much_is_known():
    goldens.require()
    counts: Counter[str] = Counter()
    for golden in goldens.graphs(max_bytes=MAX_BYTES):
        counts += compare(golden)[0]
    assert counts["layers"] > 2500
    assert counts["layers found"] == counts["layers"]
    # no golden has a grid other than the simplest that fits
    assert counts["grids right"] == counts["layers"]
    # open: y or z after a known x (attention of one request), all-reduce's only axis
    assert counts["grids known"] >= 0.75 * counts["layers"]
    assert counts["maps known"] >= 0.65 * counts["maps"]
    # wrong: strides made by hand for split-KV; a map to a dim that the tensor lacks
    assert counts["maps right"] >= counts["maps"] - 10
    assert counts["dims known"] >= 0.9 * counts["dims"]
    assert counts["dims right"] >= counts["dims"] - 8


def test_identical_layers_of_one_fork_are_told_apart():
    """DeepSeek-V3 quantizes rmsnorm_out three times into the same buffers, back to back."""
    golden = goldens.get("models/deepseek_v3-L0,3-b1-cc100")
    operators = loaded.recovered(golden).operators
    names = [tuple(slot.name for slot in x.slots) for x in operators]
    quantized = [i for i, name in enumerate(names) if name[0] == "rmsnorm_out" and len(name) == 3]
    first = [i for i in quantized if names[i] == names[quantized[0]]][:3]
    assert [operators[i].num_tasks for i in first] == [operators[first[0]].num_tasks] * 3
    triggers = loaded.graph(golden).tasks.trigger_events
    assert len({int(triggers[operators[i].task_ids[0]]) for i in first}) == 3


def test_fused_tensor():
    golden = goldens.get("bad/fuse_ok-cc90")
    (operator,) = [
        x for x in loaded.recovered(golden) if any(len(slot.base_ptrs) > 1 for slot in x.slots)
    ]
    (fused,) = [slot for slot in operator.slots if len(slot.base_ptrs) > 1]
    assert fused.base_ptrs == ("q", "k", "v")
    assert fused.input_map[0] == 0
    assert fused.known_map == (True, False, False)
    assert fused.name == "q+k+v"


def test_replicated_axis_is_said():
    golden = goldens.get("bad/axis_unmapped-cc90")
    (operator,) = loaded.recovered(golden)
    assert operator.grid_dim == (64, 8, 1)
    assert operator.known_grid == (True, False, False)
    assert any("each tile occurs 8 times" in x for x in operator.ambiguities)


def test_null_tasks_belong_to_no_operator():
    golden = goldens.get("bad/fork_duplicate_edges_second-cc90")
    graph, operators = loaded.graph(golden), loaded.recovered(golden)
    assert graph.num_null_tasks
    assert (operators.task_operators[graph.tasks.is_null] == -1).all()
