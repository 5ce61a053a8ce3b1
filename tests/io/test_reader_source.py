"""Where a graph comes from: compressed files, pipes, standard input, directories."""

from __future__ import annotations

import gzip
import io
import os
import sys
import threading
import zlib
from pathlib import Path
from typing import Any

import pytest
import zstandard

from mpkgraph.errors import GraphReadError
from mpkgraph.io import reader, source
from mpkgraph.io.source import open_source
from tests import goldens
from tests.io.reader_reference import as_lists, reference

FORK = "tests/test_fork_point-cc90"


@pytest.fixture
def text() -> bytes:
    return goldens.get(FORK).graph_bytes()


def zst(text: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(text)


def skippable(text: bytes) -> bytes:
    return b"\x53\x2a\x4d\x18\x04\x00\x00\x00abcd" + zst(text)


PACKERS = {
    "plain": bytes,
    "gzip": gzip.compress,
    "gzip members": lambda text: gzip.compress(text[:999]) + gzip.compress(text[999:]),
    "gzip padded": lambda text: gzip.compress(text) + bytes(512),
    "zstd": zst,
    "zstd frames": lambda text: zst(text[:999]) + zst(text[999:]),
    "zstd skippable": skippable,
}


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("isal", [True, False])
def test_compressed(
    packer: str, isal: bool, text: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not isal:
        monkeypatch.setattr(source, "_zlib_module", lambda: zlib)
    # told by content: the name says nothing
    path = tmp_path / "graph.txt"
    path.write_bytes(PACKERS[packer](text))
    graph = reader.read_graph(path)
    assert as_lists(graph) == reference(text)
    assert graph.source.num_bytes == len(text)
    assert graph.source.path == str(path)


def test_isal_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "isal", None)
    monkeypatch.setitem(sys.modules, "isal.isal_zlib", None)  # another test may have loaded it
    assert source._zlib_module() is zlib


DAMAGES = {
    "gzip cut": lambda text: gzip.compress(text)[:-30],
    "gzip cut in its end": lambda text: gzip.compress(text)[:-3],
    "gzip flipped": lambda text: flipped(gzip.compress(text)),
    "gzip checksum": lambda text: gzip.compress(text)[:-8] + bytes(8),
    "gzip followed": lambda text: gzip.compress(text) + b"x" * 40,
    "gzip header alone": lambda text: gzip.compress(text)[:5],
    "zstd cut": lambda text: zst(text)[:-30],
    "zstd cut in its end": lambda text: zst(text)[:-3],
    "zstd flipped": lambda text: flipped(zst(text)),
    "zstd followed": lambda text: zst(text) + b"x" * 40,
    "zstd magic alone": lambda _: b"\x28\xb5\x2f\xfd",
}


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0x55]) + data[middle + 1 :]


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged(name: str, text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    path.write_bytes(DAMAGES[name](text))
    with pytest.raises(GraphReadError) as caught:
        reader.read_graph(path)
    assert str(path) in str(caught.value)
    assert name.split(maxsplit=1)[0].replace("zstd", "zstandard") in str(caught.value)


def test_bomb_is_bounded(tmp_path: Path) -> None:
    # 1 GiB of blanks in some 30 KiB
    packer = zstandard.ZstdCompressor(level=1).compressobj()
    with (tmp_path / "bomb").open("wb") as stream:
        for _ in range(1024):
            stream.write(packer.compress(b" " * (1 << 20)))
        stream.write(packer.flush())
    with open_source(tmp_path / "bomb") as bomb:
        buffer = memoryview(bytearray(1 << 16))
        largest = 0
        for _ in range(300):
            assert bomb.readinto(buffer)
            largest = max(largest, len(bomb._decoder.output))  # type: ignore[union-attr]
    assert largest <= 1 << 25


def test_window_limit(tmp_path: Path) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=28)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    path = tmp_path / "graph.json.zst"
    path.write_bytes(packer.compress(b" " * 1000) + packer.flush())
    with pytest.raises(GraphReadError, match="zstandard"):
        reader.read_graph(path)


def test_pipe(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    for data in (text, gzip.compress(text)):
        writer = threading.Thread(target=path.write_bytes, args=(data,))
        writer.start()
        assert as_lists(reader.read_graph(path)) == reference(text)
        writer.join()


class _Stdin:
    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)


@pytest.mark.parametrize("packer", PACKERS)
def test_standard_input(packer: str, text: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", _Stdin(PACKERS[packer](text)))
    graph = reader.read_graph("-")
    assert as_lists(graph) == reference(text)
    assert graph.source.path is None
    assert len(reader.read_graphs(_again(monkeypatch, text))) == 1


def _again(monkeypatch: pytest.MonkeyPatch, text: bytes) -> str:
    monkeypatch.setattr(sys, "stdin", _Stdin(text))
    return "-"


def test_standard_input_from_a_file(
    text: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "graph.json"
    path.write_bytes(text)
    with path.open() as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        assert as_lists(reader.read_graph("-", processes=2)) == reference(text)


def test_closed_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(GraphReadError, match="standard input is closed"):
        reader.read_graph("-")


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(GraphReadError, match="no such file"):
        reader.read_graph(tmp_path / "absent.json")
    with pytest.raises(GraphReadError, match="can't be opened"):
        reader.read_graph("a\0b")


def test_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(GraphReadError, match="permission denied"):
        reader.read_graph(tmp_path / "graph.json")


def test_reading_fails(text: bytes) -> None:
    class Failing(io.BytesIO):
        def readinto(self, _: Any) -> int:
            raise OSError(5, "Input/output error")

    stuck = source.ByteSource(Failing(text), name="x")
    buffer = memoryview(bytearray(64))
    assert stuck.readinto(buffer) == 4, "the first bytes were looked at"
    with pytest.raises(GraphReadError, match="x: reading failed: Input/output error"):
        stuck.readinto(buffer)


# Directories


def test_directory(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "task_graph_rank10.json").write_bytes(text)
    (tmp_path / "task_graph_rank2.json.gz").write_bytes(gzip.compress(text))
    (tmp_path / "task_graph_rank0.json.zst").write_bytes(zst(text))
    (tmp_path / "task_graph_rank1.json.bak").write_bytes(b"")
    (tmp_path / "pipeline_rank0.json").write_bytes(b"{}")
    graphs = reader.read_graphs(tmp_path)
    assert [Path(graph.source.path or "").name for graph in graphs] == [
        "task_graph_rank0.json.zst",
        "task_graph_rank2.json.gz",
        "task_graph_rank10.json",
    ]
    with pytest.raises(GraphReadError, match=r"is a directory, .*read_graphs"):
        reader.read_graph(tmp_path)


def test_directory_without_graphs(tmp_path: Path) -> None:
    with pytest.raises(GraphReadError, match="holds no task_graph_rank"):
        reader.read_graphs(tmp_path)


def test_two_files_of_one_rank(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "task_graph_rank1.json").write_bytes(text)
    (tmp_path / "task_graph_rank1.json.gz").write_bytes(gzip.compress(text))
    with pytest.raises(GraphReadError, match="two files of rank 1"):
        reader.read_graphs(tmp_path)


# Files that change


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("change", ["shrinks", "grows", "is rewritten"])
def test_changing_file(change: str, packed: bool, text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    # stored blocks, so that the packed file is read in several steps, too
    path.write_bytes(gzip.compress(text, 0) if packed else text)
    done = []

    def meddle(*_: Any) -> None:
        if done:
            return
        done.append(1)
        if change == "shrinks":
            os.truncate(path, 700)
        elif change == "grows":
            with path.open("ab") as stream:
                stream.write(b" ")
        else:
            os.utime(path, (1, 1))

    with (
        pytest.raises(GraphReadError, match="the file changed while it was read"),
        reader.stream_graph(path, batch_tasks=4, block_bytes=2000, progress=meddle) as stream,
    ):
        list(stream.batches())
