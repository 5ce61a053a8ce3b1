"""Graphs that were edited as text: the report is of the tasks and events that were touched."""

from __future__ import annotations

from random import Random

import orjson
import pytest

from mpkgraph.analysis.diff.compare import compare
from mpkgraph.analysis.diff.patch import apply_patch, make_patch
from mpkgraph.analysis.diff.side import Side
from tests.analysis.diff.edits import text_of
from tests.mutations.graph_faults import GRAPH_FAULTS
from tests.mutations.subjects import model_subjects, parallel_subjects, small_subjects

SUBJECTS = (*small_subjects(), *model_subjects()[:3])
COUNT = 4
RENUMBERED = "waits on work behind it"
"""Two tasks with each other's number: that is no difference where it is no more than that."""
MAX_OPERATORS = 3
"""An edit of one task or event is told of that many operators at most."""


@pytest.mark.parametrize("fault", GRAPH_FAULTS, ids=lambda x: x.name)
def test_report_is_short_and_patch_complete(fault):
    rng, tried = Random(f"9 {fault.name}"), 0
    subjects = parallel_subjects() if fault.parallel else SUBJECTS
    for _ in range(COUNT * 10):
        mutant = fault.mutant(rng, subject := rng.choice(subjects))
        if mutant is None:
            continue
        found = compare(Side.of(subject.graph), Side.of(mutant.graph))
        result, what = found.result, f"{subject.name}: {mutant.what}"
        assert fault.name == RENUMBERED or not result.is_equal, what
        assert sum(len(x.members) for x in result.operators) <= MAX_OPERATORS, what
        for change in result.operators:
            # An operator of one task that is null now is gone
            assert change.kind not in {"added", "removed", "moved"} or (
                change.first.num_tasks == 1 and mutant.graph.num_null_tasks
            ), what
        back = compare(Side.of(mutant.graph), Side.of(subject.graph)).result
        assert back.is_equal == result.is_equal, what
        patch = make_patch(subject.graph, mutant.graph, found.tasks, found.names)
        again = apply_patch(orjson.loads(orjson.dumps(patch)), subject.graph)
        assert text_of(again) == text_of(mutant.graph), what
        tried += 1
        if tried == COUNT:
            break
    assert tried
