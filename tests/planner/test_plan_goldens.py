"""Plans equal what the real Mirage made of the same pipelines, to the byte."""

from __future__ import annotations

import hashlib

import pytest

from mpkgraph.errors import PipelineError
from mpkgraph.io.record import read_record
from mpkgraph.io.writer import text_chunks
from mpkgraph.planner.plan import plan
from tests import goldens

UNDEFINED = {"bad/map_dim_out_of_range-cc80", "bad/map_dim_out_of_range-cc90"}
"""Mirage computes their offsets from memory that it never wrote."""


def digest(graph) -> str:
    text = hashlib.sha256()
    for chunk in text_chunks(graph):
        text.update(chunk)
    return text.hexdigest()


@pytest.mark.parametrize("golden", goldens.every_graph(), ids=str)
def test_a_plan_is_the_graph_that_mirage_made(golden):
    made = plan(read_record(golden.record_path))
    if golden.case in UNDEFINED:
        assert [x.code for x in made.warnings] == ["map-past-rank"]
        assert made.graph.num_tasks == golden.num_tasks
        return
    assert digest(made.graph) == golden.sha256
    assert made.graph.num_null_tasks == golden.num_null_tasks


@pytest.mark.parametrize("path", goldens.refused())
def test_what_mirage_refuses_is_refused(path):
    with pytest.raises(PipelineError) as error:
        plan(read_record(path))
    assert error.value.exit_code == 3
    assert error.value.remedy
    assert "log[" in error.value.where


EXPECTED_WARNINGS = {
    "axis_unmapped": {"replicated"},
    "consumer_before_producer": {"read-before-write"},
    "dotted_name": {"name"},
    "duplicate_name": {"duplicate-name"},
    "empty_graph": {"empty"},
    "fork_duplicate_edges_second": {"null-tasks"},
    "grid_larger_than_dim": {"empty-tiles"},
    "grid_nondiv_linear": {"remainder"},
    "grid_nondiv_then_reader": {"remainder"},
    "grid_over_4096": {"blocks"},
    "map_dim_out_of_range": {"map-past-rank"},
    "map_output_replicated": {"overwritten"},
}
"""The others are right, or wrong in a way that is for static verify to find."""


@pytest.mark.parametrize("golden", goldens.graphs(group="bad"), ids=str)
def test_bad_pipelines_are_warned_of(golden):
    name = golden.case.removeprefix("bad/").rsplit("-", 1)[0]
    codes = {x.code for x in plan(read_record(golden.record_path)).warnings}
    assert codes == EXPECTED_WARNINGS.get(name, set())


@pytest.mark.parametrize("golden", goldens.graphs(group="tests"), ids=str)
def test_mirages_own_tests_only_repeat_work_and_drop_columns(golden):
    codes = {x.code for x in plan(read_record(golden.record_path)).warnings}
    assert codes <= {"replicated", "remainder"}
