"""Pipelines of the goldens, ready to be run."""

from __future__ import annotations

from functools import cache

import pytest

from mpkgraph.analysis.verify.subjects import context_of
from mpkgraph.io.reader import read_graph
from mpkgraph.io.record import read_record
from mpkgraph.planner.plan import plan
from tests import goldens


def contexts(case):
    """The ranks of a golden case."""
    found = [x for x in goldens.all_graphs() if x.case == case and "/" not in x.file]
    if not found:
        pytest.skip(goldens.ABSENT)
    return [_context(x) for x in sorted(found, key=lambda x: x.rank)]


@cache
def _context(golden):
    return context_of(read_graph(golden.graph_path), read_record(golden.record_path))


def planned(record):
    """A record's own graph."""
    return context_of(plan(record).graph, record)
