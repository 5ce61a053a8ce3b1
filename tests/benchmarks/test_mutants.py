"""Mutants: what is changed is where it should be, and gets the tests that run it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.mutant_draws import Drawn, Mutant, body_lines, statement_lines, text_of
from benchmarks.mutant_equivalents import EQUIVALENTS
from benchmarks.mutant_map import LineTests
from benchmarks.mutant_runs import Change, all_functions, changed_functions
from benchmarks.mutant_subjects import LEFT_OUT, TESTS, modules_by_group
from benchmarks.mutants import Journal, Outcome, main, rows_of
from mpkgraph.model import divisors
from tests.planner import test_metadata

ROOT = Path(__file__).parents[2]
MODULE = divisors.__name__
WATCHED = "mpkgraph.planner.metadata"
ITS_TESTS = (Path(test_metadata.__file__).relative_to(ROOT).as_posix(),)


def test_subjects_and_their_tests_are_there():
    groups = modules_by_group()
    modules = [module for found in groups.values() for module in found]
    assert all(groups.values())
    assert len(modules) == len(set(modules))
    assert all((ROOT / "mpkgraph" / x).exists() for x in LEFT_OUT)
    assert all((ROOT / x).exists() for x in TESTS)


def test_equivalents_are_lines_of_their_modules():
    for module, before, _ in EQUIVALENTS:
        assert before in [x.strip() for x in text_of(module).splitlines()], (module, before)


def test_a_change_gives_the_function_that_it_is_in_new_code():
    changed = text_of(MODULE).replace("range(size + 1, most + 1)", "range(size + 2, most + 1)")
    ((function, code),) = changed_functions(Change(MODULE, changed), all_functions())
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
    assert changed_functions(Change(MODULE, changed), all_functions()) == []


def test_lines_of_a_statement():
    text = "@wraps\ndef f(\n    a,\n):\n    if a:\n        return (\n            a\n        )\n"
    assert list(statement_lines(text, 3)) == [1, 2, 3, 4]
    assert list(statement_lines(text, 5)) == [5]
    assert list(statement_lines(text, 7)) == [6, 7, 8]
    assert list(body_lines(text, 3)) == [5, 6, 7, 8]
    assert list(body_lines(text, 6)) == []


def test_mutants_are_drawn_with_a_seed():
    pytest.importorskip("cosmic_ray")
    from benchmarks.mutant_draws import draw, find_again

    drawn = draw(MODULE, 8, 1)
    assert drawn == draw(MODULE, 8, 1)
    assert len({(x.line, x.operator, x.occurrence) for x in drawn.mutants}) == 8
    assert drawn.num_mutants > 8
    lines = text_of(MODULE).splitlines()
    for mutant in drawn.mutants:
        assert lines[mutant.line - 1].strip() == mutant.before != mutant.after
        assert find_again(mutant) == mutant


def test_tests_of_a_line_take_turns():
    tests = {"a[1]": 1.0, "a[2]": 2.0, "b": 3.0, "c": 0.5, "slow": 9.0}
    line = next(at for at, x in enumerate(text_of(MODULE).splitlines(), 1) if "range(size + 1" in x)
    notes = LineTests(
        tests, {MODULE: {line: ["a[2]", "b", "a[1]"], line + 1: ["c"]}}, {MODULE: {1}}
    )
    assert notes.choose(MODULE, line, 9.0, []).tests == ("a[1]", "a[2]", "b")
    notes.seconds["a[2]"] = 2.5
    assert notes.choose(MODULE, line, 9.0, []).tests == ("a[1]", "b", "a[2]")
    assert notes.choose(MODULE, line, 0.5, ["b", "c"]).tests == ("b",)
    notes.left_out.add("b")
    assert notes.choose(MODULE, line, 9.0, []).tests == ("a[1]", "a[2]")


def test_mutants_are_killed_or_survive(tmp_path):
    """In functions and outside of them; a second run tries none of them again."""
    pytest.importorskip("cosmic_ray")
    given = ["planner.metadata", "--count", "4", "--seed", "1", "--folder", str(tmp_path)]
    command = [sys.executable, "-m", "benchmarks.mutants", *given, "--tests", *ITS_TESTS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    journal = Journal(tmp_path / "outcomes.jsonl")
    outcomes = list(journal.last.values())
    assert len(outcomes) == 4
    assert "killed" in {x.verdict for x in outcomes}
    for outcome in outcomes:
        assert (outcome.failed != "") == (outcome.verdict == "killed")
        told = f"planner.metadata:{outcome.mutant.line} ({outcome.num_tests} tests)"
        assert (told in done.stdout) == (outcome.verdict == "survived")
    main([*given, "--tests", *ITS_TESTS])
    assert Journal(tmp_path / "outcomes.jsonl").last == journal.last


def test_the_table_tells_first_tries_from_later_ones(tmp_path):
    mutant = Mutant(WATCHED, 1, "NumberReplacer", 0, "REMEMBERED = 256", "REMEMBERED = 0")
    others = [replace(mutant, after=str(x)) for x in range(4)]
    others.append(replace(mutant, before="no such line"))
    journal = Journal(tmp_path / "outcomes.jsonl")
    module, before, after = next(x for x in EQUIVALENTS if x[0] == WATCHED)
    known = Mutant(module, 1, "NumberReplacer", 0, before, after)
    verdicts = ("killed", "survived", "survived", "hung", "killed", "survived", "survived")
    for one, verdict in zip([mutant, *others, known], verdicts, strict=True):
        journal.add(Outcome(one, verdict, 0.1, 2, ""))
    journal.add(Outcome(others[0], "killed", 0.1, 2, "a"))
    planner, everything = rows_of(journal, [Drawn(WATCHED, 100, ())])
    assert planner == ("planner", "1", "100", "7", "3", "4", "1", "1", "1", "1")
    assert planner[1:] == everything[1:]
