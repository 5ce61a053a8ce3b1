"""A hazard that static verify finds, shown: the order of tasks that gives a wrong value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mpkgraph.analysis.execution.schedulers import Scheduler, delaying, hurrying, make_scheduler
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.errors import UsageError
from mpkgraph.reference.interpreter.program import Program
from mpkgraph.reference.validation.check import Checker
from mpkgraph.reference.validation.result import Replayed, RunOutcome

HAZARDS = "hazards"
MIN_FINGERPRINT = 6


def find_findings(findings: Sequence[Finding], word: str) -> list[Finding]:
    """What `CODE`, `CODE@OPERATOR` or the first characters of a fingerprint mean.

    Raises UsageError when nothing was found by that name.
    """
    code, _, operator = word.partition("@")
    found = [
        x
        for x in findings
        if (code.upper() == x.rule.code or code == x.rule.name)
        and (not operator or operator in {str(x.location.operator), x.location.operator_name})
    ]
    if not found and len(word) >= MIN_FINGERPRINT:
        found = [x for x in findings if x.fingerprint.startswith(word)]
    if not found:
        known = sorted({x.rule.code for x in findings})
        raise UsageError(
            f"there is no finding {word!r}",
            remedy=f"Verify found {', '.join(known)}" if known else "Verify found nothing",
        )
    return found


def replay(checker: Checker, finding: Finding, *, is_quick: bool = False) -> Replayed:
    """Try the orders that could show a finding until one gives a wrong value.

    With `is_quick` only the first of them.
    """
    tried = 0
    for text, scheduler in _orders(checker.program, finding):
        tried += 1
        outcome = checker.run(scheduler, text)
        if not outcome.passes:
            return Replayed(finding, outcome, tried)
        if is_quick:
            break
    return Replayed(finding, None, tried)


def _orders(program: Program, finding: Finding) -> Iterator[tuple[str, Scheduler]]:
    """Orders that could show it, the smallest change of the usual one first."""
    tasks = program.tasks
    if len(finding.witness) >= 2:
        first, second = finding.witness[0], finding.witness[1]
        for rank in _ranks(program, finding):
            one = tasks.number(rank, first.task_id)
            other = tasks.number(rank, second.task_id)
            yield (
                f"task {second.task_id} before task {first.task_id}, which runs as late as may be",
                delaying([one]),
            )
            if first.operator is not None:
                mine = _of_operator(program, rank, first.operator)
                name = first.operator_name or "its operator"
                yield f"all tasks of {name} as late as may be", delaying(mine)
            yield (
                f"task {first.task_id} before task {second.task_id}, which runs as late as may be",
                delaying([other]),
            )
            yield (
                f"task {second.task_id} as soon, task {first.task_id} as late as may be",
                hurrying([other], [one], range(len(tasks))),
            )
        yield from _across_ranks(program, finding)
    for name in ("program", "adversarial", "reversed"):
        yield name, make_scheduler(name, tasks)
    for seed in range(4):
        yield f"random (seed {seed})", make_scheduler("random", tasks, seed=seed)


def _across_ranks(program: Program, finding: Finding) -> Iterator[tuple[str, Scheduler]]:
    """One rank's task against another rank's: which peer a finding means it does not say."""
    first, second = finding.witness[0], finding.witness[1]
    ranks = [x.rank for x in program.ranks]
    for a in ranks:
        for b in ranks:
            if a == b:
                continue
            one = program.tasks.number(a, first.task_id)
            other = program.tasks.number(b, second.task_id)
            yield (
                f"task {second.task_id} of rank {b} before task {first.task_id} of rank {a}",
                hurrying([other], [one], range(len(program.tasks))),
            )


def _ranks(program: Program, finding: Finding) -> list[int]:
    ranks = [x.rank for x in program.ranks]
    return [finding.location.rank] if finding.location.rank in ranks else ranks[:1]


def _of_operator(program: Program, rank: int, operator: int) -> list[int]:
    for position, x in enumerate(program.ranks):
        if x.rank == rank:
            start = int(program.tasks.starts[position])
            return [start + task for task in x.plans[operator].operator.task_ids.tolist()]
    return []


def shown(outcome: RunOutcome) -> bool:
    """Whether a run shows a wrong value."""
    return bool(outcome.wrong)
