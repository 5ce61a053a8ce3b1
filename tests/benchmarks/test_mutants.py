"""Mutants: what is changed is where it should be, and what watches it is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.mutant_equivalents import EQUIVALENTS
from benchmarks.mutant_runs import Change, changed_functions, path_of
from benchmarks.mutant_subjects import SUBJECTS
from mpkgraph.model import divisors

ROOT = Path(__file__).parents[2]
MODULE = divisors.__name__


def text_of(module):
    return path_of(module).read_text(encoding="utf-8")


def test_subjects_and_their_tests_are_there():
    modules = [x.module for x in SUBJECTS]
    assert len(modules) == len(set(modules))
    for subject in SUBJECTS:
        assert path_of(subject.module).exists(), subject.module
        for test in subject.tests:
            assert not test.startswith("tests/") or (ROOT / test).exists(), test


def test_equivalents_are_lines_of_their_modules():
    for module, before, _ in EQUIVALENTS:
        assert before in [x.strip() for x in text_of(module).splitlines()], (module, before)


def test_a_change_gives_the_function_that_it_is_in_new_code():
    changed = text_of(MODULE).replace("range(size + 1, most + 1)", "range(size + 2, most + 1)")
    ((function, code),) = changed_functions(Change(MODULE, changed))
    assert function is divisors.divisors_near
    before = function.__code__
    assert divisors.divisors_near(6, 2) == (2, 3)
    function.__code__ = code
    try:
        assert divisors.divisors_near(6, 2) == (2, 6)
    finally:
        function.__code__ = before


def test_a_change_outside_of_functions_gives_none():
    changed = text_of(MODULE).replace("1 << 16", "1 << 17")
    assert changed_functions(Change(MODULE, changed)) == []


def test_mutants_are_drawn_with_a_seed():
    pytest.importorskip("cosmic_ray")
    from benchmarks.mutants import mutants_of

    drawn = mutants_of(MODULE, 8, 1)
    assert drawn == mutants_of(MODULE, 8, 1)
    assert len(drawn) == len({(x.line, x.operator, x.occurrence) for x in drawn}) == 8
    lines = text_of(MODULE).splitlines()
    for mutant in drawn:
        assert lines[mutant.line - 1].strip() == mutant.before != mutant.after
