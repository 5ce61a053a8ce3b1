"""Tiles of real graphs: each is a box of its recorded tensor, and outputs are covered."""

from __future__ import annotations

import json
from collections import defaultdict

import numpy as np
import pytest

from mpkgraph.model.coverage import cover
from mpkgraph.model.overlap import self_overlapping_pairs
from mpkgraph.model.tile import Tile, TileLayout, tile_layouts
from tests import goldens
from tests.naive import graph_from_document

ALIASING = {"attn_out_tmp"}
"""Split-KV demo: strides made by hand without a factor of head_dim, so rows share memory."""
BEYOND = {"all_reduce_buf"}
"""All-gather: the offset holds the rank's plane while the dims still name all planes."""

KNOWN_HOLES = {("tests/test_moe_w13_linear", "output"): ["[0:1, 0:8, 5112:5120]"]}
"""Mirage's own test: a grid of 12 over 5120 columns drops the remainder."""


def _load(golden):
    graph = graph_from_document(json.loads(golden.graph_bytes()), golden.rank)
    tensors = defaultdict(list)
    for tensor in json.loads(golden.record_bytes())["tensors"]:
        if tensor["dims"] is not None:
            tensors[tensor["name"]].append((tuple(tensor["dims"]), tuple(tensor["strides"])))
    return graph, {name: found[0] for name, found in tensors.items() if len(found) == 1}


def _outputs(graph, task_type=None):
    """Declared output tiles: tensor name -> [(layout, offsets)]."""
    tasks, layouts = graph.tasks, tile_layouts(graph)
    wanted = tasks.slot_is_output.copy()
    if task_type is not None:
        wanted &= tasks.task_types[tasks.slot_tasks] == task_type
    found = defaultdict(list)
    for index, layout in enumerate(layouts):
        offsets = tasks.slot_offsets[wanted & (tasks.slot_layouts == index)]
        if len(offsets) and layout is not None:
            found[graph.layouts[index].base_ptr].append((layout, offsets))
    return found


def _whole(tensors, name, layout):
    return Tile(name, 0, TileLayout(*tensors[name], layout.element_bytes))


@pytest.mark.parametrize("golden", goldens.graphs(max_bytes=1_200_000, one_target=True), ids=str)
def test_every_tile_is_a_box_of_its_tensor(golden):
    graph, tensors = _load(golden)
    tasks, checked = graph.tasks, 0
    for index, layout in enumerate(tile_layouts(graph)):
        name = graph.layouts[index].base_ptr
        if layout is None or name not in tensors:
            continue
        assert layout.aliases == (name in ALIASING)
        whole = _whole(tensors, name, layout)
        for offset in np.unique(tasks.slot_offsets[tasks.slot_layouts == index]).tolist():
            tile = Tile(name, offset, layout)
            box = tile.box(tensors[name][0])
            checked += 1
            if name in ALIASING or golden.fault == "map":
                continue
            if name in BEYOND and golden.rank > 0:
                assert box is None
                assert not whole.contains(tile)
                continue
            assert box is not None, (name, offset)
            assert box.dims == layout.dims
            assert tile.box() == box
            assert whole.contains(tile)
            if not tile.is_empty:
                assert tile.coordinates(tile.start, tensors[name][0]) == box.starts
    assert checked or graph.num_tasks == 2 or golden.fault == "name"


@pytest.mark.parametrize("suffix", ["cc80", "cc90", "cc100"])
def test_fork_point_covers_its_outputs_once(suffix):
    graph, tensors = _load(goldens.get(f"tests/test_fork_point-{suffix}"))
    outputs = _outputs(graph)
    assert outputs
    for name, parts in outputs.items():
        found = cover(parts, _whole(tensors, name, parts[0][0]))
        assert found.is_exact, (name, found.bytes_by_count)


@pytest.mark.parametrize("suffix", ["cc80", "cc90"])
def test_grid_that_does_not_divide_leaves_columns(suffix):
    graph, tensors = _load(goldens.get(f"bad/grid_nondiv_linear-{suffix}"))
    parts = _outputs(graph)["out"]
    found = cover(parts, _whole(tensors, "out", parts[0][0]))
    dims, strides = tensors["out"]
    (hole,) = found.holes()
    assert [str(box) for box in hole.boxes(strides, 2, dims)] == ["[0:8, 4080:4096]"]
    assert found.hole_bytes == 8 * 16 * 2
    assert not found.multiple_bytes


@pytest.mark.parametrize(
    ("case", "name", "histogram"),
    [
        ("bad/axis_unmapped-cc80", "out", {8: 65536}),
        ("bad/map_output_replicated-cc80", "out", {8: 65536}),
        ("bad/waw_two_writers-cc80", "x_a", {2: 65536}),
        ("bad/grid_larger_than_dim-cc80", "out", {0: 65536}),
        ("bad/grid_nondiv_then_reader-cc80", "mid", {0: 16384, 1: 49152}),
        ("models/qwen3_demo-Qwen3-0.6B-b8-L2-cc90", "rmsnorm_out", {5: 16384}),
    ],
)
def test_known_coverage(case, name, histogram):
    graph, tensors = _load(goldens.get(case))
    parts = _outputs(graph)[name]
    found = cover(parts, _whole(tensors, name, parts[0][0]))
    assert dict(found.bytes_by_count) == histogram
    assert not found.outside_bytes


def test_unmapped_axis_writes_each_tile_eight_times():
    graph, _ = _load(goldens.get("bad/axis_unmapped-cc80"))
    ((layout, offsets),) = _outputs(graph)["out"]
    left, right = self_overlapping_pairs(layout, offsets)
    assert len(left) == 64 * (8 * 7 // 2)
    assert (offsets[left] == offsets[right]).all()


@pytest.mark.parametrize("golden", goldens.graphs(max_bytes=1_200_000, group="tests"), ids=str)
def test_tiles_sum_to_coverage(golden):
    """What tiles have in bytes, summed, is what coverage counts with multiplicity."""
    graph, tensors = _load(golden)
    for task_type in np.unique(graph.tasks.task_types).tolist():
        for name, parts in _outputs(graph, task_type).items():
            found = cover(parts, _whole(tensors, name, parts[0][0]))
            total = sum(layout.num_bytes * len(offsets) for layout, offsets in parts)
            assert total == sum(n * size for n, size in found.bytes_by_count.items())
            assert not found.outside_bytes
            dims, strides = tensors[name]
            boxes = [hole.boxes(strides, 2, dims) for hole in found.holes()]
            known = KNOWN_HOLES.get((golden.case.rpartition("-")[0], name), [])
            assert [str(box) for found in boxes for box in found] == known
