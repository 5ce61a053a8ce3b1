"""The reader's columns against a plain whole-file conversion: real graphs, every legal layout."""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpkgraph.errors import GraphReadError, UsageError
from mpkgraph.io import blocks, columns, document, parallel, reader, records
from mpkgraph.model.graph import NULL_TASK_TYPE, TaskGraph
from mpkgraph.model.ids import EVENT_INVALID_ID
from tests import goldens, strategies
from tests.amount import examples
from tests.io.reader_reference import as_lists, reference, tasks_as_lists

SMALL = 400_000
FORK = "tests/test_fork_point-cc90"


@pytest.fixture
def block_bytes(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets the size of blocks, and lets small files make as many templates as they like."""
    monkeypatch.setattr(blocks, "MIN_RECORDS_FOR_SHARE", 10_000)
    return lambda count: monkeypatch.setattr(reader, "BLOCK_BYTES", count)


def read(folder: Path, text: bytes, name: str = "graph.json", **kwargs: Any) -> TaskGraph:
    path = folder / name
    path.write_bytes(text)
    return reader.read_graph(path, **kwargs)


def same(left: TaskGraph, right: TaskGraph) -> bool:
    """Equal in every column, dtypes and layout order included."""
    columns = [
        (getattr(left.tasks, field.name), getattr(right.tasks, field.name))
        for field in dataclasses.fields(left.tasks)
        if field.name != "extras"
    ]
    return (
        left.layouts == right.layouts
        and all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in columns)
        and as_lists(left) == as_lists(right)
    )


@pytest.mark.parametrize("golden", goldens.graphs(max_bytes=SMALL), ids=str)
def test_goldens(golden: goldens.Golden) -> None:
    graph = reader.read_graph(golden.graph_path)
    text = golden.graph_bytes()
    assert as_lists(graph) == reference(text)
    assert graph.source.num_bytes == golden.num_bytes
    assert graph.num_null_tasks == golden.num_null_tasks
    assert graph.rank == golden.rank


def test_larger_golden_through_small_blocks(block_bytes: Callable[[int], None]) -> None:
    golden = goldens.get("models/qwen3_demo-Qwen3-8B-ws2-ag-L2-cc90", "task_graph_rank1.json")
    expected = reference(golden.graph_bytes())
    for size in (1 << 20, 70_001):
        block_bytes(size)
        graph = reader.read_graph(golden.graph_path)
        assert as_lists(graph) == expected
    assert graph.rank == 1


def test_columns_cannot_be_written(tmp_path: Path) -> None:
    graph = read(tmp_path, goldens.get(FORK).graph_bytes())
    for field in dataclasses.fields(graph.tasks):
        column = getattr(graph.tasks, field.name)
        if isinstance(column, np.ndarray):
            with pytest.raises(ValueError, match="read-only"):
                column[:1] = 0


# Every text layout


def _shuffled(value: Any, source: random.Random) -> Any:
    if isinstance(value, dict):
        keys = list(value)
        source.shuffle(keys)
        return {key: _shuffled(value[key], source) for key in keys}
    return [_shuffled(item, source) for item in value] if isinstance(value, list) else value


def _reversed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _reversed(value[key]) for key in sorted(value, reverse=True)}
    return [_reversed(item) for item in value] if isinstance(value, list) else value


def _escaped_strings(text: bytes, share: float) -> bytes:
    source = random.Random(5)

    def escape(match: re.Match[bytes]) -> bytes:
        return (
            b'"'
            + b"".join(
                b"\\u%04x" % byte if source.random() < share else bytes([byte]) for byte in match[1]
            )
            + b'"'
        )

    return re.sub(rb'"([^"\\]*)"', escape, text)


def _odd_space(text: bytes) -> bytes:
    source = random.Random(6)
    return re.sub(
        rb"[:,\[\]{}]",
        lambda m: m[0] + b" \t\r\n"[: source.randrange(5)] * source.randrange(3),
        text,
    )


LAYOUTS: dict[str, Callable[[bytes], bytes]] = {
    "as written": lambda text: text,
    "compact": lambda text: orjson.dumps(orjson.loads(text)),
    "indent 4": lambda text: json.dumps(json.loads(text), indent=4).encode(),
    "indent 0": lambda text: json.dumps(json.loads(text), indent=0).encode(),
    "tabs": lambda text: json.dumps(json.loads(text), indent="\t").encode(),
    "one line": lambda text: json.dumps(json.loads(text)).encode(),
    "space before colon": lambda text: json.dumps(
        json.loads(text), indent=1, separators=(", ", " : ")
    ).encode(),
    "reversed keys": lambda text: orjson.dumps(
        _reversed(orjson.loads(text)), option=orjson.OPT_INDENT_2
    ),
    "reversed, compact": lambda text: orjson.dumps(_reversed(orjson.loads(text))),
    "shuffled keys": lambda text: orjson.dumps(
        _shuffled(orjson.loads(text), random.Random(1)), option=orjson.OPT_INDENT_2
    ),
    "shuffled, compact": lambda text: orjson.dumps(_shuffled(orjson.loads(text), random.Random(2))),
    "carriage returns": lambda text: text.replace(b"\n", b"\r\n"),
    "byte-order mark": lambda text: b"\xef\xbb\xbf" + text,
    "all escaped": lambda text: _escaped_strings(text, 1.0),
    "some escaped": lambda text: _escaped_strings(text, 0.1),
    "odd white space": _odd_space,
    "trailing white space": lambda text: b"\n\n \t" + text + b"\r\n \n",
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [700, 20_000, 1 << 20])
@pytest.mark.parametrize("case", [FORK, "bad/fork_duplicate_edges_second-cc80"])
def test_layouts(
    layout: str, size: int, case: str, tmp_path: Path, block_bytes: Callable[[int], None]
) -> None:
    text = LAYOUTS[layout](goldens.get(case).graph_bytes())
    block_bytes(size)
    assert as_lists(read(tmp_path, text)) == reference(text)


@pytest.mark.parametrize(
    "layout", ["as written", "compact", "tabs", "indent 4", "reversed, compact", "all escaped"]
)
def test_regular_layouts_take_the_fast_path(
    layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = LAYOUTS[layout](goldens.get(FORK).graph_bytes())
    seen: list[int] = []
    original = document.tasks_of_text

    def counted(text: bytes, *args: Any) -> Any:
        seen.append(len(args[0]))
        return original(text, *args)

    monkeypatch.setattr(document, "tasks_of_text", counted)
    monkeypatch.setattr(blocks, "MIN_RECORDS_FOR_SHARE", 10_000)
    assert read(tmp_path, text).num_tasks == 50
    assert seen == [1], "only the last record goes the general way"


@pytest.mark.parametrize(
    "name", ['}, {"x', "]]]}}}", "[[[{{{", 'offset": 12, "', "\\", '\\"t": 7', "t: 5"]
)
@pytest.mark.parametrize("layout", ["as written", "compact", "shuffled keys"])
def test_names_that_look_like_structure(
    name: str, layout: str, tmp_path: Path, block_bytes: Callable[[int], None]
) -> None:
    doc = orjson.loads(goldens.get(FORK).graph_bytes())
    for i, task in enumerate(doc["all_tasks"]):
        for slot in task["inputs"] or []:
            slot["base_ptr"] = name * (1 + i % 3)
    text = LAYOUTS[layout](orjson.dumps(doc, option=orjson.OPT_INDENT_2))
    for size in (1500, 1 << 20):
        block_bytes(size)
        assert as_lists(read(tmp_path, text)) == reference(text)


def test_many_templates_take_the_general_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    doc = orjson.loads(goldens.get(FORK).graph_bytes())
    task = doc["all_tasks"][5]
    for i in range(2000):
        slot = task["inputs"][0] | {"dims": [i + 1, 7], "strides": [7, 1], "base_ptr": f"x{i}"}
        doc["all_tasks"].append(task | {"inputs": [slot]})
    made: list[Any] = []
    original = blocks.TaskTemplates.code
    monkeypatch.setattr(
        blocks.TaskTemplates,
        "code",
        lambda *args: made.append(args) or original(*args),  # type: ignore[func-returns-value]
    )
    monkeypatch.setattr(reader, "BLOCK_BYTES", 1 << 16)
    text = orjson.dumps(doc, option=orjson.OPT_INDENT_2)
    assert as_lists(read(tmp_path, text)) == reference(text)
    assert len(made) < 200


def test_templates_start_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = goldens.get(FORK).graph_bytes()
    monkeypatch.setattr("mpkgraph.io.templates.MAX_TEMPLATE_BYTES", 2000)
    monkeypatch.setattr(blocks, "MIN_RECORDS_FOR_SHARE", 10_000)
    monkeypatch.setattr(blocks, "MAX_RECENT", 0)
    monkeypatch.setattr(document, "BATCH_RECORDS", 3)
    monkeypatch.setattr(reader, "BLOCK_BYTES", 4000)
    assert as_lists(read(tmp_path, text)) == reference(text)


def test_order_of_the_top_level(tmp_path: Path) -> None:
    doc = orjson.loads(goldens.get(FORK).graph_bytes())
    for keys in (
        ["all_tasks", "all_events", "first_tasks"],
        ["first_tasks", "all_tasks", "all_events"],
    ):
        text = orjson.dumps({key: doc[key] for key in keys}, option=orjson.OPT_INDENT_2)
        assert as_lists(read(tmp_path, text)) == reference(text)


@pytest.mark.parametrize("first", [b"null", b"[]", b"[ ]", None])
def test_no_first_tasks(first: bytes | None, tmp_path: Path) -> None:
    end = b', "first_tasks": ' + first if first else b""
    graph = read(tmp_path, b'{"all_tasks": [null], "all_events": [ ]%b}' % end)
    assert graph.first_tasks.tolist() == []
    assert graph.num_null_tasks == 1


def test_null_task(tmp_path: Path) -> None:
    graph = read(tmp_path, b'{"all_tasks": [null, null\n,null], "all_events": []}')
    assert graph.num_null_tasks == 3
    assert graph.tasks.task_types.tolist() == [NULL_TASK_TYPE] * 3
    assert graph.tasks.trigger_events.tolist() == [EVENT_INVALID_ID] * 3
    assert graph.slots(1) == ()


# Unknown fields


def test_unknown_fields_are_kept(tmp_path: Path) -> None:
    doc = orjson.loads(goldens.get(FORK).graph_bytes())
    doc["version"] = {"major": [1, 2.5, None]}
    for i, task in enumerate(doc["all_tasks"]):
        task["priority"] = i % 3
        if i % 7 == 0:
            task["note"] = {"why": ["x", 2**64 - 1]}
        for slot in task["inputs"] or []:
            slot["swizzle"] = [128, {"b": True}]
    doc["all_events"][3]["label"] = None
    for option in (None, orjson.OPT_INDENT_2):
        text = orjson.dumps(doc, option=option)
        graph = read(tmp_path, text)
        assert as_lists(graph) == reference(text)
    assert graph.extras == {"version": {"major": [1, 2.5, None]}}
    assert graph.tasks.extras["priority"].get(4) == 1
    assert len(graph.tasks.extras["priority"].values) == 3
    assert not graph.tasks.extras["note"].has(1)
    assert graph.slots(5)[0].layout.extra == (("swizzle", [128, {"b": True}]),)
    assert graph.events.extras["label"].get(3) is None


def test_unknown_number_that_varies(tmp_path: Path) -> None:
    # its key ends like those of holes: a template can't hold it
    doc = orjson.loads(goldens.get(FORK).graph_bytes())
    for i, task in enumerate(doc["all_tasks"]):
        task["zz_offset"] = 17 * i
    text = orjson.dumps(doc, option=orjson.OPT_INDENT_2)
    assert as_lists(read(tmp_path, text)) == reference(text)


def test_irregular_tasks_with_unknown_fields_are_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(5)
    doc = orjson.loads(goldens.get(FORK).graph_bytes())
    for i, task in enumerate(doc["all_tasks"]):
        if i % 3:
            task["priority"] = {"of": [i % 5, {"a:b": None}]}
        keys = list(task)
        draw.shuffle(keys)
        doc["all_tasks"][i] = {key: task[key] for key in keys}
    text = orjson.dumps(doc)
    expected = reference(text)
    with monkeypatch.context() as patch:
        patch.setattr(records, "_one_by_one", None)
        assert as_lists(read(tmp_path, text)) == expected
    assert b'{"of":[4,' in text
    for old, new in (
        (b'{"of":[4,', b'{"of":1,"of":[4,'),
        (b'"priority":{"of":[4,', b'"priority":0,"priority":{"of":[4,'),
        (b'{"of":[4,', b'{"of":[18446744073709551616,'),
    ):
        with pytest.raises(GraphReadError, match=r"task \d+: "):
            read(tmp_path, text.replace(old, new, 1))


def test_huge_float_is_no_integer(tmp_path: Path) -> None:
    graph = read(tmp_path, b'{"all_tasks": [], "all_events": [], "x": [1e300, -1e19]}')
    assert graph.extras == {"x": [1e300, -1e19]}


# Rank


def test_rank_of_ids_wins_over_the_name(tmp_path: Path) -> None:
    golden = goldens.get("models/qwen3_demo-Qwen3-8B-ws2-ag-L2-cc90", "task_graph_rank1.json")
    graph = read(tmp_path, golden.graph_bytes(), "task_graph_rank5.json")
    assert graph.rank == 1


@pytest.mark.parametrize(("name", "rank"), [("task_graph_rank5.json", 5), ("graph.json", 0)])
def test_rank_of_the_name(name: str, rank: int, tmp_path: Path) -> None:
    assert read(tmp_path, b'{"all_tasks": [], "all_events": []}', name).rank == rank


# Drawn graphs

TAME = strategies.Options(wild_ids=False)


@settings(max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    strategies.documents(TAME),
    st.sampled_from([None, 1, "\t"]),
    st.booleans(),
    st.sampled_from([300, 5000, 1 << 20]),
    st.integers(1, 8),
)
def test_drawn_graphs(
    doc: dict[str, Any], indent: Any, ascii_only: bool, size: int, copies: int
) -> None:
    # Repeated tasks make templates worth their while.
    doc = doc | {"all_tasks": doc["all_tasks"] + doc["all_tasks"][2:] * copies}
    text = json.dumps(doc, indent=indent, ensure_ascii=ascii_only).encode()
    try:
        expected = reference(text)
    except ValueError:
        return  # drawn first tasks may point past the end
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "BLOCK_BYTES", size)
        patch.setattr(blocks, "MIN_RECORDS_FOR_SHARE", 10_000)
        path = Path(_folder()) / "drawn.json"
        path.write_bytes(text)
        assert as_lists(reader.read_graph(path)) == expected


def _folder() -> str:
    import tempfile

    global _drawn  # noqa: PLW0603  (one folder for all examples)
    if _drawn is None:
        _drawn = tempfile.TemporaryDirectory()
    return _drawn.name


_drawn: Any = None


# Streams


@pytest.mark.parametrize(("batch", "size"), [(1, 500), (7, 3000), (16384, 1 << 20)])
def test_stream_equals_whole(batch: int, size: int) -> None:
    golden = goldens.get(FORK)
    expected = reference(golden.graph_bytes())
    tasks: list[Any] = []
    with reader.stream_graph(golden.graph_path, batch_tasks=batch, block_bytes=size) as stream:
        with pytest.raises(UsageError):
            _ = stream.events
        for piece in stream.batches():
            assert piece.first_task_id == len(tasks)
            assert stream.rank == 0
            tasks += tasks_as_lists(piece.tasks, stream.layouts)
        assert tasks == expected["tasks"]
        assert len(stream.events) == len(expected["events"])
        assert stream.first_tasks.tolist() == expected["first_tasks"]
        assert stream.num_bytes == golden.num_bytes
        with pytest.raises(UsageError):
            next(stream.batches())


def test_stream_forgets_unknown_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "MAX_IDLE_VALUES", 2)
    doc = orjson.loads(goldens.get(FORK).graph_bytes())
    for i, task in enumerate(doc["all_tasks"]):
        task["serial"] = f"n{i // 2}"
    path = tmp_path / "graph.json"
    path.write_bytes(orjson.dumps(doc, option=orjson.OPT_INDENT_2))
    found = []
    with reader.stream_graph(path, batch_tasks=5, block_bytes=6000) as stream:
        for piece in stream.batches():
            found += [piece.tasks.extras["serial"].get(i) for i in range(len(piece.tasks))]
    assert found == [f"n{i // 2}" for i in range(50)]


# Two processes


@pytest.mark.parametrize("layout", ["as written", "compact", "shuffled keys", "odd white space"])
def test_two_processes(layout: str, tmp_path: Path, block_bytes: Callable[[int], None]) -> None:
    text = LAYOUTS[layout](goldens.get(FORK).graph_bytes())
    block_bytes(2000)
    one = read(tmp_path, text, processes=1)
    two = read(tmp_path, text, processes=2)
    assert same(one, two)
    assert as_lists(two) == reference(text)
    assert one.source == two.source


def test_half_without_slots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    doc = orjson.loads(goldens.get(FORK).graph_bytes())
    doc["all_tasks"] += [doc["all_tasks"][0] | {"note": i % 3} for i in range(400)]
    text = orjson.dumps(doc, option=orjson.OPT_INDENT_2)
    monkeypatch.setattr(reader, "BLOCK_BYTES", 2000)
    assert as_lists(read(tmp_path, text, processes=2)) == reference(text)


@pytest.mark.parametrize("layout", ["as written", "shuffled keys", "shuffled, compact"])
def test_second_process_is_used(
    layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = LAYOUTS[layout](goldens.get(FORK).graph_bytes())
    received = []
    original = parallel._Child.receive

    def receive(self: Any, graph: Any) -> Any:
        received.append(original(self, graph))
        return received[-1]

    monkeypatch.setattr(parallel._Child, "receive", receive)
    monkeypatch.setattr(reader, "BLOCK_BYTES", 2000)
    monkeypatch.setattr(parallel, "GUESS_BYTES", 3000)
    assert as_lists(read(tmp_path, text, processes=2)) == reference(text)
    assert received[0].num_tasks >= 10


@pytest.mark.parametrize("where", [0.3, 0.9])
def test_two_processes_report_as_one(
    where: float, tmp_path: Path, block_bytes: Callable[[int], None]
) -> None:
    text = goldens.get(FORK).graph_bytes()
    at = text.index(b'"task_type"', int(len(text) * where))
    bad = text[:at] + b'"x": tru, ' + text[at:]
    block_bytes(2000)
    messages = []
    for processes in (1, 2):
        with pytest.raises(Exception, match="not valid JSON") as caught:
            read(tmp_path, bad, processes=processes)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_dead_child_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise MemoryError

    text = goldens.get(FORK).graph_bytes()
    monkeypatch.setattr(parallel, "_read_rest", fail)
    monkeypatch.setattr(reader, "BLOCK_BYTES", 2000)
    assert as_lists(read(tmp_path, text, processes=2)) == reference(text)


def test_interrupted_child_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    original = parallel._Child.start
    monkeypatch.setattr(
        parallel._Child, "start", lambda *args: started.append(original(*args)) or started[0]
    )
    monkeypatch.setattr(reader, "BLOCK_BYTES", 2000)
    monkeypatch.setattr(document, "PROGRESS_SECONDS", 0)

    def interrupt(*_: Any) -> None:
        if started:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read(tmp_path, goldens.get(FORK).graph_bytes(), processes=2, progress=interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(started[0]._process.pid, 0)


def test_processes_must_be_positive(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        read(tmp_path, b"{}", processes=0)


# Manners


def test_collector_is_left_as_it_was(tmp_path: Path) -> None:
    text = LAYOUTS["shuffled keys"](goldens.get(FORK).graph_bytes())
    assert gc.isenabled()
    read(tmp_path, text)
    assert gc.isenabled()
    gc.disable()
    try:
        read(tmp_path, text)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = goldens.get(FORK).graph_bytes()
    calls: list[tuple[int, int | None]] = []
    monkeypatch.setattr(reader, "BLOCK_BYTES", 2000)
    read(tmp_path, text, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (len(text), len(text))
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert len(calls) < 10, "at most some 20 a second"


def test_general_path_alone_equals_reference() -> None:
    golden = goldens.get(FORK)
    doc = orjson.loads(golden.graph_bytes())
    text = orjson.dumps(doc["all_tasks"])[1:-1]
    layouts = columns.LayoutTable()
    place = records.Place("x", "task", 0, 0)
    docs = records.parse_batch(text, place)
    piece = records.tasks_of_text(text, docs, layouts, columns.ExtraTable("task"), place)
    builder = columns.TaskColumnsBuilder(columns.ExtraTable("task"))
    builder.append(piece)
    assert (
        tasks_as_lists(builder.take(), layouts.layouts) == reference(golden.graph_bytes())["tasks"]
    )
