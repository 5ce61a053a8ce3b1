"""Overlays: something to say about each task of a graph, to be shown as colours of the page.

An overlay is a column over tasks, of numbers (a time, an error) or of categories (a severity, what
changed), with a text for some tasks and a list of items that lead to tasks, operators and events.
Findings, diffs, runs and schedules all come to the page as overlays; `docs/reference/overlay.md`
describes the JSON form, schema `mpkgraph-overlay/1`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from mpkgraph.errors import SelectionError, UsageError

SCHEMA: Final = "mpkgraph-overlay/1"

Kind = Literal["value", "category"]
Scale = Literal["linear", "log"]

ROLES: Final = (
    "error", "warning", "advice", "good", "broken", "added", "removed", "changed", "same",
)  # fmt: skip
"""What a category may mean; the page has a colour for each that is told apart in light and dark.
Categories without a role get colours of their own."""
RESERVED: Final = ("kind", "type", "operator", "level", "variant", "layer", "worker", "none")
"""Colourings that the page has by itself: no overlay may take their names."""
MAX_CATEGORIES: Final = 4096
"""More are values rather than categories: a legend of so many is not read."""

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Category:
    """One category. The first of an overlay is the gravest: it stands for an operator."""

    name: str
    role: str | None = None

    def __post_init__(self) -> None:
        if self.role is not None and self.role not in ROLES:
            raise UsageError(
                f"a category has the role {self.role!r}", remedy=f"Roles are {', '.join(ROLES)}"
            )


@dataclass(frozen=True, slots=True)
class OverlayItem:
    """A line in the overlay's list: what it says, and where it leads to."""

    title: str
    text: str = ""
    category: int | None = None
    tasks: tuple[int, ...] = ()
    operators: tuple[int, ...] = ()
    events: tuple[int, ...] = ()
    tensors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Overlay:
    """A column over the tasks of one rank's graph, or over those in `task_ids`.

    Raises UsageError for columns of other lengths, and codes without a category.

    >>> times = Overlay("start", "Start time", values=np.array([0.0, 1.5]), unit="us")
    >>> times.kind, times.num_rows
    ('value', 2)
    """

    name: str
    """Short: it stands in links (`#colour=NAME`)."""
    title: str
    description: str = ""
    values: npt.NDArray[np.float64] | None = None
    """NaN where a task has none. Either these or `codes`."""
    codes: npt.NDArray[np.int64] | None = None
    """Positions in `categories`; -1 where a task has none."""
    categories: tuple[Category, ...] = ()
    unit: str = ""
    scale: Scale = "linear"
    center: float | None = None
    """Colours go both ways from here (0 for a difference); None: from least to most."""
    labels: tuple[str, ...] = ()
    label_codes: npt.NDArray[np.int64] | None = None
    """Positions in `labels`; -1 where a task has none."""
    task_ids: IntArray | None = None
    """The task of each row; None: row i is task i."""
    items: tuple[OverlayItem, ...] = field(default=())
    rank: int | None = None
    """The rank that it is of; None where nobody said."""

    def __post_init__(self) -> None:
        where = f"overlay {self.name!r}"
        if not self.name or self.name in RESERVED:
            raise UsageError(f"an overlay can't be called {self.name!r}", remedy="Rename it")
        if (self.values is None) == (self.codes is None):
            raise UsageError("an overlay has either values or codes", where=where)
        for name, column in (("labels", self.label_codes), ("tasks", self.task_ids)):
            if column is not None and len(column) != self.num_rows:
                raise UsageError(
                    f"{len(column)} {name} beside {self.num_rows} rows of data", where=where
                )
        if self.scale not in {"linear", "log"}:
            raise UsageError(f"scale is {self.scale!r}, not linear or log", where=where)
        _check_codes(self.codes, len(self.categories), "categories", where)
        _check_codes(self.label_codes, len(self.labels), "labels", where)
        if len(self.categories) > MAX_CATEGORIES:
            raise UsageError(
                f"{len(self.categories)} categories, more than {MAX_CATEGORIES}", where=where
            )
        wrong = [x.category for x in self.items if x.category is not None]
        _check_codes(np.array(wrong, dtype=np.int64), len(self.categories), "categories", where)

    @property
    def kind(self) -> Kind:
        return "category" if self.values is None else "value"

    @property
    def num_rows(self) -> int:
        column = self.codes if self.values is None else self.values
        return 0 if column is None else len(column)

    def check(self, num_tasks: int, rank: int) -> None:
        """Raises SelectionError unless it fits a graph of so many tasks, of this rank."""
        where = f"overlay {self.name!r}"
        if self.rank is not None and self.rank != rank:
            raise SelectionError(
                f"it is of rank {self.rank}, and the graph of rank {rank}",
                where=where,
                remedy="Choose the graph with --rank",
            )
        if self.task_ids is None and self.num_rows != num_tasks:
            raise SelectionError(
                f"it has {self.num_rows} rows, and the graph {num_tasks} tasks",
                where=where,
                remedy="Give the overlay of this graph, or one with task ids",
            )
        ids = self.task_ids
        if ids is not None and len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < num_tasks:
            wrong = int(ids.min()) if int(ids.min()) < 0 else int(ids.max())
            raise SelectionError(
                f"it speaks of task {wrong}, and the graph has {num_tasks} tasks", where=where
            )

    def by_task(self, column: npt.NDArray[Any], num_tasks: int, missing: float) -> npt.NDArray[Any]:
        """A column of this overlay with a row for each task of the graph."""
        if self.task_ids is None:
            return column
        whole = np.full(num_tasks, missing, dtype=column.dtype)
        whole[self.task_ids] = column
        return whole

    def to_json(self) -> dict[str, Any]:
        """One entry of `overlays` of the JSON form."""
        document: dict[str, Any] = {"name": self.name, "title": self.title, "kind": self.kind}
        if self.description:
            document["description"] = self.description
        if self.rank is not None:
            document["rank"] = self.rank
        if self.task_ids is not None:
            document["tasks"] = self.task_ids.tolist()
        if self.values is not None:
            document["values"] = [
                x if ok else None
                for x, ok in zip(
                    self.values.tolist(), np.isfinite(self.values).tolist(), strict=True
                )
            ]
            document |= {"unit": self.unit, "scale": self.scale, "center": self.center}
        elif self.codes is not None:
            document["categories"] = [{"name": x.name, "role": x.role} for x in self.categories]
            document["codes"] = [None if x < 0 else x for x in self.codes.tolist()]
        if self.label_codes is not None:
            document["labels"] = [
                None if x < 0 else self.labels[x] for x in self.label_codes.tolist()
            ]
        document["items"] = [
            {
                "title": x.title,
                "text": x.text,
                "category": x.category,
                "tasks": list(x.tasks),
                "operators": list(x.operators),
                "events": list(x.events),
                "tensors": list(x.tensors),
            }
            for x in self.items
        ]
        return document


def overlays_json(overlays: Iterable[Overlay]) -> dict[str, Any]:
    """The document that `read_overlays` reads."""
    return {"schema": SCHEMA, "overlays": [x.to_json() for x in overlays]}


def texts(values: Sequence[str | None]) -> tuple[tuple[str, ...], IntArray]:
    """`labels` and `label_codes` of a text for each row.

    >>> texts(["slow", None, "slow"])[1].tolist()
    [0, -1, 0]
    """
    table: dict[str, int] = {}
    codes = [-1 if x is None else table.setdefault(x, len(table)) for x in values]
    return tuple(table), np.array(codes, dtype=np.int64)


def _check_codes(codes: IntArray | None, count: int, what: str, where: str) -> None:
    if codes is not None and len(codes) and not -1 <= int(codes.min()) <= int(codes.max()) < count:
        raise UsageError(f"a code is beyond the {count} {what}", where=where)
