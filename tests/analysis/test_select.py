"""Filters over tasks, ids as ranges, and what errors suggest."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpkgraph.analysis.names import match_names
from mpkgraph.analysis.ranges import format_ranges, parse_ranges, to_ranges
from mpkgraph.analysis.select import (
    TaskFilter,
    select_events,
    select_operators,
    select_tasks,
    select_tensors,
)
from mpkgraph.errors import SelectionError
from mpkgraph.model.ids import EventId
from tests.analysis import graphs
from tests.analysis.graphs import slot, task

RMS_NORM, LINEAR_HOPPER, LINEAR_WITH_RESIDUAL = 119, 152, 108


@pytest.fixture(scope="module")
def context():
    norm = {"task_type": RMS_NORM, "inputs": [slot("x")], "outputs": [slot("norm_out")]}
    linear = {"task_type": LINEAR_HOPPER, "inputs": [slot("norm_out"), slot("layer_0_qkv")]}
    last = {
        "task_type": LINEAR_WITH_RESIDUAL,
        "inputs": [slot("layer_1_o")],
        "outputs": [slot("x")],
    }
    tasks = [
        task(None, 2, **norm),
        task(None, 2, variant_id=1, **norm),
        task(2, 3, **linear),
        task(2, 3, **linear),
        task(3, 4, **last),
        None,
    ]
    return graphs.context_of(graphs.graph_of(tasks, 5), [[2, 3], [4, 5], [6]])


def ids_of(context, **fields):
    return select_tasks(context.graph, context.operators, TaskFilter(**fields)).tolist()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, [0, 1, 2, 3, 4, 5, 6, 7]),
        ({"types": ("rms_norm",)}, [2, 3]),
        ({"types": ("TASK_RMS_NORM",)}, [2, 3]),
        ({"types": ("119",)}, [2, 3]),
        ({"types": ("linear",)}, []),  # TASK_LINEAR exactly, of which there is none here
        ({"types": ("linear*",)}, [4, 5, 6]),
        ({"types": ("inear_ho",)}, [4, 5]),
        ({"types": ("119", "residual")}, [2, 3, 6]),
        ({"operators": ("1",)}, [4, 5]),
        ({"operators": ("0,2",)}, [2, 3, 6]),
        ({"operators": ("1-",)}, [4, 5, 6]),
        ({"operators": ("linear_hopper",)}, [4, 5]),
        ({"operators": ("TASK_RMS_NORM", "2")}, [2, 3, 6]),
        ({"operators": ("all",)}, [2, 3, 4, 5, 6]),
        ({"tensors": ("x",)}, [2, 3, 6]),
        ({"tensors": ("x",), "tensor_use": "written"}, [6]),
        ({"tensors": ("x",), "tensor_use": "read"}, [2, 3]),
        ({"tensors": ("layer_*",)}, [4, 5, 6]),
        ({"tensors": ("layer_[1-9]_*",)}, [6]),
        ({"task_ids": ("2-3,6-",)}, [2, 3, 6, 7]),
        ({"task_ids": ("all",)}, [0, 1, 2, 3, 4, 5, 6, 7]),
        ({"variants": (1,)}, [3]),
        ({"waits_on": ("2",)}, [4, 5]),
        ({"triggers": ("2", "4")}, [2, 3, 6]),
        ({"triggers": ("2",), "variants": (0,)}, [2]),
        ({"types": ("rms_norm",), "operators": ("1",)}, []),
        ({"tensors": ("norm_out",), "tensor_use": "read", "task_ids": ("0-4",)}, [4]),
    ],
)
def test_filters_combine(context, fields, expected):
    assert ids_of(context, **fields) == expected


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"types": ("rmsnorm",)}, "rms_norm"),
        ({"types": ("4242",)}, "119 (rms_norm)"),
        ({"operators": ("rms_nrom",)}, "rms_norm"),
        ({"operators": ("3",)}, "operators 0 to 2"),
        ({"tensors": ("norm_ot",)}, "norm_out"),
        ({"tensors": ("zz*",)}, "There is x, norm_out, layer_0_qkv and layer_1_o"),
        ({"task_ids": ("8",)}, "tasks 0 to 7"),
        ({"task_ids": ("2-99",)}, "tasks 0 to 7"),
        ({"task_ids": ("5-2",)}, "2-5"),
        ({"task_ids": ("two",)}, "2-10,17,900-"),
        ({"task_ids": ("",)}, "2-10,17,900-"),
        ({"variants": (9,)}, "0, 1"),
        ({"waits_on": ("5",)}, "events 0 to 4"),
        ({"triggers": (str(EventId(1, 2, nvshmem=True).encode()),)}, "rank 1"),
        ({"triggers": ("9223372036854775806",)}, "no event"),
    ],
)
def test_errors_name_what_there_is(context, fields, words):
    with pytest.raises(SelectionError) as caught:
        ids_of(context, **fields)
    assert words in str(caught.value)
    assert caught.value.exit_code == 2


def test_events_by_id_of_a_rank():
    graph = graphs.graph_of([(None, 2)], 4, rank=1)
    text = str(EventId(1, 2, nvshmem=True).encode())
    assert select_events((text, "0"), graph).tolist() == [0, 2]
    context = graphs.context_of(graph)
    assert ids_of(context, triggers=(text,)) == [2]


def test_events_of_other_ranks_do_not_match_by_index():
    graph = graphs.graph_of([(None, EventId(1, 2, nvshmem=True)), (None, 2)], 4)
    assert ids_of(graphs.context_of(graph), triggers=("2",)) == [3]


def test_exact_names_go_before_patterns_and_parts(context):
    names = ["linear", "linear_hopper", "Linear[x]"]
    assert match_names("linear", names) == {"linear"}
    assert match_names("linear[x]", names) == {"Linear[x]"}
    assert match_names("hop", names) == {"linear_hopper"}
    assert match_names("", names) == set()
    assert select_operators(("linear_*",), context.operators).tolist() == [1, 2]
    assert select_tensors(("x", "norm*"), context.graph).tolist() == [0, 1]


def test_long_names_are_cut_in_messages():
    graph = graphs.graph_of([task(None, 2, inputs=[slot("n" * 10_000)])], 3)
    with pytest.raises(SelectionError) as caught:
        select_tensors(("q" * 10_000,), graph)
    assert len(str(caught.value)) < 400


def test_empty_filter():
    assert TaskFilter().is_empty
    assert not TaskFilter(variants=(0,)).is_empty


@given(st.sets(st.integers(0, 30)))
def test_ranges_read_back(chosen):
    text = format_ranges(to_ranges(np.array(sorted(chosen), dtype=np.int64)))
    if chosen:
        assert parse_ranges(text, 31, "task").tolist() == sorted(chosen)
    else:
        assert text == ""
