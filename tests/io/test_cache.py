"""The cache gives the graph that reading gives, or nothing; it fails without a sound."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import os
import shutil
import stat
import subprocess
import sys
import threading
import time
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpkgraph.errors import GraphReadError, UsageError
from mpkgraph.io import cache as cache_module
from mpkgraph.io import cache_entry, cache_folder, content, entry_blocks
from mpkgraph.io.cache import (
    DEFAULT_LIMIT_BYTES,
    GraphCache,
    default_directory,
    default_limit,
    parse_limit,
    read_cached,
)
from mpkgraph.io.cache_entry import EntryError, decode, encode
from mpkgraph.io.content import Content, ContentHash, FileStamp, text_sha256
from mpkgraph.io.writer import text_chunks
from mpkgraph.model.graph import GraphSource, SlotLayout, TaskGraph
from tests import goldens, strategies
from tests.amount import examples
from tests.naive import assert_same_graph, graph_from_document

NAME = "task_graph_rank0.json"
NEVER = -(10**18)
ANY_BOUNDS = (0, 2**32 - 1)
"""Of a block's values: they tell nothing."""


def text_of(graph: TaskGraph) -> bytes:
    return b"".join(text_chunks(graph))


def document(size: int = 3, name: str = "w") -> dict[str, Any]:
    slot = {"base_ptr": name, "data_type": 941, "dims": [1, 8], "offset": 16, "strides": [8, 1]}
    task = strategies.fixed_task(151, 2) | {"inputs": [slot, slot], "outputs": [slot]}
    tasks = [strategies.fixed_task(0, 2), strategies.fixed_task(10, 1)] + [task] * size
    events = [strategies.event(911, 0, 0, 1), strategies.event(903, 2, 2 + size, 1)]
    return {"all_events": events, "all_tasks": tasks, "first_tasks": [2]}


class Reader:
    """Reads files the naive way and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, path: Path, cache: GraphCache | None) -> TaskGraph:
        def read() -> TaskGraph:
            self.calls += 1
            data = path.read_bytes()
            if data.startswith(b"\x28\xb5\x2f\xfd"):
                data = zstandard.ZstdDecompressor().decompress(data)
            graph = graph_from_document(orjson.loads(data))
            source = GraphSource(path=os.fspath(path), num_bytes=len(data))
            return dataclasses.replace(graph, source=source)

        return read_cached(path, read, cache)


@pytest.fixture
def read() -> Reader:
    return Reader()


@pytest.fixture
def small(monkeypatch):
    """Small files are cached too, and count as settled at once."""
    monkeypatch.setattr(cache_module, "MIN_TEXT_BYTES", 0)
    monkeypatch.setattr(cache_module, "MIN_FILE_BYTES", 0)
    monkeypatch.setattr(content, "TICK_NS", NEVER)
    monkeypatch.setattr(content, "COARSE_TICK_NS", NEVER)


@pytest.fixture
def cache(tmp_path, small) -> GraphCache:
    return GraphCache(tmp_path / "cache")


@pytest.fixture
def graph_file(tmp_path) -> Path:
    path = tmp_path / NAME
    path.write_bytes(text_of(graph_from_document(document())))
    return path


def refuse(*args: Any, **kwargs: Any):
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def interrupt() -> TaskGraph:
    raise KeyboardInterrupt


def files(cache: GraphCache, kind: str = "") -> list[Path]:
    folder = cache.info().directory
    return sorted(x for x in folder.iterdir() if kind in x.name) if folder.exists() else []


class TestEntry:
    @given(strategies.task_graphs())
    @settings(deadline=None, max_examples=examples(60))
    def test_keeps_any_graph(self, graph):
        source = GraphSource(path="a", sha256="0" * 64, num_bytes=7)
        found, name = decode(encode(dataclasses.replace(graph, source=source), name="n"), path="b")
        assert_same_graph(found, graph)
        assert text_of(found) == text_of(graph)
        assert name == "n"
        assert found.source == dataclasses.replace(source, path="b")

    @pytest.mark.parametrize("golden", goldens.graphs(max_bytes=200_000, one_target=True), ids=str)
    def test_keeps_what_mirage_made(self, golden):
        text = golden.graph_bytes()
        graph = graph_from_document(orjson.loads(text), golden.rank)
        found, _ = decode(encode(graph, name="n"), path="p")
        assert_same_graph(found, graph)
        assert text_of(found) == text

    def test_is_a_small_part_of_the_text(self):
        graph = graph_from_document(document(size=2000))
        assert len(encode(graph, name="n")) < len(text_of(graph)) / 200

    @pytest.mark.parametrize(
        "value", [float("nan"), float("inf"), (1, 2), {1: 2}, 2**64, "\ud800", b"x"]
    )
    def test_refuses_what_json_does_not_keep(self, value):
        graph = dataclasses.replace(graph_from_document(document()), extras={"new": [value]})
        with pytest.raises(EntryError):
            encode(graph, name="n")

    def test_refuses_layouts_beyond_64_bits(self):
        graph = graph_from_document(document())
        layouts = (SlotLayout("w", 941, (2**64,), (1,)),)
        with pytest.raises(EntryError, match="64 bits"):
            encode(dataclasses.replace(graph, layouts=layouts), name="n")

    @given(st.data())
    @settings(deadline=None)
    def test_any_damage_is_noticed(self, data):
        entry = encode(graph_from_document(document()), name=NAME)
        damaged = bytearray(entry)
        kind = data.draw(st.sampled_from(["flip", "cut", "insert", "zero", "swap"]))
        at = data.draw(st.integers(0, len(entry) - 1))
        if kind == "flip":
            damaged[at] ^= data.draw(st.integers(1, 255))
        elif kind == "cut":
            del damaged[at:]
        elif kind == "insert":
            damaged[at:at] = data.draw(st.binary(min_size=1, max_size=9))
        elif kind == "zero":
            damaged[at : at + 512] = bytes(len(damaged[at : at + 512]))
        else:
            other = encode(graph_from_document(document(name="other")), name=NAME)
            damaged[at:] = other[at:]
            if bytes(damaged) == other:
                return
        if bytes(damaged) == entry:
            return
        with pytest.raises(EntryError):
            decode(bytes(damaged), path="p")

    @given(st.binary(max_size=64))
    @settings(deadline=None)
    def test_any_bytes_are_refused(self, data):
        for start in (b"", b"MPKGRAPH", encode(graph_from_document(document()), name="n")[:32]):
            with pytest.raises(EntryError):
                decode(start + data, path="p")


class TestStoredColumn:
    @given(st.lists(st.lists(st.integers(0, 300), max_size=5), min_size=1, max_size=5), st.data())
    @settings(deadline=None)
    def test_rows_are_those_of_the_column(self, pieces, data):
        writer = entry_blocks.BlockWriter(b"12345678")
        writer.add_packed("x", [writer.pack(np.array(piece, np.int64)) for piece in pieces])
        reader = entry_blocks.BlockReader(b"".join(writer.parts()), b"12345678")
        column = reader.stored("x", np.int32)
        wanted = [value for piece in pieces for value in piece]
        start = data.draw(st.integers(0, len(wanted)))
        stop = data.draw(st.integers(start, len(wanted)))
        assert len(column) == len(wanted)
        assert column.rows(start, stop).tolist() == wanted[start:stop]
        assert column.load().tolist() == wanted
        assert column.load().dtype == column.rows(start, stop).dtype == np.int32
        assert column.load_narrow().tolist() == wanted
        places = np.array(sorted(data.draw(st.sets(st.integers(0, 30)))), np.int64)
        places = places[places < len(wanted)]
        assert column.take(places).tolist() == [wanted[place] for place in places]
        chosen = np.isin(np.arange(301), data.draw(st.sets(st.sampled_from([0, 1, *wanted]))))
        assert column.find(chosen).tolist() == [i for i, x in enumerate(wanted) if chosen[x]]

    @given(
        st.lists(
            st.lists(st.integers(0, 9) | st.integers(0, 2**64 - 1), max_size=5), max_size=5
        ).filter(bool),
        st.integers(0, 12),
        st.integers(0, 12),
    )
    @settings(deadline=None)
    def test_parts_hold_all_of_an_index(self, pieces, first, last):
        writer = entry_blocks.BlockWriter(b"12345678")
        writer.add_packed("x", [writer.pack(np.array(piece, np.uint64)) for piece in pieces])
        reader = entry_blocks.BlockReader(b"".join(writer.parts()), b"12345678")
        column = reader.stored("x", np.uint64)
        whole = column.load()
        found = []
        parts = list(column.parts(first, last))
        for start, values in parts:
            assert values.dtype == np.uint64
            assert values.tolist() == whole[start : start + len(values)].tolist()
            halves = (values & np.uint64(2**32 - 1)).tolist()
            found += [start + i for i, half in enumerate(halves) if first <= half <= last]
            assert min(halves, default=0) <= last
            assert first <= max(halves, default=0)
        wanted = [i for i, x in enumerate(whole.tolist()) if first <= x & (2**32 - 1) <= last]
        assert found == wanted
        assert column.num_parts(first, last) == len(parts)

    @pytest.mark.parametrize("name", ["dependent_events", "trigger_events"])
    @pytest.mark.parametrize("piece", [1, 7, 1000])
    def test_parts_of_events(self, monkeypatch, piece, name):
        monkeypatch.setattr(cache_entry, "PIECE_TASKS", piece)
        graph = graph_from_document(document(size=100))
        stored = decode(encode(graph, name="n"), path="p")[0].tasks
        wanted = getattr(graph.tasks, name)
        for index in (*range(graph.num_events), 2**32 - 1):
            # at last all of the column is unpacked
            parts = list(stored.event_parts(name, index, index))
            halves = wanted & np.uint64(2**32 - 1)
            found = [
                start + place
                for start, part in parts
                for place in np.flatnonzero((part & np.uint64(2**32 - 1)) == index).tolist()
            ]
            assert found == np.flatnonzero(halves == index).tolist()
            assert all((part == wanted[start : start + len(part)]).all() for start, part in parts)

    @pytest.mark.parametrize("piece", [1, 7, 1000])
    def test_values_of_some_rows(self, monkeypatch, piece):
        monkeypatch.setattr(cache_entry, "PIECE_TASKS", piece)
        graph = graph_from_document(document(size=40))
        entry = encode(graph, name="n")
        tasks = graph.tasks
        rng = np.random.default_rng(piece)
        for name, length in (("task_types", len(tasks)), ("slot_offsets", tasks.num_slots)):
            for places in (
                np.arange(length),
                np.array([length - 1]),
                np.array([], np.int64),
                np.arange(0, length, 9),
                rng.integers(0, length, 20),
            ):
                stored = decode(entry, path="p")[0].tasks
                for _ in range(3):
                    wanted = getattr(tasks, name)[places]
                    assert stored.values(name, places).tolist() == wanted.tolist()
        stored = decode(entry, path="p")[0]
        assert stored.tensors == graph.tensors
        marked = graph.layout_tensors == 1
        assert stored.tasks.slots_with(marked).tolist() == tasks.slots_with(marked).tolist()
        places = tasks.slots_with(marked)
        assert tasks.owners_of_slots(places).tolist() == tasks.slot_tasks[places].tolist()
        for task in range(graph.num_tasks):
            assert stored.tasks.slot_range(task) == tasks.slot_range(task)
        for chosen in (np.array([3]), np.arange(graph.num_tasks)[::-3], np.array([], np.int64)):
            fresh = decode(entry, path="p")[0].tasks
            assert fresh.starts_of(chosen).tolist() == tasks.slot_starts[chosen].tolist()
        assert len(stored.tasks) == len(tasks)
        assert stored.tasks.num_slots == tasks.num_slots

    def test_slots_of_many_tasks(self):
        graph = graph_from_document(document(size=40))
        found, _ = decode(encode(graph, name="n"), path="p")
        for task in range(graph.num_tasks):
            assert found.slots(task) == graph.slots(task)
        with pytest.raises(AttributeError):
            _ = found.tasks.no_such_column


class TestForgedEntry:
    """Entries with wrong contents under right checksums: refused, or graphs that hold together."""

    @given(st.data())
    @settings(
        deadline=None, max_examples=examples(100), suppress_health_check=[HealthCheck.too_slow]
    )
    def test_column(self, data):
        blocks = unpack(self.entry())
        name = data.draw(st.sampled_from([x for x in blocks if x != "facts"]))
        column = blocks[name]
        kind = data.draw(st.sampled_from(["value", "type", "length", "drop", "rename", "swap"]))
        if kind == "value" and len(column):
            bounds = np.iinfo(column.dtype)
            value = st.sampled_from([bounds.min, bounds.max, 0, 1, 2, 3])
            column[data.draw(st.integers(0, len(column) - 1))] = data.draw(value)
        elif kind == "type":
            dtype = data.draw(st.sampled_from(["<i8", "<u8", "|i1", "<i4", "<f8", "|O", ">i4"]))
            blocks[name] = column.view("u1") if dtype == "|O" else column.astype(dtype)
            if dtype == "|O":
                self.check(pack(blocks, {name: "|O"}))
                return
        elif kind == "length":
            blocks[name] = np.resize(column, data.draw(st.integers(0, 3 * len(column))))
        elif kind == "drop":
            del blocks[name]
        elif kind == "rename":
            blocks = {(f"{k}x" if k == name else k): v for k, v in blocks.items()}
        else:
            other = data.draw(st.sampled_from([x for x in blocks if x != "facts"]))
            blocks[name], blocks[other] = blocks[other], blocks[name]
        self.check(pack(blocks))

    @given(st.data())
    @settings(deadline=None, max_examples=examples(100))
    def test_facts(self, data):
        blocks = unpack(self.entry())
        facts = orjson.loads(blocks["facts"].tobytes())
        key = data.draw(st.sampled_from(sorted(facts)))
        if data.draw(st.booleans()):
            del facts[key]
        else:
            known = {"all_tasks": 1, "task_type": [1], "event_type": [1], "dims": 1}
            pairs = [[0, [["dims", 1]]], [99, [["x", 1]]], [0, [["x"]]], ["0", []], [0, [[1, 2]]]]
            forged = st.sampled_from([known, -1, 2**63, [[]], *[[x] for x in pairs]])
            facts[key] = data.draw(strategies.json_values(8) | forged)
        blocks["facts"] = np.frombuffer(orjson.dumps(facts), np.uint8)
        self.check(pack(blocks))

    @given(strategies.json_values(20))
    @settings(deadline=None)
    def test_header(self, header):
        entry = self.entry()
        (size,) = np.frombuffer(entry[12:16], "<u4").tolist()
        self.check(seal(orjson.dumps(header), entry[32 + size :]))

    @pytest.mark.parametrize("count", [-1, 2**31, 2**40, 2**62, 2**64 - 1, "1", None, 1.5, True])
    @pytest.mark.parametrize("field", [2, 3])
    def test_sizes_are_not_believed(self, count, field):
        entry = self.entry()
        (size,) = np.frombuffer(entry[12:16], "<u4").tolist()
        header = orjson.loads(entry[32 : 32 + size])
        header[5][field] = count
        with pytest.raises(EntryError):
            decode(seal(orjson.dumps(header), entry[32 + size :]), path="p")

    def test_does_not_unpack_a_bomb(self):
        bomb = zstandard.ZstdCompressor().compress(bytes(1 << 26))
        blocks = unpack(self.entry())
        stored = {name: zstandard.ZstdCompressor().compress(x.data) for name, x in blocks.items()}
        stored["kv_idxs"] = bomb
        header = [
            [name, x.dtype.str, len(x), len(stored[name]), *ANY_BOUNDS]
            for name, x in blocks.items()
        ]
        forged = seal(orjson.dumps(header), b"".join(stored.values()))
        tracemalloc.start()
        try:
            with pytest.raises(EntryError, match="size"):
                decode(forged, path="p")
            assert tracemalloc.get_traced_memory()[1] < 1 << 24
        finally:
            tracemalloc.stop()
        header = [[*x[:2], 1 << 40, *x[3:]] if x[0] == "kv_idxs" else x for x in header]
        with pytest.raises(EntryError):
            decode(seal(orjson.dumps(header), b"".join(stored.values())), path="p")

    def test_frame_that_does_not_unpack_is_named_when_it_is_needed(self):
        blocks = unpack(self.entry())
        stored = {name: zstandard.ZstdCompressor().compress(x.data) for name, x in blocks.items()}
        stored["kv_idxs"] = stored["kv_idxs"][:6] + b"\xff" * (len(stored["kv_idxs"]) - 6)
        header = [
            [name, x.dtype.str, len(x), len(stored[name]), *ANY_BOUNDS]
            for name, x in blocks.items()
        ]
        removed = []
        forged = seal(orjson.dumps(header), b"".join(stored.values()))
        graph, _ = decode(forged, path="p", remove=lambda: removed.append(1))
        assert graph.slots(2) == self.graph().slots(2)
        assert not removed
        with pytest.raises(GraphReadError, match="is damaged"):
            _ = graph.tasks.kv_idxs
        assert removed

    def test_null_task_with_slots(self):
        blocks = unpack(self.entry())
        blocks["task_types"] = blocks["task_types"].astype("<i4")
        blocks["task_types"][2] = -1
        with pytest.raises(EntryError, match="null task"):
            decode(pack(blocks), path="p")

    def test_packing_again_changes_nothing(self):
        # Else the tests above would test their own packing.
        graph, _ = decode(pack(unpack(self.entry())), path="p")
        assert_same_graph(graph, self.graph())

    @staticmethod
    def graph() -> TaskGraph:
        found = document()
        found["all_tasks"][1]["new"] = 1
        found["all_tasks"].append(None)
        found["all_events"][0]["new"] = "é"
        found["all_tasks"][2]["inputs"][0]["new"] = [1]
        found["top"] = {"a": 1}
        return graph_from_document(found)

    @classmethod
    def entry(cls) -> bytes:
        return encode(cls.graph(), name=NAME)

    @staticmethod
    def check(entry: bytes) -> None:
        try:
            graph, _ = decode(entry, path="p")
        except EntryError:
            return
        text = text_of(graph)
        assert text_of(graph_from_document(orjson.loads(text))) == text


def unpack(entry: bytes) -> dict[str, np.ndarray]:
    """The blocks of an entry by name."""
    (size,) = np.frombuffer(entry[12:16], "<u4").tolist()
    position = 32 + size
    blocks = {}
    for name, dtype, _, stored, *_ in orjson.loads(entry[32:position]):
        raw = zstandard.ZstdDecompressor().decompress(entry[position : position + stored])
        blocks[name] = np.frombuffer(raw, dtype).copy()
        position += stored
    return blocks


def pack(blocks: dict[str, np.ndarray], dtypes: dict[str, str] | None = None) -> bytes:
    """An entry of these blocks, with right sizes and checksums."""
    header, body = [], []
    for name, column in blocks.items():
        stored = zstandard.ZstdCompressor().compress(np.ascontiguousarray(column).tobytes())
        dtype = (dtypes or {}).get(name, column.dtype.str)
        header.append([name, dtype, len(column), len(stored), *ANY_BOUNDS])
        body.append(stored)
    return seal(orjson.dumps(header), b"".join(body))


def seal(header: bytes, body: bytes) -> bytes:
    prefix = entry_blocks.PREFIX.pack(
        b"MPKGRAPH",
        cache_folder.FORMAT_VERSION,
        len(header),
        zlib.crc32(header),
        zlib.crc32(body),
        len(body),
    )
    return prefix + header + body


def children() -> set[str]:
    """Processes of this one; other tests may have left some. Empty where there is no /proc."""
    lists = Path("/proc/self/task").glob("*/children")
    return {child for x in lists for child in x.read_text().split()}


class TestReadCached:
    def test_second_time_is_from_the_cache(self, cache, graph_file, read):
        first = read(graph_file, cache)
        second = read(graph_file, cache)
        assert read.calls == 1
        assert_same_graph(second, first)
        assert second.source == first.source
        text = graph_file.read_bytes()
        assert second.source.sha256 == hashlib.sha256(text).hexdigest()
        assert second.source.num_bytes == len(text)

    @pytest.mark.parametrize("how", ["process", "thread", "no process"])
    def test_hashes_beside_reading(self, cache, graph_file, read, monkeypatch, how):
        monkeypatch.setattr(cache_module, "MIN_PARALLEL_BYTES", 0)
        if how == "thread":
            monkeypatch.setattr(threading, "active_count", lambda: 2)
        if how == "no process":
            monkeypatch.setattr(os, "fork", refuse)
        read(graph_file, cache)
        assert cache.info().num_graphs == 1
        read(graph_file, cache)
        assert read.calls == 1

    @given(strategies.task_graphs())
    @settings(
        deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    def test_any_graph_comes_back(self, tmp_path, small, graph):
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(_folder(tmp_path)))
            cache, path = GraphCache(folder / "cache"), folder / NAME
            path.write_bytes(text_of(graph))
            read = Reader()
            assert_same_graph(read(path, cache), read(path, cache))
            assert read.calls == 1

    def test_changed_content_is_read_again(self, cache, graph_file, read):
        before = graph_file.stat()
        read(graph_file, cache)
        changed = text_of(graph_from_document(document(name="v")))
        assert len(changed) == before.st_size
        time.sleep(0.02)
        with graph_file.open("r+b") as file:
            file.write(changed)
        os.utime(graph_file, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert read(graph_file, cache).tensors == ("v",)
        assert read.calls == 2
        assert read(graph_file, cache).tensors == ("v",)
        assert read.calls == 2

    def test_other_file_in_its_place_is_read(self, cache, graph_file, read):
        read(graph_file, cache)
        other = graph_file.with_name("other")
        other.write_bytes(text_of(graph_from_document(document(name="v"))))
        shutil.copystat(graph_file, other)
        other.replace(graph_file)
        assert read(graph_file, cache).tensors == ("v",)

    def test_touched_file_is_known_by_its_content(self, cache, graph_file, read):
        read(graph_file, cache)
        graph_file.touch()
        os.utime(graph_file, (1, 1))
        read(graph_file, cache)
        assert read.calls == 1

    def test_copy_is_known_by_its_content(self, cache, graph_file, read, tmp_path):
        read(graph_file, cache)
        (tmp_path / "copy").mkdir()
        copy = tmp_path / "copy" / NAME
        shutil.copy(graph_file, copy)
        found = read(copy, cache)
        assert read.calls == 1
        assert found.source.path == os.fspath(copy)
        # And from then on without hashing.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ContentHash, "result", None)
            read(copy, cache)
        assert read.calls == 1

    def test_copy_of_another_name_is_read(self, cache, graph_file, read):
        # A graph without event ids has its rank from the file's name.
        read(graph_file, cache)
        copy = graph_file.with_name("task_graph_rank1.json")
        shutil.copy(graph_file, copy)
        assert cache.lookup(copy) is None
        read(copy, cache)
        read(copy, cache)
        read(graph_file, cache)
        assert read.calls == 2

    def test_rank_belongs_to_the_path(self, cache, graph_file):
        graph = graph_from_document(document())
        for rank in (0, 1):
            path = graph_file.with_name(f"task_graph_rank{rank}.json")
            path.write_bytes(graph_file.read_bytes())
            read_cached(path, lambda rank=rank: dataclasses.replace(graph, rank=rank), cache)
        for rank in (0, 1):
            path = graph_file.with_name(f"task_graph_rank{rank}.json")
            assert cache.lookup(path).rank == rank

    def test_link_is_the_file(self, cache, graph_file, read):
        read(graph_file, cache)
        link = graph_file.with_name("link")
        link.symlink_to(graph_file)
        read(link, cache)
        assert read.calls == 1

    def test_compressed_file(self, cache, graph_file, read):
        text = graph_file.read_bytes()
        packed = graph_file.with_suffix(".json.zst")
        packed.write_bytes(zstandard.ZstdCompressor().compress(text))
        first, second = read(packed, cache), read(packed, cache)
        assert read.calls == 1
        assert_same_graph(second, first)
        assert second.source == first.source
        # The hash of the compressed bytes must not pass for that of the text.
        assert second.source.sha256 is None
        assert text_sha256(packed) == hashlib.sha256(text).hexdigest() == text_sha256(graph_file)

    def test_file_name_that_is_no_unicode(self, cache, graph_file, read):
        path = graph_file.with_name(os.fsdecode(b"\xff\xfe.json"))
        try:
            graph_file.rename(path)
        except OSError:
            pytest.skip("the file system takes Unicode only")
        read(path, cache)
        read(path, cache)
        assert read.calls == 1

    @pytest.mark.parametrize("how", ["process", "thread", "after"])
    def test_change_while_reading_is_not_stored(self, cache, graph_file, monkeypatch, how):
        monkeypatch.setattr(cache_module, "MIN_PARALLEL_BYTES", 1 << 30 if how == "after" else 0)
        if how == "thread":
            monkeypatch.setattr(threading, "active_count", lambda: 2)

        def change() -> TaskGraph:
            # By then the file has been hashed as it was.
            time.sleep(0.1)
            graph_file.write_bytes(graph_file.read_bytes() + b"\n")
            return graph_from_document(document())

        read_cached(graph_file, change, cache)
        assert "changed" in cache.reason
        assert files(cache) == []

    def test_disappearing_while_reading_is_not_stored(self, cache, graph_file):
        def vanish() -> TaskGraph:
            graph_file.unlink()
            return graph_from_document(document())

        read_cached(graph_file, vanish, cache)
        assert files(cache) == []

    @pytest.mark.parametrize("how", ["process", "thread"])
    def test_failed_read_ends_the_hash(self, cache, graph_file, monkeypatch, how):
        monkeypatch.setattr(cache_module, "MIN_PARALLEL_BYTES", 0)
        if how == "thread":
            monkeypatch.setattr(threading, "active_count", lambda: 2)
        # So large, and full of holes, that hashing it takes far longer than the test.
        os.truncate(graph_file, 1 << 40)
        before = children()
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            read_cached(graph_file, interrupt, cache)
        assert time.monotonic() - started < 20
        assert files(cache) == []
        assert children() <= before
        assert "mpkgraph-hash" not in {thread.name for thread in threading.enumerate()}

    def test_reader_may_fork_beside_the_hash(self, cache, graph_file, monkeypatch):
        monkeypatch.setattr(cache_module, "MIN_PARALLEL_BYTES", 0)
        before = threading.active_count()
        graph = graph_from_document(document())

        def read() -> TaskGraph:
            assert threading.active_count() == before
            return graph

        read_cached(graph_file, read, cache)
        assert cache.info().num_graphs == 1

    def test_without_a_cache(self, graph_file, read):
        read(graph_file, None)
        read(graph_file, None)
        assert read.calls == 2

    def test_standard_input_is_no_file(self, cache, graph_file, monkeypatch):
        monkeypatch.chdir(graph_file.parent)
        graph_file.rename("-")
        graph = graph_from_document(document())
        assert read_cached("-", lambda: graph, cache) is graph
        assert cache.lookup("-") is None
        assert files(cache) == []

    def test_small_file_is_not_cached(self, graph_file, read, tmp_path, monkeypatch):
        monkeypatch.setattr(content, "TICK_NS", NEVER)
        monkeypatch.setattr(content, "COARSE_TICK_NS", NEVER)
        cache = GraphCache(tmp_path / "cache")
        for size in (cache_module.MIN_FILE_BYTES - 1, cache_module.MIN_TEXT_BYTES - 1):
            graph_file.write_bytes(text_of(graph_from_document(document())).ljust(size))
            read(graph_file, cache)
            assert files(cache) == []
        graph_file.write_bytes(graph_file.read_bytes() + b"\n")
        read(graph_file, cache)
        assert len(files(cache, ".graph")) == 1

    @pytest.mark.parametrize("path", ["absent", "."])
    def test_no_file_is_the_readers_business(self, cache, tmp_path, path):
        graph = graph_from_document(document())
        assert read_cached(tmp_path / path, lambda: graph, cache) is graph

    def test_pipe_is_not_waited_for(self, cache, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        graph = graph_from_document(document())
        assert read_cached(tmp_path / "pipe", lambda: graph, cache) is graph


@contextlib.contextmanager
def _folder(tmp_path: Path):
    folder = tmp_path / os.urandom(8).hex()
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


class TestStamp:
    SECOND = 10**9

    def stamp(self, mtime_ns: int, ctime_ns: int) -> FileStamp:
        return FileStamp(1, 2, 3, mtime_ns, ctime_ns)

    def test_just_written_file_is_not_settled(self, graph_file):
        graph_file.write_bytes(graph_file.read_bytes())
        assert ContentHash(graph_file).result() is None

    def test_older_file_is(self, graph_file):
        time.sleep(1.5 * content.TICK_NS / 1e9)
        found = ContentHash(graph_file).result()
        assert found.sha256 == hashlib.sha256(graph_file.read_bytes()).hexdigest()

    def test_whole_seconds_take_longer(self):
        fine = self.stamp(7 * self.SECOND + 1, 7 * self.SECOND + 1)
        coarse = self.stamp(7 * self.SECOND, 7 * self.SECOND)
        assert fine.settled(8 * self.SECOND)
        assert not coarse.settled(8 * self.SECOND)
        assert coarse.settled(9 * self.SECOND + 1)

    @pytest.mark.parametrize("field", ["mtime_ns", "ctime_ns"])
    def test_future_is_not_settled(self, field):
        stamp = dataclasses.replace(self.stamp(1, 1), **{field: 9 * self.SECOND})
        assert not stamp.settled(8 * self.SECOND)

    def test_racy_write_is_not_hidden(self, cache, graph_file, read, monkeypatch):
        """Same size, same stamp, other content: as when written twice within one tick."""
        monkeypatch.setattr(content, "TICK_NS", 10**8)
        monkeypatch.setattr(content, "COARSE_TICK_NS", 2 * 10**9)
        tick = time.time_ns()
        stamp = FileStamp(1, 2, graph_file.stat().st_size, tick, tick)
        monkeypatch.setattr(FileStamp, "of_path", lambda path: stamp)
        monkeypatch.setattr(FileStamp, "of_descriptor", lambda descriptor: stamp)
        assert read(graph_file, cache).tensors == ("w",)
        graph_file.write_bytes(text_of(graph_from_document(document(name="v"))))
        assert read(graph_file, cache).tensors == ("v",)

    def test_stored_unsettled_stamp_is_not_trusted(self, cache, graph_file, monkeypatch):
        graph = graph_from_document(document())
        stamp = FileStamp.of_path(graph_file)
        wrong = Content("0" * 64, stamp, seen_ns=stamp.ctime_ns)
        cache.store(graph_file, wrong, graph)
        assert cache.lookup(graph_file) is not None
        monkeypatch.setattr(content, "TICK_NS", 10**8)
        monkeypatch.setattr(content, "COARSE_TICK_NS", 2 * 10**9)
        assert cache.lookup(graph_file) is None

    @given(st.data())
    @settings(
        deadline=None,
        max_examples=examples(60),
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    def test_damage_is_a_miss(self, tmp_path, small, data):
        with _folder(tmp_path) as folder:
            cache, path, read = GraphCache(folder / "cache"), folder / NAME, Reader()
            path.write_bytes(text_of(graph_from_document(document())))
            first = read(path, cache)
            (stamp,) = files(cache, ".stamp")
            text = bytearray(stamp.read_bytes())
            at = data.draw(st.integers(0, len(text) - 1))
            if data.draw(st.booleans()):
                text[at] ^= data.draw(st.integers(1, 255))
            else:
                del text[at:]
            stamp.write_bytes(text)
            assert_same_graph(read(path, cache), first)

    @given(strategies.json_values(12) | st.text())
    @settings(
        deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    def test_forgery_is_a_miss(self, tmp_path, small, value):
        with _folder(tmp_path) as folder:
            cache, path = GraphCache(folder / "cache"), folder / NAME
            path.write_bytes(text_of(graph_from_document(document())))
            Reader()(path, cache)
            (stamp,) = files(cache, ".stamp")
            known = orjson.loads(stamp.read_bytes().partition(b"\n")[2])
            for key in known:
                for forged in (known | {key: value}, value, {**known, key: [value] * 5}):
                    text = orjson.dumps(forged)
                    stamp.write_bytes(b"%08x\n" % zlib.crc32(text) + text)
                    cache.lookup(path)
            for key in known:
                text = orjson.dumps({k: v for k, v in known.items() if k != key})
                stamp.write_bytes(b"%08x\n" % zlib.crc32(text) + text)
                assert Reader()(path, cache).tensors == ("w",)


class TestFolder:
    @given(st.data())
    @settings(
        deadline=None,
        max_examples=examples(60),
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    def test_damaged_entry_is_removed(self, tmp_path, small, data):
        with _folder(tmp_path) as folder:
            cache, path, read = GraphCache(folder / "cache"), folder / NAME, Reader()
            path.write_bytes(text_of(graph_from_document(document())))
            first = read(path, cache)
            (entry,) = files(cache, ".graph")
            damaged = bytearray(entry.read_bytes())
            at = data.draw(st.integers(0, len(damaged) - 1))
            if data.draw(st.booleans()):
                damaged[at] ^= data.draw(st.integers(1, 255))
            else:
                del damaged[at:]
            entry.write_bytes(damaged)
            assert cache.lookup(path) is None
            assert "removed" in cache.reason
            assert not entry.exists()
            assert_same_graph(read(path, cache), first)
            assert cache.lookup(path) is not None

    def test_is_private(self, cache, graph_file, read):
        read(graph_file, cache)
        assert stat.S_IMODE(cache.info().directory.stat().st_mode) == 0o700
        assert [stat.S_IMODE(x.stat().st_mode) for x in files(cache)] == [0o600, 0o600]

    def test_symbolic_link_is_not_followed(self, cache, graph_file, read, tmp_path):
        read(graph_file, cache)
        (entry,) = files(cache, ".graph")
        entry.rename(tmp_path / "elsewhere")
        entry.symlink_to(tmp_path / "elsewhere")
        assert cache.lookup(graph_file) is None

    def test_pipe_is_not_waited_for(self, cache, graph_file, read):
        read(graph_file, cache)
        (entry,) = files(cache, ".graph")
        entry.unlink()
        os.mkfifo(entry)
        assert cache.lookup(graph_file) is None

    def test_files_of_others_are_not_read(self, cache, graph_file, read, monkeypatch):
        read(graph_file, cache)
        user = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: user + 1)
        assert cache.lookup(graph_file) is None

    def test_folder_that_cannot_be_made(self, graph_file, read, tmp_path, small):
        (tmp_path / "file").write_bytes(b"")
        cache = GraphCache(tmp_path / "file" / "cache")
        read(graph_file, cache)
        assert "can't be written" in cache.reason
        read(graph_file, cache)
        assert read.calls == 2
        assert (cache.clear(), cache.info().num_graphs) == (0, 0)

    def test_full_disk(self, cache, graph_file, read, monkeypatch):
        class Full:
            def write(self, data: bytes) -> None:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        replacing = cache_folder.replacing_file

        @contextlib.contextmanager
        def full(*args: Any, **kwargs: Any):
            with replacing(*args, **kwargs):
                yield Full()

        monkeypatch.setattr(cache_folder, "replacing_file", full)
        read(graph_file, cache)
        assert "No space" in cache.reason
        assert files(cache) == []

    def test_read_only_folder_is_still_read(self, cache, graph_file, read, monkeypatch):
        read(graph_file, cache)

        for name in ("utime", "unlink", "replace", "mkdir"):
            monkeypatch.setattr(os, name, refuse)
        monkeypatch.setattr(cache_folder, "replacing_file", refuse)
        assert cache.lookup(graph_file) is not None

    def test_limit_holds_and_the_least_recently_used_go(self, tmp_path, small):
        paths = []
        for i in range(6):
            paths.append(tmp_path / f"task_graph_rank{i}.json")
            paths[-1].write_bytes(text_of(graph_from_document(document(name=f"w{i}"))))
        one = GraphCache(tmp_path / "one")
        Reader()(paths[0], one)
        limit = int(3.5 * one.info().num_bytes)
        cache = GraphCache(tmp_path / "cache", limit)
        for path in paths[:3]:
            Reader()(path, cache)
            time.sleep(0.02)
        assert cache.info().num_graphs == 3
        assert cache.lookup(paths[0]) is not None
        for path in paths[3:5]:
            time.sleep(0.02)
            Reader()(path, cache)
            assert cache.info().num_bytes <= limit
        kept = [path for path in paths if cache.lookup(path) is not None]
        assert kept == [paths[0], paths[3], paths[4]]

    def test_graph_beyond_the_limit_is_not_stored(self, graph_file, read, tmp_path, small):
        cache = GraphCache(tmp_path / "cache", 100)
        read(graph_file, cache)
        assert "larger" in cache.reason
        assert files(cache) == []

    def test_limit_of_zero_turns_it_off(self, graph_file, read, tmp_path, small):
        cache = GraphCache(tmp_path / "cache", 0)
        assert not cache.enabled
        read(graph_file, cache)
        read(graph_file, cache)
        assert read.calls == 2
        assert not (tmp_path / "cache").exists()

    def test_clear_leaves_what_is_not_the_caches(self, cache, graph_file, read):
        read(graph_file, cache)
        folder = cache.info().directory
        for name in ("notes.txt", "x.graph1", f"{'0' * 64}.json"):
            (folder / name).write_bytes(b"mine")
        assert cache.clear() == 1
        assert len(files(cache)) == 3

    def test_old_versions_go_like_others(self, cache, graph_file, read):
        read(graph_file, cache)
        old = cache.info().directory / f"{'0' * 64}-5.graph0"
        old.write_bytes(b"x" * 100)
        assert cache.info().num_graphs == 2
        assert cache.clear() == 2

    def test_temporary_files_left_behind_are_removed(self, cache, graph_file, read):
        folder = cache.info().directory
        folder.mkdir()
        left, young = (folder / f".mpkgraph-{digit * 16}.tmp" for digit in "0f")
        left.write_bytes(b"")
        young.write_bytes(b"")
        hours_ago = time.time() - 2 * cache_folder.TEMPORARY_SECONDS
        os.utime(left, (hours_ago, hours_ago))
        read(graph_file, cache)
        assert young.exists()
        assert not left.exists()


class TestResults:
    def test_comes_back_while_the_file_is_the_same(self, cache, graph_file, read):
        read(graph_file, cache)
        assert cache.lookup_result(graph_file, "summary") is None
        assert cache.store_result(graph_file, "summary", b"\x00\n{}")
        assert cache.lookup_result(graph_file, "summary") == b"\x00\n{}"
        assert cache.lookup_result(graph_file, "other") is None
        graph_file.write_bytes(text_of(graph_from_document(document(name="v"))))
        assert cache.lookup_result(graph_file, "summary") is None
        read(graph_file, cache)
        assert cache.lookup_result(graph_file, "summary") is None

    def test_belongs_to_its_path(self, cache, graph_file, read, tmp_path):
        (tmp_path / "copy").mkdir()
        copy = tmp_path / "copy" / NAME
        shutil.copy(graph_file, copy)
        read(graph_file, cache)
        read(copy, cache)
        cache.store_result(graph_file, "summary", b"1")
        assert cache.lookup_result(copy, "summary") is None

    def test_of_a_file_that_is_not_known(self, cache, graph_file):
        assert not cache.store_result(graph_file, "summary", b"1")
        assert cache.lookup_result(graph_file, "summary") is None
        assert cache.lookup_result(graph_file.with_name("absent"), "summary") is None
        assert cache.lookup_result("-", "summary") is None
        assert files(cache) == []

    @pytest.mark.parametrize("at", range(0, 200, 9))
    def test_damage_is_a_miss(self, cache, graph_file, read, at):
        read(graph_file, cache)
        cache.store_result(graph_file, "summary", b"x" * 200)
        (result,) = files(cache, ".result")
        data = bytearray(result.read_bytes())
        data[at] ^= 1
        result.write_bytes(data)
        assert cache.lookup_result(graph_file, "summary") is None
        assert not result.exists()

    def test_other_version_is_a_miss(self, cache, graph_file, read, monkeypatch):
        read(graph_file, cache)
        cache.store_result(graph_file, "summary", b"1")
        monkeypatch.setattr(cache_module, "__version__", "0.0.0")
        assert cache.lookup_result(graph_file, "summary") is None
        monkeypatch.setattr(cache_entry, "__version__", "0.0.0")
        assert cache.lookup(graph_file) is None

    def test_counts_for_the_limit(self, cache, graph_file, read):
        read(graph_file, cache)
        assert not cache.store_result(graph_file, "a", bytes(cache.limit_bytes))
        before = cache.info().num_bytes
        cache.store_result(graph_file, "a", bytes(1000))
        assert cache.info().num_bytes > before + 1000
        assert cache.info().num_graphs == 1
        cache.clear()
        assert files(cache) == []

    def test_needs_no_numpy(self, cache, graph_file, read):
        read(graph_file, cache)
        cache.store_result(graph_file, "summary", b"found")
        program = (
            "import sys; from mpkgraph.io import cache, content\n"
            "content.TICK_NS = -10**18\n"
            "found = cache.GraphCache(sys.argv[1]).lookup_result(sys.argv[2], 'summary')\n"
            "assert found == b'found' and 'numpy' not in sys.modules"
        )
        command = [sys.executable, "-c", program, cache.info().directory, graph_file]
        subprocess.run(command, check=True, cwd=Path(__file__).parents[2])

    def test_cache_that_is_off(self, graph_file, tmp_path):
        cache = GraphCache(tmp_path / "cache", 0)
        assert not cache.store_result(graph_file, "a", b"")
        assert cache.lookup_result(graph_file, "a") is None


CONCURRENT = """
import os, sys
from mpkgraph.io import cache, content
from mpkgraph.io.cache_entry import encode
from mpkgraph.io.content import ContentHash
from tests.io.test_cache import document, text_of
from tests.naive import graph_from_document
content.TICK_NS = content.COARSE_TICK_NS = -10**18
cache.MIN_FILE_BYTES = 0
folder, paths = sys.argv[1], sys.argv[2:]
graphs = [graph_from_document(document(name=f"w{i}")) for i in range(len(paths))]
shared = cache.GraphCache(folder, 4 * len(encode(graphs[0], name="n")))
hits = 0
for round in range(40):
    for path, graph in zip(paths, graphs):
        shared.store(path, ContentHash(path).result(), graph)
        assert shared.reason is None, shared.reason
        found = shared.lookup(path)
        if found is not None:
            hits += 1
            assert text_of(found) == text_of(graph)
        assert not (shared.reason or "").startswith("the entry is removed"), shared.reason
    if round % 20 == 19:
        shared.clear()
print(hits)
"""


def test_processes_share_a_folder(tmp_path):
    paths = []
    for i in range(3):
        paths.append(tmp_path / f"task_graph_rank{i}.json")
        paths[-1].write_bytes(text_of(graph_from_document(document(name=f"w{i}"))))
    command = [sys.executable, "-c", CONCURRENT, tmp_path / "cache", *paths]
    root = Path(__file__).parents[2]
    running = [
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root
        )
        for _ in range(2)
    ]
    for process in running:
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert int(output) > 0
    assert not [x for x in (tmp_path / "cache").iterdir() if x.name.startswith(".mpkgraph")]


class TestEnvironment:
    def test_folder(self, monkeypatch, tmp_path):
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.delenv("MPKGRAPH_CACHE_DIR", raising=False)
        assert default_directory() == tmp_path / ".cache" / "mpkgraph"
        monkeypatch.setenv("XDG_CACHE_HOME", "relative")
        assert default_directory() == tmp_path / ".cache" / "mpkgraph"
        monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
        assert default_directory() == Path("/xdg/mpkgraph")
        monkeypatch.setenv("MPKGRAPH_CACHE_DIR", "/chosen")
        assert default_directory() == Path("/chosen")
        assert GraphCache().info().directory == Path("/chosen")

    def test_no_home_means_no_cache(self, monkeypatch, graph_file, read, small):
        def homeless() -> Path:
            raise RuntimeError

        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.delenv("MPKGRAPH_CACHE_DIR", raising=False)
        monkeypatch.setattr(Path, "home", homeless)
        cache = GraphCache()
        read(graph_file, cache)
        assert not cache.enabled
        assert (cache.clear(), cache.info().num_graphs) == (0, 0)

    @pytest.mark.parametrize(
        ("text", "limit"),
        [
            ("0", 0),
            ("1000", 1000),
            ("12 b", 12),
            ("500M", 500 << 20),
            ("2g", 2 << 30),
            ("2GiB", 2 << 30),
            (" 3 KB ", 3 << 10),
            ("1T", 1 << 40),
        ],
    )
    def test_limit(self, text, limit, monkeypatch):
        assert parse_limit(text) == limit
        monkeypatch.setenv("MPKGRAPH_CACHE_LIMIT", text)
        assert GraphCache("x").limit_bytes == limit

    def test_limit_unless_said(self, monkeypatch):
        for text in ("", " "):
            monkeypatch.setenv("MPKGRAPH_CACHE_LIMIT", text)
            assert default_limit() == DEFAULT_LIMIT_BYTES

    @pytest.mark.parametrize("text", ["-1", "much", "1.5G", "G", "1X", "1 0"])
    def test_limit_that_is_no_size(self, text, monkeypatch):
        monkeypatch.setenv("MPKGRAPH_CACHE_LIMIT", text)
        with pytest.raises(UsageError, match="MPKGRAPH_CACHE_LIMIT"):
            GraphCache("x")
