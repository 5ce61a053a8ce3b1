"""The order of tasks, against the generator's own loops written out point by point."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mpkgraph.planner.dag import EmissionError, LayerShape, TooManyTasksError
from mpkgraph.planner.emission import emission
from tests.amount import examples

ROWS, WHOLE = (0, -1, -1), (-1, -1, -1)


def shape(grid, inputs, outputs, num_subtasks=1):
    return LayerShape(grid, tuple(inputs), tuple(outputs), num_subtasks)


def ids(*layers, max_tasks=10_000):
    return [x.tolist() for x in emission(layers, max_tasks=max_tasks).task_ids]


def test_source_layers_are_in_grid_order():
    found = emission([shape((2, 1, 3), [], [(0, ROWS)]), shape((2, 1, 1), [], [])], max_tasks=99)
    assert [x.tolist() for x in found.task_ids] == [[2, 3, 4, 5, 6, 7], [8, 9]]
    assert found.num_tasks == 10
    assert (found.dependent_events == -1).all()
    assert found.trigger_events.tolist() == [-1] * 2 + [found.event_triggers.size + 2] * 8
    assert found.producers == ((), ())


def test_a_chain_is_ordered_by_events():
    # Events go over tensor dims, dim 0 first; the consumer's x splits dim 1, its y dim 0.
    producer = shape((2, 2, 1), [], [(0, (0, 1, -1))])
    consumer = shape((2, 2, 1), [(0, (1, 0, -1))], [])
    found = emission([producer, consumer], max_tasks=99)
    assert found.task_ids[1].tolist() == [6, 8, 7, 9]
    assert found.dependent_events.tolist() == [-1] * 6 + [2, 3, 4, 5]
    assert found.producers == ((), (0,))


def test_subtasks_stay_together():
    put = shape((2, 1, 1), [(0, ROWS)], [(1, ROWS)], num_subtasks=3)
    assert ids(shape((2, 1, 1), [], [(0, ROWS)]), put, shape((2, 1, 1), [(1, ROWS)], [])) == [
        [2, 3],
        [4, 5, 6, 7, 8, 9],
        [10, 11],
    ]
    with pytest.raises(EmissionError, match="there is only one"):
        ids(shape((4, 1, 1), [], [], num_subtasks=0))


def test_branches_of_a_fork_take_turns():
    fork = shape((2, 1, 1), [], [(0, ROWS)])
    assert ids(fork, shape((2, 1, 1), [(0, ROWS)], []), shape((4, 1, 1), [(0, ROWS)], [])) == [
        [2, 3],
        [4, 7],
        [5, 6, 8, 9],
    ]
    # A branch that reads everything makes one event of all.
    assert ids(fork, shape((2, 1, 1), [(0, WHOLE)], []), shape((4, 1, 1), [(0, ROWS)], [])) == [
        [2, 3],
        [4, 5],
        [6, 7, 8, 9],
    ]


@pytest.mark.parametrize("dim", [4, 5, 100])
def test_an_axis_past_all_dims_splits_nothing(dim):
    producer = shape((4, 1, 1), [], [(0, ROWS)])
    found, wanted = (
        emission([producer, shape((2, 1, 1), [(0, axes)], [])], max_tasks=99)
        for axes in ((0, dim, -1), ROWS)
    )
    assert found.task_ids[1].tolist() == wanted.task_ids[1].tolist()
    assert found.dependent_events.tolist() == wanted.dependent_events.tolist()


def test_a_branch_may_split_the_other_way_round():
    fork = shape((2, 2, 1), [], [(0, (0, 1, -1))])
    turned = shape((2, 2, 1), [(0, (1, 0, -1))], [])
    alike = shape((2, 2, 1), [(0, (0, 1, -1))], [])
    assert ids(fork, turned, alike)[1:] == [[6, 10, 8, 12], [7, 9, 11, 13]]


def test_branches_advance_by_depth():
    # 0 forks to 1 and 3; 1 -> 2 and 3 -> 4 follow in the order of depth, not of the program.
    chain = [
        shape((1, 1, 1), [], [(0, ROWS)]),
        shape((1, 1, 1), [(0, ROWS)], [(1, ROWS)]),
        shape((1, 1, 1), [(1, ROWS)], [(2, ROWS)]),
        shape((1, 1, 1), [(2, ROWS)], []),
        shape((1, 1, 1), [(0, ROWS)], [(4, ROWS)]),
        shape((1, 1, 1), [(4, ROWS)], []),
    ]
    assert ids(*chain) == [[2], [3], [5], [7], [4], [6]]


def test_a_join_is_ordered_by_its_own_events():
    rows = shape((4, 1, 1), [], [(0, ROWS)])
    more = shape((6, 1, 1), [], [(1, ROWS)])
    found = emission([rows, more, shape((12, 1, 1), [(0, ROWS), (1, ROWS)], [])], max_tasks=99)
    assert found.task_ids[2].tolist() == list(range(12, 24))
    assert found.dependent_events[12:].tolist() == [2] * 6 + [3] * 6


def test_residual_edges_are_stripped():
    found = emission(
        [
            shape((2, 1, 1), [], [(0, ROWS)]),
            shape((2, 1, 1), [(0, ROWS)], [(1, ROWS)]),
            shape((2, 1, 1), [(1, ROWS), (0, WHOLE)], []),
        ],
        max_tasks=99,
    )
    assert found.producers == ((), (0,), (1,))
    assert found.dependent_events.tolist() == [-1] * 4 + [2, 3, 4, 5]


def test_only_the_latest_writer_counts_and_none_is_no_tensor():
    found = emission(
        [
            shape((1, 1, 1), [], [(0, ROWS), (None, ROWS)]),
            shape((1, 1, 1), [(0, ROWS)], [(0, ROWS)]),
            shape((1, 1, 1), [(0, ROWS), (None, ROWS)], []),
        ],
        max_tasks=99,
    )
    assert found.producers == ((), (0,), (1,))


def test_a_second_edge_from_a_fork_emits_tasks_twice():
    fork = shape((2, 1, 1), [], [(0, ROWS), (1, ROWS)])
    once = shape((1, 1, 1), [(0, ROWS)], [])
    twice = shape((1, 1, 1), [(0, ROWS), (1, ROWS)], [])
    found = emission([fork, once, twice], max_tasks=99)
    assert [x.tolist() for x in found.task_ids] == [[2, 3], [4], [6]]
    assert found.num_tasks == 7
    with pytest.raises(EmissionError, match="leaves out"):
        ids(fork, twice, once)


def test_two_axes_on_one_dim_leave_tasks_out():
    both = (0, 0, -1)
    with pytest.raises(EmissionError, match="leaves out") as caught:
        ids(shape((4, 1, 1), [], [(0, ROWS)]), shape((2, 2, 1), [(0, both)], []))
    assert caught.value.layer == 1


@pytest.mark.parametrize("grids", [((2, 1, 1), (4, 1, 1)), ((1, 1, 1), (1, 1, 1))])
def test_a_layer_can_not_have_two_roles(grids):
    fork = shape(grids[0], [], [(0, ROWS)])
    left = shape(grids[1], [(0, ROWS)], [(1, ROWS)])
    other = shape(grids[1], [], [(2, ROWS)])
    join = shape(grids[1], [(0, ROWS), (2, ROWS)], [])
    with pytest.raises(EmissionError, match="case 3") as caught:
        ids(fork, left, other, join)
    assert caught.value.layer == 0


def test_too_many_tasks_are_never_made():
    with pytest.raises(TooManyTasksError) as caught:
        ids(shape((2, 1, 1), [], []), shape((2**31 - 1,) * 3, [], []), max_tasks=100)
    assert caught.value.layer == 1
    assert ids(shape((98, 1, 1), [], []), max_tasks=100) == [list(range(2, 100))]


def test_a_branch_that_is_emitted_twice_counts_twice():
    """Its layer reads the fork through two slots: 14 tasks become 18."""
    fork = shape((4, 1, 1), [], [(0, ROWS)])
    once = shape((4, 1, 1), [(0, ROWS)], [(1, ROWS)])
    twice = shape((4, 1, 1), [(0, ROWS), (0, ROWS)], [(2, ROWS)])
    with pytest.raises(TooManyTasksError) as caught:
        ids(fork, once, twice, max_tasks=17)
    assert (caught.value.layer, caught.value.what) == (1, "its events repeat tasks without end")
    made = emission((fork, once, twice), max_tasks=18)
    assert made.num_tasks == 18
    assert [len(set(x.tolist())) for x in made.task_ids] == [4, 4, 4]


GRIDS = st.tuples(*[st.sampled_from([1, 2, 3, 4, 6])] * 3)
MAPS = st.permutations([0, 1, 2, 3, -1, -1, -1]).map(lambda x: tuple(x[:3])) | st.tuples(
    *[st.integers(-1, 5)] * 3
)


def parts(grid, axis_map):
    found = [1] * 4
    for size, dim in zip(grid, axis_map, strict=True):
        if 0 <= dim < 4:
            found[dim] = size
    return found


def chain_points(producer, output_map, consumer, input_map):
    """The consumer's grid points event by event, as nested loops over the tensor dims."""
    splits = zip(parts(producer, output_map), parts(consumer, input_map), strict=True)
    event_dims = [math.gcd(*pair) for pair in splits]
    for event in itertools.product(*map(range, event_dims)):
        ranges = [range(size) for size in consumer]
        for axis, dim in enumerate(input_map):
            if 0 <= dim < 4:
                block = consumer[axis] // event_dims[dim]
                ranges[axis] = range(event[dim] * block, (event[dim] + 1) * block)
        yield list(itertools.product(*ranges))


@settings(max_examples=examples(150), deadline=None)
@example((2, 1, 1), ROWS, (2, 1, 1), (0, 5, -1), 1)  # a dim past all that a tensor has
@given(GRIDS, MAPS, GRIDS, MAPS, st.integers(1, 2))
def test_chains_equal_the_loops(producer, output_map, consumer, input_map, num_subtasks):
    layers = [
        shape(producer, [], [(0, output_map)]),
        shape(consumer, [(0, input_map)], [], num_subtasks),
    ]
    task_ids, dependents = {}, []
    next_id = 2 + math.prod(producer)
    for event, points in enumerate(chain_points(producer, output_map, consumer, input_map)):
        for point in points:
            task_ids[point] = range(next_id, next_id + num_subtasks)
            next_id += num_subtasks
            dependents += [2 + event] * num_subtasks
    grid = list(itertools.product(*map(range, consumer)))
    if len(task_ids) < len(grid):
        with pytest.raises(EmissionError, match="leaves out"):
            emission(layers, max_tasks=10_000)
        return
    found = emission(layers, max_tasks=10_000)
    assert found.task_ids[1].tolist() == [x for point in grid for x in task_ids[point]]
    assert found.dependent_events[2 + math.prod(producer) :].tolist() == dependents
    assert found.num_tasks == next_id


@settings(max_examples=examples(100), deadline=None)
@given(st.data())
def test_any_layers_are_numbered_or_refused(data):
    """Random layers over few tensors: every id is handed out once, or the layers are refused."""
    layers = []
    for _ in range(data.draw(st.integers(1, 6))):
        slots = st.lists(st.tuples(st.integers(0, 3), MAPS), max_size=2)
        layers.append(shape(data.draw(GRIDS), data.draw(slots), data.draw(slots)))
    try:
        found = emission(layers, max_tasks=100_000)
    except EmissionError:
        return
    held = np.concatenate(found.task_ids)
    assert len(np.unique(held)) == len(held) == sum(x.num_tasks for x in layers)
    assert held.min() == 2
    assert held.max() < found.num_tasks == len(found.dependent_events)
    for index, task_ids in enumerate(found.task_ids):
        waits = found.dependent_events[task_ids]
        assert (waits >= 2).all() if found.producers[index] else (waits == -1).all()
        assert all(x < index for x in found.producers[index])
