"""Rules about hazards: does the event graph enforce every data dependence?

`access` says what operators touch, `conflicts` finds pairs in program order that events do not
order, `siblings` those within one operator, `own_writes` those within one task, `memory` what is
read before it is written; `causes` asks the generator's steps why no event was made, and the
`*_findings` modules tell.
"""

from __future__ import annotations

from collections.abc import Iterator

from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.placement import PlacementOrder
from mpkgraph.analysis.verify.rule import CheckRow
from mpkgraph.analysis.verify.rules.hazards import table
from mpkgraph.analysis.verify.rules.hazards.access import program_order
from mpkgraph.analysis.verify.rules.hazards.causes import Bindings
from mpkgraph.analysis.verify.rules.hazards.conflicts import (
    Step,
    walk_conflicts,
)
from mpkgraph.analysis.verify.rules.hazards.memory import memory_findings
from mpkgraph.analysis.verify.rules.hazards.own_writes import own_conflicts, own_finding
from mpkgraph.analysis.verify.rules.hazards.pair_findings import PairReporter
from mpkgraph.analysis.verify.rules.hazards.pairs import PairFinder
from mpkgraph.analysis.verify.rules.hazards.sibling_findings import sibling_finding
from mpkgraph.analysis.verify.rules.hazards.siblings import SiblingConflict, Siblings


def check_hazards(context: VerifyContext) -> Iterator[Finding]:
    """All hazards of one rank's graph."""
    finder = PairFinder(context)
    steps = list(walk_conflicts(context, finder))
    reporter: PairReporter | None = None
    siblings = Siblings()
    for step in steps:
        if step.conflicts:
            reporter = reporter or _reporter(context, finder)
            yield from reporter.findings(step.conflicts)
        yield from (sibling_finding(context, x) for x in _worst_by_tensor(context, step, siblings))
        yield from (own_finding(context, x) for x in own_conflicts(step.accesses))
    yield from memory_findings(context, steps)


def _reporter(context: VerifyContext, finder: PairFinder) -> PairReporter:
    workers = context.options.num_workers
    placement = None
    if workers is not None:
        placement = PlacementOrder.of(
            context.view.all_ranks, workers, context.options.num_schedulers
        )
    return PairReporter(context, finder, Bindings(program_order(context)), placement)


def _worst_by_tensor(
    context: VerifyContext, step: Step, siblings: Siblings
) -> Iterator[SiblingConflict]:
    """A tensor's conflicting writes, else its conflicting reads."""
    varies_by = context.effects(step.operator).varies_by
    found: dict[tuple[str, bool], SiblingConflict] = {}
    for conflict in siblings.conflicts(step.operator, step.accesses, varies_by):
        found.setdefault((conflict.writer.tensor, conflict.reads), conflict)
    yield from found.values()


CHECKS: tuple[CheckRow, ...] = (
    CheckRow(
        check_hazards,
        (
            *table.PAIR_RULES,
            *table.SIBLING_RULES,
            *table.MEMORY_RULES,
            *table.OWN_RULES,
        ),
    ),
)
