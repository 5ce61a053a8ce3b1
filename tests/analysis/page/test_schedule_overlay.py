"""A schedule's overlays against the schedule's own JSON and columns."""

from __future__ import annotations

import numpy as np
import pytest

import mpkgraph
from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.cost.model import cost_model
from mpkgraph.analysis.page import make_page
from mpkgraph.analysis.page.schedule import schedule_overlays
from mpkgraph.analysis.schedule.run import ScheduleOptions, schedule
from mpkgraph.views.operators import recover_operators
from tests.cli.conftest import EXAMPLE


@pytest.fixture(scope="module")
def contexts():
    graphs = mpkgraph.read_all(EXAMPLE)
    return [GraphContext(graph, recover_operators(graph)) for graph in graphs]


@pytest.fixture(scope="module")
def both(contexts):
    options = ScheduleOptions(num_workers=8, num_schedulers=4, model=cost_model("h100", "h100"))
    return schedule(contexts, options)


@pytest.mark.parametrize("rank", [0, 1])
def test_times_are_the_schedules(both, contexts, rank):
    start, duration, wait, path = schedule_overlays(both, rank)
    document = both.to_json()
    mine = [x for x in document["critical_path"]["tasks"] if x["rank"] == rank]
    assert mine
    for row in mine:
        task = row["task_id"]
        assert start.values[task] == row["start_ns"] / 1000
        assert duration.values[task] == pytest.approx((row["end_ns"] - row["start_ns"]) / 1000)
        assert start.labels[start.label_codes[task]] == f"worker {row['worker']}"
    assert np.flatnonzero(path.codes == 0).tolist() == sorted(x["task_id"] for x in mine)
    # what never runs has no time: the terminate task
    assert np.isnan(start.values[0])
    assert np.nanmin(wait.values) >= 0
    ends = start.values + duration.values
    assert np.nanmax(ends) <= both.makespan_ns / 1000
    for item in wait.items:
        assert item.events
        assert any(f"event {item.events[0]}" in item.title for _ in [0])


def test_no_task_starts_before_what_it_waits_on_ends(both, contexts):
    start, duration, *_ = schedule_overlays(both, 0)
    graph = contexts[0].graph
    triggers, waits = graph.tasks.trigger_indices, graph.tasks.dependent_indices
    ends = start.values + duration.values
    for task in range(2, graph.num_tasks, 7):
        before = np.flatnonzero(triggers == waits[task]) if waits[task] >= 0 else []
        for other in before:
            if not np.isnan(ends[other]):
                assert start.values[task] >= ends[other]


def test_they_fit_a_page(both, contexts):
    page = make_page(contexts[1], overlays=schedule_overlays(both, 1))
    assert [x["name"] for x in page.header["overlays"]] == ["start", "duration", "wait", "path"]


def test_a_rank_that_was_not_simulated(both):
    with pytest.raises(ValueError, match="7 is not in list"):
        schedule_overlays(both, 7)
