"""`mpkgraph show --schedule` from the outside."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests import goldens
from tests.cli.conftest import EXAMPLE, ROOT

FORMS = {"schedule": (), "schedule-a100": ("--cost", "a100", "--workers", "16")}


@pytest.mark.parametrize("name", FORMS)
def test_text_and_json(name, example, mpkgraph, golden):
    result = mpkgraph("show", example, "--schedule", *FORMS[name])
    assert (result.code, result.err) == (0, "")
    golden(f"schedule/{name}.txt", result.out)
    document = mpkgraph("show", example, "--schedule", *FORMS[name], "--json").json
    assert (document["schema"], document["view"]) == ("mpkgraph-show/1", "schedule")
    document["paths"] = ["task_graph_rank0.json"]
    golden(f"schedule/{name}.json", json.dumps(document, indent=1) + "\n")


def test_all_ranks_together(mpkgraph):
    both = mpkgraph("show", EXAMPLE, "--schedule", "--json").json
    assert (both["ranks"], both["mirrored"]) == ([0, 1], False)
    one = mpkgraph("show", EXAMPLE, "--schedule", "--rank", "1", "--json").json
    assert (one["ranks"], one["mirrored"]) == ([1], True)
    assert one["makespan_ns"] == both["makespan_ns"]
    text = mpkgraph("show", EXAMPLE, "--schedule").out
    assert "2 ranks of" in text


def test_what_if(example, mpkgraph):
    before = mpkgraph("show", example, "-s", "--json").json
    after = mpkgraph("show", example, "-s", "--json", "--what-if", "linear=0.25").json
    assert after["unchanged_makespan_ns"] == before["makespan_ns"] > after["makespan_ns"]
    assert after["what_if"] == ["linear=0.25"]


def test_trace_and_chart(example, mpkgraph, tmp_path):
    pytest.importorskip("perfetto.protos.perfetto.trace.perfetto_trace_pb2")
    trace, chart = tmp_path / "x.perfetto-trace", tmp_path / "x.svg"
    result = mpkgraph("show", example, "-s", "--trace", trace, "--gantt", chart)
    assert result.code == 0
    assert result.err == f"wrote {trace}\nwrote {chart}\n"
    assert trace.read_bytes()[:1] == b"\x0a"
    assert chart.read_text().startswith("<svg")


def test_profile_of_another_graph(example, mpkgraph, tmp_path):
    words = np.zeros(9, dtype=np.uint64)
    words[0] = 2 | 1 << 32
    for place, kind in ((1, 0), (3, 1)):
        words[place] = 150 << 2 | kind | 100 * place << 32
    np.save(tmp_path / "p.npy", words)
    result = mpkgraph("show", example, "-s", "--profile", tmp_path / "p.npy")
    assert result.code == 2
    assert "worker 0 ran TASK_HOPPER_TASK_BEGIN where task" in result.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--trace", "x.perfetto-trace"), "--trace does nothing here"),
        (("--cost", "h100"), "--cost does nothing here"),
        (("--what-if", "linear=2"), "--what-if does nothing here"),
        (("-s", "--csv"), "a schedule is no table for --csv"),
        (("-s", "--task", "3"), "--schedule is of the whole graph"),
        (("-s", "--list", "tasks"), "--schedule and --list can't go together"),
        (("-s", "--cost", "tpu"), "neither a GPU with known costs nor a file"),
        (("-s", "--workers", "161"), "161 workers are not possible"),
        (("-s", "--workers", "4", "--schedulers", "5"), "5 schedulers can't serve 4 workers"),
        (("-s", "--what-if", "linear"), "is no change"),
        (("-s", "--trace", "x.json"), "a trace is no file of this kind"),
        (("-s", "--gantt", "x.png"), "a chart is an SVG file"),
    ],
)
def test_wrong_questions(options, message, example, mpkgraph, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = mpkgraph("show", example, *options)
    assert result.code == 2
    assert message in result.err
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == []


def test_of_a_real_graph_with_its_record(mpkgraph, tmp_path):
    golden_graph = goldens.get("models/qwen3_demo-Qwen3-8B-b8-L2-cc90")
    graph = golden_graph.write_both(tmp_path)
    document = mpkgraph("show", graph, "-s", "--json").json
    assert (document["num_workers"], document["num_schedulers"]) == (128, 16)
    assert document["costs"]["gpu"] == "h100"
    # The record's sequences have 512 tokens at most
    assert document["costs"]["workload"]["kv_length"] == 512


def test_the_chart_of_the_docs_is_that_of_the_command(example, mpkgraph, tmp_path):
    chart = tmp_path / "x.svg"
    mpkgraph("show", example, "-s", "--workers", "16", "--gantt", chart)
    assert chart.read_text() == (ROOT / "docs" / "images" / "schedule.svg").read_text()
