"""`mpkgraph compile --sweep` and `verify --sweep`: tables, JSON, files, exit codes, refusals."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sweep import pipes

MLP = "examples/qwen3_mlp.py:build"
SWEEP = ("--sweep", "tasks=32,48", "--sweep", "target=h100,a100")


def timeless(text):
    """Makespans left out: they change with every refinement of the cost model."""
    text = re.sub(r"[\d.]+ [mun]?s\b", "    TIME", text)
    return re.sub(r'("makespan_ns": |,3,)\d+', r"\g<1>0", text)


@pytest.fixture
def work(tmp_path, monkeypatch):
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return pipes.write(folder)


def test_ranking(work, mpkgraph, golden):
    result = mpkgraph("verify", MLP, *SWEEP, "--results", "out")
    assert (result.code, result.err) == (1, "")
    golden("sweep/ranking.txt", timeless(result.out))
    again = mpkgraph("verify", MLP, *SWEEP, "--results", "out", "--json")
    assert again.err == "mpkgraph: note: 4 of 4 points were known\n"
    assert Path("out/sweep.json").read_text() == again.out
    for form in ("csv", "json", "parquet"):
        assert mpkgraph("verify", MLP, *SWEEP, "--results", "out", "--table", f"x.{form}").code == 1
    golden("sweep/ranking.csv", timeless(Path("x.csv").read_text()))
    assert Path("x.json").read_text() == again.out
    pq = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow")
    rows = pq.read_table("x.parquet").to_pylist()
    with Path("x.csv").open(encoding="utf-8") as stream:
        read = list(csv.DictReader(stream))
    assert [row["point"] for row in rows] == [row["point"] for row in read]
    assert [row["makespan_ns"] for row in rows] == [int(row["makespan_ns"]) for row in read]
    by_time = mpkgraph("verify", MLP, *SWEEP, "--results", "out", "--rank-by", "makespan", "--json")
    times = [point["makespan_ns"] for point in by_time.json["points"]]
    assert times == sorted(times) != [point["makespan_ns"] for point in again.json["points"]]


def test_json(work, mpkgraph, golden):
    result = mpkgraph("verify", MLP, "--sweep", "tasks=32,64", "--sweep", "ranks=1", "--json")
    assert (result.code, result.err) == (0, "")
    golden("sweep/ranking.json", timeless(result.out))


def test_failed_points(work, mpkgraph, golden):
    result = mpkgraph("verify", "traps.py:trap", "--sweep", "kind=good,raise,refused", "-j", "1")
    assert result.code == 3
    golden("sweep/failed.txt", timeless(result.out))


def test_compile_keeps_graphs(work, mpkgraph):
    result = mpkgraph("compile", "pipes.py:norm", "--sweep", "rows=8,16", "-o", "out", "-j", "1")
    assert (result.code, result.err) == (0, "")
    document = json.loads(Path("out/sweep.json").read_text())
    for point in document["points"]:
        folder = Path("out/points", point["name"])
        assert mpkgraph("verify", folder).code == 0
        rows = point["values"]["rows"]
        mpkgraph("compile", "pipes.py:norm", "--set", f"rows={rows}", "-o", f"plain{rows}")
        for name in point["files"]:
            assert (folder / name).read_bytes() == Path(f"plain{rows}", name).read_bytes()
    only = mpkgraph(
        "compile", "pipes.py:norm", "--sweep", "rows=8", "-o", "one", "-q", "--emit", "record"
    )
    assert (only.code, only.out) == (0, "")
    assert [x.name for x in Path("one/points").glob("*/*")] != []
    assert not list(Path("one").rglob("task_graph_rank0.json"))


def test_compile_checks_warnings_of_planning(work, mpkgraph):
    sweep = ("compile", "pipes.py:norm", "--sweep", "grid=8,3", "--dry-run", "-j", "1")
    found = mpkgraph(*sweep, "--json").json
    assert any(point["warnings"] for point in found["points"])
    assert mpkgraph(*sweep, "--check").code == 1
    assert not [x for x in Path().iterdir() if x.name.startswith((".", "out", "sweep"))]


def test_a_script(work, mpkgraph):
    result = mpkgraph(
        "verify", "script.py", "--sweep", "--rows=4,8", "--sweep", "again=,--again", "--json",
        "--", "{again}",
    )  # fmt: skip
    assert result.code == 0
    tasks = {tuple(x["values"].values()): x["num_tasks"] for x in result.json["points"]}
    assert tasks["4", "--again"] == 2 * tasks["4", ""]
    assert tasks["8", ""] == tasks["4", ""] + 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("verify", "pipes.py:norm", "--jobs", "2"), "--jobs does nothing here. Add --sweep"),
        (("verify", "pipes.py:norm", "--rank-by", "tasks"), "--rank-by does nothing here"),
        (("compile", "pipes.py:norm", "--dry-run", "--cost", "a100"), "--cost does nothing here"),
        (("compile", "pipes.py:norm", "--sweep", "rows=8"), "Give -o DIR, or --dry-run"),
        (
            ("compile", "pipes.py:norm", "--sweep", "rows=8", "--dry-run", "-o", "x"),
            "--dry-run keeps nothing",
        ),
        (
            ("compile", "pipes.py:norm", "--sweep", "rows=8", "-o", "x", "--results", "y"),
            "-o and --results can't go together",
        ),
        (("verify", "--sweep", "rows=8"), "there is nothing to sweep"),
        (("verify", "pipes.py:norm", "--sweep", "rows"), "is not name=v1,v2"),
        (
            ("verify", "pipes.py:norm", "--sweep", "rows=8", "-f", "sarif"),
            "a sweep is told as text or json",
        ),
        (
            ("verify", "pipes.py:norm", "--sweep", "rows=8", "--write-baseline", "x"),
            "--write-baseline and --sweep can't go together",
        ),
        (
            ("verify", "pipes.py:norm", "--sweep", "rows=8", "--select", "nothing"),
            "no rule is called",
        ),
        (
            ("verify", "pipes.py:norm", "--sweep", "rows=8", "--run"),
            "a sweep does not run pipelines",
        ),
        (
            ("verify", "pipes.py:norm", "--sweep", "rows=8", "--table", "x.txt"),
            "its ending says no form",
        ),
        (
            ("verify", "pipes.py:norm", "--sweep", "rows=8", "--ray", "auto", "-j", "2"),
            "--jobs is for processes of this machine",
        ),
        (("verify", "gone.py:norm", "--sweep", "workers=8"), "gone.py: there is no such file"),
        (("compile", "gone.json", "--sweep", "ranks=8", "-o", "x"), "gone.json: there is no such"),
        (
            ("verify", "examples/decoder/task_graph_rank0.json", "--sweep", "workers=8"),
            "a graph has nothing to sweep",
        ),
        (
            ("compile", "pipes.py:norm", "--sweep", "rows=8", "-o", "x", "--backend", "mirage"),
            "--backend mirage is not for sweeps",
        ),
    ],
)
def test_wrong_usage(work, mpkgraph, arguments, said):
    result = mpkgraph(*arguments)
    assert result.code == 2, result.out
    assert said in result.err
    assert not Path("x").exists()


def test_without_sweep_nothing_of_it_is_loaded(work):
    code = (
        "import sys; from mpkgraph.cli.main import run; "
        "run(['verify', 'pipes.py:norm']); run(['compile', 'pipes.py:norm', '--dry-run']); "
        "print([x for x in sys.modules if x.startswith('mpkgraph.sweep') or x == 'ray'])"
    )
    environment = {**os.environ, "PYTHONPATH": str(pipes.EXAMPLES.parent)}
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    )
    assert found.stdout.splitlines()[-1] == "[]"
