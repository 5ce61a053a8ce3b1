"""Small files that unpack to large ones: read in bounded memory, or refused in it."""

from __future__ import annotations

import gzip
import json
import sys

import pytest
import zstandard

from benchmarks.harness import MeasurementError, Subject, measure

MB = 1_000_000
MAX_PEAK_BYTES = 300 * MB
"""The process alone takes some 45 MB, and a record may have 16 MiB, of which there are copies."""
LARGE_BYTES = 400 * MB
BLOCK = 1 << 20


def _blanks(graph: bytes) -> list[bytes]:
    return [graph[:1], *[b" " * BLOCK] * (LARGE_BYTES // BLOCK), graph[1:]]


def _long_name(_graph: bytes) -> list[bytes]:
    return [b'{"', *[b"n" * BLOCK] * (LARGE_BYTES // BLOCK), b'": 1}']


def _nested(_graph: bytes) -> list[bytes]:
    return [b'{"x": ', *[b"[" * BLOCK] * (LARGE_BYTES // BLOCK)]


BOMBS = {"blanks": _blanks, "name": _long_name, "nested": _nested}


@pytest.mark.parametrize(
    ("bomb", "packing"),
    [("blanks", "zstd"), ("name", "gzip"), ("nested", "zstd")],
)
def test_memory_is_bounded(bomb, packing, small, tmp_path, monkeypatch):
    monkeypatch.setenv("MPKGRAPH_CACHE_DIR", str(tmp_path / "cache"))
    graph = json.dumps(json.loads(small.graph.read_bytes())).encode()
    path = tmp_path / "bomb.json"
    with path.open("wb") as raw:
        stream = (
            gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1)
            if packing == "gzip"
            else zstandard.ZstdCompressor().stream_writer(raw, closefd=False)
        )
        with stream:
            for part in BOMBS[bomb](graph):
                stream.write(part)
    assert path.stat().st_size < LARGE_BYTES / 100
    command = f"""
import sys
from mpkgraph.cli.main import run
code = run(["show", {str(path)!r}, "--no-cache"])
sys.exit(0 if code == {0 if bomb == "blanks" else 3} else f"ended with {{code}}")
"""
    subject = Subject("show", lambda _: [sys.executable, "-c", command])
    try:
        sample = measure(subject, path)
    except MeasurementError as error:
        pytest.fail(str(error))
    assert sample.peak_bytes < MAX_PEAK_BYTES
