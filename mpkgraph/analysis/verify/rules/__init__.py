"""All rules by family: each module has rows of rules and the checks that find them."""

from __future__ import annotations

from mpkgraph.analysis.verify.rule import CheckRow, Rule
from mpkgraph.analysis.verify.rules import advice, hazards, ranks, resources, splits, structure
from mpkgraph.analysis.verify.rules.kind import RankCheckRow

CHECKS: tuple[CheckRow, ...] = (
    *splits.CHECKS,
    *hazards.CHECKS,
    *structure.CHECKS,
    *resources.CHECKS,
    *advice.CHECKS,
)
"""Checks of one rank's graph."""

RANK_CHECKS: tuple[RankCheckRow, ...] = ranks.CHECKS
"""Checks over all ranks together."""

RULES: tuple[Rule, ...] = tuple(
    sorted(
        {x for row in CHECKS for x in row.rules} | {x for row in RANK_CHECKS for x in row.rules},
        key=lambda rule: rule.code,
    )
)
"""Every rule, by code."""
