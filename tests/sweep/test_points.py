"""Every combination, each with a name of its own and a key that says what it is made of."""

from __future__ import annotations

import dataclasses
import pickle
import re
from pathlib import Path

import pytest

from mpkgraph.errors import UsageError
from mpkgraph.pipeline.compile import CompileOptions
from mpkgraph.pipeline.custom_tasks import custom_task
from mpkgraph.sweep import points as module
from mpkgraph.sweep.points import CheckOptions, SweepOptions, points_of

BASE = SweepOptions(("pipes.py:norm",), ("rows=8,16", "target=h100,h200,90"))


def keys(options, **changes):
    return [point.key for point in points_of(dataclasses.replace(options, **changes))]


def test_all_combinations_in_order(work):
    points = points_of(BASE)
    assert [point.values for point in points] == [
        (("rows", rows), ("target", target))
        for rows in ("8", "16")
        for target in ("h100", "h200", "90")
    ]
    assert [point.index for point in points] == list(range(6))
    assert {(point.plan.settings["rows"], point.plan.cc) for point in points} == {
        ("8", 90),
        ("16", 90),
    }
    # H100 and H200 are planned alike and cost differently
    assert len({point.name for point in points}) == len({point.key for point in points}) == 6


@pytest.mark.parametrize(
    "values", ["a/b,a\\b,a b,../..", "(8, 1),(8,1),[8, 1]", "\x1b31m,ä,'=x'", "x" * 300 + ",y"]
)
def test_names_are_safe_in_folders_and_partitions(work, values):
    points = points_of(SweepOptions(("other:norm",), (f"rows={values}",)))
    names = [point.name for point in points]
    assert len(set(names)) == len(names) > 1
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]{8,120}", name) for name in names)


def test_a_name_stays_and_a_key_changes_with_what_is_checked(work):
    for changes in (
        {"check": CheckOptions(select=("hazards",))},
        {"check": CheckOptions(kv_length=7)},
        {"emit": frozenset({"graph"})},
    ):
        assert not set(keys(BASE)) & set(keys(BASE, **changes))
        changed = points_of(dataclasses.replace(BASE, **changes))
        assert [x.name for x in changed] == [x.name for x in points_of(BASE)]


@pytest.mark.parametrize(
    "plan",
    [
        CompileOptions(num_workers=64),
        CompileOptions(settings={"columns": "1024"}),
        CompileOptions(init={"max_num_batched_tokens": 1}),
        CompileOptions(meta=True),
        CompileOptions(world_size=2),
        CompileOptions(tasks=(custom_task("mine:1:1:4242"),)),
    ],
)
def test_name_and_key_change_with_what_is_planned(work, plan):
    changed = points_of(dataclasses.replace(BASE, plan=plan))
    assert not set(keys(BASE)) & {x.key for x in changed}
    assert not {x.name for x in points_of(BASE)} & {x.name for x in changed}


def test_a_key_changes_with_the_version_and_named_files(work, monkeypatch):
    Path("costs.json").write_text("{}")
    options = dataclasses.replace(BASE, check=CheckOptions(cost="costs.json"))
    before = keys(options)
    assert keys(options) == before
    Path("costs.json").write_text("{ }")
    assert not set(before) & set(keys(options))
    before = keys(BASE)
    monkeypatch.setattr(module, "__version__", "99")
    assert not set(before) & set(keys(BASE))


def test_all_ranks_are_planned_together_unless_one_is_named(work):
    points = points_of(SweepOptions(("pipes.py:norm",), ("ranks=1,2",)))
    assert [(x.plan.world_size, x.plan.all_ranks) for x in points] == [(1, False), (2, True)]
    one = SweepOptions(("pipes.py:norm",), ("ranks=2,4",), CompileOptions(rank=1))
    assert [(x.plan.rank, x.plan.all_ranks) for x in points_of(one)] == [(1, False), (1, False)]


def test_arguments_are_filled_in_one_pass(work):
    options = SweepOptions(
        ("script.py",),
        ("a={b},x", "b=1", "flag=,--flag", "--rows=8"),
        CompileOptions(arguments=("{a}", "z{b}{b}", "{flag}", "{other}", "")),
    )
    assert [point.plan.arguments for point in points_of(options)] == [
        (*first, "{other}", "", "--rows", "8")
        for first in (
            ("{b}", "z11"),
            ("{b}", "z11", "--flag"),
            ("x", "z11"),
            ("x", "z11", "--flag"),
        )
    ]


@pytest.mark.parametrize(
    ("sweep", "plan", "said"),
    [
        ("workers=1,2", CompileOptions(num_workers=4), "given with --workers"),
        ("ranks=1,2", CompileOptions(world_size=4), "given with --world-size"),
        ("target=80,90", CompileOptions(cc=80), "given with --target"),
        ("rows=1,2", CompileOptions(settings={"rows": "3"}), "given with --set rows"),
        ("init:a=1,2", CompileOptions(init={"a": 3}), "given with --init a"),
        ("multicast=yes,no", CompileOptions(multicast=False), "given with --multicast"),
    ],
)
def test_what_is_given_once_for_all_is_not_swept(work, sweep, plan, said):
    with pytest.raises(UsageError, match=said):
        points_of(SweepOptions(("pipes.py:norm",), (sweep,), plan))


def test_too_many(work, monkeypatch):
    monkeypatch.setattr(module, "MAX_POINTS", 5)
    with pytest.raises(UsageError, match="6 combinations"):
        points_of(BASE)
    with pytest.raises(UsageError, match="nothing to sweep"):
        points_of(dataclasses.replace(BASE, sweep=()))


def test_points_travel(work):
    plan = CompileOptions(tasks=(custom_task("mine:1:1:4242"),))
    for point in points_of(dataclasses.replace(BASE, plan=plan)):
        assert pickle.loads(pickle.dumps(point)) == point
