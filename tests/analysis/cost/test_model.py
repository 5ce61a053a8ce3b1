"""Durations of the cost model by hand, and cost files."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.cost.durations import BOUNDS, model_costs
from mpkgraph.analysis.cost.gpus import FIXED_NS, GPUS
from mpkgraph.analysis.cost.model import CostModel, Workload, cost_model, read_cost_file
from mpkgraph.analysis.cost.work import SlotFacts, TaskShape, tasks_at_work, work_of
from mpkgraph.errors import GraphReadError, UsageError
from mpkgraph.io.reader import read_graph
from mpkgraph.views.operators import recover_operators
from tests import goldens
from tests.analysis.graphs import context_of, graph_of, slot, task

H100 = CostModel.of_gpu("h100")


def facts(*dims, size=2, name="bfloat16", in_l2=False, is_output=False):
    return SlotFacts(dims, size, name, int(np.prod(dims)) * size, in_l2, is_output)


def shape(task_type, kind, slots, *, num_inputs, grid=(1, 1, 1), num_tasks=1, lane=0):
    return TaskShape(task_type, kind, None, grid, num_tasks, tuple(slots), num_inputs, lane)


def test_linear_reads_its_weight_once():
    linear = shape(
        "TASK_LINEAR",
        "linear",
        [facts(8, 4096, in_l2=True), facts(64, 4096), facts(8, 64, in_l2=True, is_output=True)],
        num_inputs=2,
    )
    work = work_of(linear, Workload())
    assert work.hbm_bytes == 64 * 4096 * 2
    assert work.l2_bytes == 8 * 4096 * 2 + 8 * 64 * 2
    assert work.matmul_flops == 2 * 8 * 64 * 4096


def test_attention_reads_as_much_of_its_cache_as_it_holds():
    def attention(grid, name="TASK_PAGED_ATTENTION_HOPPER"):
        outputs = [facts(1, 1024, is_output=True)]
        if "SPLIT" in name:
            outputs.insert(0, facts(1, 8, size=4, name="float32", is_output=True))
        cache = facts(16, 4096, 1, 128)
        small = [facts(128), facts(128), facts(4096, 128), facts(4096, 128)]
        return shape(
            name,
            "attention",
            [facts(1, 1280), cache, cache, *small, *outputs],
            num_inputs=7,
            grid=grid,
        )

    short, long = (
        work_of(attention((1, 4, 1)), Workload(kv_length=length)) for length in (100, 1100)
    )
    # Keys and values of 128 bf16 each, read and (some of them) written
    assert long.hbm_bytes - short.hbm_bytes == 1000 * 128 * 2 * 2 * 2
    assert short.matmul_flops == 4 * 1024 * 100
    split = attention((1, 4, 4), "TASK_PAGED_ATTENTION_SPLIT_KV_HOPPER")
    assert work_of(split, Workload(kv_length=400)).matmul_flops == 4 * 1024 * 100


def test_lanes_past_the_active_experts_do_nothing():
    def lane(number):
        return shape(
            "TASK_MOE_W13_LINEAR_SM100",
            "moe",
            [
                facts(1, 2048),
                facts(128, 128, 2048),
                facts(128, 1, size=4, name="int32"),
                facts(129, size=4, name="int32"),
                facts(1, 8, 128, is_output=True),
            ],
            num_inputs=4,
            grid=(10, 12, 1),
            num_tasks=120,
            lane=number,
        )

    works = [work_of(lane(number), Workload()) for number in range(10)]
    # One token chooses 8 experts: lanes 0 to 7 have one each
    assert [work.hbm_bytes > 0 for work in works] == [True] * 8 + [False] * 2
    assert works[0].matmul_flops == 2 * 1 * 128 * 2048
    assert tasks_at_work(lane(0)) == 96


def test_a_task_takes_its_fixed_part_and_its_roofline():
    weight = slot("w", (64, 4096), (4096, 1))
    graph = graph_of(
        [
            task(
                None,
                2,
                inputs=[slot("x", (8, 4096), (4096, 1)), weight],
                outputs=[slot("y", (8, 64), (64, 1))],
            )
        ],
        3,
    )
    costs = model_costs(context_of(graph), H100, 128)
    gpu = GPUS["h100"]
    hbm = (8 * 4096 * 2 + 64 * 4096 * 2) / gpu.sm_gb_per_s
    l2 = 8 * 64 * 2 / gpu.sm_l2_gb_per_s
    assert costs.durations[2] == round(FIXED_NS["linear"] + hbm + l2)
    assert BOUNDS[costs.limits[2]] == "memory"
    assert costs.durations[:2].tolist() == [0, 0]


def test_tasks_at_once_share_the_memory():
    def durations(count):
        tasks = [
            task(None, 2, inputs=[slot("w", (64, 4096), (4096, 1), 524288 * i)], outputs=[])
            for i in range(count)
        ]
        return model_costs(context_of(graph_of(tasks, 3)), H100, 128).durations[2:]

    alone, few, many = durations(1)[0], durations(8)[0], durations(128)[0]
    assert alone == few < many
    bandwidth = GPUS["h100"].hbm_gb_per_s * GPUS["h100"].hbm_efficiency / 128
    assert many == pytest.approx(64 * 4096 * 2 / bandwidth + FIXED_NS["linear"], rel=0.01)


@pytest.mark.parametrize("golden_graph", goldens.graphs(max_bytes=1_500_000)[::4], ids=str)
def test_every_task_of_the_goldens_has_a_plausible_duration(golden_graph):
    if golden_graph is None:
        return
    graph = read_graph(golden_graph.graph_path)
    context = GraphContext(graph, recover_operators(graph))
    costs = model_costs(context, H100, 128)
    running = ~graph.tasks.is_null
    running[:2] = False
    assert (costs.durations[running] >= min(FIXED_NS.values())).all()
    # The smallest GPU reads at 2 TB/s: no task of these graphs needs 50 ms
    assert (costs.durations < 50_000_000).all()


def test_qwen3_8b_takes_at_least_as_long_as_its_weights():
    golden = goldens.get("models/qwen3_demo-Qwen3-8B-b1-L2-cc90")
    graph = read_graph(golden.graph_path)
    context = GraphContext(graph, recover_operators(graph))
    costs = model_costs(context, H100, 128)
    names = [x.base_ptr for x in graph.layouts]
    assert any("lm_head" in name for name in names)
    # lm_head alone is 151,936 x 4,096 bf16, dealt to all workers
    lm_head = 153600 * 4096 * 2 / (3352 * 0.91)
    assert costs.durations.sum() / 128 > lm_head


def write(tmp_path, **document):
    path = tmp_path / "costs.json"
    path.write_text(json.dumps({"schema": "mpkgraph-cost/1", **document}))
    return str(path)


def test_a_cost_file_overrides(tmp_path):
    path = write(
        tmp_path,
        gpu="b200",
        hardware={"hbm_gb_per_s": 7000, "num_sms": 140},
        runtime={"hand_out_ns": 0},
        workload={"kv_length": 77},
        kinds={"linear": {"fixed_ns": 1}},
        task_types={"TASK_LINEAR": {"duration_ns": 5}, "TASK_RMS_NORM": {"scale": 2.0}},
    )
    model = cost_model(path, "h100")
    assert (model.name, model.hardware.hbm_gb_per_s, model.hardware.num_sms) == ("b200", 7000, 140)
    assert (model.runtime.hand_out_ns, model.workload.kv_length) == (0, 77)
    assert (model.fixed_of("linear"), model.fixed_of("norm")) == (1, FIXED_NS["norm"])
    graph = graph_of([(None, 2), task(None, 2, task_type=119)], 3)
    durations = model_costs(context_of(graph, [[2], [3]]), model, 4).durations
    assert durations.tolist() == [0, 0, 5, 2 * FIXED_NS["norm"]]


def test_a_model_written_as_a_file_is_the_model(tmp_path):
    model = cost_model(
        write(tmp_path, gpu="a100", task_types={"TASK_LINEAR": {"scale": 3}}), "h100"
    )
    path = tmp_path / "again.json"
    path.write_text(json.dumps(model.to_json()))
    assert read_cost_file(str(path), "h100") == model


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"schema": "other/1"}, "schema is 'other/1'"),
        ({"gpu": "tpu"}, "gpu is 'tpu'"),
        ({"hardware": {"hbm": 1}}, "unknown key 'hbm'"),
        ({"hardware": {"hbm_gb_per_s": -1}}, "hardware.hbm_gb_per_s is '-1'"),
        ({"hardware": {"hbm_gb_per_s": True}}, "hardware.hbm_gb_per_s is 'True'"),
        ({"runtime": {"wait_ns": 1.5}}, "runtime.wait_ns is '1.5'"),
        ({"runtime": []}, "runtime is no object"),
        ({"kinds": {"matmul": {}}}, "unknown key 'matmul'"),
        ({"task_types": {"TASK_LINEARR": {}}}, "Did you mean TASK_LINEAR"),
        ({"task_types": {"TASK_LINEAR": {"duration_ns": 10**13}}}, "duration_ns is"),
        ({"more": 1}, "unknown key 'more'"),
    ],
)
def test_a_cost_file_that_breaks_the_schema(tmp_path, document, message):
    with pytest.raises(GraphReadError, match=message) as caught:
        cost_model(write(tmp_path, **document), "h100")
    assert "costs.json" in str(caught.value)


def test_what_is_no_cost(tmp_path):
    with pytest.raises(UsageError, match="neither a GPU"):
        cost_model("h101", "h100")
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(GraphReadError, match="no JSON"):
        cost_model(str(tmp_path / "x.json"), "h100")
    with pytest.raises(GraphReadError, match="can't be read"):
        cost_model(str(tmp_path), "h100")
