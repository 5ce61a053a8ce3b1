"""What the fuzzer found, as small as it gets."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest

from mpkgraph.cli.main import run

INIT = {
    "workers": {"num_workers": "8"},
    "schedulers": {"num_local_schedulers": [4]},
    "fewer workers": {"num_workers": -3},
    "no parameter": {"\u202ename": 1},
    "world": {"world_size": "two"},
    "meta tensors": {"meta_tensors": 3},
    "strides of a meta tensor": {
        "meta_tensors": {"tokens": {"torch": [4], "strides": [[1]], "dtype": "int64"}}
    },
}


@pytest.fixture
def replan(small, refuse, tmp_path):
    """Plan a changed record for another GPU, which calls the layers again."""

    def call(change):
        record = json.loads(small.record.read_text())
        change(record)
        path = tmp_path / "record.json"
        path.write_text(json.dumps(record))
        return refuse("compile", path, "--target", "100", "--dry-run", codes=(3,))

    return call


@pytest.mark.parametrize("change", INIT)
def test_records_whose_kernel_can_not_be_made(change, replan):
    said = replan(lambda record: record["init"].update(INIT[change]))
    assert "record.json" in said
    assert "init" in said


@pytest.mark.parametrize(
    "change",
    [{"further": 1}, {"grid_dim": 3}, {"grid_dim": ["a", 1, 1]}, {"input": {"tensor": 99}}],
    ids=str,
)
def test_records_whose_layer_can_not_be_called(change, replan):
    def to(record):
        layer = next(x for x in record["log"] if x["op"] == "layer")
        layer["args"].update(change)

    assert "record.json, log[" in replan(to)


@pytest.fixture
def little_memory():
    """Two GB more than this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    limit = pages * resource.getpagesize() + (2 << 30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc")
@pytest.mark.parametrize("field", ["dependent_event", "trigger_event"])
@pytest.mark.parametrize("command", ["diff", "show", "verify"])
def test_events_that_point_far_take_no_memory(
    command, field, small, tmp_path, little_memory, capfd
):
    graph = json.loads(small.graph.read_text())
    graph["all_tasks"][4][field] = 1 << 32 | (1 << 32) - 3  # of rank 1
    path = tmp_path / "graph.json"
    path.write_text(json.dumps(graph))
    others = [str(small.graph)] if command == "diff" else []
    assert run([command, str(path), *others, "--no-cache"]) in (0, 1)
    assert "out of memory" not in capfd.readouterr().err


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '<u8', 'fortran_order': False\0\0",
        b"{'descr': (((",
        b'"""',
        b"{1: \x80",
        b"(" * 110,
    ],
)
def test_arrays_whose_header_is_no_python(header, small, refuse, tmp_path):
    path = tmp_path / "x.npy"
    text = header.ljust(118)
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(64))
    assert "x.npy" in refuse("show", small.graph, "--schedule", "--profile", path, codes=(3,))
