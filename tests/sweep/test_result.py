"""Ranking: what comes first, what last, and results that come back from JSON as they were."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpkgraph.sweep.result import RANK_BY, GraphRow, PointError, PointResult, SweepResult, ranked

SEVERITIES = ("error", "warning", "advice")


def graph(tasks=10, makespan=1000, *, events=5, depth=3, hangs=False):
    return GraphRow(0, 1, 90, 128, 16, 1, 1, tasks, events, depth, 4, "h100", makespan, hangs=hangs)


def point(name, *graphs, found=(), error=None):
    findings = tuple({"severity": x, "code": "MPK101", "graph": 0} for x in found)
    return PointResult(name, "key", (("a", name),), error, graphs, findings)


FAILED = point("failed", error=PointError("refused", "no"))
GOOD = point("good", graph())
SLOW = point("slow", graph(makespan=9000, tasks=5))
WARNED = point("warned", graph(makespan=10), found=["warning"])
WRONG = point("wrong", graph(makespan=1), found=["error"])
STUCK = point("stuck", graph(makespan=None, hangs=True))


def test_by_findings():
    expected = (GOOD, SLOW, STUCK, WARNED, WRONG, FAILED)
    for order in itertools.permutations(expected):
        assert ranked(order, "findings") == expected


@pytest.mark.parametrize(
    ("rank_by", "first"),
    [("makespan", WRONG), ("tasks", SLOW), ("events", GOOD), ("depth", GOOD)],
)
def test_by_one_number(rank_by, first):
    for order in itertools.permutations((GOOD, SLOW, WRONG, STUCK, FAILED)):
        found = ranked(order, rank_by)
        assert found[0] is first
        assert found[-1] is FAILED
        if rank_by == "makespan":
            assert found[-2] is STUCK


def test_equals_stay_in_order():
    same = [point(str(i), graph()) for i in range(5)]
    for rank_by in RANK_BY:
        assert ranked(same, rank_by) == tuple(same)


POINTS = st.builds(
    point,
    st.text(max_size=3),
    *(st.builds(graph, st.integers(0, 9), st.one_of(st.none(), st.integers(0, 9))),) * 2,
    found=st.lists(st.sampled_from(SEVERITIES), max_size=3),
    error=st.one_of(st.none(), st.just(PointError("failed", "no", "trace"))),
)


@given(POINTS)
def test_a_point_comes_back(one):
    again = PointResult.from_json(json.loads(json.dumps(one.to_json())))
    assert again == one
    assert again.to_json() == one.to_json()


@given(st.lists(POINTS, max_size=6), st.sampled_from(RANK_BY))
def test_ranking_is_sorted_and_whole(points, rank_by):
    found = ranked(points, rank_by)
    assert sorted(map(id, found)) == sorted(map(id, points))
    failed = [x.error is not None for x in found]
    assert failed == sorted(failed)
    numbers = [x.count("error") for x in found if x.error is None]
    if rank_by == "findings":
        assert numbers == sorted(numbers)


@pytest.mark.parametrize(
    ("points", "fail_on", "warnings", "code"),
    [
        ([GOOD, SLOW], "error", False, 0),
        ([GOOD, WARNED], "error", False, 0),
        ([GOOD, WARNED], "warning", False, 1),
        ([GOOD, WRONG], "error", False, 1),
        ([WRONG, FAILED], "error", False, 3),
        ([], "error", False, 0),
    ],
)
def test_exit_codes(points, fail_on, warnings, code):
    result = SweepResult("p", (("a", ()),), tuple(points), "findings", fail_on, warnings)
    assert result.exit_code == code


def test_several_graphs_add_up():
    both = point("both", graph(10, 100), graph(5, 50, depth=2))
    assert (both.num_tasks, both.makespan_ns, both.depth) == (15, 150, 5)
    assert point("one", graph(), graph(makespan=None)).makespan_ns is None
    assert FAILED.num_tasks is None


def test_axes_called_as_columns():
    one = PointResult("n", "k", (("tasks", "1"), ("depth", "7"), ("status", "x")), None, (graph(),))
    axes = (("tasks", ("1",)), ("depth", ("7",)), ("status", ("x",)))
    columns = SweepResult("p", axes, (one,)).table().to_columns()
    assert columns["axis:depth"] == ["7"]
    assert columns["depth"] == [3]
    assert (columns["tasks"], columns["num_tasks"]) == (["1"], [10])
    assert (columns["status"], columns["axis:status"]) == (["planned"], ["x"])


@pytest.mark.parametrize("change", [{"schema": "x"}, {"graphs": [{}]}, {"error": {"kind": 1}}])
def test_what_is_no_point(change):
    with pytest.raises((ValueError, TypeError, KeyError)):
        PointResult.from_json({**GOOD.to_json(), **change})
