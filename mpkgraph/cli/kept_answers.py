"""Columns over events, operators and tensors that are kept in the cache, so that second commands
need not compute them.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from mpkgraph.io.entry_checks import Column, EntryError
from mpkgraph.io.kept_columns import decode_columns, encode_columns

if TYPE_CHECKING:
    from mpkgraph.analysis.csr import IntArray
    from mpkgraph.analysis.operator_totals import OperatorTotals
    from mpkgraph.analysis.tensor_totals import TensorTotals
    from mpkgraph.cli.loading import Loaded

LEVELS = "levels"
OPERATOR_TOTALS = "operator totals"
TENSOR_TOTALS = "tensor totals"
_LEVELS_COLUMN = "event_levels"


class CachedAnswers:
    """What the cache keeps of a graph file (see `analysis.context.KeptAnswers`)."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded

    def event_levels(self, num_events: int) -> IntArray | None:
        found = self._load(LEVELS, (_LEVELS_COLUMN,), num_events)
        return None if found is None else found[_LEVELS_COLUMN]

    def keep_event_levels(self, levels: IntArray) -> None:
        self._keep(LEVELS, {_LEVELS_COLUMN: levels})

    def operator_totals(self, num_operators: int) -> OperatorTotals | None:
        from mpkgraph.analysis.operator_totals import TOTALS, OperatorTotals

        found = self._load(OPERATOR_TOTALS, TOTALS, num_operators)
        return None if found is None else OperatorTotals(**found)

    def keep_operator_totals(self, totals: OperatorTotals) -> None:
        from mpkgraph.analysis.operator_totals import TOTALS

        self._keep(OPERATOR_TOTALS, {name: getattr(totals, name) for name in TOTALS})

    def tensor_totals(self, num_tensors: int) -> TensorTotals | None:
        from mpkgraph.analysis.tensor_totals import TOTALS, TensorTotals

        found = self._load(TENSOR_TOTALS, TOTALS, num_tensors)
        return None if found is None else TensorTotals(**found)

    def keep_tensor_totals(self, totals: TensorTotals) -> None:
        from mpkgraph.analysis.tensor_totals import TOTALS

        self._keep(TENSOR_TOTALS, {name: getattr(totals, name) for name in TOTALS})

    def _load(self, what: str, names: tuple[str, ...], length: int) -> dict[str, Column] | None:
        data = self._loaded.kept.load(self._loaded.records.derivation.key(what))
        if data is not None:
            with suppress(EntryError):
                return decode_columns(data, dict.fromkeys(names, np.int64), length)
        return None

    def _keep(self, what: str, columns: Mapping[str, Column]) -> None:
        self._loaded.kept.keep(self._loaded.records.derivation.key(what), encode_columns(columns))
