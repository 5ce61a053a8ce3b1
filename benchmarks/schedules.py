"""Run every golden in every order: `python -m benchmarks.schedules --write-docs`.

Each pipeline that Mirage compiled is executed operator by operator, in program order, by the static
queues of the workers, backwards, with producers as late as may be, and in random orders. Good ones
must give the same, right values each time. Bad ones must go wrong where their fault changes values,
and each certain hazard that verify finds must be shown by an order of tasks.

One process a pipeline, which `--jobs N` divides in N. What is done stays in `--results`, so that a
run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT, machine_facts
from benchmarks.report import Table, markdown, print_table, write_between_marks
from benchmarks.schedule_runs import GOLDENS, NOT_RUN, join, run_case

DOCUMENT = ROOT / "docs" / "run-schedules.md"
ONCE = "--run-once"
FAULTS_THAT_ARE_NONE = ("ok", "fork", "join", "nested", "strip", "redundant", "inplace", "name")
"""Kinds of `bad/` cases begin so when they merely exercise the generator."""
DEFAULT_TIMEOUT = 900.0


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    if options.run_once:
        for line in run_case(options.run_once, options.jobs):
            print(json.dumps(line), flush=True)
        return
    index = json.loads((GOLDENS / "index.json").read_text(encoding="utf-8"))
    done = _done(options.results)
    for case in _in_order(index, options.case):
        if case not in done and not options.no_run:
            result = _in_a_process(case, options.jobs, options.timeout)
            result["machine"] = list(machine_facts(("numpy", "torch")))
            done[case] = result
            with options.results.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"case": case, **result}) + "\n")
            print(case, _good_words(result), file=sys.stderr)
    tables = _tables(index, done)
    for table in tables:
        print_table(table)
    facts = _machines(done.values())
    print("; ".join(facts))
    if options.write_docs:
        write_between_marks(DOCUMENT, markdown(tables, facts))


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
    parser.add_argument("--jobs", type=int, default=1, help="orders that run at a time")
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


def _machines(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """What is to be said of the machines that ran, which need not be this one."""
    found = ("; ".join(x["machine"]) for x in rows if "machine" in x)
    return list(dict.fromkeys(found))


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


def _in_a_process(case: str, jobs: int, timeout: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.schedules", ONCE, case, "--jobs", str(jobs)]
    # Threads that wait for each other would be most of the time of so many short calls
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    failure = None
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            output, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            failure = f"{NOT_RUN}: more than {timeout:.0f} s"
            os.killpg(process.pid, signal.SIGKILL)
            output, errors = process.communicate()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode and failure is None:
        last = errors.decode("utf-8", "replace").strip().splitlines()[-1:]
        failure = f"{NOT_RUN}: {last[0] if last else f'exit status {process.returncode}'}"
    # The last line of a process that was killed may be half a line
    whole = output.decode("utf-8", "replace").rpartition("\n")[0].splitlines()
    return join([json.loads(x) for x in whole], failure)


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
    if result["missing"]:
        words.append(f"without {', '.join(result['missing'])}, {result['why_missing']}")
    num_left = result["hazards_found"] - len(result["hazards"])
    if num_left:
        words.append(f"{num_left} hazards not replayed, {result['why_missing']}")
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
                f"{sum(x[1] for x in hazards)} of {result['hazards_found']}" if hazards else "",
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
