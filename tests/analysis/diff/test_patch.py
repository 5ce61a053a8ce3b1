"""A patch gives back the right graph, byte for byte: nothing of the difference is overlooked."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mpkgraph
from mpkgraph.analysis.diff.compare import compare
from mpkgraph.analysis.diff.patch import apply_patch, make_patch
from mpkgraph.analysis.diff.patch_file import apply_patches, load_patches, save_patches
from mpkgraph.analysis.diff.runs import from_runs, to_runs
from mpkgraph.analysis.diff.side import Side
from mpkgraph.errors import GraphReadError
from tests import goldens
from tests.analysis.diff.edits import EDITS, text_of
from tests.mutations.preserving import REWRITES, renumbered, rewritten, with_other_names
from tests.mutations.subjects import model_subjects, small_subjects

SUBJECTS = (*small_subjects(), *model_subjects()[:3])


def patch_between(left, right):
    found = compare(Side.of(left), Side.of(right))
    return orjson.dumps(make_patch(left, right, found.tasks, found.names))


def assert_gives_back(left, right):
    """The patch, once it has given back the right graph."""
    data = patch_between(left, right)
    assert text_of(apply_patch(orjson.loads(data), left)) == text_of(right)
    return data


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 3), max_size=40))
def test_runs(numbers):
    values = np.array(numbers, dtype=np.int64)
    assert (from_runs(orjson.loads(orjson.dumps(to_runs(values)))) == values).all()


def test_runs_are_short():
    assert to_runs(np.repeat([7, 9], 1000)) == [[7, 1000], [9, 1000]]
    assert to_runs(np.arange(0, 6000, 6)) == [[0, 1000, 6]]
    ids = np.full(9, 0x9E00000100000007, dtype=np.uint64)
    assert (from_runs(to_runs(ids)).view(np.uint64) == ids).all()


@pytest.mark.parametrize("text", [[[1]], [[1, 2, 3, 4]], ["1"], [[1, -2]], [[1, 1 << 40]]])
def test_damaged_runs(text):
    with pytest.raises((ValueError, TypeError)):
        from_runs(text)


@pytest.mark.parametrize("golden", goldens.graphs(max_bytes=60_000), ids=str)
def test_between_goldens(golden):
    """To another graph of the same group, whatever it is."""
    others = [x for x in goldens.all_graphs() if x.group == golden.group and x.num_bytes < 90_000]
    left = mpkgraph.read(golden.graph_path)
    for other in Random(str(golden)).sample(others, 2):
        assert_gives_back(left, mpkgraph.read(other.graph_path))


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda x: x.name)
def test_rewritten(subject, tmp_path):
    rng, graph = Random(subject.name), subject.graph
    other = with_other_names(rng, renumbered(rng, graph))
    assert_gives_back(graph, other)
    unknown = rewritten(REWRITES["unknown fields"])(tmp_path, graph)
    assert_gives_back(graph, unknown)
    assert_gives_back(unknown, graph)


@pytest.mark.parametrize("edit", EDITS[:14], ids=lambda x: x.name)
def test_edits_make_small_patches(edit):
    """Of what an edit changes, not of the graph."""
    from mpkgraph.errors import MpkGraphError
    from mpkgraph.planner.plan import plan

    rng, tried = Random(f"patch {edit.name}"), 0
    for _ in range(30):
        subject = rng.choice(SUBJECTS)
        edited = edit.make(rng, subject)
        if edited is None:
            continue
        try:
            right = plan(edited.record).graph
        except MpkGraphError:
            continue
        data = assert_gives_back(subject.graph, right)
        size = len(text_of(right))
        assert len(data) < max(2500, size / 20), (subject.name, edited.what)
        tried += 1
        if tried == 3:
            break
    assert tried


def test_fields_and_names_of_any_kind(tmp_path):
    """Integers beyond 64 bits, names of any letters, true in place of 1."""
    graph = small_subjects()[0].graph
    layouts = tuple(
        x if x.is_null else replace(x, base_ptr=f"{x.base_ptr} <\u00fc\u202e>")
        for x in graph.layouts
    )
    odd = replace(graph, layouts=layouts, extras={"big": 1 << 70, "flag": True})
    other = replace(odd, extras={"big": 1 << 70, "flag": 1})
    for left, right in ((graph, odd), (odd, other), (other, graph)):
        found = compare(Side.of(left), Side.of(right))
        assert found.result.is_equal == (left.extras.keys() == right.extras.keys() == set())
        save_patches([found], tmp_path / "p.json")
        (made,) = apply_patches(load_patches(tmp_path / "p.json"), [left], "p.json")
        assert text_of(made) == text_of(right)


def test_of_another_graph():
    left, right, other = (x.graph for x in small_subjects()[:3])
    patch = orjson.loads(patch_between(left, right))
    with pytest.raises(GraphReadError, match="another graph"):
        apply_patch(patch, other, "p.json")


@pytest.mark.parametrize("key", ["left", "right", "tasks", "columns", "layouts", "first_tasks"])
def test_damaged(key):
    left, right = (x.graph for x in small_subjects()[:2])
    whole = orjson.loads(patch_between(left, right))
    for value in (None, [], {}, "x", [[1, 1 << 62]], 7):
        if whole.get(key) == value:
            continue
        with pytest.raises(GraphReadError):
            apply_patch({**whole, key: value}, left)
    without = {k: v for k, v in whole.items() if k != key}
    with pytest.raises(GraphReadError):
        apply_patch(without, left)
