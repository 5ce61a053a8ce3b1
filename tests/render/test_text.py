"""Aligned tables, shrinking to a terminal, safe text, CSV and Parquet."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpkgraph.render.escape import printable
from mpkgraph.render.tables import write_csv, write_parquet
from mpkgraph.render.text import TextOptions, TextWriter, size, text_options


def rendered(columns, **options):
    stream = io.StringIO()
    TextWriter(stream, TextOptions(**options)).table(columns)
    return stream.getvalue()


def test_numbers_right_text_left():
    table = rendered({"id": [1, 100], "name": ["a", "long name"], "bytes": [1000, 2]})
    assert table == (
        "   id  name       bytes\n"
        "    1  a           1000\n"
        "  100  long name      2\n"
    )  # fmt: skip


def test_numpy_columns_and_missing_values():
    table = rendered({"n": np.array([1, 2]), "x": [None, (2, 3)], "y": [True, None]})
    assert table == "  n  x    y\n  1       yes\n  2  2x3\n"


def test_wide_text_shrinks_to_the_terminal_and_numbers_do_not():
    columns = {"id": [123456789], "name": ["n" * 80], "other": ["o" * 30]}
    lines = rendered(columns, width=60).splitlines()
    assert max(map(len, lines)) <= 60
    assert "123456789" in lines[1]
    assert "…" in lines[1]
    assert "ooo…ooo" in lines[1]


def test_a_very_long_name_is_cut_even_in_a_pipe():
    line = rendered({"name": ["n" * 10_000]}).splitlines()[1]
    assert len(line) < 120


def test_no_rows():
    assert rendered({"a": [], "b": []}) == "  a  b\n"


@given(st.lists(st.tuples(st.integers(), st.text(max_size=30)), min_size=1, max_size=20))
def test_every_row_is_one_printable_line(rows):
    table = rendered({"n": [row[0] for row in rows], "t": [row[1] for row in rows]})
    lines = table.split("\n")
    assert len(lines) == len(rows) + 2
    assert all(character.isprintable() for line in lines for character in line)


@given(st.text())
def test_printable_is_printable_and_idempotent(text):
    safe = printable(text)
    assert printable(safe) == safe
    assert "\x1b" not in safe
    assert "\n" not in safe


@given(st.text(), st.integers(3, 40))
def test_printable_keeps_to_its_limit(text, limit):
    assert len(printable(text, limit=limit)) <= limit


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1 << 40, "1.0 TiB"),
        (1 << 70, "1048576.0 PiB"),
    ],
)
def test_size(number, text):
    assert size(number) == text


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("environment", "stream", "asked", "color"),
    [
        ({}, Terminal(), None, True),
        ({}, io.StringIO(), None, False),
        ({"NO_COLOR": "1"}, Terminal(), None, False),
        ({"NO_COLOR": ""}, Terminal(), None, True),
        ({"TERM": "dumb"}, Terminal(), None, False),
        ({"FORCE_COLOR": "1"}, io.StringIO(), None, True),
        ({"NO_COLOR": "1"}, io.StringIO(), True, True),
        ({}, Terminal(), False, False),
    ],
)
def test_color_is_decided_as_people_expect(monkeypatch, environment, stream, asked, color):
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert text_options(stream, asked).color is color


COLUMNS = {
    "id": np.array([2**63 + 1, 7], dtype=np.uint64),
    "name": ['a "quoted", name', "b\nc"],
    "dims": [(1, 4096), ()],
    "missing": [None, 3],
}


def test_csv_reads_back():
    stream = io.StringIO()
    write_csv(COLUMNS, stream)
    rows = list(csv.DictReader(io.StringIO(stream.getvalue())))
    assert rows == [
        {"id": str(2**63 + 1), "name": 'a "quoted", name', "dims": "1x4096", "missing": ""},
        {"id": "7", "name": "b\nc", "dims": "", "missing": "3"},
    ]


def test_csv_holds_no_formulas():
    stream = io.StringIO()
    names = ["=1+1", "@sum", "-x", "+y", "\t=1", "w=1", ""]
    write_csv({"name": names, "number": [-1, 2, 3, 4, 5, 6, 7]}, stream)
    rows = list(csv.reader(io.StringIO(stream.getvalue())))[1:]
    assert [x[0] for x in rows] == ["'=1+1", "'@sum", "'-x", "'+y", "'\t=1", "w=1", ""]
    assert rows[0][1] == "-1"


def test_parquet_reads_back():
    import pyarrow.parquet as pq

    stream = io.BytesIO()
    write_parquet(COLUMNS, stream)
    assert pq.read_table(io.BytesIO(stream.getvalue())).to_pylist() == [
        {"id": 2**63 + 1, "name": 'a "quoted", name', "dims": [1, 4096], "missing": None},
        {"id": 7, "name": "b\nc", "dims": [], "missing": 3},
    ]
