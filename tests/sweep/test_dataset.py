"""Tables of many graphs as one: the same columns everywhere, read by pyarrow, DuckDB and Spark."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path

import pytest

from mpkgraph.sweep import dataset
from mpkgraph.sweep.points import SweepOptions
from mpkgraph.sweep.run import RunOptions, sweep
from tests.docs_pages import blocks

pq = pytest.importorskip("pyarrow.parquet", reason="datasets need pyarrow")

GUIDE = (Path(__file__).parents[2] / "docs" / "how-to" / "sweep.md").read_text(encoding="utf-8")
SPARK = [x.text for x in blocks(GUIDE) if x.value == "needs Spark"]

OPTIONS = SweepOptions(("examples/qwen3_mlp.py:build",), ("tasks=32,48", "target=h100,a100"))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with `data`, the dataset of four runs, and `out`, their graphs."""
    from tests.sweep import pipes

    folder = tmp_path_factory.mktemp("dataset")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(pipes.write(folder))
        options = SweepOptions(OPTIONS.sources, OPTIONS.sweep, emit=frozenset({"graph", "record"}))
        run = sweep(options, RunOptions(Path("out"), Path("data"), jobs=1))
        other = SweepOptions(("script.py",), ("--rows=8", "--columns=512,1024"))
        sweep(other, RunOptions(None, Path("data"), jobs=1))
    assert not run.result.failed
    return folder, run.result


@pytest.fixture
def data(made, monkeypatch):
    monkeypatch.chdir(made[0])
    return made[1]


def files(table):
    return sorted(Path("data").glob(f"run=*/table={table}/*.parquet"))


def test_a_run_has_all_tables(data):
    runs = sorted(x.name for x in Path("data").iterdir())
    assert len(runs) == 6
    assert {f"run={x.name}" for x in data.points} <= set(runs)
    for run in runs:
        tables = {x.name for x in Path("data", run).iterdir() if x.is_dir()}
        assert tables == {f"table={name}" for name in dataset.TABLES}


@pytest.mark.parametrize("table", dataset.TABLES)
def test_all_files_of_a_table_have_the_same_columns(data, table):
    schemas = [pq.read_schema(path) for path in files(table)]
    assert len(schemas) >= 6
    assert all(schema.equals(schemas[0]) for schema in schemas)
    assert not any("null" in str(field.type) for field in schemas[0])


@pytest.mark.parametrize("table", ["tasks", "slots", "events", "operators"])
def test_tables_are_what_show_lists(data, mpkgraph, table):
    for point in data.points[:2]:
        text = mpkgraph("show", f"out/points/{point.name}", "--list", table, "--csv").out
        rows = list(csv.DictReader(io.StringIO(text)))
        (path,) = Path("data", f"run={point.name}", f"table={table}").iterdir()
        found = pq.read_table(path).to_pylist()
        assert [{name: shown(value) for name, value in row.items()} for row in found] == [
            {"graph": "0", "rank": "0", **row} for row in rows
        ]


def shown(value):
    if isinstance(value, list):
        return "x".join(map(str, value))
    return "" if value is None else str(value)


def test_findings_and_runs_are_those_of_the_ranking(data):
    for point in data.points:
        place = Path("data", f"run={point.name}")
        found = pq.read_table(place / "table=findings" / "graph0.parquet").to_pylist()
        assert [x["message"] for x in found] == [x["message"] for x in point.findings]
        (run,) = pq.read_table(place / "table=runs" / "graphs.parquet").to_pylist()
        assert run["makespan_ns"] == point.makespan_ns
        assert run["errors"] == point.count("error")
        values = pq.read_table(place / "table=parameters" / "parameters.parquet").to_pylist()
        assert tuple((x["name"], x["value"]) for x in values) == point.values


def test_a_run_is_replaced_and_a_known_one_is_completed(work):
    options = SweepOptions(("pipes.py:norm",), ("rows=8,16",))
    sweep(options, RunOptions(Path("out"), jobs=1))
    assert sweep(options, RunOptions(Path("out"), Path("data"), jobs=1)).num_known == 0
    assert sweep(options, RunOptions(Path("out"), Path("data"), jobs=1)).num_known == 2
    text = Path("pipes.py").read_text()
    Path("pipes.py").write_text(text.replace('name="y"', 'name="other"'))
    sweep(options, RunOptions(None, Path("data"), jobs=1))
    assert len(list(Path("data").iterdir())) == 2
    tensors = pq.read_table(files("slots")[0]).column("tensor").to_pylist()
    assert "other" in tensors
    # ... of which the results that were kept know nothing
    assert sweep(options, RunOptions(Path("out"), Path("data"), jobs=1)).num_known == 0
    Path("pipes.py").write_text("def norm(kernel, rows): raise ValueError")
    assert len(sweep(options, RunOptions(None, Path("data"), jobs=1)).result.failed) == 2
    assert list(Path("data").iterdir()) == []


def test_without_pyarrow(work, mpkgraph, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = mpkgraph("verify", "pipes.py:norm", "--sweep", "rows=8", "--dataset", "data")
    assert result.code == 2
    assert "pip install 'mpkgraph[parquet]'" in result.err
    assert not Path("data").exists()


def test_the_guide_asks_spark():
    assert len(SPARK) == 1


def test_duckdb_counts_what_the_ranking_counts(data):
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    query = (
        "SELECT run, count(*) FROM read_parquet('data/*/table=tasks/*.parquet', "
        "hive_partitioning = true) GROUP BY run"
    )
    counts = dict(duckdb.connect().execute(query).fetchall())
    for point in data.points:
        assert counts[point.name] == point.num_tasks


def test_the_example_of_the_guide_runs_in_spark(data):
    pytest.importorskip("pyspark", reason="pyspark is not installed")
    namespace = {}
    exec(SPARK[0], namespace)
    counts = {row["run"]: row["count"] for row in namespace["tasks_by_run"].collect()}
    for point in data.points:
        assert counts[point.name] == point.num_tasks
    namespace["spark"].stop()
