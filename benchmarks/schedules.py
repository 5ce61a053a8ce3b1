"""Run every golden in every order: `python -m benchmarks.schedules --write-docs`.

Each pipeline that Mirage compiled is executed operator by operator, in program order, by the static
queues of the workers, backwards, with producers as late as may be, and in random orders. Good ones
must give the same, right values each time. Bad ones must go wrong where their fault changes values,
and each certain hazard that verify finds must be shown by an order of tasks.

One process a pipeline. What is done stays in `--results`, so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.harness import ROOT
from benchmarks.report import Table, print_table, publish

if TYPE_CHECKING:
    from mpkgraph.reference.validation.result import RunOutcome, RunReport

GOLDENS = ROOT.parent / "shared" / "goldens"
DOCUMENT = ROOT / "docs" / "run-schedules.md"
ONCE = "--run-once"
SCHEDULES = ("batched", "program", "fifo", "reversed", "adversarial", "random")
SEEDS = (0, 1, 2)
LARGE_TASKS = 6000
LARGE_SCHEDULES = ("batched", "program", "fifo", "adversarial", "random")
"""Of graphs with more tasks, whose orders take a minute each; random with the first seed."""
FAULTS_THAT_ARE_NONE = ("ok", "fork", "join", "nested", "strip", "redundant", "inplace", "name")
"""Kinds of `bad/` cases begin so when they merely exercise the generator."""
DEFAULT_TIMEOUT = 900.0
ENDED_BY_SIGNAL = 128
NOT_RUN = "not run"


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    if options.run_once:
        print(json.dumps(_run_once(options.run_once)))
        return
    index = json.loads((GOLDENS / "index.json").read_text(encoding="utf-8"))
    done = _done(options.results)
    for case in _in_order(index, options.case):
        if case not in done and not options.no_run:
            result = _in_a_process(case, options.timeout)
            done[case] = result
            with options.results.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"case": case, **result}) + "\n")
            print(case, _good_words(result), file=sys.stderr)
    tables = _tables(index, done)
    for table in tables:
        print_table(table)
    publish(tables, ("numpy", "torch"), DOCUMENT if options.write_docs else None)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--results",
        type=Path,
        default=Path("run-schedules.jsonl"),
        help="what is done, one line a pipeline; delete it to begin anew",
    )
    parser.add_argument("--case", action="append", default=[], help="only cases that contain this")
    parser.add_argument("--no-run", action="store_true", help="show what is done, run nothing")
    parser.add_argument("--timeout", type=float, default=DEFAULT_TIMEOUT, help="seconds a pipeline")
    parser.add_argument(
        "--write-docs", action="store_true", help="put the tables into docs/run-schedules.md"
    )
    parser.add_argument(ONCE, metavar="CASE", help=argparse.SUPPRESS)
    return parser


def _done(path: Path) -> dict[str, dict[str, Any]]:
    if not path.exists():
        return {}
    rows = [json.loads(x) for x in path.read_text(encoding="utf-8").splitlines()]
    return {x.pop("case"): x for x in rows}


def _in_order(index: Mapping[str, Any], only: Sequence[str]) -> list[str]:
    """Cases with a graph, the small ones first."""
    cases = [
        case
        for case, facts in index.items()
        if facts.get("graphs") and (not only or any(x in case for x in only))
    ]
    return sorted(cases, key=lambda x: (sum(g["bytes"] for g in index[x]["graphs"]), x))


def _is_good(facts: Mapping[str, Any]) -> bool:
    kind = facts.get("fault", {}).get("kind", "ok")
    return kind.startswith(FAULTS_THAT_ARE_NONE) or "ok" in kind


def _in_a_process(case: str, timeout: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.schedules", ONCE, case]
    # Threads that wait for each other would be most of the time of so many short calls
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    try:
        ended = subprocess.run(
            command, cwd=ROOT, capture_output=True, timeout=timeout, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        return {"failure": f"{NOT_RUN}: more than {timeout:.0f} s"}
    if ended.returncode:
        last = ended.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        text = last[0] if last else f"ended by signal {-ended.returncode}"
        return {"failure": f"{NOT_RUN}: {text}"}
    result: dict[str, Any] = json.loads(ended.stdout)
    return result


def _run_once(case: str) -> dict[str, Any]:
    """In a process of its own: run one pipeline in all orders."""
    import torch

    torch.set_num_threads(1)
    from mpkgraph.analysis.verify.subjects import context_of
    from mpkgraph.io.reader import read_graph
    from mpkgraph.io.record import read_record
    from mpkgraph.reference.validation.replay import HAZARDS, replay
    from mpkgraph.reference.validation.validate import RunOptions, Validation

    graphs = sorted((GOLDENS / case).glob("task_graph_rank*.json.zst"))
    contexts = []
    for path in graphs:
        record = path.with_name(path.name.replace("task_graph", "pipeline"))
        contexts.append(context_of(read_graph(path), read_record(record)))
    started = time.process_time()
    num_tasks = sum(x.graph.num_tasks for x in contexts)
    is_large = num_tasks > LARGE_TASKS
    options = RunOptions(
        schedules=LARGE_SCHEDULES if is_large else SCHEDULES,
        seeds=SEEDS[:1] if is_large else SEEDS,
        supply_meta=True,
        maps_all=False,
        traces_all=False,
    )
    # Inputs and right values are the same for all orders, those of replayed hazards too
    validation = Validation(case, contexts, options)
    report = validation.report()
    findings = validation.findings
    hazards = [
        x
        for x in findings
        if x.rule.family == HAZARDS and x.severity == "error" and len(x.witness) >= 2
    ]
    shown = []
    for finding in hazards:
        replayed = replay(validation.checker, finding, is_quick=is_large)
        shown.append((finding.rule.code, replayed.is_shown, _blame(replayed.outcome)))
    return {
        "ranks": len(contexts),
        "tasks": num_tasks,
        **_facts(report),
        "errors": sorted({x.rule.code for x in findings if x.severity == "error"}),
        "hazards": sorted(shown, key=lambda x: x[0]),
        "cpu_seconds": time.process_time() - started,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
    }


def _facts(report: RunReport) -> dict[str, Any]:
    failing = report.failing
    return {
        "tensors": report.num_checked,
        "calls": report.outcomes[0].num_calls,
        "orders": len(report.outcomes),
        "right": sum(x.passes for x in report.outcomes),
        "equal": sum(_is_equal(x) for x in report.outcomes),
        "hangs": sum(x.hang is not None for x in report.outcomes),
        "unexecuted": sorted({x.task_type for x in report.skipped}),
        "unchecked": sorted({x.name for y in report.outcomes for x in y.unchecked}),
        "first_wrong": None if failing is None else failing.schedule,
        "blame": _blame(failing),
        "faults": [] if failing is None else sorted({str(x.kind) for x in failing.faults}),
        "fault_operator": None
        if failing is None or not failing.faults
        else failing.faults[0].operator_name,
    }


def _is_equal(outcome: RunOutcome) -> bool:
    """Whether every tensor has the bits of the whole layer's."""
    return all(
        x.difference.max_abs_error == 0 and x.difference.num_mismatches == 0
        for x in outcome.verdicts
    )


def _blame(outcome: RunOutcome | None) -> dict[str, Any] | None:
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


def _tables(index: Mapping[str, Any], done: Mapping[str, Mapping[str, Any]]) -> list[Table]:
    good = [x for x in _in_order(index, ()) if _is_good(index[x])]
    bad = [x for x in _in_order(index, ()) if not _is_good(index[x])]
    return [_good_table(sorted(good), done), _bad_table(sorted(bad), index, done)]


def _good_table(cases: Sequence[str], done: Mapping[str, Mapping[str, Any]]) -> Table:
    rows, num_right, num_orders, num_run = [], 0, 0, 0
    for case in cases:
        result = done.get(case, {"failure": NOT_RUN})
        if "failure" in result:
            rows.append((case, "", "", "", result["failure"], "", "", ""))
            continue
        num_run += 1
        num_right += result["right"]
        num_orders += result["orders"]
        rows.append(
            (
                case,
                str(result["ranks"]),
                f"{result['tasks']:,}",
                str(result["tensors"]),
                f"{result['right']} of {result['orders']}",
                f"{result['equal']} of {result['orders']}",
                _good_words(result),
                f"{result['cpu_seconds']:.0f}",
            )
        )
    return Table(
        f"Good pipelines: {num_run} of {len(cases)} run, {num_right} of {num_orders} runs right",
        ("pipeline", "ranks", "tasks", "tensors", "right", "equal to the bit", "but", "CPU s"),
        tuple(rows),
    )


def _good_words(result: Mapping[str, Any]) -> str:
    """What is to be said of a pipeline besides its counts."""
    if "failure" in result:
        return str(result["failure"])
    words = []
    if result["hangs"]:
        words.append(f"hangs in {result['hangs']}: {', '.join(result['errors']) or 'no finding'}")
    elif result["right"] < result["orders"]:
        blame = result["blame"]
        who = result["fault_operator"] if blame is None else f"{blame['operator_name']}"
        codes = (
            ", ".join(dict.fromkeys(blame["findings"])) if blame else ", ".join(result["faults"])
        )
        words.append(f"{result['first_wrong']}: {who} ({codes or 'no finding'})")
    if result["unexecuted"]:
        words.append(f"without {', '.join(result['unexecuted'])}")
    return "; ".join(words)


def _bad_table(
    cases: Sequence[str], index: Mapping[str, Any], done: Mapping[str, Mapping[str, Any]]
) -> Table:
    rows = []
    for case in cases:
        kind = str(index[case]["fault"]["kind"])
        result = done.get(case, {"failure": NOT_RUN})
        if "failure" in result:
            rows.append((case, kind, result["failure"], "", "", "", ""))
            continue
        blame, hazards = result["blame"], result["hazards"]
        hazard_blame = next((x[2] for x in hazards if x[2] is not None), None)
        said = blame or hazard_blame
        who = "" if said is None else f"{said['tensor']} by {said['operator_name']}"
        if said is None and result["fault_operator"] is not None:
            who = f"{result['fault_operator']}: {', '.join(result['faults'])}"
        rows.append(
            (
                case,
                kind,
                "hangs"
                if result["hangs"]
                else f"wrong in {result['orders'] - result['right']} of {result['orders']}",
                who,
                "" if said is None else ", ".join(dict.fromkeys(said["by_finding"])),
                ", ".join(result["errors"]),
                f"{sum(x[1] for x in hazards)} of {len(hazards)}" if hazards else "",
            )
        )
    return Table(
        "Bad pipelines",
        (
            "pipeline",
            "kind",
            "runs",
            "blamed",
            "findings of that operator",
            "errors of verify",
            "hazards shown",
        ),
        tuple(rows),
    )


if __name__ == "__main__":
    main()
