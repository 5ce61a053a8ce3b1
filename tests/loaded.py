"""What tests of real graphs share: each golden is read once a process, its operators found once.

All that is handed out is frozen, so that no test can spoil it for another.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeVar

from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.catalog import DEFAULT
from mpkgraph.io.reader import read_graph
from mpkgraph.io.record import read_record
from mpkgraph.model.graph import TaskGraph
from mpkgraph.model.operator import OperatorSet
from mpkgraph.model.record import PipelineRecord
from mpkgraph.views.operators import recover_operators
from mpkgraph.views.recorded import recorded_operators
from tests.goldens import Golden

KEPT_BYTES = 2_500_000
"""Of a graph's JSON: those of up to this size take some 20 MB together."""
Result = TypeVar("Result")


def _kept(make: Callable[[Golden], Result]) -> Callable[[Golden], Result]:
    """Remembers what is made of small graphs; of larger ones the last."""
    small, large = functools.cache(make), functools.lru_cache(1)(make)

    @functools.wraps(make)
    def get(golden: Golden) -> Result:
        return (small if golden.num_bytes <= KEPT_BYTES else large)(golden)

    return get


@_kept
def graph(golden: Golden) -> TaskGraph:
    return read_graph(golden.graph_path)


@_kept
def record(golden: Golden) -> PipelineRecord:
    return read_record(golden.record_path)


@_kept
def recovered(golden: Golden) -> OperatorSet:
    """Operators found from the tasks alone."""
    return recover_operators(graph(golden))


@_kept
def recorded(golden: Golden) -> OperatorSet:
    return recorded_operators(graph(golden), record(golden))


@_kept
def verified(golden: Golden) -> VerifyContext:
    """What rules look at, with the record."""
    return VerifyContext(graph(golden), recorded(golden), DEFAULT, record(golden))


@_kept
def verified_alone(golden: Golden) -> VerifyContext:
    """The same, without the record."""
    return VerifyContext(graph(golden), recovered(golden), DEFAULT)
