"""Views of a whole graph that are kept in the cache as results, once they were asked for.

What a command shows again then needs neither the graph nor numpy, which takes longer to import
than the rest of such a command.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from mpkgraph.analysis.kept_values import KeptResultError

if TYPE_CHECKING:
    from mpkgraph.analysis.drawing.picture import Drawing
    from mpkgraph.analysis.table import Table
    from mpkgraph.cli.loading import Loaded

KEPT_LISTS = frozenset({"operators", "tensors"})
"""Lists with a row for each of what a graph has hundreds of; others are as long as the graph."""
MAX_KEPT_BYTES = 1 << 20
"""A larger one would take room that graphs could have."""


def kept_list(loaded: Loaded, what: str) -> tuple[Table, int] | None:
    """A whole list, and the graph's rank."""
    from mpkgraph.analysis.table_store import table_from_bytes

    data = loaded.kept.load(loaded.records.derivation.key(_list(what)))
    with suppress(KeptResultError):
        return None if data is None else table_from_bytes(data)
    return None


def keep_list(loaded: Loaded, what: str, table: Table) -> None:
    from mpkgraph.analysis.table_store import table_to_bytes

    with suppress(KeptResultError):
        _keep(loaded, _list(what), table_to_bytes(table, loaded.graph.rank))


def kept_drawing(loaded: Loaded, *, reduce: bool, fold: bool | None) -> Drawing | None:
    """The picture of all operators with these options of `draw_operators`."""
    from mpkgraph.analysis.drawing.store import drawing_from_bytes

    data = loaded.kept.load(loaded.records.derivation.key(_drawing(reduce, fold)))
    with suppress(KeptResultError):
        return None if data is None else drawing_from_bytes(data)
    return None


def keep_drawing(loaded: Loaded, drawing: Drawing, *, reduce: bool, fold: bool | None) -> None:
    from mpkgraph.analysis.drawing.store import drawing_to_bytes

    with suppress(KeptResultError):
        _keep(loaded, _drawing(reduce, fold), drawing_to_bytes(drawing))


def _list(what: str) -> str:
    return f"list of {what}"


def _drawing(reduce: bool, fold: bool | None) -> str:
    return f"drawing of operators, reduce {reduce}, fold {fold}"


def _keep(loaded: Loaded, what: str, data: bytes) -> None:
    if len(data) <= MAX_KEPT_BYTES:
        loaded.kept.keep(loaded.records.derivation.key(what), data)
