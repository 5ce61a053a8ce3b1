"""Rules about ranks: what the graphs of one pipeline must agree on."""

from mpkgraph.analysis.verify.rules.kind import RankCheckRow

CHECKS: tuple[RankCheckRow, ...] = ()
