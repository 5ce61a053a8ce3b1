"""Changes that change nothing: nothing new is found, with what each looks at."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from mpkgraph.analysis.verify.run import verify
from mpkgraph.analysis.verify.subjects import context_of
from mpkgraph.planner.plan import plan
from tests.mutations.behaviour import Behaviour
from tests.mutations.preserving import (
    REWRITES,
    record_in_other_order,
    record_with_other_names,
    renumbered,
    rewritten,
    with_other_names,
)
from tests.mutations.subjects import model_subjects, small_subjects

SUBJECTS = (*small_subjects(), *model_subjects())
by_name = pytest.mark.parametrize("subject", SUBJECTS, ids=lambda x: x.name)


def counts(*contexts):
    """How many findings of each rule and severity, each for itself."""
    found = verify(contexts).unfolded
    return Counter((x.rule.code, x.severity) for x in found if x.severity != "advice")


def assert_nothing_new(before, after):
    assert not after - before


@by_name
def test_renumbered(subject):
    rng = Random(f"renumbered {subject.name}")
    graph = renumbered(rng, subject.graph)
    behaviour = Behaviour(graph)
    assert not behaviour.hangs
    assert not behaviour.ends_early
    assert_nothing_new(counts(context_of(subject.graph)), counts(context_of(graph)))


def test_renumbering_changes_something():
    changed = [
        x.name
        for x in SUBJECTS
        if (
            renumbered(Random(1), x.graph).tasks.dependent_events != x.graph.tasks.dependent_events
        ).any()
    ]
    assert len(changed) > len(SUBJECTS) / 2


@by_name
def test_renamed_in_the_graph(subject):
    graph = with_other_names(Random(f"renamed {subject.name}"), subject.graph)
    assert_nothing_new(counts(context_of(subject.graph)), counts(context_of(graph)))


@by_name
def test_renamed_in_the_record(subject):
    record = record_with_other_names(Random(f"renamed {subject.name}"), subject.record)
    assert {x.name for x in record.tensors}.isdisjoint(x.name for x in subject.record.tensors)
    after = counts(context_of(plan(record).graph, record))
    assert_nothing_new(counts(*subject.contexts), after)


@by_name
def test_independent_calls_in_another_order(subject):
    rng = Random(f"order {subject.name}")
    before = counts(*subject.contexts)
    for record in (record_in_other_order(rng, subject) for _ in range(3)):
        if record is not None:
            assert_nothing_new(before, counts(context_of(plan(record).graph, record)))


def test_there_are_independent_calls():
    assert sum(record_in_other_order(Random(1), x) is not None for x in SUBJECTS) >= 4


@pytest.mark.parametrize("way", REWRITES)
@pytest.mark.parametrize("subject", SUBJECTS[:9:2], ids=lambda x: x.name)
def test_the_same_in_other_text(subject, way, tmp_path):
    graph = rewritten(REWRITES[way])(tmp_path, subject.graph)
    assert_nothing_new(counts(context_of(subject.graph)), counts(context_of(graph)))
    assert_nothing_new(counts(*subject.contexts), counts(context_of(graph, subject.record)))
