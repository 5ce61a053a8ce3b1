"""Overlays: what they hold, their JSON form, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mpkgraph.analysis.page import (
    Category,
    Overlay,
    OverlayItem,
    overlays_json,
    parse_overlays,
    read_overlays,
)
from mpkgraph.errors import GraphReadError, SelectionError, UsageError

VALUE = Overlay(
    "start",
    "Start time",
    "when a task starts",
    values=np.array([0.0, np.nan, 2.5]),
    unit="us",
    scale="log",
    center=1.0,
    labels=("first",),
    label_codes=np.array([0, -1, -1]),
    rank=1,
)
CATEGORY = Overlay(
    "diff",
    "What changed",
    codes=np.array([1, -1]),
    categories=(Category("gone", "removed"), Category("grown")),
    task_ids=np.array([7, 3]),
    items=(OverlayItem("a", "b", 1, (7,), (2,), (4,), ("x",)),),
)


def entry(**changes):
    row = {"name": "a", "title": "A", "kind": "value", "values": [1, 2]}
    row.update(changes)
    return {key: value for key, value in row.items() if value is not ...}


def document(*rows):
    return {"schema": "mpkgraph-overlay/1", "overlays": list(rows)}


def test_json_form_is_read_back(tmp_path):
    path = tmp_path / "overlay.json"
    path.write_text(json.dumps(overlays_json([VALUE, CATEGORY])))
    value, category = read_overlays(path)
    assert np.array_equal(value.values, VALUE.values, equal_nan=True)
    assert category.codes.tolist() == [1, -1]
    assert category.task_ids.tolist() == [7, 3]
    for read, made in ((value, VALUE), (category, CATEGORY)):
        assert read.to_json() == made.to_json()
        assert (read.categories, read.items, read.labels) == (
            made.categories,
            made.items,
            made.labels,
        )


def test_a_sparse_overlay_is_spread_over_all_tasks():
    assert CATEGORY.by_task(CATEGORY.codes, 9, -1).tolist() == [-1, -1, -1, -1, -1, -1, -1, 1, -1]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "kind"}, "can't be called"),
        ({"name": ""}, "can't be called"),
        ({"values": None}, "either values or codes"),
        ({"codes": np.zeros(2, np.int64)}, "either values or codes"),
        ({"task_ids": np.arange(3)}, "3 tasks beside 2 rows"),
        ({"label_codes": np.array([0, 0])}, "beyond the 0 labels"),
        ({"label_codes": np.array([-1])}, "1 labels beside 2 rows"),
        ({"scale": "cubic"}, "not linear or log"),
        ({"values": None, "codes": np.array([0])}, "beyond the 0 categories"),
        ({"values": None, "codes": np.array([-2])}, "beyond the 0 categories"),
        ({"items": (OverlayItem("x", category=2),)}, "beyond the 0 categories"),
    ],
)
def test_what_makes_no_sense_is_refused(changes, said):
    with pytest.raises(UsageError, match=said):
        Overlay(**{"name": "a", "title": "A", "values": np.zeros(2), **changes})


def test_a_category_has_a_known_role():
    with pytest.raises(UsageError, match="Roles are error"):
        Category("x", "purple")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([], "schema is None"),
        ({"schema": "mpkgraph-overlay/9"}, "not 'mpkgraph-overlay/1'"),
        ({"schema": "mpkgraph-overlay/1"}, "overlays is no list"),
        (document(3), r"overlays\[0\] is 3"),
        (document(entry(kind="picture")), "kind is 'picture'"),
        (document(entry(values=...)), "values is no list"),
        (document(entry(values=[1, "x"])), r"values\[1\] is 'x'"),
        (document(entry(values=[True])), r"values\[0\] is True"),
        (document(entry(name=...)), "name is None, no text"),
        (document(entry(tasks=[2**70, 1])), "tasks holds a number beyond 64 bits"),
        (document(entry(center="x")), "center is 'x'"),
        (document(entry(items=[{"title": 3}])), r"items\[0\]: title is 3"),
        (document(entry(num_tasks=7)), "2 rows and num_tasks 7"),
        (document(entry(), entry()), "two overlays are called 'a'"),
        (
            document(entry(kind="category", categories=[{"name": "x", "role": "?"}], codes=[])),
            "role",
        ),
        (document(entry(kind="category", categories=[], codes=[1])), "beyond the 0 categories"),
    ],
)
def test_a_broken_document_says_where(found, said):
    with pytest.raises(GraphReadError, match=said) as error:
        parse_overlays(found, "file.json")
    assert str(error.value).startswith("file.json")


def test_files_that_are_none(tmp_path):
    with pytest.raises(GraphReadError, match="can't be read"):
        read_overlays(tmp_path / "no.json")
    path = tmp_path / "x.json"
    path.write_text("{")
    with pytest.raises(GraphReadError, match="is no JSON"):
        read_overlays(path)


@pytest.mark.parametrize(
    ("overlay", "num_tasks", "rank", "said"),
    [
        (VALUE, 3, 0, "it is of rank 1, and the graph of rank 0"),
        (VALUE, 4, 1, "it has 3 rows, and the graph 4 tasks"),
        (CATEGORY, 7, 0, "it speaks of task 7, and the graph has 7 tasks"),
    ],
)
def test_an_overlay_of_another_graph_is_refused(overlay, num_tasks, rank, said):
    with pytest.raises(SelectionError, match=said):
        overlay.check(num_tasks, rank)
