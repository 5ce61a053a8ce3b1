"""Run a pipeline and say whether it is right: the one call behind `verify --run`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from mpkgraph.analysis.execution.exhaustive import MAX_ORDERS, Conflicts, all_orders
from mpkgraph.analysis.execution.schedulers import hurrying, make_scheduler
from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.run import verify
from mpkgraph.errors import UsageError
from mpkgraph.io.graph_hash import graph_sha256
from mpkgraph.reference.interpreter.initial import Given, Initial, InitialOptions
from mpkgraph.reference.interpreter.memory import RankMemory
from mpkgraph.reference.interpreter.program import Program
from mpkgraph.reference.threads import spans_instead_of_operations
from mpkgraph.reference.validation.check import Checker, Expected
from mpkgraph.reference.validation.conflicts import conflicting_pairs
from mpkgraph.reference.validation.limits import GivenLimits
from mpkgraph.reference.validation.replay import HAZARDS, find_findings, replay
from mpkgraph.reference.validation.result import Replayed, RunOutcome, RunReport
from mpkgraph.reference.validation.stored import of_other_graphs

AUTO = "auto"
EXHAUSTIVE = "exhaustive"
SCHEDULE_NAMES = (
    AUTO,
    "batched",
    "program",
    "fifo",
    "reversed",
    "adversarial",
    "random",
    EXHAUSTIVE,
)
SMALL_TASKS = 2048
"""Up to so many tasks `auto` runs them in an adversarial order too, one by one."""
SMALL_BYTES = 256 << 20
"""... and up to so much memory."""


@dataclass(frozen=True)
class RunOptions:
    """How to run, and what to hold it against."""

    schedules: Sequence[str] = (AUTO,)
    seeds: Sequence[int] = (0,)
    """Of random orders; the first one also of inputs that are made up."""
    num_workers: int | None = None
    num_schedulers: int | None = None
    given: Sequence[Given] = ()
    """By position of the rank."""
    source: str | None = None
    """Where the given tensors come from, in words."""
    right: Sequence[Mapping[str, Any]] = ()
    """By position of the rank right values of some tensors, instead of whole layers'."""
    right_source: str | None = None
    files: Sequence[str] = ()
    """Where given tensors and right values are from, as the user named it."""
    only_right: bool = False
    """Compare nothing but the tensors in `right`."""
    limits: GivenLimits = field(default_factory=GivenLimits)
    replays: Sequence[str] = ()
    """Findings to be shown, each by code, `CODE@OPERATOR` or fingerprint."""
    max_orders: int = MAX_ORDERS
    supply_meta: bool = False
    """Make up meta tensors that the pipeline lacks, which a GPU would crash at."""
    maps_all: bool = True
    """Map the errors of all wrong tensors to tasks, which JSON and the page of a run have."""
    traces_all: bool = True
    """Say of all wrong runs where they began, not of the first alone."""


@dataclass
class Validation:
    """A program being validated; `report()` does it, then `memories` hold the tensors."""

    name: str
    contexts: Sequence[VerifyContext]
    options: RunOptions = field(default_factory=RunOptions)
    memories: Sequence[RankMemory] = ()
    reference: Sequence[RankMemory] = ()
    notes: list[str] = field(default_factory=list)

    @cached_property
    def program(self) -> Program:
        return Program.of(self.contexts)

    @cached_property
    def findings(self) -> Sequence[Finding]:
        """What static verify says."""
        return verify(self.contexts).findings

    @cached_property
    def checker(self) -> Checker:
        program, options = self.program, self.options
        initial = InitialOptions(
            seed=options.seeds[0] if options.seeds else 0,
            given=options.given,
            supply_meta=options.supply_meta or bool(options.replays),
        )
        kept = frozenset(name for given in options.given for name in given.keep)
        checker = Checker(
            program,
            Initial(program, initial),
            limits=options.limits,
            given_names=kept,
            findings=lambda: self.findings,
            maps_all=options.maps_all,
            traces_all=options.traces_all,
        )
        if options.right:
            self._expect_given(checker)
        return checker

    def _expect_given(self, checker: Checker) -> None:
        options = self.options
        known = {name for rank in self.program.ranks for name in rank.shapes}
        lost = sorted({name for x in options.right for name in x} - known)
        if lost:
            self.notes.append(
                f"{', '.join(lost[:4])}: in {options.right_source}, and no tensor of the pipeline"
            )
        if options.only_right:
            checker.expected = Expected((), frozenset(), {}, options.right, only_given=True)
            return
        whole = checker.expect_whole()
        checker.expected = Expected(whole.memories, whole.unknown, whole.failures, options.right)

    def report(self) -> RunReport:
        """Run, compare, and trace what is wrong. Raises UsageError for options that don't fit."""
        with spans_instead_of_operations():
            return self._report()

    def _report(self) -> RunReport:
        self._check_names()
        start = time.perf_counter()
        outcomes: list[RunOutcome] = []
        replays: list[Replayed] = []
        if self.options.replays:
            for word in self.options.replays:
                replays += [replay(self.checker, x) for x in find_findings(self.findings, word)]
        else:
            outcomes, replays = self._runs()
        self.memories = self.checker.last
        whole = self.checker.expected
        self.reference = () if whole is None else whole.memories
        skipped = self.checker.skipped
        hashes = {x.rank: graph_sha256(x.context.graph) for x in self.program.ranks}
        others = [of_other_graphs(x, hashes) for x in self.options.files]
        self.notes += [x for x in others if x is not None]
        return RunReport(
            name=self.name,
            graph_hashes=hashes,
            seed=self.options.seeds[0] if self.options.seeds else 0,
            source=self.options.source or "made up",
            against=self.options.right_source or "whole layers",
            outcomes=tuple(outcomes),
            skipped=skipped.operators,
            replays=tuple(replays),
            is_replay=bool(self.options.replays),
            notes=(*self.notes, *self.checker.initial.notes),
            num_layers=sum(len(x.plans) for x in self.program.ranks),
            seconds={"all": time.perf_counter() - start},
        )

    def _check_names(self) -> None:
        known = {name for rank in self.program.ranks for name in rank.shapes}
        unknown = sorted(self.options.limits.names - known)
        if unknown:
            raise UsageError(
                f"no tensor is called {', '.join(map(repr, unknown))}",
                remedy="See mpkgraph show --list tensors",
            )

    def _runs(self) -> tuple[list[RunOutcome], list[Replayed]]:
        outcomes: list[RunOutcome] = []
        replays: list[Replayed] = []
        for name in self.options.schedules:
            if name == AUTO:
                found, shown = self._auto()
                outcomes += found
                replays += shown
            elif name == EXHAUSTIVE:
                outcomes.append(self._exhaustive())
            elif name == "random":
                outcomes += [self._named("random", seed) for seed in self.options.seeds]
            else:
                outcomes.append(self._named(name, 0))
        return outcomes, replays

    def run_order(self, name: str, seed: int = 0) -> RunOutcome:
        """Run all tasks in one order (`fifo`, `random`, ...) and compare every tensor.

        The seed is of the order alone: inputs stay those of `options`.
        """
        with spans_instead_of_operations():
            return self._named(name, seed)

    def _named(self, name: str, seed: int) -> RunOutcome:
        workers, schedulers = self._workers()
        scheduler = make_scheduler(
            name,
            self.program.tasks,
            seed=seed,
            groups=self.program.groups,
            num_workers=workers,
            num_schedulers=schedulers,
        )
        text = {"random": f"random (seed {seed})", "fifo": f"fifo of {workers} workers"}
        return self.checker.run(scheduler, text.get(name, name))

    def _workers(self) -> tuple[int | None, int | None]:
        """As the user says, else as the record."""
        if self.options.num_workers is not None:
            return self.options.num_workers, self.options.num_schedulers
        record = self.program.ranks[0].record
        init: Mapping[str, Any] = {} if record is None else record.init
        workers, schedulers = init.get("num_workers"), init.get("num_local_schedulers")
        if not isinstance(workers, int):
            return None, None
        fits = isinstance(schedulers, int) and 1 <= schedulers <= workers
        return workers, schedulers if fits else None

    def _auto(self) -> tuple[list[RunOutcome], list[Replayed]]:
        """Operator by operator; then the orders that hazards allow, and for small graphs one in
        which everything comes as late as may be.
        """
        outcomes = [self._named("batched", 0)]
        replays: list[Replayed] = []
        if not outcomes[0].passes:
            return outcomes, replays
        hazards = [
            x
            for x in self.findings
            if x.rule.family == HAZARDS and x.severity == "error" and len(x.witness) >= 2
        ]
        for finding in hazards:
            shown = replay(self.checker, finding, is_quick=len(hazards) > 4)
            replays.append(shown)
        if any(x.is_shown for x in replays):
            return outcomes, replays
        if len(self.program.tasks) <= SMALL_TASKS and self._num_bytes() <= SMALL_BYTES:
            for name in ("adversarial", "reversed"):
                outcomes.append(self._named(name, 0))
                if not outcomes[-1].passes:
                    break
        return outcomes, replays

    def _num_bytes(self) -> int:
        return sum(x.num_bytes for x in self.checker.last)

    def _exhaustive(self) -> RunOutcome:
        """Every order that could make a difference: the first that is wrong, else the last."""
        tasks = self.program.tasks
        pairs = conflicting_pairs(self.program, self.checker.initial.memories())
        conflicts = Conflicts.of(*pairs)
        limit = self.options.max_orders
        last: RunOutcome | None = None
        count = 0
        for order in all_orders(tasks, conflicts, limit + 1):
            if count == limit:
                self.notes.append(
                    f"there are more than {limit} orders that differ; --max-orders tries more"
                )
                break
            count += 1
            last = self.checker.run(hurrying((), (), order), f"order {count} of all")
            if not last.passes:
                return last
        if last is None:
            raise UsageError("there is no task to run")
        from dataclasses import replace

        return replace(last, schedule=f"all {count} orders that differ")


def validate(
    contexts: Iterable[VerifyContext], options: RunOptions | None = None, name: str = "pipeline"
) -> RunReport:
    """Run the ranks of one pipeline and compare every tensor with what it should be."""
    return Validation(name, list(contexts), options or RunOptions()).report()
