"""Parts of the bridge on their own: nvcc's output, the cache, hangs, what may be poisoned."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mpkgraph.errors import PipelineError
from mpkgraph.mirage import kernel_cache, process
from mpkgraph.mirage.compare import compare, graph_bytes, plan_like
from mpkgraph.mirage.failure import tail
from mpkgraph.mirage.hang import diagnose_hang
from mpkgraph.mirage.kernel_cache import KernelCache, kernel_key
from mpkgraph.mirage.nvcc import NvccReport, error_lines, is_nvcc, parse_resources
from mpkgraph.mirage.poison import only_written
from mpkgraph.mirage.process import run_child
from mpkgraph.mirage.protocol import Channel, ChildRequest, parse_message
from mpkgraph.model import ids
from mpkgraph.planner.plan import ProcessPlanner, plan
from tests.pipelines import warned
from tests.pipelines.kit import record_of
from tests.pipelines.table import PIPELINES

BY_NAME = {x.name: x for x in PIPELINES}

PTXAS = """
ptxas info    : 102 bytes gmem
ptxas info    : Compiling entry function '_Z5firstv' for 'sm_90a'
ptxas info    : Function properties for _Z6helperv
    64 bytes stack frame, 8 bytes spill stores, 8 bytes spill loads
ptxas info    : Function properties for _Z5firstv
    144 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 54 registers, used 0 barriers, 144 bytes cumulative stack size
ptxas info    : Compiling entry function 'plain' for 'sm_90a'
ptxas info    : Used 8 registers, 16 bytes smem, 900 bytes cmem[0]
"""


def test_resources():
    first, plain = parse_resources(PTXAS)
    assert (first.name, first.registers, first.stack_bytes) == ("first", 54, 144)
    assert (first.spill_store_bytes, first.spill_load_bytes) == (4, 12)
    assert (plain.name, plain.registers, plain.shared_bytes, plain.stack_bytes) == (
        "plain",
        8,
        16,
        0,
    )


def test_error_lines():
    log = "a\nx.cu(3): error: no\nx.cu(3): error: no\nld returned 1 exit status\n"
    assert error_lines(log) == ["x.cu(3): error: no", "ld returned 1 exit status"]
    assert error_lines("one\n\ntwo\n") == ["one", "two"]


def test_is_nvcc():
    assert is_nvcc(["/cuda/bin/nvcc", "x.cu"])
    assert not is_nvcc(["g++", "x.cc"])
    assert not is_nvcc("nvcc x.cu")


@pytest.fixture
def command(tmp_path):
    source = tmp_path / "t1" / "test.cu"
    source.parent.mkdir()
    source.write_text("code")
    return ["nvcc", str(source), "-O3", f"-I{tmp_path}", "-o", str(source.with_suffix(".so"))]


def test_key_is_of_contents_not_of_places(command, tmp_path):
    key = kernel_key(command, b"graph", "13.0")
    assert key == kernel_key(command, b"graph", "13.0")
    elsewhere = tmp_path / "t2" / "test.cu"
    elsewhere.parent.mkdir()
    elsewhere.write_text("code")
    moved = [
        "nvcc",
        str(elsewhere),
        "-O3",
        f"-I{elsewhere.parent}",
        "-o",
        str(elsewhere.parent / "x"),
    ]
    assert kernel_key(moved, b"graph", "13.0") == key
    assert kernel_key(command, b"graph2", "13.0") != key
    assert kernel_key(command, b"graph", "13.1") != key
    assert kernel_key([*command, "-DX"], b"graph", "13.0") != key
    Path(command[1]).write_text("other")
    assert kernel_key(command, b"graph", "13.0") != key


REPORT = NvccReport(("nvcc",), 3.5, "k", cached=False)


def test_cache_gives_back_what_it_got(tmp_path):
    cache = KernelCache(tmp_path / "cache")
    kernel = tmp_path / "kernel"
    kernel.write_bytes(b"code")
    key = "a" * 64
    assert cache.find(key, tmp_path / "out") is None
    cache.store(key, kernel, REPORT, "said")
    found = cache.find(key, tmp_path / "out")
    assert found == dataclasses.replace(REPORT, cached=True)
    assert (tmp_path / "out").read_bytes() == b"code"
    assert cache.log(key) == "said"
    # A second process that was as fast changes nothing
    cache.store(key, kernel, REPORT, "again")
    assert cache.log(key) == "said"
    assert [x.name for x in (tmp_path / "cache").iterdir()] == [key]


def test_cache_keeps_its_limit(tmp_path):
    cache = KernelCache(tmp_path / "cache", limit_bytes=3500)
    kernel = tmp_path / "kernel"
    kernel.write_bytes(b"x" * 1000)
    keys = [letter * 64 for letter in "abcde"]
    for number, key in enumerate(keys):
        cache.store(key, kernel, REPORT, "")
        os.utime(tmp_path / "cache" / key, (number, number))
    cache.store("f" * 64, kernel, REPORT, "")
    assert {x.name[0] for x in (tmp_path / "cache").iterdir()} == {"d", "e", "f"}


def test_a_damaged_entry_is_none(tmp_path):
    cache = KernelCache(tmp_path)
    (tmp_path / ("a" * 64)).mkdir()
    (tmp_path / ("a" * 64) / kernel_cache.REPORT).write_text("{")
    assert cache.find("a" * 64, tmp_path / "out") is None


def test_messages_survive_a_cut(tmp_path):
    reader, writer = os.pipe()
    Channel(writer).send("call", method="x", site=Path("a"))
    os.close(writer)
    data = os.read(reader, 1000)
    os.close(reader)
    message = parse_message(data)
    assert (message.kind, message["method"], message["site"]) == ("call", "x", "a")
    assert parse_message(data[:-5]) is None
    assert parse_message(b"[]\n") is None


def test_the_whole_group_is_killed(tmp_path, monkeypatch):
    """What the child starts does not outlive it."""
    beside = tmp_path / "pid"
    code = (
        f"import subprocess; p = subprocess.Popen(['sleep', '600']); "
        f"open({str(beside)!r}, 'w').write(str(p.pid)); p.wait()"
    )
    monkeypatch.setattr(process, "START", code)
    request = ChildRequest(staging=str(tmp_path), source="")
    result = run_child(request, tmp_path / "log", limit_s=2)
    assert result.timed_out
    assert result.returncode < 0
    status = Path(f"/proc/{beside.read_text()}/stat")
    until = time.monotonic() + 20  # a busy machine takes its time over it
    while status.exists() and status.read_text().split()[2] != "Z":
        assert time.monotonic() < until
        time.sleep(0.05)


def test_an_error_here_kills_the_child(tmp_path, monkeypatch):
    write = "os.write(int(sys.argv[3]), b'{}')".format('{"kind": "x"}\\n')
    code = f"import os, sys, time; {write}; time.sleep(600)"
    monkeypatch.setattr(process, "START", code)

    def stop(_message):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_child(
            ChildRequest(staging=str(tmp_path), source=""),
            tmp_path / "log",
            limit_s=60,
            on_message=stop,
        )


def test_tail_leaves_our_own_lines_out(tmp_path):
    log = tmp_path / "log"
    log.write_text(
        "good\nTraceback (most recent call last):\n"
        '  File "/x/mpkgraph/mirage/child/main.py", line 1, in f\n    call()\n'
        '  File "/x/script.py", line 2, in g\n    other()\nValueError: no\n'
        "Extension modules: numpy\n"
    )
    assert tail(log) == (
        "good",
        '  File "/x/script.py", line 2, in g',
        "    other()",
        "ValueError: no",
    )


def counted(graph, *, without=()):
    """Counters after every task but these has run."""
    triggers = graph.tasks.trigger_events
    counts = np.zeros(graph.num_events, dtype=np.int64)
    for task in range(1, graph.num_tasks):
        if task not in without and int(triggers[task]) != ids.EVENT_INVALID_ID:
            counts[int(triggers[task]) & 0xFFFFFFFF] += 1
    return counts.tolist()


@pytest.fixture
def chain():
    record = BY_NAME["small_mlp"].record(90)
    return record, plan(record).graph


def test_a_kernel_that_does_not_end(chain):
    record, graph = chain
    last = graph.num_tasks - 1
    hang = diagnose_hang(graph, record, counted(graph, without={last}))
    assert hang.planned is None
    assert hang.has_begun
    assert hang.unfinished[-1].num_unfinished == 1
    assert hang.lines[-1] == "The graph itself would end: a kernel of these operators does not"
    assert hang.to_json()["unfinished"][-1]["num_unfinished"] == 1


def test_a_launch_that_never_began(chain):
    record, graph = chain
    hang = diagnose_hang(graph, record, [0] * graph.num_events)
    assert hang.has_begun is False
    assert "the schedulers never started" in hang.lines[-1]
    assert "could not be read" in diagnose_hang(graph, record, None).lines[-1]


def test_a_graph_that_hangs_by_itself():
    record = record_of(warned.stuck_event)
    graph = plan(record).graph
    hang = diagnose_hang(graph, record, None)
    assert hang.planned is not None
    assert hang.lines[0].startswith("The graph hangs by itself")
    assert "waits for event" in hang.lines[1]


def test_only_what_nobody_reads_first_is_poisoned(chain):
    record, _ = chain
    names = only_written(record)
    read = {x.name for x in record.layers[0].slots[:2]}
    assert not names & read
    written = {x.name for layer in record.layers for x in layer.slots[-1:]}
    assert names <= written


def test_python_of_the_child_is_ours():
    assert Path(process.PACKAGE_ROOT, "mpkgraph", "mirage").is_dir()
    assert sys.executable


def test_comparison(chain):
    record, graph = chain
    planned, error = plan_like(ProcessPlanner(), record)
    text = graph_bytes(graph)
    assert error is None
    assert compare(text, planned, None).equal is True
    other = text.replace(b'"variant_id": 0', b'"variant_id": 3', 3)
    found = compare(other, planned, None)
    assert found.equal is False
    assert found.differences[-1].endswith("variant_id: Mirage has 3, the planner 0")
    assert compare(text, None, None).equal is None
    assert compare(text, None, PipelineError("no")).differences == ("no",)


def test_comparison_where_mirage_reads_what_it_never_wrote():
    planned, _ = plan_like(ProcessPlanner(), record_of(warned.map_past_rank))
    text = graph_bytes(planned.graph).replace(b'"offset": 0', b'"offset": 8', 1)
    found = compare(text, planned, None)
    assert "as was to be expected" in found.what
    assert "map-past-rank" in found.what
