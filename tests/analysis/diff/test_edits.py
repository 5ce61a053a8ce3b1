"""One edit at a time, drawn at random: the report names it and nothing else."""

from __future__ import annotations

from random import Random

import pytest

from tests.analysis.diff.edits import EDITS, run_edit
from tests.mutations.subjects import model_subjects, small_subjects

COUNT = 3
SUBJECTS = (*small_subjects(), *model_subjects()[:5])
ALONE_RATES = {
    # A padded row and a longer one are the same strides: tiles that cover a part leave it open
    "a tensor's strides": 0.7,
    # Numbers of variants count from 0: of two operators alike, either may be the one that changed
    "another kernel: parameters": 0.5,
}
"""Of kinds that a graph alone does not always tell, the least share of exact reports."""


@pytest.mark.parametrize("edit", EDITS, ids=lambda x: x.name)
def test_names_the_edit_and_nothing_else(edit):
    result = run_edit(edit, SUBJECTS, Random(f"5 {edit.name}"), COUNT)
    assert result.recorded.tried
    assert result.recorded.rate == 1.0, result.recorded.misses
    assert result.alone.rate >= ALONE_RATES.get(edit.name, 1.0), result.alone.misses
