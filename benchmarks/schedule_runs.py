"""Run one golden in its orders, replay its hazards, and tell what was found, a line at a time.

What all orders share (made-up inputs, whole layers, findings) is made once. Then several orders
may run at a time, each in a process forked from there, so that they hold one copy of it.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from benchmarks.harness import ROOT

if TYPE_CHECKING:
    from mpkgraph.analysis.verify.context import VerifyContext
    from mpkgraph.analysis.verify.finding import Finding
    from mpkgraph.reference.validation.result import RunOutcome
    from mpkgraph.reference.validation.validate import Validation

GOLDENS = ROOT.parent / "shared" / "goldens"
ORDERS = ("batched", "program", "fifo", "reversed", "adversarial", "random", "random 1", "random 2")
"""The number is the seed of a random order."""
LARGE_TASKS = 6000
LARGE_ORDERS = ("batched", "program", "fifo", "adversarial", "random")
"""Of graphs with more tasks, whose orders take a minute each."""
NOT_RUN = "not run"

Line = dict[str, Any]
"""JSON: facts of the pipeline, or `run` or `hazard` with what became of one, or `ended`."""


@dataclass(frozen=True)
class Prepared:
    """What all orders of a pipeline share."""

    validation: Validation
    hazards: Sequence[Finding]
    num_tasks: int

    @classmethod
    def of(cls, case: str, contexts: Sequence[VerifyContext]) -> Prepared:
        """Run the whole layers of a golden, and verify it."""
        from mpkgraph.reference.threads import spans_instead_of_operations
        from mpkgraph.reference.validation.replay import HAZARDS
        from mpkgraph.reference.validation.validate import RunOptions, Validation

        options = RunOptions(supply_meta=True, maps_all=False, traces_all=False)
        # Inputs and right values are the same for all orders, those of replayed hazards too
        validation = Validation(case, contexts, options)
        with spans_instead_of_operations():
            validation.checker.expect_whole()
        hazards = [
            x
            for x in validation.findings
            if x.rule.family == HAZARDS and x.severity == "error" and len(x.witness) >= 2
        ]
        return cls(validation, hazards, sum(x.graph.num_tasks for x in contexts))

    def facts(self) -> Line:
        validation = self.validation
        return {
            "ranks": len(validation.contexts),
            "tasks": self.num_tasks,
            "num_hazards": len(self.hazards),
            "unexecuted": sorted({x.task_type for x in validation.checker.skipped.operators}),
            "errors": sorted({x.rule.code for x in validation.findings if x.severity == "error"}),
        }

    def run(self, order: str) -> Line:
        name, _, seed = order.partition(" ")
        outcome = self.validation.run_order(name, int(seed or 0))
        return {
            "run": order,
            "schedule": outcome.schedule,
            "passes": outcome.passes,
            "equal": _is_equal(outcome),
            "hangs": outcome.hang is not None,
            "tensors": len(outcome.verdicts),
            "calls": outcome.num_calls,
            "unchecked": sorted({x.name for x in outcome.unchecked}),
            "blame": blame_of(outcome),
            "faults": sorted({str(x.kind) for x in outcome.faults}),
            "fault_operator": outcome.faults[0].operator_name if outcome.faults else None,
        }

    def replay(self, position: int) -> Line:
        """Show the hazard at a position, or try to."""
        from mpkgraph.reference.validation.replay import replay

        finding, is_quick = self.hazards[position], self.num_tasks > LARGE_TASKS
        replayed = replay(self.validation.checker, finding, is_quick=is_quick)
        shown = [finding.rule.code, replayed.is_shown, blame_of(replayed.outcome)]
        return {"hazard": position, "shown": shown}


def _read(case: str) -> list[VerifyContext]:
    from mpkgraph.analysis.verify.subjects import context_of
    from mpkgraph.io.reader import read_graph
    from mpkgraph.io.record import read_record

    contexts = []
    for path in sorted((GOLDENS / case).glob("task_graph_rank*.json.zst")):
        record = path.with_name(path.name.replace("task_graph", "pipeline"))
        contexts.append(context_of(read_graph(path), read_record(record)))
    return contexts


def orders_of(num_tasks: int) -> tuple[str, ...]:
    return LARGE_ORDERS if num_tasks > LARGE_TASKS else ORDERS


_PREPARED: list[Prepared] = []
"""Of this process and those forked from it."""


def run_case(case: str, jobs: int) -> Iterator[Line]:
    """Run a pipeline in a process of its own: facts first, then orders and hazards as they end.

    Only the first wrong order is traced to where it began, for which it runs once more.
    """
    import torch

    torch.set_num_threads(jobs)
    contexts = _read(case)
    started = time.process_time()
    prepared = Prepared.of(case, contexts)
    _PREPARED[:] = [prepared]
    yield prepared.facts() | _costs(started)
    checker, orders = prepared.validation.checker, orders_of(prepared.num_tasks)
    checker.is_traced = True
    wrong = []
    for line in _each(_run, orders, jobs):
        yield line
        if not line["passes"]:
            wrong.append(line["run"])
    checker.is_traced = False
    if wrong:
        started = time.process_time()
        yield prepared.run(min(wrong, key=ORDERS.index)) | _costs(started)
    yield from _each(_replay, range(len(prepared.hazards)), jobs)
    yield {"ended": True}


Item = TypeVar("Item")


def _each(do: Callable[[Item], Line], items: Sequence[Item], jobs: int) -> Iterator[Line]:
    """Do all, several at a time, each in a process that is forked from this one as it is."""
    if jobs == 1:
        yield from map(do, items)
    elif items:
        import torch

        fork = multiprocessing.get_context("fork")
        with fork.Pool(jobs, torch.set_num_threads, (1,), maxtasksperchild=1) as pool:
            yield from pool.imap_unordered(do, items)


def _run(order: str) -> Line:
    (prepared,) = _PREPARED
    started = time.process_time()
    return prepared.run(order) | _costs(started)


def _replay(position: int) -> Line:
    (prepared,) = _PREPARED
    started = time.process_time()
    return prepared.replay(position) | _costs(started)


def _costs(started: float) -> Line:
    return {
        "cpu_seconds": time.process_time() - started,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
    }


def _is_equal(outcome: RunOutcome) -> bool:
    """Whether every tensor has the bits of the whole layer's."""
    return all(
        x.difference.max_abs_error == 0 and x.difference.num_mismatches == 0
        for x in outcome.verdicts
    )


def blame_of(outcome: RunOutcome | None) -> dict[str, Any] | None:
    """Where the run began to be wrong, else who left wrong what is wrong in the end."""
    if outcome is None or outcome.blame is None:
        return None
    blame, began = outcome.blame, outcome.origin
    if began is not None and began.follows(blame):
        began = None
    findings = (*blame.findings, *outcome.findings)
    operators = {blame.operator, blame.intended_operator}
    if began is not None:
        operators = {began.operator}
    return {
        "tensor": blame.tensor if began is None else began.tensor,
        "operator": blame.operator if began is None else began.operator,
        "operator_name": blame.operator_name if began is None else began.operator_name,
        "findings": [x.rule.code for x in findings],
        "by_finding": [x.rule.code for x in findings if _names(x, operators - {None})],
    }


def _names(finding: Any, operators: AbstractSet[int | None]) -> bool:
    """Whether static verify names one of the operators in a finding."""
    return bool({finding.location.operator, *(x.operator for x in finding.witness)} & operators)


def join(lines: Iterable[Mapping[str, Any]], failure: str | None = None) -> dict[str, Any]:
    """The row of a pipeline from its lines; with a failure, of a process that did not end.

    A row without a run is but its `failure`; otherwise orders that are not there are in `missing`.
    """
    facts: dict[str, Any] = {}
    found: dict[str, Mapping[str, Any]] = {}
    hazards: dict[int, Any] = {}
    costs: list[tuple[float, float]] = []
    for line in lines:
        if "run" in line:
            found[line["run"]] = line  # the first wrong one comes again, traced
        elif "hazard" in line:
            hazards[line["hazard"]] = line["shown"]
        elif "ranks" in line:
            facts = {key: line[key] for key in ("ranks", "tasks", "unexecuted", "errors")}
            facts["hazards_found"] = line["num_hazards"]
        if "cpu_seconds" in line:
            costs.append((line["cpu_seconds"], line["peak_mb"]))
    if not found:
        return {"failure": failure or NOT_RUN}
    runs = sorted(found.values(), key=lambda x: ORDERS.index(x["run"]))
    return {
        **facts,
        **_counts(runs),
        **_first_wrong(runs),
        "hazards": sorted((hazards[x] for x in sorted(hazards)), key=lambda x: x[0]),
        "cpu_seconds": sum(x[0] for x in costs),
        "peak_mb": max(x[1] for x in costs),
        "missing": [x for x in orders_of(facts["tasks"]) if x not in found],
        "why_missing": failure,
    }


def _counts(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "tensors": max(x["tensors"] for x in runs),
        "calls": runs[0]["calls"],
        "orders": len(runs),
        "right": sum(x["passes"] for x in runs),
        "equal": sum(x["equal"] for x in runs),
        "hangs": sum(x["hangs"] for x in runs),
        "unchecked": sorted({y for x in runs for y in x["unchecked"]}),
    }


def _first_wrong(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    failing = next((x for x in runs if not x["passes"]), None)
    if failing is None:
        return {"first_wrong": None, "blame": None, "faults": [], "fault_operator": None}
    return {
        "first_wrong": failing["schedule"],
        "blame": failing["blame"],
        "faults": failing["faults"],
        "fault_operator": failing["fault_operator"],
    }
