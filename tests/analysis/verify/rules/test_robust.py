"""No graph that a file can hold makes the rules fail: columns with numbers that mean nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.run import verify
from mpkgraph.model import ids
from tests.amount import examples
from tests.analysis.verify.rules.mutated import bare, planned, set_events, set_tasks, with_graph
from tests.analysis.verify.rules.test_ranks import rank
from tests.analysis.verify.rules.test_structure import three_layers
from tests.pipelines.kit import record_of
from tests.planner.test_corners import PLANNED, record

FAMILIES = ("splits", "structure", "ranks")
SOUND = planned(record_of(three_layers))
RANKS = (rank(0), rank(1))
EVENT_IDS = st.sampled_from(
    [0, 1, 2, 3, 4, 5, 99, 2**32 - 1, ids.EVENT_INVALID_ID, ids.TASK_INVALID_ID, 2**63, 2**64 - 1]
    + [ids.EventId(rank, event, tag).encode() for rank in (0, 1, 9) for event in (2, 3, 77)
       for tag in (False, True)]
)  # fmt: skip
TASK_IDS = st.sampled_from([0, 1, 2, 9, 10, 25, 26, 27, 2**31, 2**63, 2**64 - 1])
COUNTS = st.sampled_from([-(2**31), -1, 0, 1, 7, 8, 9, 2**31 - 1])
TASK_FAULTS = st.tuples(
    st.sampled_from(["dependent_events", "trigger_events"]), st.integers(0, 25), EVENT_IDS
)
EVENT_FAULTS = st.one_of(
    st.tuples(st.sampled_from(["first_task_ids", "last_task_ids"]), st.integers(0, 4), TASK_IDS),
    st.tuples(st.just("num_triggers"), st.integers(0, 4), COUNTS),
    st.tuples(
        st.just("event_types"), st.integers(0, 4), st.sampled_from([-1, 900, 901, 903, 910, 911])
    ),
)


def changed(context: VerifyContext, tasks: Any, events: Any) -> VerifyContext:
    graph = context.graph
    for column, task, value in tasks:
        graph = set_tasks(graph, column, task, np.uint64(value))
    for column, event, value in events:
        kind = getattr(graph.events, column).dtype.type
        graph = set_events(graph, column, event, kind(value))
    return with_graph(context, graph)


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(TASK_FAULTS, max_size=4), st.lists(EVENT_FAULTS, max_size=3))
def test_events_that_mean_nothing(tasks, events):
    context = changed(SOUND, tasks, events)
    for one in (context, replace(context, record=None)):
        result = verify([one], select=FAMILIES)
        assert all(finding.message and finding.remedy for finding in result.findings)


@settings(max_examples=examples(50), deadline=None)
@given(st.lists(TASK_FAULTS, max_size=4), st.lists(EVENT_FAULTS, max_size=3))
def test_ranks_that_mean_nothing(tasks, events):
    assert verify([changed(RANKS[0], tasks, events), RANKS[1]], select=FAMILIES) is not None


@settings(max_examples=examples(60), deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 71), st.sampled_from([-2, 0, 1, 3, 2**20, 2**40, -(2**40)])),
        min_size=1,
        max_size=3,
    )
)
def test_offsets_that_mean_nothing(faults):
    graph = SOUND.graph
    for slot, offset in faults:
        graph = set_tasks(graph, "slot_offsets", slot, offset)
    for context in (with_graph(SOUND, graph), bare(graph)):
        assert verify([context], select=FAMILIES) is not None


@pytest.mark.parametrize(
    ("dims", "strides"), [((), ()), ((0, 0), (0, 0)), ((1, 512), (0, 1)), ((1, 512), (-512, -1))]
)
def test_layouts_that_mean_nothing(dims, strides):
    layouts = tuple(replace(x, dims=dims, strides=strides) for x in SOUND.graph.layouts)
    graph = replace(SOUND.graph, layouts=layouts)
    for context in (with_graph(SOUND, graph), bare(graph)):
        assert verify([context], select=FAMILIES) is not None


@pytest.mark.parametrize("name", PLANNED)
def test_corners_of_the_generator(name):
    """Layers in two roles, two axes on one dim, blocks beyond the grid; tasks that are null."""
    context = planned(record(name))
    for one in (context, bare(context.graph)):
        for finding in verify([one], select=["all"]).findings:
            assert finding.message
            assert finding.remedy
            assert finding.count > 0
