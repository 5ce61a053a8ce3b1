"""What is no difference: other numbers, another order, names that differ alike; and the same file.

The graphs are Mirage's own; `diff(g, g)` and `diff(g, rewritten g)` are empty.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest

import mpkgraph
from mpkgraph.analysis.diff.compare import compare
from mpkgraph.analysis.diff.options import DiffOptions
from mpkgraph.analysis.diff.side import Side
from mpkgraph.errors import MpkGraphError
from mpkgraph.io.record import read_record
from mpkgraph.planner.plan import plan
from tests import goldens
from tests.analysis.diff.edits import look
from tests.mutations.graph_faults import permuted
from tests.mutations.preserving import (
    _with_events,
    record_in_other_order,
    renumbered,
    with_other_names,
)
from tests.mutations.subjects import Subject, model_subjects, small_subjects

SUBJECTS = (*small_subjects(), *model_subjects()[:2])
by_golden = pytest.mark.parametrize("golden", goldens.graphs(max_bytes=60_000), ids=str)


def in_blocks(rng, graph):
    """Tasks of one event in another order among themselves."""
    order, waits = np.arange(graph.num_tasks), graph.tasks.dependent_indices
    start = 2
    while start < graph.num_tasks:
        stop = start
        while stop < graph.num_tasks and waits[stop] == waits[start]:
            stop += 1
        block = list(range(start, stop))
        rng.shuffle(block)
        order[start:stop] = block
        start = stop
    return _with_events(permuted(graph, order), np.arange(graph.num_events))


def assert_equal(left, right, **options):
    result = compare(left, right, DiffOptions(**options)).result
    shown = result.to_json()
    for key in ("operators", "tensors", "events", "other"):
        assert not shown[key], key
    assert result.is_equal


@by_golden
def test_same_graph(golden):
    graph = mpkgraph.read(golden.graph_path)
    assert_equal(Side.of(graph), Side.of(graph), strict_names=True)


@by_golden
def test_renumbered(golden):
    graph, rng = mpkgraph.read(golden.graph_path), Random(str(golden))
    try:
        other = renumbered(rng, graph)
    except ValueError:
        pytest.skip("the graph waits in a circle")
    assert_equal(Side.of(graph), Side.of(other), strict_names=True)
    assert_equal(Side.of(graph), Side.of(with_other_names(rng, other)))


@by_golden
def test_renamed(golden):
    graph = mpkgraph.read(golden.graph_path)
    other = with_other_names(Random(str(golden)), graph)
    assert_equal(Side.of(graph), Side.of(other))
    assert_equal(Side.of(graph), Side.of(other), ignore_names=True)


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda x: x.name)
def test_shuffled_examples(subject):
    rng = Random(subject.name)
    graph = subject.graph
    for other in (renumbered(rng, graph), in_blocks(rng, graph)):
        assert_equal(Side.of(graph), Side.of(other), strict_names=True)
        assert_equal(Side.of(graph), Side.of(with_other_names(rng, other)))
        assert_equal(Side.of(other), Side.of(graph), ignore_names=True)


def test_renaming_is_told_and_counts_when_asked():
    graph = small_subjects()[0].graph
    layouts = tuple(
        x if x.is_null else replace(x, base_ptr=f"new_{x.base_ptr}") for x in graph.layouts
    )
    other = replace(graph, layouts=layouts)
    result = compare(Side.of(graph), Side.of(other)).result
    assert result.is_equal
    assert set(result.renamed) == {(x, f"new_{x}") for x in graph.tensors}
    strict = compare(Side.of(graph), Side.of(other), DiffOptions(strict_names=True)).result
    assert not strict.is_equal
    assert strict.num_differences == len(graph.tensors)


def test_names_that_changed_places_differ():
    """Two tensors of the caller are told apart by their names."""
    graph = small_subjects()[1].graph
    one, two = graph.tensors[:2]
    swap = {one: two, two: one}
    layouts = tuple(
        x if x.base_ptr not in swap else replace(x, base_ptr=swap[x.base_ptr])
        for x in graph.layouts
    )
    other = replace(graph, layouts=layouts)
    assert not compare(Side.of(graph), Side.of(other)).result.is_equal
    assert_equal(Side.of(graph), Side.of(other), ignore_names=True)


def test_independent_layers_in_another_order():
    """Of Mirage's own pipelines, planned anew; with the records and without."""
    goldens.require()
    compared = 0
    for golden in goldens.all_graphs():
        if golden.num_bytes > 150_000 or golden.rank:
            continue
        try:
            record = read_record(golden.record_path)
            before = plan(record)
            subject = Subject(str(golden), (record,), (before.graph,))
            other = record_in_other_order(Random(str(golden)), subject)
            after = before if other is None else plan(other)
        except MpkGraphError:
            continue  # what Mirage refuses as well
        if after is not before:
            compared += 1
            for recorded in (True, False):
                result, items = look(before, after, recorded=recorded)
                assert result.is_equal, (str(golden), items)
    assert compared >= 10


def test_hashes_that_collide_are_not_believed():
    """Were all hashes of tiles the same, a tile elsewhere would still be found."""
    graph = small_subjects()[0].graph
    offsets = graph.tasks.slot_offsets.copy()
    offsets[5] += 2
    other = replace(graph, tasks=replace(graph.tasks, slot_offsets=offsets))
    honest = Side.of(graph).hashes
    same = replace(honest, tiles=np.zeros_like(honest.tiles))
    sides = [Side.of(graph), Side.of(other).with_operators(Side.of(graph).operators)]
    for side in sides:
        side.__dict__["hashes"] = same
    result = compare(*sides).result
    assert not result.is_equal
    assert [x.what for x in result.other] == ["column slot offsets"]
