"""The few functions that most users of the library need, as `mpkgraph.read` and so on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mpkgraph.catalog import DEFAULT, Catalog
from mpkgraph.io.reader import Progress, read_graph, read_graphs
from mpkgraph.model.graph import TaskGraph
from mpkgraph.model.operator import OperatorSet
from mpkgraph.model.record import PipelineRecord

if TYPE_CHECKING:
    from mpkgraph.analysis.summary import Summary

PathLike = str | os.PathLike[str]


def read(
    path: PathLike, *, processes: int | None = None, progress: Progress | None = None
) -> TaskGraph:
    """One rank's graph from a file (plain, gzip, zstandard) or "-" for standard input.

    Raises GraphReadError for a file that can't be read or breaks the format.
    """
    return read_graph(path, processes=processes, progress=progress)


def read_all(
    path: PathLike, *, processes: int | None = None, progress: Progress | None = None
) -> list[TaskGraph]:
    """All ranks in a directory, by rank; of a file or "-", the one graph in it.

    Raises GraphReadError as `read`, and for a directory without graphs.
    """
    return read_graphs(path, processes=processes, progress=progress)


def operators(
    graph: TaskGraph,
    record: PipelineRecord | PathLike | None = None,
    *,
    catalog: Catalog = DEFAULT,
    find_record: bool = True,
) -> OperatorSet:
    """The operators of a graph: exact from a pipeline record, else recovered from the tasks.

    `record` is a record or its path; without one, the record beside the graph's file is used
    when there is one and `find_record` is true. `Operator.origin` says which it was.

    Raises GraphReadError when the record can't be read or is not of this graph.
    """
    from mpkgraph.io import record as records
    from mpkgraph.views.operators import recover_operators
    from mpkgraph.views.recorded import recorded_operators

    if record is None and find_record and graph.source.path is not None:
        record = records.find_record(graph.source.path)
    if record is None:
        return recover_operators(graph, catalog)
    if not isinstance(record, PipelineRecord):
        record = records.read_record(record)
    return recorded_operators(graph, record, catalog)


def summarise(
    graph: TaskGraph,
    operator_set: OperatorSet | None = None,
    *,
    catalog: Catalog = DEFAULT,
    num_workers: int | None = None,
) -> Summary:
    """What `mpkgraph show` says of a graph, as an object with `to_json()`."""
    from mpkgraph.analysis.summary import SummaryOptions
    from mpkgraph.analysis.summary import summarise as summarise_graph

    if operator_set is None:
        operator_set = operators(graph, catalog=catalog)
    options = SummaryOptions(num_workers=num_workers)
    return summarise_graph(graph, operator_set, catalog=catalog, options=options)
