"""From graphs and plans to what rules look at."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from mpkgraph.analysis.verify.context import VerifyContext, VerifyOptions
from mpkgraph.analysis.verify.report import Pipeline
from mpkgraph.catalog import DEFAULT, Catalog
from mpkgraph.catalog.registered import REGISTERED_TASKS
from mpkgraph.errors import GraphReadError
from mpkgraph.model.graph import TaskGraph
from mpkgraph.model.record import CallSite, PipelineRecord
from mpkgraph.planner.registered import RegisteredTasks
from mpkgraph.views.operators import recover_operators
from mpkgraph.views.recorded import recorded_operators


def context_of(
    graph: TaskGraph,
    record: PipelineRecord | None = None,
    *,
    catalog: Catalog = DEFAULT,
    options: VerifyOptions | None = None,
    tasks: RegisteredTasks = REGISTERED_TASKS,
) -> VerifyContext:
    """One rank, with the operators of its record, else with those recovered from its tasks.

    Raises GraphReadError when the record is not of this graph.
    """
    if record is None:
        operators = recover_operators(graph, catalog)
    else:
        operators = recorded_operators(graph, record, catalog, tasks)
    return VerifyContext(graph, operators, catalog, record, options or VerifyOptions())


def pipeline_of(
    name: str, ranks: Iterable[VerifyContext], site: CallSite | None = None
) -> Pipeline:
    """The ranks of one pipeline, put in order.

    Raises GraphReadError when two graphs are of one rank, or there is none.
    """
    ordered = sorted(ranks, key=lambda context: context.graph.rank)
    if not ordered:
        raise GraphReadError("there is no graph to verify", where=name)
    for one, other in pairwise(ordered):
        if one.graph.rank == other.graph.rank:
            raise GraphReadError(
                f"two graphs of rank {one.graph.rank}",
                where=name,
                remedy="Give the graphs of one pipeline, one a rank",
            )
    return Pipeline(name, tuple(ordered), site)
