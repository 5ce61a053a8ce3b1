"""Numbers in blocks of text: found, read eight digits at a time and blanked."""

from __future__ import annotations

import random
import re
from pathlib import Path

import numpy as np
import orjson
import pytest

from mpkgraph.errors import GraphReadError
from mpkgraph.io import arrays, reader
from mpkgraph.io.block_text import MARGIN
from mpkgraph.io.holes import FIRST_DIGIT, OTHER_DIGIT, HoleText
from mpkgraph.io.words import IrregularError
from tests import goldens
from tests.io.reader_reference import as_lists, reference

UINT64_MAX = (1 << 64) - 1
EDGES = [
    *(10**k for k in range(20)),
    *(10**k - 1 for k in range(1, 20)),
    0,
    UINT64_MAX,
    UINT64_MAX - 1,
    UINT64_MAX - 5,
    18446744073709550000,
]


def block(text: bytes) -> HoleText:
    result = HoleText(64)
    result.load(bytearray(b"1234" + text + b"5678"), 4, len(text))
    return result


def content(text: HoleText) -> bytes:
    return bytes(text.buffer[MARGIN : MARGIN + text.length])


def digits_of(text: bytes) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([match.start() for match in re.finditer(rb"\d+", text)], np.int64)


@pytest.mark.parametrize("seed", range(6))
def test_numbers_are_read_and_blanked(seed: int) -> None:
    draw = random.Random(seed)
    values = EDGES + [draw.randrange(10 ** draw.randrange(1, 20)) for _ in range(300)]
    draw.shuffle(values)
    text = b"".join(
        draw.choice([b",", b" \n", b'"t": ', b"\xff:/", b"/:\x80;;;;;;"]) + b"%d" % value
        for value in values
    )
    found = block(text)
    assert found.read_holes(digits_of(text)).tolist() == values
    blanked = re.sub(rb"\d+", lambda m: FIRST_DIGIT + OTHER_DIGIT * (len(m[0]) - 1), text)
    assert content(found) == blanked


@pytest.mark.parametrize("seed", range(3))
def test_what_is_blanked_comes_back(seed: int) -> None:
    draw = random.Random(seed)
    text = b"".join(b"%d," % draw.randrange(10 ** draw.randrange(1, 20)) for _ in range(300))
    found = block(text)
    at = digits_of(text)
    found.read_holes(at[::2])
    found.restore()
    assert content(found) == text
    found.read_holes(at[::3])
    found.keep_blanks()
    kept = content(found)
    found.read_holes(np.setdiff1d(at, at[::3]))
    assert content(found) != kept != text
    found.restore()
    assert content(found) == kept


@pytest.mark.parametrize(
    "digits",
    ["00", "01", "0" * 9, "012345678901", str(UINT64_MAX + 1), "9" * 20, "1" * 21, "1" * 40],
)
def test_numbers_that_are_none(digits: str) -> None:
    text = b"7," + digits.encode() + b",7"
    with pytest.raises(IrregularError):
        block(text).read_holes(digits_of(text))


@pytest.mark.parametrize("gap", [1, 3, 7, 8, 9, 30])
def test_colons(gap: int) -> None:
    draw = random.Random(gap)
    text = b"".join(b"x" * draw.randrange(gap) + b":" for _ in range(200)) + b"xx"
    expected = [match.start() for match in re.finditer(rb":", text)]
    assert block(text).colons().tolist() == expected


def test_holes_follow_a_quoted_key() -> None:
    text = b'"t": 1, "t": -1, "t": -12, "t": -, t: 5, "t":7, "t": "8", "t": 0'
    found = block(text)
    holes = found.find_holes(found.colons(), 0, 1)
    assert [text[at:][:2] for at in holes.tolist()] == [b"1,", b"12", b"0"]


def test_text_at_places() -> None:
    found = block(b"ab,ab,ac,ab")
    places = np.array([-2, 0, 3, 6, 9], np.int64)
    assert found.equal(places, b"ab").tolist() == [False, True, True, False, True]
    assert found.equal(places[1:3], b"ab").tolist() == [True, True]


def small_tasks(count: int) -> list[dict[str, object]]:
    doc = orjson.loads(goldens.get("bad/fork_duplicate_edges_second-cc80").graph_bytes())
    task: dict[str, object] = doc["all_tasks"][2]
    return [task | {"inputs": None, "outputs": None, "task_offset": i} for i in range(count)]


def graph_of(records: list[bytes]) -> bytes:
    return (
        b'{"all_tasks":['
        + b",".join(records)
        + b'],"all_events":['
        + b",".join(
            [b'{"event_type":900,"first_task_id":0,"last_task_id":0,"num_triggers":1}'] * 4000
        )
        + b"]}"
    )


@pytest.mark.parametrize("byte", [FIRST_DIGIT, OTHER_DIGIT])
def test_bytes_that_stand_for_digits_are_refused(byte: bytes, tmp_path: Path) -> None:
    """Text that holds what digits are replaced with must not pass for digits."""
    records = [orjson.dumps(task) for task in small_tasks(200)]
    path = tmp_path / "graph.json"
    path.write_bytes(graph_of(records))
    assert reader.read_graph(path).num_tasks == 200
    edits = ((b'"task_offset":150', b'"task_offset":1' + byte * 2), (b'":', b'":' + byte))
    for old, new in edits:
        changed = records.copy()
        changed[150] = changed[150].replace(old, new, 1)
        assert changed != records
        path.write_bytes(graph_of(changed))
        with pytest.raises(GraphReadError, match="task 150"):
            reader.read_graph(path)


def test_a_template_is_of_one_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records that begin with another key are not taken for known ones that go on alike."""
    monkeypatch.setattr(reader, "BLOCK_BYTES", 4000)
    monkeypatch.setattr(arrays, "PARSED_BYTES", 1000)
    records = [orjson.dumps({"dependent_event": 1} | task) for task in small_tasks(120)]
    assert all(record.startswith(b'{"dependent_event":') for record in records)
    longer = [b'{"at":"x",' + record[1:] for record in records] * 10
    path = tmp_path / "graph.json"
    text = graph_of([*records, b"null", *longer])
    path.write_bytes(text)
    assert as_lists(reader.read_graph(path)) == reference(text)
    # all that follows the first key is as in the first records
    without = b'{"at":' + records[7].split(b":", 1)[1]
    path.write_bytes(graph_of([*records, b"null", *longer, without, *longer]))
    with pytest.raises(GraphReadError, match="task 1321: has no field 'dependent_event'"):
        reader.read_graph(path)
