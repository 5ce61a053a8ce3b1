"""Names of Mirage's numbers: the built-in tables, another version's headers, unknown numbers."""

from __future__ import annotations

import pytest

from mpkgraph import catalog
from mpkgraph.catalog import DEFAULT, Catalog, header
from mpkgraph.catalog.data_types import DATA_TYPES
from mpkgraph.catalog.event_types import EVENT_TYPES
from mpkgraph.catalog.task_types import TASK_TYPES
from mpkgraph.errors import GraphReadError

HEADER = """
#pragma once
constexpr int N = 3; // enum TaskType in a comment
typedef unsigned long long int TaskId;
enum TaskType {
  TASK_TERMINATE = 0, // the end
  TASK_BEGIN_TASK_GRAPH = 10,
  /* many
     more = 7 */
  TASK_NEW = 0x1F,
  TASK_NEXT,
  TASK_ALIAS = TASK_NEW,
};
enum EventType { EVENT_EMPTY = 900, EVENT_NEW = 950 };
"""


@pytest.fixture
def mirage_home(tmp_path):
    path = tmp_path / header.RUNTIME_HEADER
    path.parent.mkdir(parents=True)
    path.write_text(HEADER)
    return tmp_path


@pytest.mark.parametrize("table", [TASK_TYPES, EVENT_TYPES, DATA_TYPES])
def test_numbers_and_names_are_unique(table):
    assert len({row.value for row in table}) == len({row.name for row in table}) == len(table)


def test_registered_names_belong_to_one_type():
    names = [name for row in TASK_TYPES for name in row.register_names]
    assert len(names) == len(set(names))


def test_header_of_another_version(mirage_home):
    other = Catalog.from_mirage_home(mirage_home)
    assert other.task_types == {
        0: "TASK_TERMINATE",
        10: "TASK_BEGIN_TASK_GRAPH",
        31: "TASK_NEW",
        32: "TASK_NEXT",
    }
    assert other.event_type_name(950) == "EVENT_NEW"
    assert other.data_type_name(941) == "bfloat16"
    assert other.task_type_row(31).kind == "unknown"


def test_mirage_home_variable_is_used(mirage_home, monkeypatch):
    monkeypatch.setenv(catalog.MIRAGE_HOME_VARIABLE, str(mirage_home))
    assert catalog.catalog_for().task_type_name(31) == "TASK_NEW"
    monkeypatch.delenv(catalog.MIRAGE_HOME_VARIABLE)
    assert catalog.catalog_for() is DEFAULT


def test_data_types_come_from_the_header_too(mirage_home):
    types = mirage_home / header.TYPE_HEADER
    types.write_text("enum DataType { DT_FLOAT4 = 920, DT_MX = 921 };")
    other = Catalog.from_mirage_home(mirage_home)
    assert other.data_type_name(921) == "mx"
    assert other.data_type_name(941) == "DT_941"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("int x;", "no 'enum TaskType'"),
        ("enum TaskType { A = B + 1 };", "is not a number"),
        ("enum TaskType { A = 1, 2B };", "can't read entry"),
    ],
)
def test_bad_header_is_one_message(mirage_home, text, message):
    (mirage_home / header.RUNTIME_HEADER).write_text(text)
    with pytest.raises(GraphReadError, match=message) as error:
        Catalog.from_mirage_home(mirage_home)
    assert "runtime_header.h" in str(error.value)


def test_missing_header_names_the_remedy(tmp_path):
    with pytest.raises(GraphReadError, match="Mirage source tree"):
        Catalog.from_mirage_home(tmp_path)


def test_header_that_is_not_text(mirage_home):
    (mirage_home / header.RUNTIME_HEADER).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(GraphReadError, match="not UTF-8"):
        Catalog.from_mirage_home(mirage_home)


def test_unknown_numbers_have_a_name():
    assert DEFAULT.task_type_name(4242) == "TASK_4242"
    assert DEFAULT.event_type_name(4242) == "EVENT_4242"
    assert DEFAULT.data_type_name(4242) == "DT_4242"
    assert DEFAULT.data_type_size(4242) is None
    assert DEFAULT.task_type_row(4242).kind == "unknown"
