"""Generated graphs are what Mirage would have written, in any layout."""

import io
import json
from collections import Counter
from dataclasses import replace

import orjson
import pytest

from benchmarks.chain import Chain, Layer, Split, Tensor
from benchmarks.decoder import (
    QWEN3_8B_TWO_RANKS,
    QWEN3_30B_A3B,
    DecoderSpec,
    scaled_spec,
)
from benchmarks.decoder_layers import build_chain
from benchmarks.generate import generate, main, spec_for_size
from benchmarks.text import COMPACT, METADATA_KEYS, MIRAGE, Layout
from mpkgraph.io.reader import read_graph
from mpkgraph.model.ids import EVENT_INVALID_ID, decode_event_id
from mpkgraph.views.operators import recover_operators
from tests import goldens

SMALL = scaled_spec(1, 2, num_ranks=3, rank=1)


def written(spec: DecoderSpec, layout: Layout = MIRAGE) -> bytes:
    stream = io.BytesIO()
    assert generate(stream, spec, layout) == len(stream.getvalue())
    return stream.getvalue()


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (QWEN3_30B_A3B, "qwen3_demo_30B_A3B-b8-full-cc100"),
        (QWEN3_8B_TWO_RANKS, "qwen3_demo-Qwen3-8B-ws2-ag-full-cc90"),
        (
            replace(QWEN3_8B_TWO_RANKS, num_layers=2, rank=1),
            "qwen3_demo-Qwen3-8B-ws2-ag-L2-cc90",
        ),
    ],
    ids=["experts", "two-ranks", "second-rank"],
)
def test_known_models_are_mirages_bytes(spec, name):
    real = goldens.get(f"models/{name}", f"task_graph_rank{spec.rank}.json").graph_bytes()
    assert written(spec) == real


def test_text_is_that_of_a_sorted_dump_with_two_spaces():
    text = written(SMALL).decode()
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True)


@pytest.mark.parametrize(
    "layout",
    [
        COMPACT,
        Layout(indent=4),
        Layout(indent=0),
        Layout(newline="\r\n"),
        Layout(key_order="shuffled", seed=3),
        Layout(key_order="random", seed=3),
        Layout(indent=None, key_order="random"),
        Layout(indent="\t", escaped_keys=True),
        Layout(odd_space=True, seed=3),
        Layout(byte_order_mark=True),
    ],
)
def test_layouts_hold_the_same_graph(layout):
    text = written(SMALL, layout).removeprefix(b"\xef\xbb\xbf")
    assert orjson.loads(text) == orjson.loads(written(SMALL))


@pytest.mark.parametrize("level", ["task", "slot", "metadata"])
def test_keys_of_one_level_in_any_order(level):
    graph = json.loads(written(SMALL, Layout(key_order="random", random_level=level)))
    tasks = graph["all_tasks"]
    slots = [slot for task in tasks for slot in (task["inputs"] or []) + (task["outputs"] or [])]
    is_sorted = {
        "task": all(list(task) == sorted(task) for task in tasks),
        "slot": all(list(slot) == sorted(slot) for slot in slots),
        "event": all(list(event) == sorted(event) for event in graph["all_events"]),
    }
    moved = {"metadata": "task"}.get(level, level)
    assert is_sorted == {name: name != moved for name in is_sorted}
    if level == "metadata":
        others = [[key for key in task if key not in METADATA_KEYS] for task in tasks]
        assert all(keys == sorted(keys) for keys in others)


def test_compact_has_no_white_space():
    text = written(SMALL, COMPACT).decode()
    assert text == json.dumps(json.loads(text), separators=(",", ":"))


def test_key_orders_follow_the_seed():
    def order(seed: int) -> list[list[str]]:
        graph = json.loads(written(SMALL, Layout(key_order="shuffled", seed=seed)))
        return [list(task) for task in graph["all_tasks"]]

    assert order(1) == order(1)
    assert order(1) != order(2)
    assert len({tuple(keys) for keys in order(1)}) == 1
    graph = json.loads(written(SMALL, Layout(key_order="random")))
    assert len({tuple(task) for task in graph["all_tasks"]}) > len(graph["all_tasks"]) / 2


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_events_fit_the_tasks(rank):
    graph = json.loads(written(scaled_spec(2, 2, num_ranks=3, rank=rank)))
    tasks, events = graph["all_tasks"], graph["all_events"]
    triggered: Counter[int] = Counter()
    sent = Counter()
    for task in tasks:
        event = decode_event_id(task["trigger_event"])
        if event is not None and event.rank == rank:
            triggered[event.event_index] += 1
        elif event is not None:
            assert event.nvshmem
            sent[event.event_index, event.rank] += 1
    # Ranks are alike: what this one sends to each peer is what each peer sends to it.
    for (index, _), count in sent.items():
        triggered[index] += count
    for index, event in enumerate(events[1:], start=1):
        assert event["num_triggers"] == triggered[index]
    gated = [EVENT_INVALID_ID] * len(tasks)
    for index, event in enumerate(events):
        for task in range(event["first_task_id"], event["last_task_id"]) if index > 1 else ():
            gated[task] = index
    waiting = [decode_event_id(task["dependent_event"]) for task in tasks]
    assert gated == [EVENT_INVALID_ID if e is None else e.event_index for e in waiting]
    assert all(e is None or e.rank == rank for e in waiting)
    assert events[1]["last_task_id"] == len(tasks)
    assert graph["first_tasks"] == [2]


@pytest.mark.parametrize("size_mb", [0.5, 2, 12])
def test_size_is_as_asked(size_mb):
    num_bytes = len(written(spec_for_size(size_mb)))
    assert num_bytes == pytest.approx(size_mb * 1e6, rel=0.2)


def test_statistics_are_those_of_real_graphs():
    graph = orjson.loads(written(spec_for_size(12)))
    tasks = graph["all_tasks"]
    slots = [slot for task in tasks for slot in (task["inputs"] or []) + (task["outputs"] or [])]
    assert 3 < len(slots) / len(tasks) < 5.5
    assert 2 < len(tasks) / len(graph["all_events"]) < 45
    assert len({task["task_type"] for task in tasks}) >= 12


@pytest.mark.parametrize("num_ranks", [1, 3])
def test_operators_are_recovered_from_the_tasks(num_ranks, tmp_path):
    spec = scaled_spec(3, 2, num_ranks=num_ranks)
    path = tmp_path / "task_graph_rank0.json"
    path.write_bytes(written(spec))
    operators = recover_operators(read_graph(path))
    expected = build_chain(spec).layers
    assert [(x.task_type, x.grid_dim) for x in operators] == [
        (layer.row.value, layer.grid_dim) for layer in expected
    ]
    assert [x.num_subtasks for x in operators] == [
        num_ranks - 1 if layer.is_put else 1 for layer in expected
    ]


def test_layers_that_do_not_follow_each_other_are_refused():
    x, y = (Tensor.row_major(name, (8, 8), 941) for name in "xy")
    rows = (0, -1, -1)
    layer = Layer("rmsnorm_hopper", (8, 1, 1), (Split(x, rows),), (Split(y, rows),))
    with pytest.raises(ValueError, match="reads nothing"):
        Chain([layer, layer])


def test_a_split_of_two_axes_has_row_major_offsets():
    tensor = Tensor.row_major("t", (4, 6), 950)
    chain = Chain([Layer("rmsnorm_hopper", (2, 3, 1), (), (Split(tensor, (0, 1, -1)),))])
    (emission,) = chain.emissions()
    (split,) = emission.layer.outputs
    assert split.tile_dims((2, 3, 1)) == (2, 2)
    assert split.offsets((2, 3, 1), emission.points).tolist() == [0, 8, 16, 48, 56, 64]


def test_command_writes_a_file(tmp_path, capsys):
    path = tmp_path / "graph.json"
    main([str(path), "--size-mb", "0.5", "--ranks", "1", "--compact", "--layers", "1"])
    graph = orjson.loads(path.read_bytes())
    assert f"{len(graph['all_tasks'])} tasks" in capsys.readouterr().err
    assert build_chain(scaled_spec(1, 1)).num_tasks <= len(graph["all_tasks"])
