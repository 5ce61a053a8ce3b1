"""`mpkgraph compile` from the outside: sources, options, reports, files, and what goes wrong."""

from __future__ import annotations

import errno
import gzip
import hashlib
import inspect
import json
import os
import signal
import subprocess
import sys
import threading
from importlib.metadata import version
from pathlib import Path

import pytest
import zstandard

from mpkgraph.errors import GraphWriteError
from mpkgraph.io import writer
from mpkgraph.io.record import read_record, save_record
from mpkgraph.pipeline.compile import CompileOptions, compile_pipelines
from tests import goldens
from tests.cli.conftest import ROOT
from tests.pipelines import warned
from tests.pipelines.kit import Made, record_of
from tests.pipelines.table import PIPELINES

HELP_CLICK = "8.5"
GRAPH, RECORD = "task_graph_rank0.json", "pipeline_rank0.json"
BY_NAME = {x.name: x for x in PIPELINES}

USERS = '''
"""A user's file."""
from mpkgraph.pipeline import TensorSpec


def norm(kernel, rows=8, grid=8, name="x"):
    x = kernel.attach_input(TensorSpec((rows, 64), "bfloat16"), name=name)
    w = kernel.attach_input(TensorSpec((64,), "bfloat16"), name="w")
    out = kernel.attach_input(TensorSpec((rows, 64), "bfloat16"), name="out")
    kernel.rmsnorm_layer(x, w, out, (grid, 1, 1), (128, 1, 1))  # here


def reduce(kernel):
    x, w, out = (
        kernel.attach_input(TensorSpec(dims, "bfloat16"), name=name)
        for name, dims in (("x", (8, 64)), ("w", (64, 64)), ("out", (8, 64)))
    )
    buffer = kernel.new_tensor(
        dims=(kernel.world_size, 8, 64), name="buffer", io_category="nvshmem_tensor"
    )
    mid = kernel.new_tensor(dims=(8, 64), name="mid", io_category="nvshmem_tensor")
    kernel.linear_layer(x, w, mid, (1, 1, 1), (128, 1, 1))
    kernel.allreduce_layer(mid, buffer, out, (1, 1, 1), (128, 1, 1))
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The user's working folder, with `pipes.py` in it."""
    path = tmp_path / "work"
    path.mkdir()
    monkeypatch.chdir(path)
    Path("pipes.py").write_text(USERS, encoding="utf-8")
    return path


@pytest.fixture
def recorded(folder):
    """A record with warnings: `recorded.json`."""
    save_record(BY_NAME["grid_nondiv_then_reader"].record(90), "recorded.json")
    return "recorded.json"


def files_in(folder):
    found = (path for path in Path(folder).rglob("*") if path.is_file())
    return sorted(
        path.relative_to(folder).as_posix() for path in found if "__pycache__" not in path.parts
    )


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


# Help and reports


def test_help(mpkgraph, golden, monkeypatch):
    if not version("click").startswith(HELP_CLICK):
        pytest.skip(f"the help was recorded with click {HELP_CLICK}, which lays it out its own way")
    monkeypatch.setenv("COLUMNS", "100")
    result = mpkgraph("compile", "--help")
    assert result.code == 0
    golden("help/compile.txt", result.out)


def test_every_option_stands_in_the_docs(mpkgraph):
    from mpkgraph.cli.compile import compile_

    page = (ROOT / "docs" / "reference" / "compile.md").read_text(encoding="utf-8")
    for parameter in compile_.params:
        for option in (*parameter.opts, *parameter.secondary_opts):
            if option.startswith("--") and option != "--help":
                assert f"`{option}" in page


def test_report(mpkgraph, recorded, golden):
    result = mpkgraph("compile", recorded, "-o", "out")
    assert result.code == 0
    golden("compile/report.txt", result.out)
    golden("compile/warnings.txt", result.err)


def test_report_of_several_graphs(mpkgraph, recorded, golden):
    result = mpkgraph("compile", recorded, recorded, "-o", "out")
    assert result.code == 0
    golden("compile/report-two.txt", result.out)
    assert files_in("out") == sorted(f"{x}{y}" for x in ("", "compile2/") for y in (GRAPH, RECORD))
    lines = result.err.splitlines()
    assert len(lines) == len(set(lines))


def test_json_report(mpkgraph, recorded, golden):
    result = mpkgraph("compile", recorded, "-o", "out", "--json")
    assert result.code == 0
    golden("compile/report.json", result.out)
    (graph,) = result.json["graphs"]
    made = BY_NAME["grid_nondiv_then_reader"].results[90]
    assert graph["sha256"] == made.sha256 == sha256(f"out/{GRAPH}")
    assert (graph["num_tasks"], graph["num_events"]) == (made.num_tasks, made.num_events)
    assert graph["files"] == [f"out/{GRAPH}", f"out/{RECORD}"]


def test_a_scripts_prints_do_not_run_into_the_json(mpkgraph, folder):
    Path("talks.py").write_text(
        USERS + "\n\ndef talk(kernel):\n    print('hello')\n    norm(kernel)\n"
    )
    result = mpkgraph("compile", "talks.py:talk", "--json", "--dry-run")
    assert result.json["graphs"][0]["num_tasks"] == 10
    assert "hello" in result.err
    assert "hello" in mpkgraph("compile", "talks.py:talk", "--dry-run").out


def test_quiet_still_warns(mpkgraph, recorded):
    loud, quiet = (
        mpkgraph("compile", recorded, "-o", "a"),
        mpkgraph("compile", recorded, "-qo", "b"),
    )
    assert (quiet.code, quiet.out, quiet.err) == (0, "", loud.err)
    assert files_in("a") == files_in("b") == [RECORD, GRAPH]


# What is written


@pytest.mark.parametrize(
    ("options", "written"),
    [
        ((), [RECORD, GRAPH]),
        (("--emit", "both"), [RECORD, GRAPH]),
        (("--emit", "graph"), [GRAPH]),
        (("--emit", "record"), [RECORD]),
        (("--dry-run",), []),
        (("--dry-run", "--emit", "graph"), []),
    ],
)
@pytest.mark.parametrize("source", ["recorded.json", "pipes.py:norm"])
def test_emit(mpkgraph, recorded, source, options, written):
    result = mpkgraph("compile", source, "-o", "out", *options)
    assert result.code == 0
    assert files_in("out") == written
    assert Path("out").exists() == bool(written)
    assert result.out.count("  wrote out/") == len(written)
    assert ("nothing written" in result.out) == (not written)


def test_without_a_folder_files_go_to_the_working_folder(mpkgraph, folder):
    assert mpkgraph("compile", "pipes.py:norm").code == 0
    assert files_in(folder) == sorted(["pipes.py", GRAPH, RECORD])


def test_an_older_result_is_replaced(mpkgraph, folder):
    for rows in (8, 16):
        assert mpkgraph("compile", "pipes.py:norm", "--set", f"rows={rows}", "-o", "out").code == 0
    assert read_record(f"out/{RECORD}").tensors[0].dims == (16, 64)
    assert files_in("out") == [RECORD, GRAPH]


# Warnings


@pytest.mark.parametrize("code", [x for x in warned.BUILDERS if x != "no-blocks"])
def test_a_warning_is_printed_with_the_users_line(mpkgraph, folder, code):
    builder = warned.BUILDERS[code]
    Path("mine.py").write_text(inspect.getsource(warned), encoding="utf-8")
    source = f"mine.py:{builder.__name__}"
    result = mpkgraph("compile", source, "--dry-run", "-q")
    assert (result.code, result.out) == (0, "")
    lines = result.err.splitlines()
    assert len(lines) == len(set(lines))
    marked = [i for i, x in enumerate(inspect.getsource(builder).splitlines()) if "# warned" in x]
    first = inspect.getsourcelines(builder)[1]
    # A function is compiled where it stands.
    place = f"mine.py:{first + marked[0] if marked else first}: "
    for line in lines:
        assert line.startswith(f"mpkgraph: warning: {place}")
        assert line.endswith(f" [{code}]")
    assert mpkgraph("compile", source, "--dry-run", "-q", "--check").code == 1
    clean = mpkgraph("compile", source, "--set", "clean=True", "--dry-run")
    assert (clean.code, clean.err) == (0, "")


def test_a_warning_names_the_place_in_a_record(mpkgraph, recorded):
    lines = mpkgraph("compile", recorded, "--dry-run").err.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert line.startswith("mpkgraph: warning: recorded.json, log[4].lowlevel[0]: layer 0 ")


def test_check_verifies_what_was_planned(mpkgraph, folder):
    Path("unwritten.py").write_text(UNWRITTEN, encoding="utf-8")
    assert mpkgraph("compile", "unwritten.py:norms", "--dry-run").code == 0
    result = mpkgraph("compile", "unwritten.py:norms", "--dry-run", "--check")
    assert result.code == 1
    assert "error MPK210" in result.err  # nobody writes x and w
    found = mpkgraph("compile", "unwritten.py:norms", "--dry-run", "--check", "--json")
    assert found.code == 1
    assert found.json["verify"]["fails"]
    codes = {x["code"] for p in found.json["verify"]["pipelines"] for x in p["findings"]}
    assert "MPK210" in codes


UNWRITTEN = """
def norms(pk):
    x = pk.new_tensor(dims=(8, 4096), name="x")
    w = pk.new_tensor(dims=(4096,), name="w")
    y = pk.new_tensor(dims=(8, 4096), name="y")
    for _ in range(2):
        pk.rmsnorm_layer(
            input=x, weight=w, output=y, grid_dim=(8, 1, 1), block_dim=(128, 1, 1)
        )
"""


def test_check_writes_and_reports_all_the_same(mpkgraph, recorded):
    result = mpkgraph("compile", recorded, "-o", "out", "--check")
    assert result.code == 1
    assert "wrote out/" in result.out
    assert files_in("out") == [RECORD, GRAPH]


def test_repeated_layers_are_counted(mpkgraph, folder):
    Path("many.py").write_text(
        USERS + "\n\ndef many(kernel):\n    for i in range(28):\n"
        "        norm(kernel, grid=3, name=f'x{i}')\n"
    )
    result = mpkgraph("compile", "many.py:many", "--dry-run", "--json")
    counted = [x for x in result.json["graphs"][0]["warnings"] if x["code"] == "remainder"]
    assert [x["num_layers"] for x in counted] == [28, 28]
    assert result.err.count("(and 27 more layers like it)") == 2


# Targets and ranks


@pytest.mark.parametrize(
    ("name", "cc"),
    [
        ("80", 80), ("a100", 80), ("8.0", 80), ("sm_80", 80),
        ("86", 86), ("89", 89),
        ("90", 90), ("H100", 90), ("h200", 90), ("sm_90a", 90), ("9.0", 90),
        ("100", 100), ("B200", 100), ("sm_100a", 100), ("b300", 103), ("120", 120),
    ],
)  # fmt: skip
def test_target_names(mpkgraph, folder, name, cc):
    result = mpkgraph("compile", "pipes.py:norm", "-t", name, "--dry-run")
    assert result.code == 0
    assert result.out.startswith(f"rank 0 of 1, cc {cc}\n")


@pytest.mark.parametrize("name", ["70", "v100", "sm", "", "-1", "NVIDIA GPU"])
def test_no_such_target(mpkgraph, folder, name):
    result = mpkgraph("compile", "pipes.py:norm", f"--target={name}")
    assert (result.code, result.out) == (2, "")
    assert "80" in result.err
    assert files_in(folder) == ["pipes.py"]


def test_workers_and_schedulers(mpkgraph, folder):
    def chosen(*options):
        graph = mpkgraph("compile", "pipes.py:norm", "--dry-run", "--json", *options).json[
            "graphs"
        ][0]
        return graph["num_workers"], graph["num_local_schedulers"]

    assert chosen() == (128, 16)
    assert chosen("-t", "80") == (96, 48)
    assert chosen("-w", "100") == (100, 128)
    assert chosen("-w", "100", "--schedulers", "8") == (100, 8)
    assert chosen("--schedulers", "8") == (128, 8)


@pytest.mark.parametrize(
    ("options", "ranks"),
    [
        (("--world-size", "3"), [0]),
        (("--world-size", "3", "--rank", "2"), [2]),
        (("--world-size", "3", "--all-ranks"), [0, 1, 2]),
        (("--rank", "1"), [1]),
    ],
)
def test_ranks(mpkgraph, folder, options, ranks):
    result = mpkgraph("compile", "pipes.py:reduce", "-o", "out", "--json", *options)
    graphs = result.json["graphs"]
    assert [x["rank"] for x in graphs] == ranks
    assert {x["world_size"] for x in graphs} == {3 if "3" in options else 2}
    assert files_in("out") == sorted(
        f"{kind}_rank{rank}.json" for rank in ranks for kind in ("task_graph", "pipeline")
    )
    for rank in ranks:
        assert read_record(f"out/pipeline_rank{rank}.json").my_gpu_id == rank
    # The record that one rank writes makes every other rank.
    again = mpkgraph(
        "compile", f"out/pipeline_rank{ranks[0]}.json", "-o", "again", "--all-ranks", "--json"
    ).json["graphs"]
    by_rank = {x["rank"]: x["sha256"] for x in again}
    assert list(by_rank) == list(range(graphs[0]["world_size"]))
    assert [by_rank[x["rank"]] for x in graphs] == [x["sha256"] for x in graphs]


def test_multicast_chooses_the_all_reduce(mpkgraph, folder):
    def tasks(*options):
        assert mpkgraph(
            "compile", "pipes.py:reduce", "--world-size", "2", "-o", "out", "-q", *options
        ).code == 0  # fmt: skip
        return [x.register_name for x in read_record(f"out/{RECORD}").layers][1:]

    tile = ["nvshmem_tile_allreduce"]
    parts = ["nvshmem_allgather_strided_put", "reduction"]
    assert tasks() == tasks("--multicast") == tasks("-t", "100") == tile
    assert tasks("--no-multicast") == tasks("-t", "80") == parts


@pytest.mark.parametrize("name", ["test_rmsnorm", "test_gateup_silu_down", "test_join_point"])
@pytest.mark.parametrize("source", [80, 90, 100])
def test_a_record_is_told_again_for_another_target(mpkgraph, folder, name, source):
    pipeline = BY_NAME[name]
    save_record(pipeline.record(source), "recorded.json")
    for cc, made in pipeline.results.items():
        result = mpkgraph("compile", "recorded.json", "-t", cc, "-o", "out", "--json")
        assert result.json["graphs"][0]["sha256"] == made.sha256
        told, ours = read_record(f"out/{RECORD}"), pipeline.record(cc)
        assert (told.target_cc, told.layers) == (cc, ours.layers)
        # Mirage's choice for the other GPU
        assert told.init["num_workers"] == ours.init["num_workers"]


def retargets():
    cases = [
        pytest.param(golden, made, cc, id=f"{golden.case}-to-{cc}")
        for golden in goldens.all_graphs()
        for pipeline in PIPELINES
        for cc, made in pipeline.results.items()
        if golden.group == "tests"
        and golden.case.rsplit("-cc", 1)[0] == f"tests/{pipeline.name}"
        and isinstance(made, Made)
        and golden.case != pipeline.case(cc)
    ]
    return cases or [pytest.param(None, None, 0, marks=pytest.mark.skip(reason=goldens.ABSENT))]


@pytest.mark.parametrize(("golden", "made", "cc"), retargets())
def test_a_golden_record_is_told_again_for_another_target(mpkgraph, golden, made, cc):
    result = mpkgraph("compile", golden.record_path, "-t", cc, "--dry-run", "--json")
    assert result.json["graphs"][0]["sha256"] == made.sha256


def test_a_golden_record_of_one_rank_makes_both_with_multicast(mpkgraph):
    source = goldens.get("models/qwen3_demo-Qwen3-8B-ws2-ag-L2-cc90")
    result = mpkgraph(
        "compile", source.record_path, "--all-ranks", "--multicast", "--dry-run", "--json"
    )
    wanted = [
        goldens.get("models/qwen3_demo-Qwen3-8B-ws2-mc-L2-cc90", f"task_graph_rank{rank}.json")
        for rank in (0, 1)
    ]
    assert [x["sha256"] for x in result.json["graphs"]] == [x.sha256 for x in wanted]


def test_a_layer_that_another_target_lacks_is_refused_with_its_place(mpkgraph, folder):
    save_record(BY_NAME["test_moe_w13_fp8"].record(100), "recorded.json")
    result = mpkgraph("compile", "recorded.json", "-t", "h100", "-o", "out")
    assert (result.code, result.out) == (3, "")
    assert result.err == (
        "mpkgraph: error: recorded.json, log[7]: moe_w13_fp8_layer: no task for compute "
        "capability 90. Plan for one of 100, or use another layer\n"
    )
    assert not Path("out").exists()


# Sources


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_compressed_records(mpkgraph, recorded, suffix):
    data = Path(recorded).read_bytes()
    packed = {"": data, ".gz": gzip.compress(data), ".zst": zstandard.compress(data)}[suffix]
    Path(f"packed.json{suffix}").write_bytes(packed)
    assert mpkgraph("compile", f"packed.json{suffix}", "-o", "out", "-q").code == 0
    assert sha256(f"out/{GRAPH}") == BY_NAME["grid_nondiv_then_reader"].results[90].sha256


def test_a_record_from_standard_input(recorded):
    done = subprocess.run(
        [sys.executable, "-m", "mpkgraph", "compile", "-", "-o", "out"],
        input=gzip.compress(Path(recorded).read_bytes()),
        capture_output=True,
        check=True,
    )
    assert sha256(f"out/{GRAPH}") == BY_NAME["grid_nondiv_then_reader"].results[90].sha256
    assert done.stderr.startswith(b"mpkgraph: warning: log[4].lowlevel[0]: layer 0 ")


def put_records(place, *builders, rank=0):
    for number, builder in enumerate(builders, 1):
        path = Path(place, "" if number == 1 else f"compile{number}", f"pipeline_rank{rank}.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        save_record(record_of(builder, world_size=2, mpi_rank=rank), path)


def norm_of(columns):
    def build(kernel):
        x, w, out = (
            warned.attach(kernel, name, *dims)
            for name, dims in (("x", (8, columns)), ("w", (columns,)), ("out", (8, columns)))
        )
        kernel.rmsnorm_layer(x, w, out, (8, 1, 1), (128, 1, 1))

    return build


def test_a_folder_of_records(mpkgraph, folder):
    """compile2 and so on continue the process of their rank, `compile10` after `compile9`."""
    widths = [64, 128, 64, *range(256, 256 + 8 * 64, 64)]
    for rank in (0, 1):
        put_records("in", *(norm_of(n) for n in widths), rank=rank)
    Path("in", "compile0x").mkdir()
    Path("in", "notes.txt").write_text("no record")
    result = mpkgraph("compile", "in", "-o", "out", "--json")
    graphs = result.json["graphs"]
    assert [(x["rank"], x["index"]) for x in graphs] == [(r, i) for r in (0, 1) for i in range(11)]
    records = [x for x in files_in("in") if x != "notes.txt"]
    made = [x.replace("pipeline", "task_graph") for x in records]
    assert len(records) == 22
    assert files_in("out") == sorted([*records, *made])
    variants = []
    for i in range(11):
        text = Path(
            "out", "" if i == 0 else f"compile{i + 1}", "task_graph_rank1.json"
        ).read_bytes()
        variants.append(json.loads(text)["all_tasks"][2]["variant_id"])
    assert variants == [0, 1, 0, 2, 3, 4, 5, 6, 7, 8, 9]


def test_an_empty_folder(mpkgraph, folder):
    Path("in").mkdir()
    result = mpkgraph("compile", "in")
    assert (result.code, result.out) == (3, "")
    assert result.err == (
        "mpkgraph: error: in: no pipeline_rank{N}.json in this folder. "
        "Give a record, a script or a function\n"
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "record.json"),
        (b"{}", "record.json"),
        (b"not JSON", "record.json, byte 0"),
        (b"[" * 100_000, "record.json"),
        (b'{"all_tasks": []}', "a task graph, not a recorded pipeline"),
        (b"\x1f\x8b\x08", "record.json"),
        (b"\x28\xb5\x2f\xfd", "record.json"),
    ],
)
def test_no_record(mpkgraph, folder, content, says):
    Path("record.json").write_bytes(content)
    result = mpkgraph("compile", "record.json", "-o", "out")
    assert (result.code, result.out) == (3, "")
    assert says in result.err
    assert result.err.count("\n") == 1
    assert len(result.err) < 400
    assert not Path("out").exists()


def test_names_in_messages_can_not_reach_the_terminal(mpkgraph, folder):
    hostile = "\x1b[31m" + "n" * 10_000 + "\n\x07\u202e"
    save_record(record_of(lambda kernel: norm_named(kernel, hostile)), "hostile.json")
    result = mpkgraph("compile", "hostile.json", "-o", "out")
    assert result.code == 0
    assert "\x1b" not in result.err + result.out
    assert "\x07" not in result.err
    assert "\u202e" not in result.err
    assert "\\x1b[31m" in result.err
    assert f'"base_ptr": "\\u001b[31m{"n" * 10_000}\\n\\u0007\u202e"' in Path(
        "out", GRAPH
    ).read_text(encoding="utf-8")


def norm_named(kernel, name):
    x, w = warned.attach(kernel, name, 8, 64), warned.attach(kernel, "w", 64)
    kernel.rmsnorm_layer(x, w, warned.attach(kernel, "out", 8, 64), (8, 1, 1), (128, 1, 1))


def test_a_huge_grid_is_refused_before_anything_is_made(mpkgraph, folder):
    content = BY_NAME["test_rmsnorm"].record(90).to_json()
    content["log"][3]["lowlevel"][0]["grid_dim"] = [2**31 - 1] * 3
    Path("huge.json").write_text(json.dumps(content))
    result = mpkgraph("compile", "huge.json", "-o", "out")
    assert (result.code, result.out) == (3, "")
    assert (
        "layer 0 (rmsnorm_layer, rmsnorm_hopper, grid 2147483647x2147483647x2147483647)"
        in result.err
    )
    assert f"{(2**31 - 1) ** 3 + 2} tasks" in result.err


# Tasks of the user's own

OWN = """
from mpkgraph.pipeline import CyTBGraph, TBGraph, TensorSpec


def own(kernel):
    graph = TBGraph(CyTBGraph((8, 1, 1), (128, 1, 1), 1, 64))
    tensors = [
        kernel.attach_input(TensorSpec(dims, "bfloat16"), name=name)
        for name, dims in (("x", (8, 64)), ("w", (64,)), ("out", (8, 64)))
    ]
    for tensor, axes in zip(tensors, ((0, -1, -1), (-1, -1, -1), (0, -1, -1)), strict=True):
        graph.new_input(tensor, axes, -1)
    kernel.kn_graph.customized(tensors, graph)
    kernel.kn_graph.register_task(graph, "own_norm")
"""


@pytest.mark.parametrize(
    ("kind", "number"), [("4242", 4242), ("TASK_RMS_NORM", 119), ("rms_norm", 119)]
)
def test_register(mpkgraph, folder, kind, number):
    Path("own.py").write_text(OWN)
    refused = mpkgraph("compile", "own.py:own", "-o", "out")
    assert refused.code == 3
    assert "'own_norm', which neither Mirage nor this version knows" in refused.err
    assert "--register NAME:INPUTS:OUTPUTS:TASK_TYPE" in refused.err
    option = ("--register", f"own_norm:2:1:{kind}")
    assert mpkgraph("compile", "own.py:own", "-o", "out", *option).code == 0
    tasks = json.loads(Path("out", GRAPH).read_bytes())["all_tasks"][2:]
    assert {x["task_type"] for x in tasks} == {number}
    assert [len(x["inputs"]) for x in tasks] == [2] * 8
    # The same from the record
    assert mpkgraph("compile", f"out/{RECORD}", "-o", "again").code == 3
    assert mpkgraph("compile", f"out/{RECORD}", "-o", "again", *option).code == 0
    assert sha256(f"again/{GRAPH}") == sha256(f"out/{GRAPH}")


def test_register_with_other_counts_is_refused(mpkgraph, folder):
    Path("own.py").write_text(OWN)
    result = mpkgraph("compile", "own.py:own", "--register", "own_norm:3:1:4242")
    assert result.code == 3
    assert "has 3 slots where own_norm takes 3 inputs and 1 outputs" in result.err


@pytest.mark.parametrize(
    "text", ["own", "own:2:1", "own:2:1:", ":2:1:4242", "own:x:1:42", "a:1:1:1:1"]
)
def test_register_in_another_form(mpkgraph, folder, text):
    result = mpkgraph("compile", "pipes.py:norm", "--register", text)
    assert (result.code, result.out) == (2, "")
    assert "NAME:INPUTS:OUTPUTS:TASK_TYPE" in result.err


# Wrong usage


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "PIPELINE"),
        (("pipes.py:norm", "--rank", "1", "--all-ranks"), "--all-ranks and --rank"),
        (("pipes.py:norm", "--rank", "2", "--world-size", "2"), "rank 2 of 2"),
        (("pipes.py:norm", "--rank", "-1"), "--rank"),
        (("pipes.py:norm", "--world-size", "0"), "--world-size"),
        (("pipes.py:norm", "--workers", "0"), "--workers"),
        (("pipes.py:norm", "--emit", "graphs"), "--emit"),
        (("pipes.py:norm", "--set", "rows"), "--set 'rows' is not name=value"),
        (("pipes.py:norm", "--set", "rows=1", "--set", "rows=2"), "'rows' twice"),
        (("pipes.py:norm", "--set", "row=1"), "no parameter 'row'"),
        (("pipes.py:norm", "--set", "rows=many"), "rows"),
        (("pipes.py:norm", "--init", "max_tokens=1"), "no parameter 'max_tokens'"),
        (("pipes.py:norm", "--", "argument"), "no arguments after --"),
        (("pipes.py:nrm",), "It has norm, reduce"),
        (("absent.py:norm",), "no such file"),
        (("no_such_module:norm",), "no module 'no_such_module'"),
        (("pipes.py:norm", "pipes.py:reduce"), "can't be compiled together"),
        (("pipes.py", "recorded.json"), "can't be compiled together"),
        (("pipes.py", "--set", "rows=1"), "--set is for functions"),
        (("recorded.json", "--set", "rows=1"), "--set can't be given with a recorded pipeline"),
        (("recorded.json", "--init", "mode=1"), "--init can't be given with a recorded pipeline"),
        (("recorded.json", "--meta"), "--meta can't be given with a recorded pipeline"),
        (("recorded.json", "--", "x"), "arguments after -- can't be given"),
        (("recorded.json", "--world-size", "2", "--rank", "2"), "rank 2 of 2"),
        (("recorded.json", "--backend", "mirage"), "Mirage can't be used here"),
        (("recorded.json", "--backend", "cuda"), "--backend"),
        (("recorded.json", "--mirage-home", "absent"), "absent"),
        (("recorded.json", "-o", "pipes.py"), "pipes.py"),
        (("recorded.json", "--no-such-option"), "--no-such-option"),
    ],
)
def test_wrong_usage(mpkgraph, recorded, folder, arguments, says):
    before = files_in(folder)
    result = mpkgraph("compile", *arguments)
    assert result.code in {2, 3}
    assert result.code == (3 if "--mirage-home" in arguments else 2)
    assert result.out == ""
    assert says in result.err
    assert files_in(folder) == before


def test_backend_mirage_says_what_is_installed(mpkgraph, recorded):
    result = mpkgraph("compile", recorded, "--backend", "mirage")
    assert result.code == 2
    assert "without --backend mpkgraph plans the same graph, to the byte" in result.err
    assert mpkgraph("compile", recorded, "--backend", "auto", "--dry-run").code == 0


def test_no_such_record(mpkgraph, folder):
    result = mpkgraph("compile", "absent.json")
    assert (result.code, result.out) == (3, "")
    assert result.err.startswith("mpkgraph: error: absent.json: ")


# Folders that can't be written, and the end of the disk


@pytest.mark.parametrize("output", ["pipes.py/out", "/dev/null/out", "/proc/mpkgraph-out"])
@pytest.mark.parametrize("source", ["recorded.json", "pipes.py:norm"])
def test_no_such_folder_can_be_made(mpkgraph, recorded, folder, source, output):
    if output.startswith(("/dev", "/proc")) and not Path("/proc/self").exists():
        pytest.skip("this system has no /proc")
    before = files_in(folder)
    result = mpkgraph("compile", source, "-o", output)
    assert (result.code, result.out) == (3, "")
    error = result.err.splitlines()[-1]
    assert f"{output}: can't make the folder: " in error
    assert error.endswith("Choose a folder that you can write to")
    assert files_in(folder) == before


@pytest.mark.parametrize("taken", [GRAPH, RECORD])
def test_a_folder_in_the_place_of_a_file(mpkgraph, recorded, taken):
    Path("out", taken).mkdir(parents=True)
    result = mpkgraph("compile", recorded, "-o", "out")
    assert (result.code, result.out) == (3, "")
    assert f"out/{taken}: can't be written: it is a directory" in result.err
    assert [x for x in files_in("out") if x.startswith(".")] == []


class FullDisk:
    """Takes so many bytes, then says what a full disk says."""

    def __init__(self, stream, room):
        self.stream, self.room = stream, room

    def write(self, data):
        self.room -= len(data)
        if self.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.stream.write(data)

    def writelines(self, lines):
        for line in lines:
            self.write(line)


@pytest.mark.parametrize("source", ["recorded.json", "pipes.py:norm"])
def test_a_full_disk_leaves_nothing(mpkgraph, recorded, source, monkeypatch):
    write = writer.write_graph
    monkeypatch.setattr(writer, "write_graph", lambda graph, out: write(graph, FullDisk(out, 2000)))
    result = mpkgraph("compile", source, "-o", "out")
    assert (result.code, result.out) == (3, "")
    assert f"out/{GRAPH}: can't be written: no space left on device" in result.err
    assert files_in("out") == []


def test_a_limit_on_file_sizes_leaves_nothing(recorded):
    resource = pytest.importorskip("resource")
    done = subprocess.run(
        [sys.executable, "-m", "mpkgraph", "compile", recorded, "-o", "out"],
        capture_output=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000)),
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, b"")
    assert b"can't be written: file too large" in done.stderr
    assert files_in("out") == []


def test_an_older_result_outlives_a_full_disk(mpkgraph, recorded, monkeypatch):
    assert mpkgraph("compile", recorded, "-o", "out").code == 0
    before = {name: sha256(f"out/{name}") for name in files_in("out")}
    write = writer.write_graph
    monkeypatch.setattr(writer, "write_graph", lambda graph, out: write(graph, FullDisk(out, 2000)))
    assert mpkgraph("compile", recorded, "-o", "out").code == 3
    assert {name: sha256(f"out/{name}") for name in files_in("out")} == before


# Interrupts and company


def test_an_interrupt_while_writing_leaves_nothing(mpkgraph, recorded, monkeypatch):
    def interrupted(graph, out):
        out.write(b"{")
        raise KeyboardInterrupt

    monkeypatch.setattr(writer, "write_graph", interrupted)
    result = mpkgraph("compile", recorded, "-o", "out")
    assert (result.code, result.out, files_in("out")) == (130, "", [])


def test_an_interrupt_of_a_function_leaves_nothing(folder):
    Path("slow.py").write_text(
        USERS + "\n\ndef slow(kernel):\n    import time\n\n    norm(kernel)\n"
        "    print('begun', flush=True)\n    time.sleep(60)\n"
    )
    # What a shell starts in the background ignores interrupts, and what that starts does too
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(
        [sys.executable, "-m", "mpkgraph", "compile", "slow.py:slow", "-o", "out"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout.readline() == b"begun\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err.strip()) == (130, b"", b"")
    assert not Path("out").exists()


def test_two_compiles_into_one_folder(recorded):
    """Each file is one of the two, whole."""
    sources = [f"recorded{cc}.json" for cc in (80, 90)]
    pipeline = BY_NAME["test_gateup_silu"]
    for cc, source in zip((80, 90), sources, strict=True):
        save_record(pipeline.record(cc), source)
    whole = {x.sha256 for x in pipeline.results.values()}
    errors = []

    def work(source):
        try:
            for _ in range(5):
                compile_pipelines([source], CompileOptions(output=Path("out")))
        except GraphWriteError as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(x,)) for x in sources]
    for thread in threads:
        thread.start()
    while any(x.is_alive() for x in threads):
        if Path("out", GRAPH).exists():
            assert sha256(f"out/{GRAPH}") in whole
    for thread in threads:
        thread.join()
    assert errors == []
    assert files_in("out") == [RECORD, GRAPH]
    assert read_record(f"out/{RECORD}").target_cc in {80, 90}


def test_standard_output_that_is_gone_is_no_error(folder):
    reader, end = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "mpkgraph", "compile", "pipes.py:norm", "-o", "out"],
        stdout=end,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(end)
    assert (done.returncode, done.stderr) == (0, b"")
    assert files_in("out") == [RECORD, GRAPH]
