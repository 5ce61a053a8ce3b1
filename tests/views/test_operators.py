"""Operator recovery on layers made for the purpose, where the truth is known."""

import dataclasses
import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mpkgraph.io.reader import read_graph
from mpkgraph.views.operators import recover_operators
from mpkgraph.views.partial import NO_COORDINATES
from tests import goldens, strategies
from tests.amount import examples
from tests.views.layers import (
    NO_EVENT,
    LayerSpec,
    SlotSpec,
    emitted,
    event,
    row_major,
    waiting,
)

RMS_NORM, ALLGATHER_PUT, TILE_ALLREDUCE = 154, 301, 302
PROFILES = (154, 161, 164, 266, 267, 268, 287, 302, 9999)
"""A task type for each way of keeping grid coordinates in the metadata; 9999 is in no catalog."""
END = event(900)


@st.composite
def strided_slots(draw, position):
    """A slot of one to three dims with any maps, row-major or with its dims permuted."""
    num_dims = draw(st.integers(1, 3))
    dims = tuple(draw(st.integers(1, 13)) for _ in range(num_dims))
    input_map = tuple(draw(st.integers(-1, num_dims - 1)) for _ in range(3))
    strides = None
    if draw(st.booleans()):
        order = draw(st.permutations(range(num_dims)))
        permuted = row_major(tuple(dims[dim] for dim in order))
        strides = tuple(permuted[order.index(dim)] for dim in range(num_dims))
    return SlotSpec(f"t{position}", dims, input_map, strides=strides)


@st.composite
def layer_specs(draw):
    grid = tuple(draw(st.integers(1, 4)) for _ in range(3))
    num_inputs = draw(st.integers(0, 2))
    slots = [draw(strided_slots(i)) for i in range(num_inputs + draw(st.integers(1, 2)))]
    slots = [
        SlotSpec(x.name, x.dims, x.input_map, i >= num_inputs, x.strides)
        for i, x in enumerate(slots)
    ]
    return LayerSpec(grid, tuple(slots), task_type=draw(st.sampled_from(PROFILES)))


def assert_claims_hold(operator, spec, point_of_task):
    """What the operator says it knows is what the layer was made with."""
    for axis in range(3):
        if operator.known_grid[axis]:
            assert operator.grid_dim[axis] == spec.grid[axis]
    if operator.grid_positions is not None:  # two axes that split one dim look like gaps
        assert operator.known_grid == (False, False, False)
        return
    assert operator.num_tasks == operator.grid_volume * operator.num_subtasks
    if all(operator.known_grid):
        for position, task in enumerate(operator.task_ids.tolist()):
            assert operator.grid_position(position) == point_of_task[task]
    else:
        assert operator.ambiguities
    ordered = [slot for slot in spec.slots if not slot.is_output]
    ordered += [slot for slot in spec.slots if slot.is_output]
    for slot, truth in zip(operator.slots, ordered, strict=True):
        for axis in range(3):
            if slot.known_map[axis]:
                assert slot.input_map[axis] == truth.input_map[axis]
        for ours, true, known in zip(slot.tensor_dims, truth.dims, slot.known_dims, strict=True):
            assert ours <= true
            assert not known or ours == true


@given(layer_specs())
@settings(max_examples=examples(60), deadline=None)
def test_claims_about_one_layer_hold(spec):
    points = spec.points()
    graph = emitted([waiting(spec.task(point), NO_EVENT, END) for point in points])
    operators = recover_operators(graph)
    truth = dict(enumerate(points, start=2))
    if len(operators) == 1:
        assert_claims_hold(operators[0], spec, truth)
    # copies of one task in a row may be layers; the other way round it must be said
    assert sum(x.num_tasks for x in operators) == len(points)


@given(layer_specs(), st.data())
@settings(max_examples=examples(60), deadline=None)
def test_claims_about_a_chain_layer_hold(spec, data):
    """Tasks are emitted event by event, so not in grid order."""
    splitting = [a for a in range(3) if any(slot.input_map[a] >= 0 for slot in spec.slots)]
    axes = data.draw(st.permutations(splitting))
    axes = axes[: data.draw(st.integers(0, len(axes)))]
    blocks = list(itertools.product(*(range(spec.grid[axis]) for axis in axes)))
    producer = LayerSpec(
        (len(blocks), 1, 1), (SlotSpec("p", (4096, 2), (0, -1, -1), is_output=True),)
    )
    tasks = [waiting(producer.task((i, 0, 0)), NO_EVENT, event(2 + i)) for i in range(len(blocks))]
    truth = {}
    for i, block in enumerate(blocks):
        for point in spec.points():
            if tuple(point[axis] for axis in axes) == block:
                truth[len(tasks) + 2] = point
                tasks.append(waiting(spec.task(point), event(2 + i), END))
    operators = recover_operators(emitted(tasks))
    assert operators[0].task_ids.tolist() == list(range(2, 2 + len(blocks)))
    assert sum(x.num_tasks for x in operators) == len(tasks)
    if len(operators) == 2:
        assert_claims_hold(operators[1], spec, truth)


@given(st.integers(2, 4), st.integers(1, 3), st.integers(1, 3), st.integers(1, 2))
@settings(max_examples=examples(60), deadline=None)
def test_identical_layers_of_a_fork(num_layers, num_events, tiles, repeats):
    """Layers that differ in the events they trigger alone take turns within each event."""
    rows = num_events * tiles
    spec = LayerSpec(
        (rows, repeats, 1),
        (
            SlotSpec("x", (rows, 8), (0, -1, -1)),
            SlotSpec("y", (rows, 8), (0, -1, -1), is_output=True),
        ),
    )
    producer = LayerSpec(
        (num_events, 1, 1), (SlotSpec("x", (rows, 8), (0, -1, -1), is_output=True),)
    )
    tasks = [waiting(producer.task((i, 0, 0)), NO_EVENT, event(2 + i)) for i in range(num_events)]
    truth = [[] for _ in range(num_layers)]
    for i in range(num_events):
        for layer in range(num_layers):
            for x in range(i * tiles, (i + 1) * tiles):
                for y in range(repeats):
                    truth[layer].append(len(tasks) + 2)
                    trigger = event(100 + layer * rows + x)
                    tasks.append(waiting(spec.task((x, y, 0)), event(2 + i), trigger))
    operators = recover_operators(emitted(tasks))
    assert [sorted(x.task_ids.tolist()) for x in operators][1:] == truth
    assert {x.grid_dim for x in operators[1:]} == {spec.grid}


def test_identical_layers_that_trigger_one_event_are_said_to_be_possible():
    spec = LayerSpec((1, 1, 1), (SlotSpec("x", (4, 8), (-1, -1, -1), is_output=True),))
    tasks = [waiting(spec.task((0, 0, 0)), NO_EVENT, END)] * 3
    (operator,) = recover_operators(emitted(tasks))
    assert operator.grid_dim == (1, 3, 1)
    assert operator.known_grid == (True, False, False)
    assert any("3 identical layers" in x for x in operator.ambiguities)


def test_order_of_repeated_tiles_may_be_that_of_two_layers():
    """0 1 0 1 is one layer with y unmapped, or two layers; either way x is 0."""
    spec = LayerSpec((1, 2, 1), (SlotSpec("x", (4, 8), (-1, 0, -1), is_output=True),))
    tasks = [waiting(spec.task(p), NO_EVENT, END) for _ in range(2) for p in spec.points()]
    (operator,) = recover_operators(emitted(tasks))
    assert operator.grid_dim == (1, 2, 2)
    assert operator.known_grid == (True, False, False)
    assert operator.slots[0].known_map == (False, False, False)
    assert any("2 identical layers" in x for x in operator.ambiguities)


def test_a_join_is_one_layer_for_sure():
    """Two producers in one event: what waits on it is one layer, however its tasks repeat."""
    first = LayerSpec((2, 1, 1), (SlotSpec("a", (2, 8), (0, -1, -1), is_output=True),))
    second = LayerSpec((2, 1, 1), (SlotSpec("b", (2, 8), (0, -1, -1), is_output=True),))
    joined = LayerSpec((1, 3, 1), (SlotSpec("c", (4, 8), (-1, -1, -1), is_output=True),))
    tasks = [waiting(x.task(p), NO_EVENT, event(2)) for x in (first, second) for p in x.points()]
    tasks += [waiting(joined.task(p), event(2), END) for p in joined.points()]
    operators = recover_operators(emitted(tasks))
    assert [x.num_tasks for x in operators] == [2, 2, 3]
    assert not any("identical layers" in x for x in operators[2].ambiguities)


def test_adjacent_source_layers_of_equal_slots():
    """The second layer starts where x falls back to 0."""
    spec = LayerSpec((4, 1, 1), (SlotSpec("x", (4, 8), (0, -1, -1), is_output=True),))
    tasks = [waiting(spec.task(p), NO_EVENT, END) for _ in range(2) for p in spec.points()]
    operators = recover_operators(emitted(tasks))
    assert [x.task_ids.tolist() for x in operators] == [[2, 3, 4, 5], [6, 7, 8, 9]]


def test_two_writers_of_one_tensor_are_no_fused_layer():
    layers = [
        LayerSpec(
            (2, 1, 1),
            (
                SlotSpec(name, (2, 8), (0, -1, -1)),
                SlotSpec("y", (2, 8), (0, -1, -1), is_output=True),
            ),
        )
        for name in ("a", "b")
    ]
    tasks = [waiting(x.task(p), NO_EVENT, END) for x in layers for p in x.points()]
    assert [x.num_tasks for x in recover_operators(emitted(tasks))] == [2, 2]


def test_other_tasks_between_part_identical_layers():
    """One layer's tasks of one event follow each other."""
    outer = LayerSpec((1, 1, 1), (SlotSpec("x", (4, 8), (-1, -1, -1), is_output=True),))
    inner = LayerSpec((1, 1, 1), (SlotSpec("y", (4, 8), (-1, -1, -1), is_output=True),))
    producer = LayerSpec((1, 1, 1), (SlotSpec("p", (4, 8), (-1, -1, -1), is_output=True),))
    tasks = [waiting(producer.task((0, 0, 0)), NO_EVENT, event(2))]
    tasks += [waiting(x.task((0, 0, 0)), event(2), END) for x in (outer, inner, outer)]
    operators = recover_operators(emitted(tasks))
    assert [x.task_ids.tolist() for x in operators] == [[2], [3], [4], [5]]


def test_layers_that_repeat_in_place():
    """Each waits on the one before, whose tasks look the same."""
    spec = LayerSpec(
        (2, 1, 1),
        (SlotSpec("x", (2, 8), (0, -1, -1)), SlotSpec("x", (2, 8), (0, -1, -1), is_output=True)),
    )
    tasks = [
        waiting(spec.task(p), event(1 + i) if i else NO_EVENT, event(2 + i))
        for i in range(4)
        for p in spec.points()
    ]
    assert [x.num_tasks for x in recover_operators(emitted(tasks))] == [2, 2, 2, 2]


def test_writers_of_the_same_tiles_are_no_fused_layer():
    """Not even where the first tile of the second is missing."""
    layers = [
        LayerSpec(
            (3, 1, 1),
            (
                SlotSpec(name, (3, 8), (0, -1, -1)),
                SlotSpec("y", (3, 8), (0, -1, -1), is_output=True),
            ),
        )
        for name in ("a", "b")
    ]
    tasks = [waiting(x.task(p), NO_EVENT, END) for x in layers for p in x.points()]
    del tasks[3]
    assert [x.num_tasks for x in recover_operators(emitted(tasks))] == [3, 2]


def test_equal_strides_do_not_tell_which_dim_is_split():
    """A row-major (4, 1) tensor and a column-major (1, 4) tensor have the same strides."""
    for dims, dim in (((4, 1), 0), ((1, 4), 1)):
        slot = SlotSpec("o", dims, (dim, -1, -1), is_output=True, strides=(1, 1))
        spec = LayerSpec((4, 1, 1), (slot,))
        graph = emitted([waiting(spec.task(p), NO_EVENT, END) for p in spec.points()])
        (operator,) = recover_operators(graph)
        assert operator.grid_dim == (4, 1, 1)
        assert operator.slots[0].input_map == (0, -1, -1)
        assert operator.slots[0].known_map == (False, False, False)
        assert operator.slots[0].known_dims == (False, False)
        assert any("seems to split dim 0 or 1" in x for x in operator.ambiguities)


def test_a_dim_smaller_than_the_grid():
    """Its tiles have no extent, and equal strides do not tell it from a dim of extent 1."""
    for strides in ((2, 2, 1), (1, 2, 1)):
        slot = SlotSpec("o", (1, 1, 2), (0, -1, -1), is_output=True, strides=strides)
        spec = LayerSpec((3, 1, 1), (slot,))
        graph = emitted([waiting(spec.task(p), NO_EVENT, END) for p in spec.points()])
        (operator,) = recover_operators(graph)
        assert operator.grid_dim == (3, 1, 1)
        assert operator.slots[0].input_map == (0, -1, -1)
        assert operator.slots[0].known_map[0]
        assert operator.slots[0].tensor_dims == (0, 1, 2)
        assert operator.slots[0].known_dims == (False, True, True)


def test_tensors_of_one_name_do_not_mix():
    layers = [
        LayerSpec((1, 1, 1), (SlotSpec("x", (rows, 8), (-1, -1, -1), is_output=True),))
        for rows in (4, 2)
    ]
    tasks = [waiting(x.task((0, 0, 0)), NO_EVENT, END) for x in layers]
    operators = recover_operators(emitted(tasks))
    assert [x.slots[0].tensor_dims for x in operators] == [(4, 8), (2, 8)]


def test_puts_from_two_tensors_into_one_buffer_are_no_fused_layer():
    """Their outputs start at the plane of the rank, not at the tensor's base."""
    spec, tasks = put_tasks(1, leaf=True)
    other = [task | {"inputs": [task["inputs"][0] | {"base_ptr": "other"}]} for task in tasks]
    operators = recover_operators(emitted(tasks + other))
    assert [x.num_tasks for x in operators] == [len(tasks), len(tasks)]
    assert {x.grid_dim for x in operators} == {spec.grid}


def test_fused_tensor_as_a_branch_of_a_fork():
    """q, k and v of one fused weight; a second layer of equal slots reads another weight."""
    fused = LayerSpec(
        (6, 1, 1),
        (SlotSpec("w", (12, 4), (0, -1, -1)), SlotSpec("y", (2, 12), (1, -1, -1), is_output=True)),
    )
    producer = LayerSpec((1, 1, 1), (SlotSpec("x", (2, 4), (-1, -1, -1), is_output=True),))
    tasks = [waiting(producer.task((0, 0, 0)), NO_EVENT, event(2))]
    for names in ("qqkvqk", "wwwwww"):
        for point in fused.points():
            task = fused.task(point)
            task["inputs"][0]["base_ptr"] = names[point[0]]
            tasks.append(waiting(task, event(2), END))
    operators = recover_operators(emitted(tasks))
    assert [x.num_tasks for x in operators] == [1, 6, 6]
    assert [x.slots[0].base_ptrs for x in operators[1:]] == [("q", "k", "v"), ("w",)]


def put_tasks(num_peers, *, leaf):
    spec = LayerSpec(
        (4, 2, 1),
        (
            SlotSpec("x", (8, 16), (1, 0, -1)),
            SlotSpec("buffer", (num_peers + 1, 8, 16), (2, 1, -1), is_output=True),
        ),
        task_type=ALLGATHER_PUT,
        base_bytes=2 * 8 * 16,
    )
    tasks = []
    for number, point in enumerate(spec.points()):
        for peer in range(num_peers):
            triggers = event(2 + number, rank=peer + 1)
            if leaf:  # the end event counts the first of them alone
                triggers = END if peer == 0 else NO_EVENT
            tasks.append(waiting(spec.task(point), NO_EVENT, triggers))
    return spec, tasks


def test_subtasks_of_a_put():
    for num_peers, leaf in itertools.product((1, 2, 3, 7), (False, True)):
        spec, tasks = put_tasks(num_peers, leaf=leaf)
        (operator,) = recover_operators(emitted(tasks))
        assert (operator.grid_dim, operator.num_subtasks) == (spec.grid, num_peers)
        # x is in the metadata, but y may be called z
        assert operator.known_grid == (True, False, False)
        assert operator.slots[1].input_map == (2, 1, -1)
        assert operator.slots[1].known_map == (True, False, False)
        assert operator.slots[1].tensor_dims[1:] == (8, 16)
        assert operator.task_ids.tolist() == list(range(2, 2 + len(tasks)))


def test_order_of_emission_tells_y_from_z():
    """Which of two columns is the faster one shows within one event."""
    for grid, y_dim, z_dim in (((2, 3, 4), 0, 1), ((2, 3, 4), 1, 0)):
        dims = [0, 0]
        dims[y_dim], dims[z_dim] = 3 * 5, 4 * 7
        spec = LayerSpec(grid, (SlotSpec("o", tuple(dims), (-1, y_dim, z_dim), is_output=True),))
        graph = emitted([waiting(spec.task(p), NO_EVENT, END) for p in spec.points()])
        (operator,) = recover_operators(graph)
        assert operator.grid_dim == grid
        assert operator.known_grid == (True, True, True)
        assert operator.slots[0].input_map == (-1, y_dim, z_dim)
        assert operator.slots[0].known_map == (True, True, True)


def test_linear_index_tells_axes_as_far_as_it_can():
    """`x + y * grid.x + z * grid.x * grid.y` grows the other way round than the order."""
    for grid, known in (((2, 3, 4), True), ((2, 3, 1), False)):
        spec = LayerSpec(
            grid, (SlotSpec("o", (6, 6, 8), (0, 1, 2), is_output=True),), task_type=TILE_ALLREDUCE
        )
        graph = emitted([waiting(spec.task(p), NO_EVENT, END) for p in spec.points()])
        (operator,) = recover_operators(graph)
        assert operator.grid_dim == grid
        # two axes that count may be x and y, x and z, or y and z
        assert operator.known_grid == (known,) * 3


def test_linear_index_tells_axes_that_split_nothing():
    spec = LayerSpec(
        (3, 4, 5), (SlotSpec("o", (6, 6), (-1, -1, -1), is_output=True),), task_type=TILE_ALLREDUCE
    )
    graph = emitted([waiting(spec.task(p), NO_EVENT, END) for p in spec.points()])
    (operator,) = recover_operators(graph)
    assert operator.grid_dim == (3, 4, 5)
    assert operator.known_grid == (True, True, True)


def test_request_id_beyond_its_sign():
    """request_id is signed and has 16 bits; x goes on."""
    spec = LayerSpec((40_000, 1, 1), (SlotSpec("o", (40_000, 2), (0, -1, -1), is_output=True),))
    graph = emitted([waiting(spec.task(p), NO_EVENT, END) for p in spec.points()])
    (operator,) = recover_operators(graph)
    assert operator.grid_dim == (40_000, 1, 1)
    assert operator.slots[0].known_map[0]


def test_whole_dims_come_from_other_operators():
    """Rows of a row-major tensor leave no trace in strides; a reader of all rows tells them."""
    writer = LayerSpec((4, 1, 1), (SlotSpec("x", (8, 16), (0, -1, -1), is_output=True),))
    reader = LayerSpec(
        (1, 1, 1),
        (
            SlotSpec("x", (8, 16), (-1, -1, -1)),
            SlotSpec("y", (1, 16), (-1, -1, -1), is_output=True),
        ),
    )
    tasks = [waiting(writer.task(p), NO_EVENT, event(2)) for p in writer.points()]
    (alone,) = recover_operators(emitted(tasks))
    assert (alone.slots[0].tensor_dims, alone.slots[0].known_dims) == ((8, 16), (False, True))
    both = recover_operators(emitted([*tasks, waiting(reader.task((0, 0, 0)), event(2), END)]))
    assert both[0].slots[0].known_dims == (True, True)


def test_missing_tasks_leave_gaps_in_the_grid():
    spec = LayerSpec((4, 3, 1), (SlotSpec("o", (8, 9), (0, 1, -1), is_output=True),))
    points = [p for p in spec.points() if p not in {(0, 0, 0), (2, 1, 0)}]
    graph = emitted([waiting(spec.task(p), NO_EVENT, END) for p in points])
    (operator,) = recover_operators(graph)
    assert operator.grid_dim == (4, 3, 1)
    assert operator.known_grid == (False, False, False)
    assert [operator.grid_position(i) for i in range(len(points))] == points
    assert operator.slots[0].input_map == (0, 1, -1)
    assert any("missing" in x for x in operator.ambiguities)


def test_offsets_that_fit_no_tiles_are_said():
    spec = LayerSpec((4, 1, 1), (SlotSpec("o", (8, 8), (0, -1, -1), is_output=True),))
    tasks = [waiting(spec.task(p), NO_EVENT, END) for p in spec.points()]
    tasks[3]["outputs"][0]["offset"] += 3
    (operator,) = recover_operators(emitted(tasks))
    assert operator.grid_dim == (4, 1, 1)
    assert operator.slots[0].known_map == (False, False, False)
    assert any("do not tell the grid axes apart" in x for x in operator.ambiguities)


def test_tasks_that_fit_no_grid_are_listed():
    """Three columns leave no axis for a point that occurs twice."""
    spec = LayerSpec((2, 2, 2), (SlotSpec("o", (8, 8, 8), (0, 1, 2), is_output=True),))
    tasks = [waiting(spec.task(p), NO_EVENT, END) for p in spec.points()]
    tasks = [task | {"request_id": -1} for task in [tasks[0], *tasks]]
    (operator,) = recover_operators(emitted(tasks))
    assert operator.grid_dim == (9, 1, 1)
    assert operator.known_grid == (False, False, False)
    assert any("no grid" in x for x in operator.ambiguities)


def test_unknown_fields_of_slots_do_not_split_a_layer():
    spec = LayerSpec((3, 1, 1), (SlotSpec("o", (3, 8), (0, -1, -1), is_output=True),))
    tasks = [waiting(spec.task(p), NO_EVENT, END) for p in spec.points()]
    for number, task in enumerate(tasks):
        task["outputs"][0]["smem_slot"] = number
    assert len(recover_operators(emitted(tasks))) == 1


def test_no_tasks():
    assert len(recover_operators(emitted([]))) == 0


@given(strategies.task_graphs())
@settings(max_examples=examples(60), deadline=None)
def test_any_graph_is_partitioned(graph):
    """Every task of a layer is in exactly one operator, whatever the file holds."""
    operators = recover_operators(graph)
    seen = np.zeros(graph.num_tasks, dtype=np.int64)
    for operator in operators:
        np.add.at(seen, operator.task_ids, 1)
        assert len({int(graph.tasks.task_types[t]) for t in operator.task_ids}) == 1
        if operator.grid_positions is None:
            assert operator.num_tasks == operator.grid_volume * operator.num_subtasks
        else:
            points = [operator.grid_position(i) for i in range(operator.num_tasks)]
            assert points == sorted(points)
            assert len(set(points)) * operator.num_subtasks == len(points)
    fixed = graph.tasks.is_null | np.isin(graph.tasks.task_types, [0, 10])
    assert (seen == ~fixed).all()


def test_damaged_metadata_make_no_absurd_grid(tmp_path):
    path = goldens.get("models/qwen3_demo-Qwen3-0.6B-b8-L2-cc90").write_graph(tmp_path)
    graph = read_graph(path)
    operator = recover_operators(graph)[1]
    request_ids = graph.tasks.request_ids.copy()
    assert request_ids[operator.task_ids].tolist() == list(range(8))
    request_ids[operator.task_ids[3]] = -5
    tasks = dataclasses.replace(graph.tasks, request_ids=request_ids)
    found = recover_operators(dataclasses.replace(graph, tasks=tasks))
    assert max(x.grid_volume for x in found) == max(x.grid_volume for x in recover_operators(graph))
    assert NO_COORDINATES in found[1].ambiguities
    assert found[1].known_grid == (False, False, False)
