"""Ways to the same answer agree, and what can't be measured is said to be."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import mpkgraph
from benchmarks import __main__ as bench
from benchmarks import ways
from benchmarks.comparing import AnswersDifferError, Entry, compare, process, way
from benchmarks.decoder import scaled_spec
from benchmarks.generate import generate
from benchmarks.growth import fit_exponent
from benchmarks.harness import ROOT, Subject
from benchmarks.report import BEGIN_MARK, END_MARK, spread_text
from benchmarks.subjects import missing_requirement

SPEC = scaled_spec(1, 1)


def graph_file(path, spec=SPEC):
    with path.open("wb") as stream:
        generate(stream, spec)
    return path


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    return graph_file(tmp_path_factory.mktemp("ways") / "graph.json")


def answers(prefix, *paths):
    found = {}
    for name, named in ways.WAYS.items():
        missing = missing_requirement(Subject(name, lambda path: [], requires=named.requires))
        if name.startswith(prefix) and missing is None:
            timer = ways.Timer()
            found[name] = named.way(timer, paths)
            assert timer.seconds > 0
    return found


@pytest.mark.parametrize("question", ["counts", "order", "before"])
def test_peers_answer_alike(question, graph):
    first, *others = answers(question, graph).values()
    assert first
    assert others
    assert all(x == first for x in others)


def test_peers_tell_graphs_apart(graph, tmp_path):
    other = graph_file(tmp_path / "other.json", replace(SPEC, down_tasks=SPEC.down_tasks // 2))
    assert set(answers("same", graph, graph).values()) == {True}
    assert set(answers("same", graph, other).values()) == {False}


def test_the_interpreter_computes_what_torch_does(tmp_path):
    pytest.importorskip("torch")
    mpkgraph.compile(
        str(ROOT / "examples" / "qwen3_mlp.py:build"),
        settings={"hidden": 1024, "intermediate": 512},
        output=tmp_path,
    )
    found = answers("mlp", tmp_path / "pipeline_rank0.json")
    assert len(found) == 3
    assert max(found.values()) == pytest.approx(min(found.values()), rel=0.01)
    assert found["mlp-mpkgraph"] == found["mlp-one-by-one"]


@pytest.mark.parametrize("step", [x for x in ways.WAYS if x.startswith("step-")])
def test_steps_tell_the_size(step, graph, tmp_path):
    if step == "step-plan":
        function = str(ROOT / "examples" / "rmsnorm.py:build")
        made = mpkgraph.compile(function, output=tmp_path).compiled[0]
        path, size = tmp_path / "pipeline_rank0.json", made.graph.num_tasks
    else:
        path, size = graph, mpkgraph.read(graph).num_tasks
    timer = ways.Timer()
    assert ways.WAYS[step].way(timer, [path, path]) == size
    assert timer.cpu_seconds > 0


def says(name, answer):
    facts = {"seconds": 1, "cpu_seconds": 1, "answer": answer}
    code = f"import json; print(json.dumps({facts!r}))"
    command = [sys.executable, "-S", "-c", code]
    return Entry(name, Subject(name, lambda path: command, times_itself=True))


def test_ways_that_differ_are_no_comparison(tmp_path):
    with pytest.raises(AnswersDifferError, match="b answers 2, a 1"):
        compare("x", [says("a", 1), says("b", 2)], tmp_path, 1)
    table = compare("x", [says("a", 1.0), says("b", 1.001)], tmp_path, 1, tolerance=0.01)
    assert [row[0] for row in table.rows] == ["a", "b"]


def test_what_is_missing_is_named(tmp_path):
    absent = process("peer", lambda path: ["none"], missing="peer is not installed")
    failing = process("broken", lambda path: ["/bin/false"])
    table = compare("x", [says("a", 1), absent, failing], tmp_path, 1)
    assert table.rows[1][1] == "not measured: peer is not installed"
    assert table.rows[2][1].startswith("not measured: exit 1")


def test_way_names_what_it_needs(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "duckdb" else find(name)
    )
    assert way("counts-duckdb").missing == "duckdb is not installed (pip install duckdb)"


def test_exponents():
    assert fit_exponent([1, 10, 100], [3, 30, 300]) == pytest.approx(1)
    assert fit_exponent([1, 10, 100], [1, 100, 10_000]) == pytest.approx(2)
    assert fit_exponent([5], [1]) == 0


def test_spreads():
    assert spread_text([1.0]) == "1"
    assert spread_text([3.0, 1.0, 2.0]) == "2 (1 to 3)"
    assert spread_text([0.5, 1.25], ".1f") == "0.9 (0.5 to 1.2)"


def test_each_benchmark_has_its_page():
    for benchmark in bench.BENCHMARKS.values():
        module = importlib.import_module(f"benchmarks.{benchmark.module}")
        text = Path(module.DOCUMENT).read_text(encoding="utf-8")
        assert text.count(BEGIN_MARK) == text.count(END_MARK) == 1


def test_quick_measures_and_writes_the_page(tmp_path, monkeypatch, capsys):
    from benchmarks import growth

    page = tmp_path / "page.md"
    page.write_text(f"{BEGIN_MARK}\n{END_MARK}\n")
    monkeypatch.setattr(growth, "DOCUMENT", page)
    bench.main(["growth", "--quick", "--write-docs"])
    assert "exponent" in page.read_text()
    assert "growth: " in capsys.readouterr().out


def test_a_name_that_is_none(capsys):
    with pytest.raises(SystemExit):
        bench.main(["none"])
    assert "no benchmark none" in capsys.readouterr().err
