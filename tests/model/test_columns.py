"""Graphs, operators and records, one task or slot at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mpkgraph.model.divisors import MAX_SUGGESTED, divisors_near
from mpkgraph.model.graph import ExtraField, SlotLayout
from mpkgraph.model.operator import OperatorSet
from mpkgraph.model.record import CallSite, PipelineRecord
from tests.analysis.graphs import graph_of, slot, task
from tests.analysis.verify.oracle import built
from tests.pipelines import odd


@pytest.mark.parametrize(
    ("base_ptr", "dims", "is_null"),
    [("nullptr", (), True), ("nullptr", (8,), False), ("x", (), False), ("x", (8,), False)],
)
def test_a_slot_that_was_given_none(base_ptr, dims, is_null):
    assert SlotLayout(base_ptr, 941, dims, (1,) * len(dims)).is_null is is_null


def test_fields_that_only_some_records_have():
    extra = ExtraField(("a", None), np.array([1, -1, 0], dtype=np.int32))
    assert [extra.has(x) for x in range(3)] == [True, False, True]
    assert (extra.get(0), extra.get(2)) == (None, "a")
    with pytest.raises(KeyError):
        extra.get(1)


def test_slots_of_tasks():
    null = {"base_ptr": "nullptr", "data_type": 999, "dims": [], "offset": 0, "strides": []}
    graph = graph_of(
        [
            task(None, 2, inputs=[slot("x"), null], outputs=[slot("y")]),
            task(2, 3, inputs=[slot("y")], outputs=None),
        ],
        4,
    )
    columns = graph.tasks
    assert columns.slot_counts(np.array([3, 2, 1])).tolist() == [1, 3, 0]
    assert [columns.slot_range(x) for x in (2, 3)] == [(0, 3), (3, 4)]
    names = [
        None if code < 0 else graph.tensors[code]
        for code in graph.layout_tensors[columns.slot_layouts].tolist()
    ]
    assert names == ["x", None, "y", "y"]


def test_owners_of_tasks():
    operators = built(odd.waw_two_writers).operators
    assert repr(operators) == "<OperatorSet: 3 operators of 26 tasks, recorded>"
    assert repr(OperatorSet((), 2)) == "<OperatorSet: 0 operators of 2 tasks>"
    assert repr(OperatorSet(operators.operators[:1], 26)).startswith("<OperatorSet: 1 operators")
    for operator in operators:
        assert {operators.owner(x) for x in operator.task_ids.tolist()} == {operator.index}
        with pytest.raises(ValueError, match="read-only"):
            operator.task_ids[0] = 0
    assert operators.owner(0) == -1
    assert operators.of_task(1) is None
    assert operators.owners(np.array([2, 10, 1])).tolist() == [0, 1, -1]


def test_a_record_that_does_not_say_its_rank():
    record = PipelineRecord("de8745d", 90, {}, (), ())
    assert (record.num_gpus, record.my_gpu_id) == (1, 0)
    two = replace(record, init={"world_size": 2, "mpi_rank": 1})
    assert (two.num_gpus, two.my_gpu_id) == (2, 1)
    made = replace(two, generate={"num_gpus": 4, "my_gpu_id": 3})
    assert (made.num_gpus, made.my_gpu_id) == (4, 3)


def test_where_a_record_was_made_is_no_part_of_it():
    record = PipelineRecord("de8745d", 90, {}, (), ())
    known = replace(record, path="pipeline_rank0.json", call_sites=(CallSite("script.py", 12),))
    assert known == record
    assert known != replace(record, target_cc=100)


@pytest.mark.parametrize("extent", [-3, 0, 1, 2, 7, 12, 97])
@pytest.mark.parametrize("size", [1, 2, 5, 12, 40, 96, 97, 200])
def test_divisors_next_to_a_size(extent, size):
    divisors = [n for n in range(1, max(extent, 1) + 1) if extent % n == 0] if extent > 0 else [1]
    wanted = [max(n for n in divisors if n <= size)]
    wanted += [n for n in divisors if n > size][:1]
    assert list(divisors_near(extent, size)) == wanted


def test_divisors_are_not_looked_for_without_end():
    prime = (1 << 31) - 1
    assert divisors_near(prime, 8) == (1,)
    half = 2 * MAX_SUGGESTED
    assert divisors_near(half, MAX_SUGGESTED - 1) == (MAX_SUGGESTED // 2, MAX_SUGGESTED)
    assert divisors_near(half, MAX_SUGGESTED) == (MAX_SUGGESTED, half)
    assert divisors_near(2 * prime, MAX_SUGGESTED) == (2,)
    assert divisors_near((MAX_SUGGESTED + 1) ** 2, 2) == (1,)  # a prime just past what is suggested
    assert divisors_near(131_101, MAX_SUGGESTED) == (1,)  # a prime just past twice the size
