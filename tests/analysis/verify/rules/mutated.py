"""Contexts to run rules on: planned pipelines, and graphs with one column changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from mpkgraph.analysis.verify.context import VerifyContext, VerifyOptions
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.run import verify
from mpkgraph.catalog import DEFAULT
from mpkgraph.model.graph import TaskGraph
from mpkgraph.model.record import PipelineRecord
from mpkgraph.planner.plan import plan
from mpkgraph.views.operators import recover_operators
from mpkgraph.views.recorded import recorded_operators
from tests.analysis.verify import told


def planned(record: PipelineRecord, **options: Any) -> VerifyContext:
    """The context of a record's own graph."""
    graph = plan(record).graph
    return VerifyContext(
        graph, recorded_operators(graph, record), DEFAULT, record, VerifyOptions(**options)
    )


def bare(graph: TaskGraph, **options: Any) -> VerifyContext:
    """The context of a graph without a record."""
    return VerifyContext(graph, recover_operators(graph), DEFAULT, None, VerifyOptions(**options))


def with_graph(context: VerifyContext, graph: TaskGraph, **options: Any) -> VerifyContext:
    """The same operators and record over another graph: one whose tiles were left alone."""
    return VerifyContext(
        graph, context.operators, context.catalog, context.record, VerifyOptions(**options)
    )


def set_tasks(graph: TaskGraph, column: str, tasks: Any, value: Any) -> TaskGraph:
    """A graph with other values in a column of tasks (or of their slots)."""
    changed = getattr(graph.tasks, column).copy()
    changed[tasks] = value
    return replace(graph, tasks=replace(graph.tasks, **{column: changed}))


def set_events(graph: TaskGraph, column: str, events: Any, value: Any) -> TaskGraph:
    """A graph with other values in a column of events."""
    changed = getattr(graph.events, column).copy()
    changed[events] = value
    return replace(graph, events=replace(graph.events, **{column: changed}))


def add_events(graph: TaskGraph, column: str, events: Any, amount: int) -> TaskGraph:
    """A graph with a number added to some values of a column of events."""
    changed = getattr(graph.events, column).copy()
    changed[events] = (changed[events].astype(np.int64) + amount).astype(changed.dtype)
    return replace(graph, events=replace(graph.events, **{column: changed}))


def findings(family: str, *contexts: VerifyContext) -> tuple[Finding, ...]:
    """What the rules of one family find."""
    return told.note(verify(contexts, select=[family]).findings)


def codes(found: Iterable[Finding]) -> list[str]:
    return [finding.rule.code for finding in found]
