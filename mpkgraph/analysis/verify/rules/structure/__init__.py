"""Rules about structure: events, ids and ranges of one graph file."""

from mpkgraph.analysis.verify.rule import CheckRow

CHECKS: tuple[CheckRow, ...] = ()
