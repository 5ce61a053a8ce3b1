"""Details of many tasks are, to the byte, those of each task alone."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from mpkgraph.analysis import task_batch
from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.task_detail import task_detail
from mpkgraph.io.reader import read_graph
from mpkgraph.render import task_batch_text
from mpkgraph.render.show_text import task_text
from mpkgraph.render.task_batch_text import tasks_text
from mpkgraph.render.text import TextOptions, TextWriter
from mpkgraph.views.operators import recover_operators
from tests import goldens, loaded

EXAMPLE = Path(__file__).parents[2] / "examples" / "decoder" / "task_graph_rank1.json"
MAX_TASKS = 120
LAYOUTS = [TextOptions(), TextOptions(color=True), TextOptions(width=90)]


def written(write, options: TextOptions) -> str:
    stream = io.StringIO()
    write(TextWriter(stream, options))
    return stream.getvalue()


def check(context: GraphContext, task_ids: np.ndarray, options: TextOptions) -> None:
    def one_by_one(out: TextWriter) -> None:
        for task in task_ids.tolist():
            task_text(out, task_detail(context, task))

    together = written(lambda out: tasks_text(out, context, task_ids), options)
    assert together == written(one_by_one, options)


@pytest.mark.parametrize("golden", goldens.graphs(max_bytes=500_000, one_target=True), ids=str)
def test_tasks_of_goldens(golden):
    context = GraphContext(loaded.graph(golden), loaded.recorded(golden))
    num_tasks = context.graph.num_tasks
    task_ids = np.unique(np.linspace(0, num_tasks - 1, MAX_TASKS).astype(np.int64))
    check(context, task_ids, LAYOUTS[num_tasks % len(LAYOUTS)])


@pytest.mark.parametrize("options", LAYOUTS, ids=str)
def test_batches_and_memories_end_in_any_place(options, monkeypatch):
    monkeypatch.setattr(task_batch, "BATCH_TASKS", 7)
    monkeypatch.setattr(task_batch_text, "MAX_REMEMBERED", 3)
    graph = read_graph(EXAMPLE)
    context = GraphContext(graph, recover_operators(graph))
    order = np.random.default_rng(3).permutation(graph.num_tasks)
    check(context, order.astype(np.int64), options)


@pytest.mark.parametrize("options", LAYOUTS, ids=str)
def test_what_no_graph_of_mirage_has(options, tmp_path):
    document = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    tasks = document["all_tasks"]
    for task in tasks[5:30:5]:
        task["priority"] = {"new %d": "\u202e"}
    for task in tasks[40:60:3]:
        task["inputs"][0]["base_ptr"] = "long_%s_\n" * 40
    for task in tasks[70:90:3]:
        task["inputs"][0]["residency"] = "L2"
    tasks[95]["task_type"] = 4242
    tasks[96]["inputs"][0].update(data_type=4711, dims=[], strides=[])
    path = tmp_path / "task_graph_rank1.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    graph = read_graph(path)
    context = GraphContext(graph, recover_operators(graph))
    check(context, np.arange(graph.num_tasks), options)
