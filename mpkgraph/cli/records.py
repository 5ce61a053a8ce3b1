"""Which pipeline record a graph file goes with, and what is said of one that does not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import orjson

from mpkgraph.errors import GraphReadError
from mpkgraph.io.derived import Derivation, KeptResults
from mpkgraph.io.record_file import RecordText, find_record, read_record_text
from mpkgraph.io.source import STDIN
from mpkgraph.render.escape import printable

if TYPE_CHECKING:
    from mpkgraph.catalog import Catalog


class RecordChoice:
    """The record of one graph file: the one that the user named, else the one beside the graph.

    One beside the graph that can't be read or is not of this graph is said on standard error and
    not used; one that the user named is an error.
    """

    def __init__(
        self,
        graph_path: str,
        kept: KeptResults,
        catalog: Catalog,
        *,
        named: str | None,
        use_record: bool,
    ) -> None:
        self.kept = kept
        self._catalog = catalog
        self._named = named
        self.text: RecordText | None = None
        """None when there is none to use."""
        if named is not None:
            self.text = read_record_text(named)
        elif use_record and graph_path != STDIN:
            self._find(graph_path)

    @property
    def derivation(self) -> Derivation:
        """What results are computed from."""
        return Derivation(self._catalog, None if self.text is None else self.text.sha256)

    def refuse(self, error: GraphReadError) -> None:
        """Goes on without the record, because of `error`; raises it when the user named it."""
        if self._named is not None or self.text is None:
            raise error
        _warn(error)
        refusal = orjson.dumps([error.what, error.where, error.remedy])
        self.kept.keep(self._refusal_key(self.text), refusal)
        self.text = None

    def _find(self, graph_path: str) -> None:
        found = find_record(graph_path)
        if found is None:
            return
        try:
            text = read_record_text(found)
        except GraphReadError as error:
            _warn(error)
            return
        self.text = text
        known = self.kept.load(self._refusal_key(text))
        if known is not None:
            what, where, remedy = orjson.loads(known)
            _warn(GraphReadError(what, where=where, remedy=remedy))
            self.text = None

    def _refusal_key(self, text: RecordText) -> str:
        # The error names the file.
        return Derivation(self._catalog, text.sha256).key(f"refusal of {text.name}")


def _warn(error: GraphReadError) -> None:
    click.echo(
        f"mpkgraph: warning: {printable(str(error))}; operators are recovered from the "
        "tasks instead",
        err=True,
    )
