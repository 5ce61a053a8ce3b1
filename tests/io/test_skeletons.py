"""Tasks that differ in names only: known without a parser, never taken for what they are not."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import orjson
import pytest

from mpkgraph.errors import GraphReadError
from mpkgraph.io import reader, skeletons, templates
from mpkgraph.io.columns import ExtraTable, LayoutTable
from mpkgraph.io.markers import TextLayout
from tests.io.reader_reference import as_lists, reference

NAMES = [
    "x",
    "",
    "layer_7_attn.out",
    "a:b",
    'quote " in it',
    "back\\slash",
    "ends in \\",
    "tab\tand\nline",
    "\x01\x02",
    "\u00a0 no\u2028break",
    "gr\u00fc\u00df",
    "\U0001f600",
    '"base_ptr": "x"',
    '", "offset": 5, "base_ptr": "',
    "1000000007",
    "0",
    "1",
    "{}[],:",
]
EVENT = {"event_type": 900, "first_task_id": 0, "last_task_id": 0, "num_triggers": 1}


def task(names: list[str], num_inputs: int, offset: int = 0, **others: Any) -> dict[str, Any]:
    slots = [
        {
            "base_ptr": name,
            "data_type": 6 + i % 2,
            "dims": [1, 64 + i],
            "offset": offset * 128,
            "strides": [64 + i, 1],
        }
        for i, name in enumerate(names)
    ]
    return {
        "dependent_event": 0,
        "expert_offset": -1,
        "inputs": slots[:num_inputs],
        "kv_idx": -1,
        "merge_task_offset": -1,
        "outputs": slots[num_inputs:],
        "request_id": -1,
        "task_offset": -1,
        "task_type": 101,
        "trigger_event": offset,
        "variant_id": 0,
        **others,
    }


def text_of(tasks: list[dict[str, Any]], indent: int | None, *, escape: bool) -> str:
    doc = {"all_events": [EVENT] * 64, "all_tasks": tasks, "first_tasks": []}
    return json.dumps(doc, indent=indent, ensure_ascii=escape)


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Texts of the tasks that took a parser."""
    seen: list[bytes] = []
    for module in (skeletons, templates):
        plain = module.plain_task

        def spy(text: bytes, *args: Any, plain: Any = plain) -> Any:
            seen.append(text)
            return plain(text, *args)

        monkeypatch.setattr(module, "plain_task", spy)
    return seen


@pytest.mark.parametrize("indent", [None, 2])
def test_other_names_take_no_parser(
    indent: int | None, tmp_path: Path, parsed: list[bytes]
) -> None:
    tasks = [task([f"x_{i // 4}", "w: all", f"y_{i // 4}"], 2, i % 4) for i in range(4000)]
    text = text_of(tasks, indent, escape=True)
    path = tmp_path / "graph.json"
    path.write_text(text)
    assert as_lists(reader.read_graph(path)) == reference(text.encode())
    # one structure; the last of a block ends as no other does and is read by another way
    assert 1 <= len(parsed) <= 4


def test_all_text_that_is_kept_is_counted() -> None:
    """Templates are dropped when there is much of it."""
    head = b'{"dependent_event":'
    layout = TextLayout(
        head=head,
        tail=b"}",
        separator=b"}," + head,
        brace=len(head) - 1,
        blanks_before=0,
        blanks_after=0,
        hole_ends=b"t",
    )
    known = templates.TaskTemplates(LayoutTable(), ExtraTable("task"))
    names = (["abc", "de"], ["x", "yz"], ["abc"])
    texts = [orjson.dumps(task(x, 1))[len(head) : -1] + layout.separator for x in names]
    without_names = len(texts[0]) - len("abcde")
    assert known.num_bytes == 0
    assert known.code(texts[0], layout) == 0
    assert known.num_bytes == len(texts[0]) + without_names
    assert known.code(texts[1], layout) == 1
    assert known.num_bytes == len(texts[0]) + without_names + len(texts[1])
    before = known.num_bytes
    assert known.code(texts[2], layout) == 2
    assert known.num_bytes == before + 2 * len(texts[2]) - len("abc")
    assert not known.is_stale


@pytest.mark.parametrize("escape", [True, False])
@pytest.mark.parametrize("seed", range(8))
def test_any_names_read_as_by_a_parser(seed: int, escape: bool, tmp_path: Path) -> None:
    draw = random.Random(seed)
    tasks = []
    for _ in range(60):
        names = draw.choices(NAMES, k=draw.randrange(4))
        tasks += [task(names, draw.randrange(len(names) + 1), i) for i in range(draw.randrange(6))]
        if draw.random() < 0.1:
            tasks.append(task(names, 0, 1, newer={"base_ptr": draw.choice(NAMES)}))
    text = text_of(tasks, draw.choice([None, 2]), escape=escape).encode()
    path = tmp_path / "graph.json"
    path.write_bytes(text)
    assert as_lists(reader.read_graph(path)) == reference(text)


def test_sides_in_another_order_keep_their_names(tmp_path: Path) -> None:
    tasks = []
    for i in range(400):
        one = task([f"a_{i // 40}", f"b_{i // 40}", f"c_{i // 40}"], 1, i % 40)
        # outputs first
        tasks.append({key: one[key] for key in sorted(one, reverse=True)})
    text = text_of(tasks, 2, escape=True)
    path = tmp_path / "graph.json"
    path.write_text(text)
    graph = reader.read_graph(path)
    assert as_lists(graph) == reference(text.encode())
    assert [x.base_ptr for x in graph.layouts[:3]] == ["a_0", "b_0", "c_0"]


@pytest.mark.parametrize("name", ["0", "1", "zz"])
def test_a_key_that_is_spelled_otherwise(name: str, tmp_path: Path) -> None:
    """A slot whose name was not seen must not get the name of another."""
    tasks = [task([f"a_{i // 40}", "SPELLED"], 1, i % 40) for i in range(400)]
    text = text_of(tasks, None, escape=True)
    text = text.replace('"base_ptr": "SPELLED"', f'"\\u0062ase_ptr": "{name}"')
    path = tmp_path / "graph.json"
    path.write_text(text)
    assert as_lists(reader.read_graph(path)) == reference(text.encode())


NO_TEXT = [b"x\n", b"\x1f", b"\xff", b"\xed\xa0\x80", b'x"', b"\\", b"\\x", b"\x01"]


@pytest.mark.parametrize("name", [*NO_TEXT, b'", "base_ptr": "y'], ids=repr)
def test_a_name_that_is_no_text_is_refused(name: bytes, tmp_path: Path) -> None:
    tasks = [task(["KNOWN" if i else "other", "z"], 1, i % 40) for i in range(400)]
    tasks[300] = task(["BROKEN", "z"], 1, 7)
    good = text_of(tasks, 2, escape=True).encode()
    path = tmp_path / "graph.json"
    path.write_bytes(good)
    assert as_lists(reader.read_graph(path)) == reference(good)
    path.write_bytes(good.replace(b"BROKEN", name))
    with pytest.raises(GraphReadError):
        reader.read_graph(path)
