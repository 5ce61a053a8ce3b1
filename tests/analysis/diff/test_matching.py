"""Which operator is which: layers that come and go in a model whose buffers are used again."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from benchmarks.decoder import scaled_spec
from benchmarks.generate import generate
from mpkgraph.analysis.diff.compare import compare
from mpkgraph.analysis.diff.matching import match_operators
from mpkgraph.analysis.diff.side import Side
from mpkgraph.errors import MpkGraphError
from mpkgraph.io.reader import read_graph
from mpkgraph.planner.plan import plan
from tests import goldens
from tests.analysis.diff.edits import EDITS, look
from tests.mutations.preserving import renumbered, with_other_names
from tests.mutations.subjects import Subject, model_subjects, small_subjects

SPEC = scaled_spec(8, 4)
"""A decoder of four layers; only weights have names of their own."""


def decoder(folder, **fields):
    stream = io.BytesIO()
    generate(stream, replace(SPEC, **fields))
    path = folder / f"{len(list(folder.iterdir()))}.json"
    path.write_bytes(stream.getvalue())
    return read_graph(path)


def kinds(result):
    return Counter(x.kind for x in result.operators for _ in x.members)


def test_a_layer_less_and_another_grid(tmp_path):
    left = decoder(tmp_path)
    right = decoder(tmp_path, num_layers=3, down_tasks=SPEC.down_tasks // 2)
    for other in (right, renumbered(Random(2), right)):
        result = compare(Side.of(left), Side.of(other)).result
        assert kinds(result) == {"changed": 3, "removed": 11}
        (changed,) = [x for x in result.operators if x.kind == "changed"]
        assert changed.layers == (0, 1, 2)
        assert [x.what for x in changed.changes] == ["grid"]
        assert not result.tensors
        assert not result.own_events


def test_layers_more_by_structure_alone(tmp_path):
    """Without names nobody can say which of equal layers is new, only how many are."""
    left = decoder(tmp_path)
    right = with_other_names(Random(3), decoder(tmp_path, num_layers=6))
    result = compare(Side.of(left), Side.of(right)).result
    assert kinds(result) == {"added": 22}


def test_every_golden_matches_itself_by_identity():
    for golden in goldens.all_graphs():
        if golden.num_bytes < 40_000:
            side = Side.of(read_graph(golden.graph_path))
            matching = match_operators(side, side)
            assert all(x == y for x, y in matching.pairs)
            assert not matching.removed
            assert not matching.added


SAME_LAYERS = [x for x in EDITS[:11] if x.name != "two buffers made one"]


@pytest.mark.parametrize("seed", range(6))
def test_two_edits_are_told_apart(seed):
    """The report on two edits is that on the one and that on the other."""
    rng, tried = Random(f"two {seed}"), 0
    subjects = (*small_subjects(), *model_subjects()[:4])
    for _ in range(60):
        subject = rng.choice(subjects)
        first = rng.choice(SAME_LAYERS).make(rng, subject)
        if first is None:
            continue
        try:
            between = plan(first.record)
            middle = Subject(subject.name, (first.record,), (between.graph,))
            second = rng.choice(EDITS[:14]).make(rng, middle)
            if second is None or {x[1] for x in first.items} & {x[1] for x in second.items}:
                continue
            before, after = plan(subject.record), plan(second.record)
        except MpkGraphError:
            continue
        _, items = look(before, after, recorded=True)
        wanted = [first.items | x for x in (second.items, *second.instead)]
        assert items in wanted, (subject.name, first.what, second.what)
        tried += 1
        if tried == 3:
            break
    assert tried
