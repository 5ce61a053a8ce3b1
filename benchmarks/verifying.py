"""Measure static verify: `python -m benchmarks.verifying`.

Real graphs, and generated ones up to a million tasks, with the seconds that the goals are about:
after reading, recovery of the operators included. The peer is the same question asked of networkx
task by task: is each pair of tasks with a common tile, one of which writes it, joined by a path?
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.generate import generate, spec_for_size
from benchmarks.harness import (
    ROOT,
    MeasurementError,
    Spread,
    Subject,
    measure,
)
from benchmarks.report import Table, print_table, publish, spread_text

MB = 1_000_000
DEFAULT_ROUNDS = 3
GOLDENS = ROOT.parent / "shared" / "goldens"
DOCUMENT = ROOT / "docs" / "verify-speed.md"
ONCE = "--verify-once"
PEER_ONCE = "--networkx-once"
PEER_MAX_TASKS = 5_000
"""The peer's paths are quadratic: beyond this it takes minutes."""


@dataclass(frozen=True, slots=True)
class Case:
    """A graph file and the seconds within which it is to be verified once it is read."""

    name: str
    path: Path
    goal_seconds: float | None
    goal_mb: float | None = None


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    if options.verify_once:
        _verify_once(options.verify_once)
    elif options.networkx_once:
        _networkx_once(options.networkx_once)
    else:
        _measure_all(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=DEFAULT_ROUNDS)
    parser.add_argument(
        "--size-mb",
        type=float,
        default=1_450,
        help="million bytes of the generated graph (default: a million tasks); 0 leaves it out",
    )
    parser.add_argument("--no-real", action="store_true", help="leave Mirage's own graphs out")
    parser.add_argument("--graph", type=Path, action="append", default=[], help="one more graph")
    parser.add_argument(
        "--write-docs", action="store_true", help="put the table into docs/verify-speed.md"
    )
    parser.add_argument(ONCE, type=Path, metavar="GRAPH", help=argparse.SUPPRESS)
    parser.add_argument(PEER_ONCE, type=Path, metavar="GRAPH", help=argparse.SUPPRESS)
    return parser


def _verify_once(path: Path) -> None:
    """In a process of its own: seconds after reading, findings by severity."""
    import mpkgraph

    graph = mpkgraph.read(path)
    started, cpu_started = time.perf_counter(), time.process_time()
    report = mpkgraph.verify(graph)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    print(
        json.dumps(
            {
                "seconds": seconds,
                "cpu_seconds": cpu_seconds,
                "tasks": graph.num_tasks,
                "findings": len(report.findings),
            }
        )
    )


def _networkx_once(path: Path) -> None:
    """The peer: a DiGraph of tasks and events, descendants of each task that writes something."""
    import networkx as nx

    import mpkgraph

    graph = mpkgraph.read(path)
    started, cpu_started = time.perf_counter(), time.process_time()
    order = nx.DiGraph()
    users: dict[tuple[object, ...], list[tuple[int, bool]]] = defaultdict(list)
    tasks = graph.tasks
    outputs = tasks.slot_is_output.tolist()
    for task, (wait, fire) in enumerate(
        zip(tasks.dependent_indices.tolist(), tasks.trigger_indices.tolist(), strict=True)
    ):
        if wait >= 0:
            order.add_edge(("event", wait), ("task", task))
        if fire >= 0:
            order.add_edge(("task", task), ("event", fire))
        for slot in range(*tasks.slot_starts[task : task + 2].tolist()):
            layout = graph.layouts[tasks.slot_layouts[slot]]
            tile = (layout.base_ptr, layout.dims, int(tasks.slot_offsets[slot]))
            users[tile].append((task, outputs[slot]))
    after = {
        task: nx.descendants(order, ("task", task))
        for task in {task for tile in users.values() for task, writes in tile if writes}
    }
    unordered = 0
    for tile in users.values():
        for (one, writes_one), (two, writes_two) in itertools.combinations(tile, 2):
            if one != two and (writes_one or writes_two):
                first, second = ("task", one), ("task", two)
                unordered += second not in after.get(one, ()) and first not in after.get(two, ())
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu_seconds, "unordered": unordered}))


def _cases(options: argparse.Namespace, folder: Path) -> Iterator[Case]:
    import zstandard

    for case, goal in (
        ("qwen3_demo-Qwen3-0.6B-b1-L2-cc90", None),
        ("qwen3_demo-Qwen3-8B-b8-full-cc90", 1.0),
        ("deepseek_v3-full-b1-cc100", 10.0),
    ):
        packed = GOLDENS / "models" / case / "task_graph_rank0.json.zst"
        if packed.exists() and not options.no_real:
            path = folder / case / "task_graph_rank0.json"
            path.parent.mkdir()
            with packed.open("rb") as source, path.open("wb") as target:
                zstandard.ZstdDecompressor().copy_stream(source, target)
            yield Case(case, path, goal)
    for path in options.graph:
        yield Case(path.parent.name or path.name, path, 10.0)
    if options.size_mb:
        path = folder / "generated" / "task_graph_rank0.json"
        path.parent.mkdir()
        with path.open("wb", buffering=1 << 22) as stream:
            generate(stream, spec_for_size(options.size_mb, num_ranks=1))
        yield Case("generated decoder", path, 30.0, 4_000)


def _measure_all(options: argparse.Namespace) -> None:
    ours = Subject(
        "verify",
        lambda path: [sys.executable, "-m", "benchmarks.verifying", ONCE, str(path)],
        times_itself=True,
    )
    peer = Subject(
        "networkx",
        lambda path: [sys.executable, "-m", "benchmarks.verifying", PEER_ONCE, str(path)],
        times_itself=True,
    )
    with tempfile.TemporaryDirectory(prefix="mpkgraph-bench-") as folder:
        rows = [_row(x, ours, peer, options.rounds) for x in _cases(options, Path(folder))]
    table = Table(
        "Static verify, graph alone",
        (
            "graph",
            "tasks",
            "findings",
            "verify s",
            "CPU s",
            "peak MB",
            "goal",
            "",
            "networkx s",
            "times slower",
        ),
        tuple(rows),
    )
    print_table(table)
    publish([table], ("numpy", "orjson", "networkx"), DOCUMENT if options.write_docs else None)


def _row(case: Case, ours: Subject, peer: Subject, rounds: int) -> tuple[str, ...]:
    samples, others = [], []
    try:
        for _ in range(rounds):
            samples.append(measure(ours, case.path))
            if int(str(samples[0].result["tasks"])) <= PEER_MAX_TASKS:
                others.append(measure(peer, case.path))
    except MeasurementError as error:
        return (case.name, "", f"failed: {error}", *[""] * 7)
    spread = Spread.of([x.seconds for x in samples])
    cpu = Spread.of([x.cpu_seconds for x in samples])
    peak = max(x.peak_bytes for x in samples) / MB
    goal = met = ""
    if case.goal_seconds is not None:
        goal = f"{case.goal_seconds:g} s"
        holds = cpu.median <= case.goal_seconds
        if case.goal_mb is not None:
            goal += f", {case.goal_mb:g} MB"
            holds = holds and peak <= case.goal_mb
        met = "met" if holds else "NOT met"
    slower = [y.cpu_seconds / x.cpu_seconds for x, y in zip(samples, others, strict=False)]
    return (
        case.name,
        f"{samples[0].result['tasks']:,}",
        str(samples[0].result["findings"]),
        spread_text(spread, ".2f"),
        f"{cpu.median:.2f}",
        f"{peak:.0f}",
        goal,
        met,
        f"{Spread.of([x.seconds for x in others]).median:.2f}" if others else "",
        f"{Spread.of(slower).median:.0f}" if slower else "",
    )


if __name__ == "__main__":
    main()
