"""Counts what `verify` finds of seeded faults, and what it says of changes that change nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from random import Random

from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.run import verify
from mpkgraph.analysis.verify.subjects import context_of
from mpkgraph.errors import GraphReadError, PipelineError
from mpkgraph.model.graph import TaskGraph
from mpkgraph.planner.plan import plan
from tests.mutations.graph_faults import GRAPH_FAULTS, GraphFault
from tests.mutations.record_faults import RECORD_FAULTS, RecordFault
from tests.mutations.subjects import Subject

DRAWS = 12
"""Draws for each mutant that is wanted: many subjects have no place for a fault, and many changes
turn out to change nothing."""

Place = tuple[object, ...]


@dataclass
class Tally:
    """One class of faults in one way of looking."""

    tried: int = 0
    detected: int = 0
    refused: int = 0
    """Of those detected: the planner refuses the pipeline, or the record is not of the graph."""
    codes: Counter[str] = field(default_factory=Counter)
    missed: list[str] = field(default_factory=list)
    crashed: list[str] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return self.detected / self.tried if self.tried else 1.0

    def add(self, verdict: set[str] | str, expected: Sequence[str], what: str) -> None:
        """Count a mutant: the codes that are new, or the word for what came instead."""
        self.tried += 1
        if isinstance(verdict, str):
            if verdict == "refused":
                self.refused += 1
                self.detected += 1
            else:
                self.crashed.append(f"{what}: {verdict}")
            return
        self.codes.update(verdict)
        if any(code.startswith(tuple(expected)) for code in verdict):
            self.detected += 1
        else:
            self.missed.append(f"{what}: {', '.join(sorted(verdict)) or 'nothing'}")


@dataclass(frozen=True)
class FaultResult:
    """A class of faults."""

    name: str
    drawn: int
    """Mutants made, with those that turned out to change nothing."""
    alone: Tally | None
    """The graph without a record; None for faults of records."""
    recorded: Tally
    """The graph with the record that it was made of, or the spoilt record."""


def places(findings: Iterable[Finding]) -> Counter[Place]:
    """Errors and warnings by what they are and where, without numbers of tasks and events."""
    return Counter(
        (x.rule.code, x.severity, x.location.operator_name, x.location.slot, x.location.tensor)
        for x in findings
        if x.severity != "advice"
    )


def found(contexts: Sequence[VerifyContext]) -> Counter[Place]:
    return places(verify(contexts).unfolded)


@cache
def _of_subject(subject: Subject, *, recorded: bool) -> Counter[Place]:
    if recorded:
        return found(subject.contexts)
    return found([context_of(graph) for graph in subject.graphs])


def new_codes(subject: Subject, found_now: Counter[Place], *, recorded: bool) -> set[str]:
    """Codes of what was not found in the good pipeline."""
    return {str(key[0]) for key in found_now - _of_subject(subject, recorded=recorded)}


def look_at_graph(subject: Subject, graph: TaskGraph, *, recorded: bool) -> set[str] | str:
    """New codes of a spoilt rank 0."""
    graphs = (graph, *subject.graphs[1:])
    try:
        contexts = [
            context_of(g, r if recorded else None)
            for g, r in zip(graphs, subject.records, strict=True)
        ]
    except GraphReadError:
        return "refused"
    return _look(subject, contexts, recorded=recorded)


def _look(subject: Subject, contexts: Sequence[VerifyContext], *, recorded: bool) -> set[str] | str:
    try:
        return new_codes(subject, found(contexts), recorded=recorded)
    except Exception as error:  # noqa: BLE001  a rule that dies of a mutant is reported
        return f"{type(error).__name__}: {error}"


def run_graph_fault(
    fault: GraphFault, subjects: Sequence[Subject], rng: Random, count: int
) -> FaultResult:
    alone, recorded, drawn = Tally(), Tally(), 0
    for _ in range(count * DRAWS):
        if recorded.tried == count:
            break
        subject = rng.choice(subjects)
        mutant = fault.mutant(rng, subject)
        drawn += 1
        if mutant is None:
            continue
        what = f"{subject.name}: {mutant.what}"
        for tally, with_record in ((alone, False), (recorded, True)):
            verdict = look_at_graph(subject, mutant.graph, recorded=with_record)
            tally.add(verdict, fault.expected, what)
    return FaultResult(fault.name, drawn, alone, recorded)


def run_record_fault(
    fault: RecordFault, subjects: Sequence[Subject], rng: Random, count: int
) -> FaultResult:
    tally, drawn = Tally(), 0
    for _ in range(count * DRAWS):
        if tally.tried == count:
            break
        subject = rng.choice(subjects)
        mutant = fault.make(rng, subject)
        drawn += 1
        if mutant is None:
            continue
        what = f"{subject.name}: {mutant.what}"
        try:
            context = context_of(plan(mutant.record).graph, mutant.record)
        except PipelineError:
            if fault.judge is None:
                tally.add("refused", fault.expected, what)
            continue
        if fault.judge is not None and not fault.judge(subject, mutant, context):
            continue
        tally.add(_look(subject, [context], recorded=True), fault.expected, what)
    return FaultResult(fault.name, drawn, None, tally)


def run_all(
    record_subjects: Sequence[Subject],
    graph_subjects: Sequence[Subject],
    parallel_subjects: Sequence[Subject],
    *,
    seed: int,
    count: int,
) -> tuple[list[FaultResult], list[FaultResult]]:
    """Faults of records, then of graphs; every class has random numbers of its own."""
    records = [
        run_record_fault(fault, record_subjects, Random(f"{seed} {fault.name}"), count)
        for fault in RECORD_FAULTS
    ]
    graphs = [
        run_graph_fault(
            fault,
            parallel_subjects if fault.parallel else graph_subjects,
            Random(f"{seed} {fault.name}"),
            count,
        )
        for fault in GRAPH_FAULTS
    ]
    return records, graphs
