"""`compile --backend mirage` against a Mirage of tests: what it writes, and how each fault ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mpkgraph.cli.main import run
from tests.mirage.conftest import FAKE, PROBED

GRAPH, RECORD, SOURCE = "task_graph_rank0.json", "pipeline_rank0.json", "test_rank0.cu"


def names(folder):
    # Importing a user's file leaves its compiled form beside it, as Python does
    return sorted(x.name for x in Path(folder).iterdir() if x.name != "__pycache__")


def launcher(folder):
    return [x for x in names(folder) if x.startswith("mpk_launcher_rank0.")]


def test_graph_equals_the_planners(compile_, mpkgraph):
    result = compile_("pipes.py:norm", "--set", "rows=4", "--host-only", "-o", "out")
    assert result.code == 0, result.err
    assert "equal to the planner's, byte for byte" in result.out
    assert "2 layers, 10 tasks" in result.out
    assert names("out") == sorted([GRAPH, RECORD, SOURCE, "mirage_rank0.log"])
    assert mpkgraph("compile", "pipes.py:norm", "--set", "rows=4", "-o", "plan").code == 0
    assert Path("out", GRAPH).read_bytes() == Path("plan", GRAPH).read_bytes()
    ours, theirs = (json.loads(Path(x, RECORD).read_bytes()) for x in ("out", "plan"))
    assert ours["tensors"] == theirs["tensors"]
    assert [x["name"] for x in ours["tensors"]] == ["x", "w", "mid.dle", "out"]
    assert [x["op"] for x in ours["log"]] == [x["op"] for x in theirs["log"]]
    ours, theirs = (x["log"][-1]["lowlevel"][0] for x in (ours, theirs))
    assert ours["customized"] == theirs["customized"]
    assert ours["grid_dim"] == theirs["grid_dim"]
    assert ours["register_task"]["name"] == theirs["register_task"]["name"]


def test_kernel_files_and_report(compile_):
    result = compile_("pipes.py:norm", "-o", "out", "--json")
    assert result.code == 0, result.err
    assert len(launcher("out")) == 1
    assert {"kernel_metadata_rank0.json", "kernel_rank0.json"} <= set(names("out"))
    report = json.loads(Path("out/kernel_rank0.json").read_bytes())
    (kernel,) = report["kernels"]
    assert kernel["name"] == "worker_kernel"
    assert kernel["registers"] == 44
    assert (kernel["spill_store_bytes"], kernel["spill_load_bytes"]) == (4, 12)
    assert kernel["shared_bytes"] == 5824
    assert report["command"][0].endswith("nvcc")
    document = result.json
    assert document["backend"] == "mirage"
    assert document["mirage"]["version"] == "0.0.fake"
    assert document["graphs"][0]["comparison"]["equal"] is True
    assert document["graphs"][0]["kernel"] == report
    assert "a kernel" in Path("out", launcher("out")[0]).read_text()


def test_source_that_is_compiled_is_corrected(compile_):
    assert compile_("pipes.py:norm", "-o", "out").code == 0
    text = Path("out", SOURCE).read_text()
    assert "PyTuple_Size(args) == 5" in text
    assert 'PyArg_ParseTuple(args, "OiiOO", &meta_list, &workers, &is_test_mode,' in text
    assert "meta_tensors.resize(11, nullptr)" in text
    assert "auto &all_tensors = mpkgraph_tensors;" in text
    assert "mpkgraph_event_counters" in text
    # The installed Mirage is as it was
    installed = (FAKE / "mirage/mpk/persistent_kernel.py").read_text()
    assert '"OiOO"' in installed


def test_unchanged_pipelines_skip_nvcc(compile_, monkeypatch, tmp_path):
    calls = tmp_path / "calls"
    monkeypatch.setenv("FAKE_NVCC_CALLS", str(calls))
    for out in ("one", "two"):
        assert compile_("pipes.py:norm", "-o", out).code == 0
    assert len(calls.read_text().splitlines()) == 1
    assert "kernel from the cache" in compile_("pipes.py:norm", "-o", "three").out
    assert launcher("one") == launcher("two")
    assert compile_("pipes.py:norm", "--set", "rows=16", "-o", "four").code == 0
    assert compile_("pipes.py:norm", "-o", "five", "--no-kernel-cache").code == 0
    assert len(calls.read_text().splitlines()) == 3


def test_the_cache_knows_mirages_headers(compile_, home, monkeypatch, tmp_path):
    calls = tmp_path / "calls"
    monkeypatch.setenv("FAKE_NVCC_CALLS", str(calls))
    assert compile_("pipes.py:norm", "-o", "one").code == 0
    header = home / "include/mirage/persistent_kernel/persistent_kernel.cuh"
    header.write_text(header.read_text() + "// changed\n")
    assert compile_("pipes.py:norm", "-o", "two").code == 0
    assert len(calls.read_text().splitlines()) == 2


def test_host_asserts_that_are_wrong_are_off(compile_, monkeypatch, tmp_path):
    calls = tmp_path / "calls"
    monkeypatch.setenv("FAKE_NVCC_CALLS", str(calls))
    assert compile_("pipes.py:norm", "-o", "one").code == 0
    assert "-DNDEBUG" in calls.read_text()
    # The target decides, where this machine has no GPU of its own
    assert "-arch=sm_90" in calls.read_text()


def test_scripts_run_as_they_are(compile_):
    result = compile_("script.py", "--", "4", "9", "16")
    assert result.code == 0, result.err
    assert names("asked9") == names("asked16")
    assert {GRAPH, RECORD} <= set(names(".")) & set(names("asked9"))
    assert "nothing is executed" in result.err
    assert "run() is" not in result.err
    assert "script.py:22: after its pipeline had been compiled: KeyError: 'afterwards'" in (
        result.err.replace(" in <module>", "")
    )
    assert "hello from the script" not in result.out
    assert "hello from the script" in Path("mirage_rank0.log").read_text()


def test_variants_go_on_counting_in_a_process(compile_):
    result = compile_("script.py", "-o", "out", "--host-only", "--", "4", "8")
    assert result.code == 0, result.err
    assert result.out.count("equal to the planner's") == 2
    assert {GRAPH, RECORD} <= set(names("out/compile2"))


def test_records_are_told_to_mirage(compile_, mpkgraph):
    assert mpkgraph("compile", "pipes.py:norm", "-o", "plan").code == 0
    result = compile_("plan", "-o", "out", "--host-only")
    assert result.code == 0, result.err
    assert Path("out", GRAPH).read_bytes() == Path("plan", GRAPH).read_bytes()


def test_nothing_is_written_when_that_is_asked(compile_):
    result = compile_("pipes.py:norm", "--dry-run")
    assert result.code == 0
    assert "nothing written" in result.out
    assert names(".") == ["pipes.py", "script.py"]


def test_another_graph_is_news(compile_, monkeypatch):
    monkeypatch.setenv("FAKE_MIRAGE", "differ@generate")
    result = compile_("pipes.py:norm", "-o", "out", "--host-only")
    assert result.code == 0
    assert "another than the planner's" in result.err
    assert "all_tasks[2].variant_id: Mirage has 7, the planner 0" in result.err
    assert names("out/planned") == [GRAPH]
    assert compile_("pipes.py:norm", "--dry-run", "--check", "--host-only").code == 1


FAULTS = [
    ("abort@generate", "aborted (SIGABRT) while generating the task graph: this is no graph", ""),
    ("abort@rmsnorm_layer", "aborted (SIGABRT) while in rmsnorm_layer()", "pipes.py:11"),
    (
        "abort@rmsnorm_hopper",
        "while registering rmsnorm_layer (task rmsnorm_hopper): this is no graph",
        "pipes.py:11",
    ),
    ("assert@rmsnorm_layer", "Assertion `a == b' failed.", "pipes.py:11"),
    ("segfault@rmsnorm_layer", "segmentation fault (SIGSEGV)", "pipes.py:11"),
    ("divide@compile", "division by zero (SIGFPE) while in compile()", ""),
    ("kill@rmsnorm_layer", "was killed (SIGKILL)", "pipes.py:11"),
    ("bad_alloc@generate", "ran out of memory", ""),
    ("memory@rmsnorm_layer", "MemoryError", "--meta gives tensors of a script no memory"),
    ("raise@rmsnorm_layer", "ValueError: no such thing in Mirage", "pipes.py:11"),
    ("exit@rmsnorm_layer", "the script exited with status 7", ""),
]


@pytest.mark.parametrize(("fault", "what", "where"), FAULTS, ids=[x[0] for x in FAULTS])
def test_faults_become_one_error(compile_, monkeypatch, fault, what, where):
    monkeypatch.setenv("FAKE_MIRAGE", fault)
    result = compile_("pipes.py:norm", "-o", "out")
    assert result.code == 3
    first, *rest = result.err.splitlines()
    assert first.startswith("mpkgraph: error: ")
    assert what in first
    assert where in first
    assert all(x.startswith("  | ") for x in rest)
    log = Path(first.rpartition("All that it printed is in ")[2])
    assert log.is_file()
    assert not Path("out").exists()


def test_a_hang_ends_at_the_limit(compile_, monkeypatch):
    monkeypatch.setenv("FAKE_MIRAGE", "hang@rmsnorm_layer")
    result = compile_("pipes.py:norm", "-o", "out", "--time-limit", "4")
    assert result.code == 3
    assert "was still in rmsnorm_layer() after 4 s and was killed" in result.err
    assert "  | going round in circles" in result.err
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        ("fail", 'expected a ";"'),
        ("killed", "most likely for want of memory"),
    ],
)
def test_nvcc_fails(compile_, monkeypatch, fault, what):
    monkeypatch.setenv("FAKE_NVCC", fault)
    result = compile_("pipes.py:norm", "-o", "out")
    assert result.code == 3
    assert what in result.err
    assert "nvcc" in result.err.splitlines()[0]
    assert not Path("out").exists()


def test_nvcc_hangs(compile_, monkeypatch):
    monkeypatch.setenv("FAKE_NVCC", "hang")
    result = compile_("pipes.py:norm", "-o", "out", "--time-limit", "4")
    assert "was still running nvcc after 4 s" in result.err


def test_without_nvcc_only_the_graph(compile_, monkeypatch, home):
    (home.parent / "cuda/bin/nvcc").unlink()
    if Path("/usr/local/cuda/bin/nvcc").exists():
        monkeypatch.setattr("mpkgraph.mirage.facts.find_nvcc", lambda *_: None)
    result = compile_("pipes.py:norm", "-o", "out")
    assert result.code == 0
    assert "no kernel was compiled, only the graph is made (nvcc: not on PATH" in result.err
    assert launcher("out") == []
    refused = compile_("pipes.py:norm", "--kernel", "-o", "more")
    assert refused.code == 2
    assert "no kernel can be compiled here: nvcc: not on PATH" in refused.err
    assert "Install the CUDA toolkit" in refused.err


def test_auto_takes_what_works(mpkgraph, home, folder, monkeypatch):
    monkeypatch.setenv("MIRAGE_HOME", str(home))
    found = dict(PROBED)
    monkeypatch.setattr("mpkgraph.mirage.facts.probe", lambda *_: (found, None))
    with_mirage = mpkgraph("compile", "pipes.py:norm", "--backend", "auto", "--host-only")
    assert with_mirage.out.startswith("by Mirage 0.0.fake, in ")
    found["mirage"] = {"ok": False, "error": "ImportError: no", "module": "cuda"}
    planned = mpkgraph("compile", "pipes.py:norm", "--backend", "auto", "--dry-run")
    assert planned.code == 0
    assert "planned: Mirage can't be used here (import mirage: " in planned.err


def test_auto_without_mirage_plans(mpkgraph, folder):
    result = mpkgraph("compile", "pipes.py:norm", "--backend", "auto", "--dry-run")
    assert result.code == 0
    assert "planned: there is no Mirage here" in result.err


def test_import_that_fails_is_told_before(mpkgraph, home, folder, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setenv("FAKE_MIRAGE", "missing@import")
    result = mpkgraph("compile", "pipes.py:norm", "--backend", "mirage", "--mirage-home", home)
    assert result.code == 2
    assert "import mirage: ModuleNotFoundError: No module named 'cuda'" in result.err
    assert "pip install cuda-python" in result.err


def test_settings_are_checked(compile_):
    result = compile_("pipes.py:norm", "--set", "columns=4")
    assert result.code == 2
    assert "norm() has no parameter 'columns'" in result.err


@pytest.mark.parametrize("option", ["--kernel", "--host-only"])
def test_options_of_mirage_need_it(option, folder, capfd):
    assert run(["compile", "pipes.py:norm", option]) == 2
    assert f"{option} is for Mirage" in capfd.readouterr().err


def test_nothing_to_compile(mpkgraph):
    assert "there is nothing to compile" in mpkgraph("compile").err
