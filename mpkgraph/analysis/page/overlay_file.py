"""Overlays from a JSON file, schema `mpkgraph-overlay/1`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import orjson

from mpkgraph.analysis.page.overlay import SCHEMA, Category, Overlay, OverlayItem, texts
from mpkgraph.errors import GraphReadError, UsageError

Found = TypeVar("Found")
OTHER_FORMS: Final = {
    "mpkgraph-verify/1": "--findings colours a page by what verify finds",
    "mpkgraph-diff/1": "--against LEFT colours a page by what differs",
    "mpkgraph-show/1": "--schedule colours a page by simulated times",
}
"""What else of ours could be taken for an overlay, and what to do instead."""
_NUMBER = (int, float)


def read_overlays(path: str | os.PathLike[str]) -> tuple[Overlay, ...]:
    """The overlays of a file.

    Raises GraphReadError when it can't be read or is no such file.
    """
    return parse_overlays(read_document(path), os.fspath(path))


def read_document(path: str | os.PathLike[str]) -> Any:
    """A JSON file. Raises GraphReadError when it can't be read or is none."""
    name = os.fspath(path)
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise GraphReadError(
            f"can't be read: {error.strerror or error}", where=name, remedy="Check the path"
        ) from error
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise GraphReadError(f"is no JSON: {error}", where=name) from error


def parse_overlays(document: Any, where: str = "overlay") -> tuple[Overlay, ...]:
    """The overlays of a JSON document; `where` is what errors call it.

    Raises GraphReadError for a document that is none.

    >>> [x.name for x in parse_overlays({"schema": "mpkgraph-overlay/1", "overlays": [
    ...     {"name": "start", "title": "Start", "kind": "value", "values": [1.5, None]}]})]
    ['start']
    """
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA:
        raise GraphReadError(
            f"is no overlay: schema is {_shown(schema)}, not {SCHEMA!r}",
            where=where,
            remedy=OTHER_FORMS.get(schema, "docs/reference/overlay.md tells the form")
            if isinstance(schema, str)
            else "docs/reference/overlay.md tells the form",
        )
    rows = _list(document, "overlays", dict, where)
    found = tuple(_overlay(row, f"{where}: overlays[{i}]") for i, row in enumerate(rows))
    names = [x.name for x in found]
    for name in names:
        if names.count(name) > 1:
            raise GraphReadError(f"two overlays are called {_shown(name)}", where=where)
    return found


def _overlay(row: dict[str, Any], where: str) -> Overlay:
    kind = row.get("kind")
    if kind not in ("value", "category"):
        raise GraphReadError(f"kind is {_shown(kind)}, not value or category", where=where)
    columns: dict[str, Any] = {}
    if kind == "value":
        values = _list(row, "values", (*_NUMBER, type(None)), where)
        columns["values"] = np.array([np.nan if x is None else x for x in values], dtype=np.float64)
        columns["unit"] = _text(row, "unit", where, "")
        columns["scale"] = _text(row, "scale", where, "linear")
        columns["center"] = _optional(row, "center", _NUMBER, where)
    else:
        columns["categories"] = tuple(
            _category(x, f"{where}.categories[{i}]")
            for i, x in enumerate(_list(row, "categories", dict, where))
        )
        columns["codes"] = _integers(row, "codes", where)
    if row.get("labels") is not None:
        labels = _list(row, "labels", (str, type(None)), where)
        columns["labels"], columns["label_codes"] = texts(labels)
    if row.get("tasks") is not None:
        columns["task_ids"] = _integers(row, "tasks", where)
    num_tasks = _optional(row, "num_tasks", int, where)
    try:
        overlay = Overlay(
            name=_text(row, "name", where),
            title=_text(row, "title", where, _text(row, "name", where)),
            description=_text(row, "description", where, ""),
            rank=_optional(row, "rank", int, where),
            items=tuple(
                _item(x, f"{where}.items[{i}]")
                for i, x in enumerate(_list(row, "items", dict, where, optional=True))
            ),
            **columns,
        )
    except UsageError as error:
        raise GraphReadError(error.what, where=where, remedy=error.remedy) from error
    if num_tasks is not None and overlay.task_ids is None and overlay.num_rows != num_tasks:
        raise GraphReadError(f"{overlay.num_rows} rows and num_tasks {num_tasks}", where=where)
    return overlay


def _category(row: dict[str, Any], where: str) -> Category:
    try:
        return Category(_text(row, "name", where), _optional(row, "role", str, where))
    except UsageError as error:
        raise GraphReadError(error.what, where=where, remedy=error.remedy) from error


def _item(row: dict[str, Any], where: str) -> OverlayItem:
    return OverlayItem(
        title=_text(row, "title", where),
        text=_text(row, "text", where, ""),
        category=_optional(row, "category", int, where),
        tasks=tuple(_list(row, "tasks", int, where, optional=True)),
        operators=tuple(_list(row, "operators", int, where, optional=True)),
        events=tuple(_list(row, "events", int, where, optional=True)),
        tensors=tuple(_list(row, "tensors", str, where, optional=True)),
    )


def _integers(row: dict[str, Any], key: str, where: str) -> Any:
    found = _list(row, key, (int, type(None)), where)
    try:
        return np.array([-1 if x is None else x for x in found], dtype=np.int64)
    except OverflowError as error:
        raise GraphReadError(f"{key} holds a number beyond 64 bits", where=where) from error


def _list(row: dict[str, Any], key: str, kind: Any, where: str, *, optional: bool = False) -> Any:
    value = row.get(key)
    if value is None and optional:
        return []
    if not isinstance(value, list):
        raise GraphReadError(f"{key} is no list", where=where)
    for i, x in enumerate(value):
        if not isinstance(x, kind) or isinstance(x, bool):
            raise GraphReadError(f"{key}[{i}] is {_shown(x)}", where=where)
    return value


def _text(row: dict[str, Any], key: str, where: str, default: str | None = None) -> str:
    value = row.get(key, default)
    if not isinstance(value, str):
        raise GraphReadError(f"{key} is {_shown(value)}, no text", where=where)
    return value


def _optional(row: dict[str, Any], key: str, kind: Any, where: str) -> Any:
    value = row.get(key)
    if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
        raise GraphReadError(f"{key} is {_shown(value)}", where=where)
    return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
