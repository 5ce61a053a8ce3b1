"""One way each to answer a question about a graph file, ours and peers', in a process of its own.

`python -m benchmarks.ways NAME FILE...` runs one and prints its seconds, CPU seconds and answer as
JSON. Imports are not in the time (each is run on a small graph first); from the path to the answer
is. Ways to the same question give
the same answer, which whoever measures them checks.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import networkx as nx

    from mpkgraph.reference.interpreter.initial import Initial

Paths = Sequence[Path]


class Timer:
    """Wall and CPU seconds of a block."""

    seconds = 0.0
    cpu_seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        start, cpu = time.perf_counter(), time.process_time()
        yield
        self.seconds = time.perf_counter() - start
        self.cpu_seconds = time.process_time() - cpu


Way = Callable[[Timer, Paths], object]
"""Answers; what is in `timer.running()` is measured."""


# How many tasks of each type


def counts_mpkgraph(timer: Timer, paths: Paths) -> object:
    """The whole summary, operators included, of which the counts are a part."""
    import mpkgraph
    from mpkgraph.analysis import summary  # noqa: F401  imported before the time starts

    with timer.running():
        graph = mpkgraph.read(paths[0], processes=1)
        mpkgraph.summarise(graph)
    return dict(sorted(Counter(map(str, graph.tasks.task_types.tolist())).items()))


def counts_orjson(timer: Timer, paths: Paths) -> object:
    import orjson

    with timer.running():
        tasks = orjson.loads(paths[0].read_bytes())["all_tasks"]
        counts = Counter(str(task["task_type"]) for task in tasks)
    return dict(sorted(counts.items()))


def counts_duckdb(timer: Timer, paths: Paths) -> object:
    import duckdb

    # A graph is one JSON object, and DuckDB makes every other column of it too
    query = """
        SELECT task.task_type, count(*) FROM (
            SELECT unnest(all_tasks) AS task FROM read_json(?, maximum_object_size = 4000000000)
        ) GROUP BY 1
    """
    with timer.running():
        rows = duckdb.execute(query, [str(paths[0])]).fetchall()
    return dict(sorted((str(task_type), count) for task_type, count in rows))


def counts_jq(timer: Timer, paths: Paths) -> object:
    """The PyPI package: jq's library in this process."""
    import jq

    program = jq.compile(
        ".all_tasks | group_by(.task_type) | map({key: (.[0].task_type | tostring), value: length})"
        " | from_entries"
    )
    with timer.running():
        counts = program.input_text(paths[0].read_text()).first()
    return dict(sorted(counts.items()))


# The order of tasks


def order_mpkgraph(timer: Timer, paths: Paths) -> object:
    import mpkgraph
    from mpkgraph.analysis.structure import find_structure

    with timer.running():
        found = find_structure(mpkgraph.read(paths[0], processes=1))
    return {"depth": found.depth, "width": found.width}


def order_networkx(timer: Timer, paths: Paths) -> object:
    """Generations in topological order of tasks and events, of which those of tasks count."""
    import networkx as nx
    import orjson  # noqa: F401

    with timer.running():
        depths: dict[Any, int] = {}
        network = _network(paths[0])
        for node in nx.topological_sort(network):
            before = max((depths[x] for x in network.predecessors(node)), default=0)
            depths[node] = before + (node[0] == "task")
        levels = Counter(depth for node, depth in depths.items() if node[0] == "task")
    return {"depth": max(levels), "width": max(levels.values())}


def before_mpkgraph(timer: Timer, paths: Paths) -> object:
    import numpy as np

    import mpkgraph
    from mpkgraph.analysis.event_graph import EventGraph
    from mpkgraph.analysis.neighbourhood import neighbourhood

    with timer.running():
        graph = mpkgraph.read(paths[0], processes=1)
        last = np.array([graph.num_tasks - 1])
        found = neighbourhood(EventGraph.of(graph), last, direction="up")
    return int((found.hops < 0).sum())


def before_networkx(timer: Timer, paths: Paths) -> object:
    import networkx as nx
    import orjson  # noqa: F401

    with timer.running():
        network = _network(paths[0])
        last = max(number for kind, number in network if kind == "task")
        found = nx.ancestors(network, ("task", last))
    return sum(kind == "task" for kind, _ in found)


def _network(path: Path) -> nx.DiGraph:
    """Tasks and events as a user of networkx would put them together."""
    import networkx as nx
    import orjson

    graph = orjson.loads(path.read_bytes())
    network = nx.DiGraph()
    network.add_nodes_from(
        (("event", event), {"label": "event"}) for event in range(len(graph["all_events"]))
    )
    for task, record in enumerate(graph["all_tasks"]):
        network.add_node(("task", task), label=_label(record))
        wait, fire = (record[key] for key in ("dependent_event", "trigger_event"))
        # Of this rank, and the prelaunch of all tasks and the end of all are no order of tasks
        if wait != NO_EVENT and wait >> EVENT_RANK_BITS == RANK:
            network.add_edge(("event", wait & EVENT_MASK), ("task", task))
        if fire != NO_EVENT and fire >> EVENT_RANK_BITS == RANK:
            network.add_edge(("task", task), ("event", fire & EVENT_MASK))
    return network


NO_EVENT = 0x7FFFFFFFFFFFFFFE
EVENT_RANK_BITS, EVENT_MASK, RANK = 32, 0xFFFFFFFF, 0


def _label(record: dict[str, Any]) -> str:
    slots = [*(record["inputs"] or ()), *(record["outputs"] or ())]
    tiles = [(x["base_ptr"], x["offset"], *x["dims"]) for x in slots]
    return repr((record["task_type"], record["variant_id"], tiles))


# Whether two graphs are the same pipeline


def same_mpkgraph(timer: Timer, paths: Paths) -> object:
    """The whole report on what differs."""
    import mpkgraph
    from mpkgraph.analysis.diff import report  # noqa: F401

    with timer.running():
        left, right = (mpkgraph.read(path, processes=1) for path in paths)
        found = mpkgraph.diff(left, right)
    return found.is_equal


def same_networkx(timer: Timer, paths: Paths) -> object:
    """Isomorphism by VF2++, nodes labelled with types and tiles: yes or no, and nothing else."""
    import networkx as nx
    import orjson  # noqa: F401

    with timer.running():
        left, right = map(_network, paths)
        answer = nx.vf2pp_is_isomorphic(left, right, node_label="label")
    return bool(answer)


def same_hashes(timer: Timer, paths: Paths) -> object:
    """Weisfeiler-Lehman hashes: what they call different is."""
    import networkx as nx
    import orjson  # noqa: F401

    # networkx warns that other versions give other hashes: these are compared with each other
    warnings.filterwarnings("ignore", message="The hashes produced for directed graphs")
    with timer.running():
        left, right = (
            nx.weisfeiler_lehman_graph_hash(_network(path), node_attr="label") for path in paths
        )
    return left == right


def edits_networkx(timer: Timer, paths: Paths) -> object:
    """The fewest edits that make one graph of the other: exact, hence for tiny graphs only."""
    import networkx as nx
    import orjson  # noqa: F401

    with timer.running():
        left, right = map(_network, paths)
        edits = nx.graph_edit_distance(
            left, right, node_match=lambda a, b: a.get("label") == b.get("label"), timeout=20
        )
    return edits == 0


# What grows with a graph: mpkgraph's own steps, each after what goes before it


def step_read(timer: Timer, paths: Paths) -> object:
    import mpkgraph

    with timer.running():
        graph = mpkgraph.read(paths[0], processes=1)
    return graph.num_tasks


def step_summary(timer: Timer, paths: Paths) -> object:
    """Operators included."""
    import mpkgraph

    graph = mpkgraph.read(paths[0], processes=1)
    with timer.running():
        mpkgraph.summarise(graph)
    return graph.num_tasks


def step_verify(timer: Timer, paths: Paths) -> object:
    """Operators included."""
    import mpkgraph

    graph = mpkgraph.read(paths[0], processes=1)
    with timer.running():
        mpkgraph.verify(graph, find_record=False)
    return graph.num_tasks


def step_diff(timer: Timer, paths: Paths) -> object:
    """Operators included."""
    import mpkgraph

    left, right = (mpkgraph.read(path, processes=1) for path in paths)
    with timer.running():
        mpkgraph.diff(left, right, find_record=False)
    return left.num_tasks


def step_schedule(timer: Timer, paths: Paths) -> object:
    """Costs, simulation, bounds and stalls, without trying other durations."""
    import mpkgraph
    from mpkgraph.analysis.context import GraphContext
    from mpkgraph.analysis.cost.model import CostModel
    from mpkgraph.analysis.schedule.run import ScheduleOptions, schedule

    graph = mpkgraph.read(paths[0], processes=1)
    context = GraphContext(graph, mpkgraph.operators(graph, find_record=False))
    with timer.running():
        schedule([context], ScheduleOptions(128, 16, CostModel.of_gpu("h100"), vary=False))
    return graph.num_tasks


PLAN_RUNS = 2
"""The first run imports what it needs, the last is measured."""


def step_plan(timer: Timer, paths: Paths) -> object:
    """From a record in memory to the graph's text."""
    import io

    from mpkgraph.io.record import read_record
    from mpkgraph.io.writer import write_graph
    from mpkgraph.planner.plan import plan

    record = read_record(paths[0])
    for _ in range(PLAN_RUNS):
        with timer.running():
            graph = plan(record).graph
            write_graph(graph, io.BytesIO())
    return graph.num_tasks


# The layers of a decoder's MLP, executed


def mlp_mpkgraph(timer: Timer, paths: Paths) -> object:
    """Every task of the recorded pipeline, operator by operator."""
    return _interpreted(timer, paths[0], "batched")


def mlp_one_by_one(timer: Timer, paths: Paths) -> object:
    """Each task by itself."""
    return _interpreted(timer, paths[0], "program")


def _interpreted(timer: Timer, path: Path, schedule: str) -> object:
    from mpkgraph.analysis.execution.schedulers import make_scheduler
    from mpkgraph.reference.interpreter.run import run_program

    for seed in SEEDS:
        initial = _initial(path, seed)
        program, memories = initial.program, initial.memories()
        scheduler = make_scheduler(schedule, program.tasks, groups=program.groups)
        with timer.running():
            run_program(program, memories, scheduler)
    return _checksum(memories[0].whole("mlp_out"))


def mlp_torch(timer: Timer, paths: Paths) -> object:
    """The same layers in plain torch, on the same numbers; each layer rounds to bfloat16."""
    import torch

    for seed in SEEDS:
        memory = _initial(paths[0], seed).memories()[0]
        x, gate, up, down, residual = (
            memory.whole(name) for name in ("input", "w_gate", "w_up", "w_down", "residual")
        )
        with timer.running():
            middle = torch.nn.functional.silu(x @ gate.T) * (x @ up.T)
            out = middle @ down.T + residual
    return _checksum(out)


def _initial(path: Path, seed: int) -> Initial:
    """Memories with made-up inputs, the same in each process; torch on one thread."""
    import torch

    from mpkgraph.analysis.verify.subjects import context_of
    from mpkgraph.io.record import read_record
    from mpkgraph.planner.plan import plan
    from mpkgraph.reference.interpreter.initial import Given, Initial, InitialOptions
    from mpkgraph.reference.interpreter.program import Program

    torch.set_num_threads(1)
    record = read_record(path)
    program = Program.of([context_of(plan(record).graph, record)])
    rows = program.ranks[0].shapes["input"].dims[0]
    # One request of as many tokens as there are rows
    meta = {"qo_indptr_buffer": torch.tensor([0, rows], dtype=torch.int32)}
    return Initial(program, InitialOptions(seed=seed, given=[Given(meta=meta)]))


SEEDS = (1, 0)
"""Of the inputs. The first run finds code for the first time, the last is measured; other inputs,
since the interpreter keeps products of the same rows and weights."""


def _checksum(tensor: Any) -> float:
    return float(tensor.double().abs().mean())


@dataclass(frozen=True)
class Named:
    """A way, what to call it, and the packages that it needs besides mpkgraph's own."""

    title: str
    way: Way
    requires: tuple[str, ...] = ()
    is_warmed: bool = True
    """Whether it is run on a small graph first; those that take records see to that themselves."""


WAYS: dict[str, Named] = {
    "counts-mpkgraph": Named("mpkgraph, whole summary", counts_mpkgraph),
    "counts-orjson": Named("orjson and a Counter", counts_orjson),
    "counts-duckdb": Named("DuckDB `read_json`", counts_duckdb, ("duckdb",)),
    "counts-jq": Named("jq (PyPI)", counts_jq, ("jq",)),
    "order-mpkgraph": Named("mpkgraph", order_mpkgraph),
    "order-networkx": Named("networkx `topological_sort`", order_networkx),
    "before-mpkgraph": Named("mpkgraph", before_mpkgraph),
    "before-networkx": Named("networkx `ancestors`", before_networkx),
    "same-mpkgraph": Named("mpkgraph, whole report", same_mpkgraph),
    "same-networkx": Named("networkx `vf2pp_is_isomorphic`", same_networkx),
    "same-hashes": Named("networkx `weisfeiler_lehman_graph_hash`", same_hashes),
    "edits-networkx": Named("networkx `graph_edit_distance`", edits_networkx, is_warmed=False),
    "step-read": Named("reading, all columns", step_read),
    "step-summary": Named("summary", step_summary),
    "step-verify": Named("verify, graph alone", step_verify),
    "step-diff": Named("diff with another grid", step_diff),
    "step-schedule": Named("schedule on 128 workers", step_schedule),
    "step-plan": Named("planning and text, from a record", step_plan, is_warmed=False),
    "mlp-torch": Named("plain torch, whole layers", mlp_torch, ("torch",), is_warmed=False),
    "mlp-mpkgraph": Named(
        "interpreter, operator by operator", mlp_mpkgraph, ("torch",), is_warmed=False
    ),
    "mlp-one-by-one": Named(
        "interpreter, task by task", mlp_one_by_one, ("torch",), is_warmed=False
    ),
}


def run(name: str, paths: Paths) -> dict[str, object]:
    named = WAYS[name]
    if named.is_warmed:
        _warm(named.way, len(paths))
    timer = Timer()
    answer = named.way(timer, paths)
    return {"seconds": timer.seconds, "cpu_seconds": timer.cpu_seconds, "answer": answer}


def _warm(way: Way, num_paths: int) -> None:
    """Once on a small graph, so that what is imported on the way is not in the time."""
    from benchmarks.decoder import scaled_spec
    from benchmarks.generate import generate

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "small.json"
        with path.open("wb") as stream:
            generate(stream, scaled_spec(1, 1))
        way(Timer(), [path] * num_paths)


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], [Path(x) for x in sys.argv[2:]])))
