"""The writer gives the bytes that Mirage's JSON library gives."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import sys
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpkgraph.errors import GraphWriteError
from mpkgraph.io import atomic, nlohmann, task_text, writer
from mpkgraph.io.atomic import atomic_file
from mpkgraph.io.reader import read_graph
from mpkgraph.io.writer import save_graph, text_chunks, write_graph
from mpkgraph.model.graph import TaskGraph
from mpkgraph.model.ids import EventId
from tests import goldens, strategies
from tests.amount import examples
from tests.naive import assert_same_graph, document_from_graph, graph_from_document


def text_of(graph: TaskGraph) -> bytes:
    stream = io.BytesIO()
    write_graph(graph, stream)
    return stream.getvalue()


@pytest.mark.parametrize("golden", goldens.graphs(max_bytes=2_500_000), ids=str)
def test_writes_the_bytes_of_mirage(golden):
    text = golden.graph_bytes()
    written = text_of(graph_from_document(orjson.loads(text)))
    assert hashlib.sha256(written).hexdigest() == golden.sha256
    assert written == text


@given(strategies.documents())
@settings(deadline=None, max_examples=examples(60))
def test_lays_out_any_graph_as_a_plain_dump_does(document):
    graph = graph_from_document(document)
    assert text_of(graph) == nlohmann.dump(document_from_graph(graph))


@given(strategies.task_graphs())
@settings(deadline=None, max_examples=examples(60))
def test_reads_back_to_the_same_graph(graph):
    assert_same_graph(graph_from_document(json.loads(text_of(graph)), graph.rank), graph)


@given(strategies.task_graphs(strategies.Options(wild_ids=False)))
@settings(
    deadline=None,
    max_examples=examples(60),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_what_is_saved_reads_back_to_the_same_graph(tmp_path, graph):
    path = tmp_path / "task_graph_rank0.json"
    save_graph(graph, path)
    assert_same_graph(read_graph(path), graph)


@given(strategies.documents(), st.integers(1, 3), st.integers(1, 400))
@settings(deadline=None, max_examples=examples(30))
def test_size_of_a_batch_does_not_show(document, records, num_bytes):
    graph = graph_from_document(document)
    whole = text_of(graph)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "BATCH_RECORDS", records)
        patch.setattr(task_text, "BLOCK_TASKS", records)
        patch.setattr(task_text, "BATCH_BYTES", num_bytes)
        patch.setattr(task_text, "TEMPLATE_BYTES", num_bytes)
        assert text_of(graph) == whole


def test_writes_what_is_empty_as_mirage_does():
    empty = graph_from_document({"all_events": [], "all_tasks": [], "first_tasks": []})
    assert text_of(empty) == (
        b'{\n  "all_events": null,\n  "all_tasks": null,\n  "first_tasks": null\n}'
    )


def test_ids_keep_all_64_bits():
    document = {"all_events": [], "all_tasks": [], "first_tasks": []}
    ids = [2**64 - 1, 2**63, 2**63 - 1, EventId(rank=3, event_index=7, nvshmem=True).encode()]
    task = strategies.fixed_task(10, 1)
    document["all_tasks"] = [task | {"trigger_event": x, "dependent_event": x} for x in ids]
    document["all_events"] = [strategies.event(900, x, x, 1) for x in ids]
    written = json.loads(text_of(graph_from_document(document)))
    assert [x["trigger_event"] for x in written["all_tasks"]] == ids
    assert [x["dependent_event"] for x in written["all_tasks"]] == ids
    assert [x["last_task_id"] for x in written["all_events"]] == ids


def test_memory_is_that_of_a_batch():
    graph = large_graph(num_tasks=20_000)
    sizes = [len(chunk) for chunk in text_chunks(graph)]
    assert sum(sizes) > 4 * task_text.BATCH_BYTES
    assert max(sizes) < 2 * task_text.BATCH_BYTES


def test_refuses_an_unknown_field_with_a_known_name():
    graph = graph_from_document({"all_events": [], "all_tasks": [], "first_tasks": []})
    clash = TaskGraph(graph.tasks, graph.events, graph.first_tasks, (), extras={"all_tasks": 1})
    with pytest.raises(ValueError, match="all_tasks"):
        text_of(clash)


def large_graph(num_tasks: int) -> TaskGraph:
    """A graph whose text has about 1 KB a task."""
    slot = {"base_ptr": "w", "data_type": 941, "dims": [1, 4096], "offset": 0, "strides": [9, 1]}
    slots = [slot | {"base_ptr": f"w{i}"} for i in range(5)]
    task = strategies.fixed_task(10, 1) | {"inputs": slots[:3], "outputs": slots[3:]}
    document = {"all_events": [], "all_tasks": [task], "first_tasks": []}
    one = graph_from_document(document)
    columns = {
        name: np.tile(value, num_tasks)
        for name, value in vars(one.tasks).items()
        if isinstance(value, np.ndarray)
    }
    columns["slot_starts"] = np.arange(num_tasks + 1, dtype=np.int64) * len(slots)
    return TaskGraph(type(one.tasks)(**columns), one.events, one.first_tasks, one.layouts)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestNlohmann:
    """Texts from the rules of nlohmann's serializer."""

    @pytest.mark.parametrize("code", range(0x100))
    def test_escapes_a_character(self, code):
        short = {8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}
        plain = f"\\u{code:04x}" if code < 0x20 else chr(code)
        assert nlohmann.dump(chr(code)) == f'"{short.get(code, plain)}"'.encode()

    @pytest.mark.parametrize(
        ("number", "text"),
        [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-2.5, "-2.5"),
            (0.1, "0.1"),
            (0.0001, "0.0001"),
            (0.00012, "0.00012"),
            (0.00001, "1e-05"),
            (-0.000012, "-1.2e-05"),
            (123456789012345.0, "123456789012345.0"),
            (999999999999999.9, "999999999999999.9"),
            (1e15, "1e+15"),
            (-1234567890123456.0, "-1.234567890123456e+15"),
            (1e16, "1e+16"),
            (1e100, "1e+100"),
            (1e-100, "1e-100"),
            (5e-324, "5e-324"),
            (1.7976931348623157e308, "1.7976931348623157e+308"),
            (float("nan"), "null"),
            (float("inf"), "null"),
        ],
    )
    def test_number(self, number, text):
        assert nlohmann.dump(number).decode() == text

    @given(st.floats(allow_nan=False, allow_infinity=False))
    @settings(deadline=None)
    def test_number_reads_back(self, number):
        assert repr(json.loads(nlohmann.dump(number))) == repr(number)

    @given(strategies.json_values(max_leaves=20))
    @settings(deadline=None)
    def test_value_reads_back(self, value):
        assert json.dumps(json.loads(nlohmann.dump(value))) == json.dumps(value, sort_keys=True)

    def test_layout(self):
        value = {"b": {}, "a": [], "Z": [True, None, {"é": [[1]]}], "\U0001f600": 2**64 - 1}
        text = (
            '{\n  "Z": [\n    true,\n    null,\n    {\n      "é": [\n        [\n'
            '          1\n        ]\n      ]\n    }\n  ],\n  "a": [],\n  "b": {},\n'
            '  "\U0001f600": 18446744073709551615\n}'
        )
        assert nlohmann.dump(value).decode() == text

    def test_depth_is_not_the_interpreters(self):
        value: list = []
        for _ in range(3 * sys.getrecursionlimit()):
            value = [value]
        assert nlohmann.dump(value).count(b"[") == 3 * sys.getrecursionlimit() + 1

    @pytest.mark.parametrize("value", ["\ud800", {1: 2}, b"bytes", object()])
    def test_refuses_what_is_no_json(self, value):
        with pytest.raises(TypeError):
            nlohmann.dump(value)


class TestAtomicFile:
    def test_saves_a_graph(self, tmp_path):
        graph = large_graph(num_tasks=100)
        save_graph(graph, tmp_path / "out.json")
        assert (tmp_path / "out.json").read_bytes() == text_of(graph)
        assert names(tmp_path) == ["out.json"]

    @pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, SystemExit])
    def test_failure_leaves_what_was_there(self, tmp_path, error):
        path = tmp_path / "out.json"
        path.write_bytes(b"before")
        with pytest.raises(error), atomic_file(path) as stream:  # noqa: PT012
            stream.write(b"half")
            raise error
        assert path.read_bytes() == b"before"
        assert names(tmp_path) == ["out.json"]

    def test_file_is_complete_or_absent(self, tmp_path):
        path = tmp_path / "out.json"
        with atomic_file(path) as stream:
            stream.write(b"x" * (1 << 20))
            assert not path.exists()
        assert path.stat().st_size == 1 << 20

    def test_mode_is_that_of_any_new_file(self, tmp_path):
        before = os.umask(0o027)
        try:
            with atomic_file(tmp_path / "new") as stream:
                stream.write(b"1")
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640

    def test_mode_of_an_existing_file_stays(self, tmp_path):
        path = tmp_path / "out"
        path.write_bytes(b"")
        path.chmod(0o604)
        with atomic_file(path) as stream:
            stream.write(b"1")
        assert stat.S_IMODE(path.stat().st_mode) == 0o604
        assert path.read_bytes() == b"1"

    def test_follows_a_symbolic_link(self, tmp_path):
        (tmp_path / "folder").mkdir()
        link, target = tmp_path / "link", tmp_path / "folder" / "target"
        link.symlink_to(target)
        with atomic_file(link) as stream:
            stream.write(b"1")
        assert link.is_symlink()
        assert target.read_bytes() == b"1"

    def test_writes_into_what_is_no_file(self):
        with atomic_file("/dev/null") as stream:
            stream.write(b"1")
        assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)

    @pytest.mark.parametrize("name", ["absent/out.json", ".", "file/out.json", "x" * 300])
    def test_what_cannot_be_written_is_the_users_error(self, tmp_path, name):
        (tmp_path / "file").write_bytes(b"")
        with (
            pytest.raises(GraphWriteError, match="can't be written") as caught,
            atomic_file(tmp_path / name),
        ):
            pytest.fail("the block must not run")
        assert caught.value.where == os.fspath(tmp_path / name)
        assert names(tmp_path) == ["file"]

    def test_full_disk_is_the_users_error(self):
        with (
            pytest.raises(GraphWriteError, match="no space left"),
            atomic_file("/dev/full") as stream,
        ):
            stream.write(b"1" * (1 << 20))

    def test_broken_pipe_stays_itself(self):
        with pytest.raises(BrokenPipeError), atomic.write_errors("x"):
            raise BrokenPipeError
