"""Tasks read member by member: what is accepted is what a real parser accepts, with its values."""

from __future__ import annotations

import io
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.decoder import scaled_spec
from benchmarks.generate import generate
from benchmarks.text import COMPACT, Layout
from mpkgraph.errors import GraphReadError
from mpkgraph.io import arrays, document, interning, reader, records, task_members
from mpkgraph.io.columns import ExtraTable, LayoutTable, TaskColumnsBuilder, TaskPiece
from mpkgraph.io.task_members import TaskMembers
from mpkgraph.io.words import IrregularError
from tests.io.reader_reference import as_lists, reference, tasks_as_lists

LAYOUTS = {
    "as written": Layout(),
    "compact": COMPACT,
    "random": Layout(key_order="random"),
    "random, compact": Layout(indent=None, key_order="random"),
    "random tasks": Layout(key_order="random", random_level="task"),
    "random slots": Layout(key_order="random", random_level="slot"),
    "random metadata": Layout(key_order="random", random_level="metadata"),
    "random, tabs, CRLF": Layout(indent="\t", newline="\r\n", key_order="random"),
    "random, escaped": Layout(key_order="random", escaped_keys=True),
    "odd space": Layout(indent=None, odd_space=True),
    "all odd": Layout(indent=None, odd_space=True, key_order="random", escaped_keys=True),
}


def graph_text(layout: Layout) -> bytes:
    stream = io.BytesIO()
    generate(stream, scaled_spec(1, 2, num_ranks=2, rank=1), layout)
    return stream.getvalue()


def tasks_text(layout: Layout) -> bytes:
    """The elements of `all_tasks`; no string has a bracket in it."""
    text = graph_text(layout)
    begin = text.index(b"[", text.index(b'll_tasks"')) + 1
    depth = 1
    for bracket in re.finditer(rb"[\[\]]", text[begin:]):
        depth += 1 if bracket[0] == b"[" else -1
        if not depth:
            return text[begin : begin + bracket.start()]
    raise AssertionError


def by_members(text: bytes, layouts: LayoutTable) -> TaskPiece:
    return TaskMembers(layouts).piece(text)


def by_parser(text: bytes, layouts: LayoutTable) -> TaskPiece:
    place = records.Place("text", "task", 0, 0)
    docs = records.parse_batch(text, place)
    return records.tasks_of_text(text, docs, layouts, ExtraTable("task"), place)


def listed(piece: TaskPiece, layouts: LayoutTable) -> Any:
    builder = TaskColumnsBuilder(ExtraTable("task"))
    builder.append(piece)
    return tasks_as_lists(builder.take(), layouts.layouts)


def assert_agree(text: bytes) -> bool:
    """Whether the text was read; if so, the parser reads the same."""
    layouts, expected_layouts = LayoutTable(), LayoutTable()
    try:
        piece = by_members(text, layouts)
    except IrregularError:
        return False
    expected = by_parser(text, expected_layouts)
    assert listed(piece, layouts) == listed(expected, expected_layouts)
    assert layouts.layouts == expected_layouts.layouts
    return True


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout: str) -> None:
    assert assert_agree(tasks_text(LAYOUTS[layout]))


@pytest.mark.parametrize("layout", ["random", "random, compact", "all odd"])
@pytest.mark.parametrize("processes", [1, 2])
def test_whole_graph(
    layout: str, processes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_general_path = []
    original = document.tasks_of_text
    monkeypatch.setattr(
        document,
        "tasks_of_text",
        lambda text, docs, *rest: by_general_path.extend(docs) or original(text, docs, *rest),  # type: ignore[func-returns-value]
    )
    monkeypatch.setattr(arrays, "MIN_MEMBERS_BYTES", 1)
    monkeypatch.setattr(reader, "BLOCK_BYTES", 1 << 14)
    text = graph_text(LAYOUTS[layout])
    path = tmp_path / "graph.json"
    path.write_bytes(text)
    graph = reader.read_graph(path, processes=processes)
    assert as_lists(graph) == reference(text)
    assert len(by_general_path) < graph.num_tasks // 2


# What is refused, and what is read


SLOT = b'{"strides":[64,1],"base_ptr":"x","offset":128,"dims":[8,64],"data_type":941}'
TASK = (
    b'{"task_type":110,"outputs":[%b],"kv_idx":-1,"variant_id":0,"trigger_event":4294967298,'
    b'"inputs":[%b,%b],"request_id":-1,"merge_task_offset":-1,"expert_offset":7,'
    b'"dependent_event":9223372036854775806,"task_offset":-1}'
) % (SLOT, SLOT.replace(b'"x"', b'"layer_0_weights"'), SLOT.replace(b"128", b"0"))
TASKS = b",".join([TASK, TASK.replace(b"110", b"111")])
TEXT_OF_EVENT = b"9223372036854775806"


def test_plain_tasks_are_read() -> None:
    assert assert_agree(TASKS)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"-1", b"- 1"),
        (b"-1", b"-"),
        (b"-1", b"-0"),
        (b"-1", b"-01"),
        (b"-1", b"--1"),
        (b"-1", b"+1"),
        (b"-1", b"1-"),
        (b"-1", b""),
        (b"-1", b"null"),
        (b"-1", b'"1"'),
        (b"-1", b"[1]"),
        (b":7", b":07"),
        (b":7", b":7.0"),
        (b":7", b":7e0"),
        (b":7", b":7 1"),
        (b":7", b":7\n1"),
        (b":7", b":7:7"),
        (b":7", b":2147483648"),
        (b":7", b":\\u0037"),
        (b":7", b":7/*x*/"),
        (b":7", b":\x0c7"),
        (b"941", b"true"),
        (TEXT_OF_EVENT, b"-1"),
        (TEXT_OF_EVENT, b"18446744073709551616"),
        (TEXT_OF_EVENT, b"99999999999999999999"),
        (TEXT_OF_EVENT, b"100000000000000000000000"),
        (b":128", b":9223372036854775808"),
        (b"[64,1]", b"[64,1"),
        (b"[64,1]", b"[64,,1]"),
        (b"[64,1]", b"[64,1,]"),
        (b"[64,1]", b"[6 4,1]"),
        (b"[64,1]", b"[64,01]"),
        (b"[64,1]", b"[64,1.0]"),
        (b"[64,1]", b"[64,[1]]"),
        (b"[64,1]", b"[64,1,1]"),
        (b"[64,1]", b"null"),
        (b"[8,64]", b"[8,-64]"),
        (b'"x"', b'"x'),
        (b'"x"', b'x"'),
        (b'"x"', b'"x""'),
        (b'"x"', b'"x" "y"'),
        (b'"x"', b'"\n"'),
        (b'"x"', b'"\x01"'),
        (b'"x"', b'"\xff"'),
        (b'"x"', b'"\x00"'),
        (b'"x"', b"null"),
        (b'"x"', b'"\\x"'),
        (b'"dims"', b'"dim"'),
        (b'"dims"', b'"Dims"'),
        (b'"dims"', b"dims"),
        (b'"dims"', b'"strides"'),
        (b'"dims"', b'" dims"'),
        (b'"dims"', b'"dims","dims"'),
        (b'"dims":', b'"dims"'),
        (b'"dims":', b'"dims"::'),
        (b'"dims":[8,64],', b""),
        (b'"dims":[8,64],', b'"dims":[8,64],"dims":[8,64],'),
        (b'"kv_idx":-1,', b""),
        (b'"kv_idx":-1,', b'"kv_idx":-1,"kv_idx":-1,'),
        (b'"kv_idx":-1,', b'"kv_idx":-1,,'),
        (b'"kv_idx":-1,', b'"kv_idx":-1'),
        (b'"kv_idx":-1,', b'"kv_idx":-1,"version":2,'),
        (b'"kv_idx":-1,', b'"kv_idx":[{"kv_idx":-1}],'),
        (b'"kv_idx"', b'"task_type"'),
        (b'"request_id"', b'"variant_id"'),
        (b'"expert_offset"', b'"export_offset"'),
        (b'"merge_task_offset"', b'"marge_task_offset"'),
        (b'"merge_task_offset"', b'"task_offset"'),
        (b'"offset":', b'"_offset":'),
        (b"},{", b"}{"),
        (b"},{", b"},,{"),
        (b"},{", b"],["),
        (b"}],", b"},"),
        (b"}],", b"}]"),
        (b"}],", b"}]],"),
        (b"}],", b"},],"),
        (b'"inputs":[', b'"inputs":{'),
        (b'"inputs":[', b'"inputs":[['),
        (b'"inputs":[', b'"inputs":[1,'),
        (b'"inputs":[', b'"inputs":[],"inputs":['),
        (TASK, TASK + b"]"),
        (TASK, TASK + b"}"),
        (TASK, TASK[:-1]),
        (TASK, TASK[1:]),
        (TASK, TASK + b","),
        (TASK, b"," + TASK),
        (TASK, TASK + b",null"),
        (TASK, TASK + b",{}"),
        (TASK, TASK + b'"'),
        (TASK, SLOT),
        (TASK, b"[%b]" % TASK),
        (TASK, b'"a":' + TASK),
        (TASK, b""),
        (TASK, b'{"":1}'),
        (TASK, b":"),
    ],
)
def test_damage_is_refused(old: bytes, new: bytes) -> None:
    text = TASKS.replace(old, new, 1)
    assert text != TASKS
    assert not assert_agree(text)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"-1", b" -1\n"),
        (b"-1", b"-2147483647"),
        (b":7", b":0"),
        (b":7", b": 2147483647 "),
        (TEXT_OF_EVENT, b"18446744073709551615"),
        (TEXT_OF_EVENT, b"10000000000000000"),
        (TEXT_OF_EVENT, b"9999999999999999"),
        (TEXT_OF_EVENT, b"100000000"),
        (TEXT_OF_EVENT, b"99999999"),
        (b":128", b":9223372036854775807"),
        (b"[64,1]", b"[\r\n\t64,\r\n\t1 ]"),
        (b'"x"', b'"' + b"a.b-c/d" * 20 + b'"'),
        (b'"x"', '"größe"'.encode()),
        (b'"x"', b'"\\u0031\\u007E"'),
        (b'"x"', b'"null"'),
        (b'"x"', b'"],[},{"'),
        (b'"x"', b'""'),
        (b'"x"', b'"a:b::"'),
        (b'"dims"', b'"\\u0064\\u0069\\u006D\\u0073"'),
        (b"[%b]" % SLOT, b"null"),
        (b"[%b]" % SLOT, b" null "),
        (b"[%b]" % SLOT, b"[ ]"),
    ],
)
def test_legal_oddities_are_read(old: bytes, new: bytes) -> None:
    assert assert_agree(TASKS.replace(old, new, 1))


@pytest.mark.parametrize(
    "new", [b"nu ll", b"[ ] ]", b'"nu ll"', b'"a b"', b'" a"', b'"a\\"b"', b'":b"', b'"\\u00e9"']
)
def test_other_texts_are_left_to_the_parser(new: bytes) -> None:
    old = b'"x"' if new.startswith(b'"') else b"[%b]" % SLOT
    assert not assert_agree(TASKS.replace(old, new, 1))


def test_null_that_is_parted_beside_one_that_is_not() -> None:
    text = TASKS.replace(b"[%b]" % SLOT, b"null", 1).replace(b"[%b]" % SLOT, b"nu\nll", 1)
    assert not assert_agree(text)


# Damage at random


def _mutants(text: bytes, number: int) -> Iterator[bytes]:
    source = random.Random(7)
    pieces = [b"%c" % byte for byte in b'{}[],:"-019 \n.e\\\x00\xff'] + [b"},{", b"}],", b"[{"]
    pieces += [b"null", b"\\u0031", b'"dims":', b'"x":1,', b"18446744073709551616"]
    for _ in range(number):
        begin = source.randrange(len(text))
        end = begin + source.choice((0, 0, 1, 1, 2, 6))
        kind = source.random()
        if kind < 0.7:
            yield text[:begin] + source.choice(pieces) + text[end:]
        elif kind < 0.8:
            yield text[:begin] + text[end:]
        else:
            begin, end = sorted(source.randrange(len(text)) for _ in range(2))
            yield text[:end] + text[begin : begin + 60] + text[end:]


@pytest.mark.parametrize("spaced", [False, True])
def test_mutants_are_read_as_by_the_parser(spaced: bool) -> None:
    text = re.sub(rb"([,:\[{])", rb"\1 ", TASKS) if spaced else TASKS
    read = sum(assert_agree(mutant) for mutant in _mutants(text, 1200))
    assert 10 < read < 600, "some changes do no harm, most do"


# Tables


def test_tables_that_are_full_start_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    text = tasks_text(LAYOUTS["random"])
    layouts, expected_layouts = LayoutTable(), LayoutTable()
    members = TaskMembers(layouts)
    expected = listed(by_parser(text, expected_layouts), expected_layouts)
    monkeypatch.setattr(interning, "MAX_KNOWN", 3)
    for _ in range(3):
        assert listed(members.piece(text), layouts) == expected
    monkeypatch.setattr(task_members, "MAX_TEXTS", 5)
    with pytest.raises(IrregularError):
        members.piece(text)
    monkeypatch.undo()
    assert listed(members.piece(text), layouts) == expected
    assert layouts.layouts == expected_layouts.layouts


def test_keys_at_one_place_of_a_table() -> None:
    table = interning.CodeTable()
    keys = np.arange(1 << 18, dtype=np.uint64)
    places = (keys * interning._SPREAD) >> interning._DROPPED
    same = keys[places == places[5]][:3]
    assert len(same) == 3
    order = np.array([1, 0, 2, 1, 1, 2, 0])
    seen: list[int] = []

    def new(position: int) -> int:
        seen.append(position)
        return 10 + len(seen)

    for _ in range(3):
        codes = table.codes(same[order], new)
        assert codes.tolist() == [11, 12, 13, 11, 11, 13, 12]
    assert seen == [0, 1, 2]
    assert table.codes(np.array([0, 1], np.uint64), new).tolist() == [14, 15]


def test_errors_are_those_of_the_general_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = graph_text(LAYOUTS["random"])
    at = text.index(b'"task_type"', len(text) // 2)
    bad = text[:at] + b'"kv_idx": 1, ' + text[at:]
    path = tmp_path / "graph.json"
    path.write_bytes(bad)
    messages = []
    for least in (1, 1 << 30):
        monkeypatch.setattr(arrays, "MIN_MEMBERS_BYTES", least)
        with pytest.raises(GraphReadError, match="'kv_idx' appears twice") as caught:
            reader.read_graph(path)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
