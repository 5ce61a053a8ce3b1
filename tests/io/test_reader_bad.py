# ruff: noqa: E501  (a row of the table is a line)
"""What is wrong with a file is one message: file, byte or task, and a remedy. Nothing else escapes."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from mpkgraph.errors import GraphReadError
from mpkgraph.io import blocks, reader, window
from tests import goldens
from tests.io.reader_reference import as_lists, reference

FORK = "tests/test_fork_point-cc90"
SMALLEST = "bad/fork_duplicate_edges_second-cc80"
EMPTY = b'{"all_tasks": [], "all_events": []}'

Edit = Callable[[bytes], bytes]


def in_task(old: str, new: str) -> Edit:
    """Edits the first `old` in some task in the middle (task 24)."""

    def edit(text: bytes) -> bytes:
        begin = text.index(b'{\n      "dependent_event"', len(text) // 2 - 1100)
        at = text.index(old.encode(), begin)
        return text[:at] + new.encode() + text[at + len(old) :]

    return edit


def in_event(old: str, new: str) -> Edit:
    def edit(text: bytes) -> bytes:
        at = text.index(old.encode(), text.index(b"last_task_id", 1000))
        return text[:at] + new.encode() + text[at + len(old) :]

    return edit


def replaced(old: bytes, new: bytes) -> Edit:
    return lambda text: text.replace(old, new, 1)


def whole(text: bytes) -> Edit:
    return lambda _: text


BAD: dict[str, tuple[Edit, str]] = {
    # the file
    "empty": (whole(b""), "byte 0: the file is empty"),
    "blank": (whole(b" \n\t\r"), "the file is empty"),
    "binary": (whole(bytes(range(7, 256))), "not a JSON object, begins with"),
    "zeros": (whole(bytes(1000)), "not a JSON object"),
    "UTF-16": (lambda text: text.decode().encode("utf-16"), "UTF-16, not UTF-8"),
    "array": (whole(b"[1, 2]"), "a JSON array"),
    "string": (whole(b'"all_tasks"'), "not a JSON object"),
    "other object": (whole(b'{"a": 1}'), "it has no 'all_tasks'"),
    "no events": (whole(b'{"all_tasks": []}'), "it has no 'all_events'"),
    "record": (whole(b'{"schema": "mpk-pipeline-1", "log": []}'), "a pipeline record"),
    "metadata": (whole(b'{"cuda_cc": 90, "world_size": 1, "mode": "x"}'), "metadata of a compiled"),
    "null tasks": (whole(b'{"all_tasks": null, "all_events": []}'), "all_tasks is not an array"),
    "object tasks": (whole(b'{"all_tasks": {}, "all_events": []}'), "all_tasks is not an array"),
    # where it ends
    "half": (lambda text: text[: len(text) // 2], r"middle of task 2\d; 2\d tasks were read"),
    "before the end": (lambda text: text[:-1], "the file ends .*; 50 tasks were read"),
    "in an event": (lambda text: text[:300], r"middle of event \d; \d events were read"),
    "in first_tasks": (lambda text: text[:-40], "middle of first_tasks"),
    "in a key": (whole(b'{"all_ta'), "middle of a key"),
    "after a colon": (whole(b'{"all_tasks":'), "the file ends"),
    "after a bracket": (whole(b'{"all_tasks":['), "middle of task 0; 0 tasks were read"),
    "two objects": (lambda text: text + text, "a second object after the end of the graph at byte"),
    "trailing": (lambda text: text + b"\nx", "more data after the end"),
    "trailing zero": (lambda text: text + b"\0", "more data after the end"),
    # JSON
    "not UTF-8": (replaced(b'"base_ptr": "', b'"base_ptr": "\xff'), r"task \d+: not UTF-8"),
    "lone surrogate": (in_task('"base_ptr": "', '"base_ptr": "\\ud800'), "not valid JSON"),
    "control character": (in_task('"base_ptr": "', '"base_ptr": "\x01'), "not valid JSON"),
    "open string": (in_task('"base_ptr": "', '"base_ptr": '), r"task 2\d: not valid JSON"),
    "extra brace": (in_task('"base_ptr"', '} "base_ptr"'), "not valid JSON"),
    "missing comma": (in_task(",", ""), r"task 2\d: not valid JSON"),
    "NaN": (in_task('"request_id": ', '"request_id": NaN, "x": '), "not valid JSON"),
    "leading zero": (in_task('"request_id": ', '"request_id": 0'), "leading zero"),
    "trailing comma": (whole(b'{"all_tasks": [null,], "all_events": []}'), "task 1: .*comma"),
    "leading comma": (whole(b'{"all_tasks": [,null], "all_events": []}'), "task 0: not valid JSON"),
    "top comma": (whole(EMPTY[:-1] + b",}"), "expected a key, found"),
    "no colon": (whole(b'{"all_tasks" []}'), "expected a colon"),
    "bad extra": (whole(EMPTY[:-1] + b', "x": tru}'), "not valid JSON"),
    "deep": (whole(b'{"x": ' + b"[" * 5000 + b"]" * 5000 + b"}"), "nested too deep"),
    "deep tasks": (whole(b'{"all_tasks": [' + b"[" * 5000), "nested too deep"),
    "deep field": (whole(EMPTY[:-1] + b', "x": ' + b"[" * 90 + b"]" * 90 + b"}"), "nested deeper"),
    "deep task field": (
        in_task('"kv_idx"', '"x": ' + "[" * 90 + "]" * 90 + ', "kv_idx"'),
        "task 2",
    ),
    # keys
    "top key twice": (lambda text: text[:-1] + b', "all_tasks": []}', "'all_tasks' appears twice"),
    "task key twice": (in_task('"kv_idx"', '"kv_idx": 1, "kv_idx"'), "'kv_idx' appears twice"),
    "escaped twice": (in_task('"kv_idx"', '"kv_id\\u0078": 1, "kv_idx"'), "'kv_idx' appears twice"),
    "slot key twice": (in_task('"data_type"', '"dims": [], "data_type"'), "'dims' appears twice"),
    "unknown key twice": (
        in_task('"kv_idx"', '"x": {"a": 1, "a": 2}, "kv_idx"'),
        "'a' appears twice",
    ),
    "event key twice": (in_event('"num_triggers"', '"event_type": 1, "num_triggers"'), "event 1?"),
    "task key missing": (in_task('"kv_idx"', '"kv_index"'), r"task 2\d: has no field 'kv_idx'"),
    "slot key missing": (in_task('"dims"', '"dim"'), r"task 2\d: inputs\[0\] has no field 'dims'"),
    "event key missing": (in_event('"event_type"', '"type"'), "has no field 'event_type'"),
    # values
    "float": (in_task('"variant_id": 0', '"variant_id": 0.0'), "variant_id is 0.0, not an integer"),
    "exponent": (in_task('"variant_id": 0', '"variant_id": 1e2'), "not an integer"),
    "true": (in_task('"variant_id": 0', '"variant_id": true'), "variant_id is true"),
    "text": (in_task('"variant_id": 0', '"variant_id": "0"'), 'variant_id is the string "0"'),
    "null": (in_task('"variant_id": 0', '"variant_id": null'), "variant_id is null"),
    "beyond 64 bits": (
        in_task('"trigger_event": ', '"trigger_event": 99999999999999999999'),
        r"trigger_event is 9{20}\d+, out of the range 0 to 18446744073709551615",
    ),
    "beyond int64": (in_task('"offset": 0', '"offset": 9223372036854775808'), "out of the range"),
    "beyond int32": (
        in_task('"kv_idx": ', '"kv_idx": 99999999999'),
        r"kv_idx is 9+\d+, out of the",
    ),
    "below int32": (in_task('"task_offset": ', '"task_offset": -99999999999, "x": '), "out of the"),
    "negative event id": (in_task('"trigger_event": ', '"trigger_event": -'), "which is negative"),
    "negative offset": (in_task('"offset": 0', '"offset": -8'), r"offset is -8, which is negative"),
    "negative dim": (in_task('"dims": [', '"dims": [-1, '), r"inputs\[0\].dims\[0\] is -1"),
    "negative type": (in_task('"task_type": ', '"task_type": -'), "task_type is -"),
    "negative count": (in_event('"num_triggers": ', '"num_triggers": -1'), "num_triggers is -1"),
    "float dim": (in_task('"dims": [', '"dims": [1.0, '), r"dims\[0\] is 1.0, not an integer"),
    "true dim": (in_task('"dims": [', '"dims": [true, '), r"dims\[0\] is true, not an integer"),
    "ragged": (in_task('"dims": [', '"dims": [4, '), "is ragged: 3 dims but 2 strides"),
    "dims a number": (in_task('"dims": [', '"dims": 3, "x": ['), "dims is the number 3"),
    "name a number": (
        in_task('"base_ptr": "', '"base_ptr": 5, "x": "'),
        "base_ptr is the number 5",
    ),
    "inputs text": (in_task('"inputs": [', '"inputs": "none", "x": ['), "inputs is the string"),
    "inputs false": (in_task('"inputs": [', '"inputs": false, "x": ['), "inputs is false"),
    "slot null": (
        in_task('"inputs": [', '"inputs": [null, '),
        r"inputs\[0\] is null, not an object",
    ),
    "many inputs": (in_task('"inputs": [', '"inputs": [' + "{}," * 256), "more than 255"),
    "task a number": (whole(b'{"all_tasks": [3], "all_events": []}'), "task 0: is the number 3"),
    "task text": (
        whole(b'{"all_tasks": [null, "a,b"], "all_events": []}'),
        "task 1: is the string",
    ),
    "event null": (whole(b'{"all_tasks": [], "all_events": [null]}'), "event 0: is null"),
    "huge extra": (whole(EMPTY[:-1] + b', "x": 18446744073709551616}'), "does not fit 64 bits"),
    "huge task extra": (in_task('"kv_idx"', '"x": -9223372036854775809, "kv_idx"'), "does not fit"),
    # ids
    "event past the end": (
        in_task('"trigger_event": ', '"trigger_event": 99'),
        "graph has 19 events",
    ),
    "range past the end": (
        in_event('"last_task_id": ', '"last_task_id": 777'),
        "graph has 50 tasks",
    ),
    "first task": (
        replaced(b'"first_tasks": [', b'"first_tasks": [50,'),
        r"first_tasks\[0\] is 50",
    ),
    "first negative": (replaced(b'"first_tasks": [', b'"first_tasks": [-1,'), "which is negative"),
    "first float": (replaced(b'"first_tasks": [', b'"first_tasks": [2.0,'), "not an integer"),
    "first comma": (replaced(b'"first_tasks": [', b'"first_tasks": [,'), "not valid JSON"),
    "first text": (replaced(b'"first_tasks": [', b'"first_tasks": "", "x": ['), "is not an array"),
}


@pytest.mark.parametrize("share", [64, 10_000])
@pytest.mark.parametrize("name", BAD)
def test_bad_input(name: str, share: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edit, message = BAD[name]
    text = edit(goldens.get(FORK).graph_bytes())
    with pytest.raises(ValueError):  # noqa: PT011  (any refusal will do)
        reference(text)
    monkeypatch.setattr(blocks, "MIN_RECORDS_FOR_SHARE", share)
    path = tmp_path / "graph.json"
    path.write_bytes(text)
    with pytest.raises(GraphReadError, match=message) as caught:
        reader.read_graph(path)
    assert caught.value.remedy
    assert caught.value.where
    assert caught.value.where.startswith(str(path))
    for batch, size in ((3, 900), (100, 5000)):
        with (
            pytest.raises(GraphReadError),
            reader.stream_graph(path, batch_tasks=batch, block_bytes=size) as stream,
        ):
            list(stream.batches())


@pytest.mark.parametrize(
    "edit",
    [
        in_task('"request_id": ', '"request_id": 4444444444'),
        in_task('"offset": 0', '"offset": 9223372036854775808'),
        in_task('"expert_offset": -', '"expert_offset": -3333333333'),
    ],
)
def test_number_in_a_hole_is_located(
    edit: Edit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = edit(goldens.get(FORK).graph_bytes())
    path = tmp_path / "graph.json"
    path.write_bytes(text)
    messages = []
    # the general path, then the fast one in one block and in several
    for share, size in ((0, 1 << 20), (10_000, 1 << 20), (10_000, 4000)):
        monkeypatch.setattr(blocks, "MIN_RECORDS_FOR_SHARE", share)
        monkeypatch.setattr(reader, "BLOCK_BYTES", size)
        with pytest.raises(GraphReadError, match="out of the range") as caught:
            reader.read_graph(path)
        messages.append(str(caught.value))
        found = re.search(r"byte (\d+): task (\d+)", messages[-1])
        assert found
        before, record = text[: int(found[1])], text[int(found[1]) :]
        assert record.startswith(b"{")
        whole = orjson.loads(before.rstrip().removesuffix(b",") + b"]}")
        assert len(whole["all_tasks"]) == int(found[2])
    assert messages[1] == messages[2]


# Every mutation reads as the reference reads it, or is refused as the reference refuses it.

_BYTES = b'0123456789-+.eE{}[]",:\\ntu \n\t\r\x00\xff\xc3abd'
_TOKENS = (
    b'"x":1,',
    b"null,",
    b"{},",
    b'"task_type": 3,',
    b'"a\\u0041":[1,{"b":2}],',
    b"\\ud800",
    b'"x":5, "offset": 7,',
)
_NUMBERS = (
    b"-1",
    b"0",
    b"99999999999",
    b"1.0",
    b"00",
    b"-0",
    b"null",
    b"true",
    b"18446744073709551615",
    b"18446744073709551616",
    b"9223372036854775808",
    b"4294967296",
    b"2147483648",
)


def mutated(text: bytes, source: random.Random) -> bytes:
    result = bytearray(text)
    for _ in range(source.choice([1, 1, 1, 2, 3])):
        at = source.randrange(len(result))
        match source.randrange(6):
            case 0:
                result[at] = source.choice(_BYTES)
            case 1:
                result[at] = source.randrange(256)
            case 2:
                result.insert(at, source.choice(_BYTES))
            case 3:
                del result[at : at + source.choice([1, 2, 5, 40])]
            case 4:
                begin = source.randrange(len(result))
                result[at:at] = result[begin : begin + source.choice([1, 3, 20, 300])]
            case _:
                digits = [
                    i for i in range(at, min(at + 400, len(result))) if chr(result[i]).isdigit()
                ]
                if digits:
                    digit = source.choice(digits)
                    result[digit : digit + 1] = source.choice(_NUMBERS)
                else:
                    result[at:at] = source.choice(_TOKENS)
    return bytes(result)


@pytest.mark.parametrize("seed", range(6))
def test_mutations(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = goldens.get(SMALLEST).graph_bytes()
    if seed % 2:
        text = orjson.dumps(orjson.loads(text))
    monkeypatch.setattr(blocks, "MIN_RECORDS_FOR_SHARE", 10_000)
    source = random.Random(seed)
    path = tmp_path / "graph.json"
    outcomes = set()
    for _ in range(120):
        bad = mutated(text, source)
        path.write_bytes(bad)
        monkeypatch.setattr(reader, "BLOCK_BYTES", source.choice([900, 5000, 1 << 20]))
        try:
            expected: Any = reference(bad)
        except ValueError:
            expected = None
        try:
            found: Any = as_lists(reader.read_graph(path))
        except GraphReadError:
            found = None
        assert found == expected
        outcomes.add(expected is None)
    assert outcomes == {True, False}


# Memory stays bounded


@pytest.mark.parametrize(
    "text",
    [
        EMPTY[:-1] + b', "x": "' + b"y" * 5000 + b'"}',
        EMPTY[:-1] + b"," + b",".join(b'"k%d": 1' % i for i in range(2000)) + b"}",
        b'{"all_tasks": [{"x": "' + b"y" * 5000 + b'"}], "all_events": []}',
        b'{"all_tasks": [' + b"[" * 10 + b" " * 5000 + b"]" * 10 + b'], "all_events": []}',
        b'{"' + b"k" * 5000 + b'": 1}',
    ],
)
def test_record_limit(text: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "MAX_RECORD_BYTES", 1000)
    monkeypatch.setattr("mpkgraph.io.document.MAX_RECORD_BYTES", 1000)
    monkeypatch.setattr(reader, "BLOCK_BYTES", 256)
    path = tmp_path / "graph.json"
    path.write_bytes(text)
    with pytest.raises(GraphReadError):
        reader.read_graph(path)


def test_many_unknown_fields(tmp_path: Path) -> None:
    doc = orjson.loads(goldens.get(SMALLEST).graph_bytes())
    doc["all_tasks"][3] |= {f"k{i}": i for i in range(300)}
    path = tmp_path / "graph.json"
    path.write_bytes(orjson.dumps(doc))
    with pytest.raises(GraphReadError, match="more than 256 different unknown fields"):
        reader.read_graph(path)
