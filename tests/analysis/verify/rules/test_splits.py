"""Splits: one bad pipeline a rule, which gives exactly that rule, beside a clean one."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.rules.splits.bounds import _first_crossing, bytes_of
from mpkgraph.analysis.verify.rules.splits.patterns import _broken
from mpkgraph.model.record import RecordedTensor
from mpkgraph.model.tile import TileLayout
from mpkgraph.pipeline import DTensor
from tests.analysis.verify.rules.mutated import (
    bare,
    codes,
    findings,
    planned,
    set_tasks,
    with_graph,
)
from tests.pipelines import odd
from tests.pipelines.kit import COLUMNS, ROWS, WHOLE, attach, block, block_graph, record_of

HIDDEN = 512


def norm(kernel: Any, rows: int = 8, grid: int = 8, out_rows: int | None = None) -> None:
    x, w = attach(kernel, "x", rows, HIDDEN), attach(kernel, "w", HIDDEN)
    out = attach(kernel, "out", out_rows or rows, HIDDEN)
    kernel.rmsnorm_layer(x, w, out, (grid, 1, 1), block(kernel))


def linear(
    kernel: Any, grid: tuple[int, int, int] = (8, 1, 1), n: int = HIDDEN, k: int = HIDDEN
) -> None:
    x, w = attach(kernel, "x", 8, HIDDEN), attach(kernel, "w", n, k)
    kernel.linear_layer(x, w, attach(kernel, "out", 8, HIDDEN), grid, block(kernel))


def custom(
    kernel: Any, name: str, grid: tuple[int, int, int], slots: list[Any], params: Any = None
) -> None:
    """A layer with maps of its own: (tensor, input_map) a slot."""
    graph = block_graph(grid, slots)
    kernel.kn_graph.customized([tensor for tensor, _ in slots], graph)
    kernel.kn_graph.register_task(graph, name, *([params] if params else []))


def norm_slots(kernel: Any) -> tuple[DTensor, DTensor, DTensor]:
    return (
        attach(kernel, "x", 8, HIDDEN),
        attach(kernel, "w", HIDDEN),
        attach(kernel, "out", 8, HIDDEN),
    )


def found(build: Any, cc: int = 90, **init: Any) -> tuple[Finding, ...]:
    return findings("splits", planned(record_of(build, cc, **init)))


def only(build: Any, cc: int = 90, **init: Any) -> Finding:
    """The one finding of a pipeline."""
    all_found = found(build, cc, **init)
    assert len(all_found) == 1, [str(x.message) for x in all_found]
    return all_found[0]


@pytest.mark.parametrize("grid", [1, 2, 4, 8])
def test_norm_is_clean(grid):
    assert not found(lambda kernel: norm(kernel, grid=grid))


@pytest.mark.parametrize("grid", [1, 8, 64])
@pytest.mark.parametrize("cc", [80, 90, 100])
def test_linear_is_clean(grid, cc):
    assert not found(lambda kernel: linear(kernel, (grid, 1, 1)), cc)


def test_remainder_says_what_is_left_out_and_what_divides():
    finding = only(lambda kernel: linear(kernel, (60, 1, 1)))
    assert finding.rule.code == "MPK101"
    assert finding.severity == "error"
    assert finding.location.tensor == "out"
    assert finding.location.elements == ((0, 8), (480, 512))
    assert finding.count == 32
    assert "'w' without [480, 512)" in finding.message
    assert finding.remedy.endswith("nearest to 60: 32 or 64")


def test_remainder_without_a_record_is_a_warning_as_a_padded_tensor_looks_the_same():
    context = planned(record_of(lambda kernel: linear(kernel, (60, 1, 1))))
    (finding,) = findings("splits", bare(context.graph))
    assert (finding.rule.code, finding.severity) == ("MPK101", "warning")
    assert finding.location.elements == ((0, 8), (480, 512))


def test_remainder_of_what_is_only_read():
    def build(kernel):
        logits = attach(kernel, "logits", 1, 100)
        value, index = attach(kernel, "value", 1, 8), attach(kernel, "index", 1, 8, dtype="int64")
        kernel.argmax_partial_layer(logits, (value, index), (8, 1, 1), block(kernel))

    finding = only(build)
    assert finding.rule.code == "MPK101"
    assert "reads 'logits' without [96, 100)" in finding.message
    assert finding.remedy.endswith("nearest to 8: 4")


def test_tasks_that_write_more_results_than_they_find():
    def build(kernel):
        logits = attach(kernel, "logits", 1, 128)
        value, index = attach(kernel, "value", 1, 16), attach(kernel, "index", 1, 16, dtype="int64")
        kernel.argmax_partial_layer(logits, (value, index), (8, 1, 1), block(kernel))

    finding = next(x for x in found(build) if "out0.tile[1] == 1" in x.message)
    assert finding.rule.code == "MPK110"
    assert "a task finds one maximum a row; out0.tile[1] is 2" in finding.message


def test_more_blocks_than_elements():
    finding = only(lambda kernel: norm(kernel, rows=8, grid=16))
    assert finding.rule.code == "MPK102"
    assert finding.location.tensor == "out"
    assert finding.remedy.endswith("nearest to 16: 8")


def test_map_past_the_rank():
    def build(kernel):
        x, w, out = norm_slots(kernel)
        custom(kernel, "rmsnorm_hopper", (8, 1, 1), [(x, (2, -1, -1)), (w, WHOLE), (out, ROWS)])

    finding = only(build)
    assert finding.rule.code == "MPK103"
    assert finding.location.tensor == "x"
    assert "dim 2 of 'x', which has 2 dims" in finding.message


def test_a_map_past_the_rank_of_an_axis_of_size_one_is_harmless():
    def build(kernel):
        x, w, out = norm_slots(kernel)
        slots = [(x, (0, 2, -1)), (w, WHOLE), (out, ROWS)]
        custom(kernel, "rmsnorm_hopper", (8, 1, 1), slots)

    assert not found(build)


def test_a_dim_that_two_axes_split():
    def build(kernel):
        a, b = attach(kernel, "a", 16, HIDDEN), attach(kernel, "b", 16, HIDDEN)
        c, twice = attach(kernel, "c", 16, HIDDEN), (0, 0, -1)
        custom(kernel, "elementwise_add_sm100", (2, 4, 1), [(a, twice), (b, twice), (c, twice)])

    assert codes(found(build)) == ["MPK104"] * 3


def test_tiles_beyond_the_tensor():
    def build(kernel):
        x, w = attach(kernel, "x", 8, HIDDEN), attach(kernel, "w", HIDDEN)
        out = kernel.new_tensor(dims=(8, HIDDEN), strides=(2 * HIDDEN, 1), name="out")
        kernel.rmsnorm_layer(x, w, out, (8, 1, 1), block(kernel))

    finding = only(build)
    assert finding.rule.code == "MPK105"
    assert finding.location.byte_range == (8192, 9216)
    assert finding.count == 4
    assert "beyond its 8192 bytes" in finding.message


def test_a_tile_that_runs_over_the_end_of_a_row():
    graph = planned(record_of(linear)).graph
    slot = int(graph.tasks.slot_starts[9]) + 2  # the last task's output
    moved = set_tasks(graph, "slot_offsets", slot, int(graph.tasks.slot_offsets[slot]) + 2)
    assert codes(findings("splits", bare(graph))) == []
    (finding,) = [x for x in findings("splits", bare(moved)) if x.rule.code == "MPK105"]
    assert finding.witness[0].task_id == 9
    assert "runs over the end of a row" in finding.message


def test_holes_of_an_output():
    def build(kernel):
        x, w = attach(kernel, "x", 8, HIDDEN), attach(kernel, "w", HIDDEN)
        out = kernel.new_tensor(dims=(8, HIDDEN), strides=(HIDDEN, 1), name="out")
        kernel.rmsnorm_layer(x, w, out, (8, 1, 1), block(kernel))

    context = planned(record_of(build))
    assert not findings("splits", context)
    slots = context.graph.tasks.slot_starts[2:10] + 2
    moved = set_tasks(
        context.graph, "slot_offsets", slots[7], int(context.graph.tasks.slot_offsets[slots[6]])
    )
    got = {x.rule.code: x for x in findings("splits", with_graph(context, moved))}
    assert set(got) == {"MPK106", "MPK107"}
    assert got["MPK106"].location.elements == ((7, 8), (0, HIDDEN))
    assert got["MPK107"].witness[0].task_id == 8
    assert got["MPK107"].witness[1].task_id == 9


def write_short_rows(kernel: Any) -> None:
    """Tiles that overlap: no whole tensor has these strides."""
    x, w = attach(kernel, "a", 8, HIDDEN), attach(kernel, "w", HIDDEN)
    out = kernel.new_tensor(dims=(8, HIDDEN), strides=(HIDDEN // 2, 1), name="b")
    kernel.rmsnorm_layer(x, w, out, (8, 1, 1), block(kernel))


def write_unevenly(kernel: Any) -> None:
    x, out = attach(kernel, "a", 8, HIDDEN), attach(kernel, "b", 8, HIDDEN)
    kernel.rmsnorm_layer(x, attach(kernel, "w", HIDDEN), out, (3, 1, 1), block(kernel))


def write_inputs(kernel: Any) -> None:
    tensors = [attach(kernel, name, 8, HIDDEN) for name in "abc"]
    kernel.tensor_init_layer(*tensors, (8, 1, 1), block(kernel))


def write_anywhere(kernel: Any) -> None:
    slots = [(attach(kernel, name, 8, HIDDEN), WHOLE) for name in "abcde"]
    custom(kernel, "mla_decode_sm100", (8, 1, 1), slots[:4], [512, 64, 8, 1, 1, 64])


@pytest.mark.parametrize(
    "first", [None, write_short_rows, write_unevenly, write_inputs, write_anywhere]
)
def test_holes_after_tensors_whose_holes_are_not_looked_for(first):
    """Rows 3 and 7 of the last output are never written."""

    def build(kernel: Any) -> None:
        if first is not None:
            first(kernel)
        x, w = attach(kernel, "x", 8, HIDDEN), attach(kernel, "v", HIDDEN)
        kernel.rmsnorm_layer(x, w, attach(kernel, "out", 8, HIDDEN), (8, 1, 1), block(kernel))

    context = planned(record_of(build, 100 if first is write_anywhere else 90))
    slots = context.graph.tasks.slot_starts[context.operators[-1].task_ids] + 2
    offsets = context.graph.tasks.slot_offsets
    moved = set_tasks(context.graph, "slot_offsets", slots[[3, 7]], offsets[slots[[2, 6]]])
    got = findings("splits", with_graph(context, moved))
    (finding,) = (x for x in got if x.rule.code == "MPK106")
    assert finding.location.tensor == "out"
    assert "leave elements [3:4, 0:512] and 1 more such part of 'out' unwritten" in finding.message
    moved = set_tasks(moved, "slot_offsets", slots[5], offsets[slots[4]])
    got = findings("splits", with_graph(context, moved))
    assert any(" and 2 more such parts of 'out'" in x.message for x in got)


@pytest.mark.parametrize("tasks", [2, 8])
def test_an_output_that_every_task_writes_whole(tasks):
    def build(kernel):
        x, w, out = norm_slots(kernel)
        custom(kernel, "rmsnorm_hopper", (tasks, 1, 1), [(x, ROWS), (w, WHOLE), (out, WHOLE)])

    got = {x.rule.code: x for x in found(build)}
    finding = got["MPK107"]
    assert (finding.location.tensor, finding.count) == ("out", tasks - 1)


@pytest.mark.parametrize(
    ("notes", "told"),
    [
        ((), None),
        (("Slot 0: the element size of its type is not known",), None),
        (("The whole: no dim explains the step",), None),
        (("Slot 0: the offsets do not tell the grid axes apart",), "the tiles of 'x' do not lie"),
        (("Slot 1: no dim explains the step of 6 along y",), "the tiles of 'w' do not lie"),
        (("a note", "Slot 1: no dim explains the step of 6 along y"), "the tiles of 'w' do not"),
    ],
)
def test_which_notes_of_an_operator_tell_that_tiles_fit_no_grid(notes, told):
    slots = [SimpleNamespace(name=name) for name in "xw"]
    what = _broken(SimpleNamespace(ambiguities=notes, slots=slots))
    assert (what or "")[: len(told or "")] == (told or "")
    assert (what is None) == (told is None)


def test_tiles_that_overlap_in_part():
    def build(kernel):
        x, w = attach(kernel, "x", 8, HIDDEN), attach(kernel, "w", HIDDEN)
        out = kernel.new_tensor(dims=(8, HIDDEN), strides=(HIDDEN // 2, 1), name="out")
        kernel.rmsnorm_layer(x, w, out, (8, 1, 1), block(kernel))

    got = {x.rule.code: x for x in found(build)}
    assert set(got) == {"MPK107", "MPK115"}
    assert "at bytes 0 and 512 overlap" in got["MPK107"].message
    assert got["MPK115"].severity == "error"


def test_an_axis_that_splits_nothing():
    finding = only(lambda kernel: linear(kernel, (8, 4, 1)))
    assert (finding.rule.code, finding.severity) == ("MPK108", "warning")
    assert "axis y (4 blocks)" in finding.message
    assert finding.count == 24
    assert finding.remedy == "Give axis y size 1"


def silu(kernel: Any, grid: tuple[int, int, int], x_map: tuple[int, int, int]) -> None:
    """Its tasks write the rows of their tiles that have a token."""
    slots = [(attach(kernel, "x", 8, 1024), x_map), (attach(kernel, "out", 8, 512), COLUMNS)]
    custom(kernel, "silu_mul", grid, slots)


def test_an_axis_that_splits_nothing_of_tiles_that_are_written_in_part():
    finding = only(lambda kernel: silu(kernel, (8, 4, 1), COLUMNS))
    assert (finding.rule.code, finding.count) == ("MPK108", 24)


def test_parts_of_equal_tiles_are_left_to_the_hazards():
    """A mismatch of the split is told here, and that the last task wins by MPK204."""
    context = planned(record_of(lambda kernel: silu(kernel, (8, 2, 1), (1, 0, -1))))
    assert codes(findings("splits", context)) == ["MPK110"]
    assert "MPK204" in codes(findings("hazards", context))


def test_partial_sums_are_not_replicated_work():
    def build(kernel):
        x, w = attach(kernel, "x", 8, HIDDEN), attach(kernel, "w", HIDDEN, HIDDEN)
        kernel.splitk_linear_layer(x, w, attach(kernel, "out", 8, HIDDEN), (8, 4, 1), block(kernel))

    assert not found(build)


@pytest.mark.parametrize(
    ("maps", "tensor", "remedy"),
    [
        ((ROWS, WHOLE, COLUMNS), "out", "Map axis x to dim 0 of 'out'"),
        ((COLUMNS, WHOLE, ROWS), "x", "Map axis x to dim 0 of 'x'"),
    ],
)
def test_swapped_maps_of_a_norm(maps, tensor, remedy):
    def build(kernel):
        custom(
            kernel, "rmsnorm_hopper", (8, 1, 1), list(zip(norm_slots(kernel), maps, strict=True))
        )

    finding = only(build)
    assert finding.rule.code == "MPK109"
    assert finding.location.tensor == tensor
    assert finding.remedy == remedy


def test_a_weight_that_is_split_along_the_sum():
    def build(kernel):
        x, w = attach(kernel, "x", 8, HIDDEN), attach(kernel, "w", HIDDEN, HIDDEN)
        slots = [(x, WHOLE), (w, COLUMNS), (attach(kernel, "out", 8, HIDDEN), COLUMNS)]
        custom(kernel, "linear_swapAB_hopper", (8, 1, 1), slots)

    finding = only(build)
    assert (finding.rule.code, finding.location.tensor) == ("MPK109", "w")


def test_a_reduction_that_is_split():
    def build(kernel):
        x, w, out = norm_slots(kernel)
        custom(kernel, "rmsnorm_hopper", (8, 1, 1), [(x, COLUMNS), (w, ROWS), (out, COLUMNS)])

    got = found(build)
    assert set(codes(got)) == {"MPK110"}
    assert "each task needs it whole" in got[0].message


def test_a_residual_that_is_not_split():
    def build(kernel):
        x, w = attach(kernel, "x", 8, HIDDEN), attach(kernel, "w", HIDDEN, HIDDEN)
        residual, out = attach(kernel, "residual", 8, HIDDEN), attach(kernel, "out", 8, HIDDEN)
        slots = [(x, WHOLE), (w, ROWS), (residual, WHOLE), (out, COLUMNS)]
        custom(kernel, "linear_swapAB_with_residual_hopper", (8, 1, 1), slots, [1])

    finding = only(build)
    assert (finding.rule.code, finding.location.tensor) == ("MPK110", "residual")


@pytest.mark.parametrize(
    ("build", "tensor"),
    [
        (lambda kernel: linear(kernel, n=2 * HIDDEN), "w"),
        (lambda kernel: linear(kernel, k=2 * HIDDEN), "w"),
        (lambda kernel: norm(kernel, rows=8, out_rows=4, grid=4), "out"),
    ],
)
def test_shapes_that_differ(build, tensor):
    finding = only(build)
    assert (finding.rule.code, finding.location.tensor) == ("MPK111", tensor)


def test_shapes_that_differ_without_a_record():
    context = planned(record_of(lambda kernel: linear(kernel, n=2 * HIDDEN)))
    assert codes(findings("splits", bare(context.graph))) == ["MPK111"]


def gate_up(kernel: Any, groups: int, tiles: int, op: str = "shuffle_tensors") -> None:
    x = attach(kernel, "x", 8, HIDDEN)
    parts = [attach(kernel, name, 256, HIDDEN) for name in ("gate", "up")]
    mid, out = attach(kernel, "mid", 8, 512), attach(kernel, "out", 8, 256)
    both = getattr(kernel, op)(parts, 0, groups, "gate_up")
    kernel.linear_layer(x, both, mid, (16, 1, 1), block(kernel))
    kernel.silu_mul_layer(mid, out, (tiles, 1, 1), block(kernel))


@pytest.mark.parametrize("groups", [1, 4, 8])
@pytest.mark.parametrize("tiles", [1, 4, 8])
@pytest.mark.parametrize("op", ["shuffle_tensors", "fuse_tensors"])
def test_gate_and_up_are_paired_only_where_a_tile_is_a_group(groups, tiles, op):
    got = found(lambda kernel: gate_up(kernel, groups, tiles, op))
    assert codes(got) == ([] if groups == tiles else ["MPK112"])
    if got:
        assert got[0].location.tensor == "mid"
        assert got[0].remedy == f"Use {tiles} groups or {groups} blocks along axis x"


def test_a_tile_of_a_fused_tensor_that_two_parts_share():
    def build(kernel, grid):
        x, out = attach(kernel, "x", 8, HIDDEN), attach(kernel, "out", 8, 512)
        parts = [attach(kernel, name, 128 * n, HIDDEN) for name, n in (("q", 2), ("k", 1))]
        parts.append(attach(kernel, "v", 128, HIDDEN))
        qkv = kernel.fuse_tensors(parts, 0, 1, "qkv")
        kernel.linear_layer(x, qkv, out, (grid, 1, 1), block(kernel))

    assert not found(lambda kernel: build(kernel, 8))
    got = {x.rule.code: x for x in found(lambda kernel: build(kernel, 2))}
    assert set(got) == {"MPK113"}
    assert got["MPK113"].location.tensor == "qkv"
    assert got["MPK113"].remedy.startswith("Let grid axis x make tiles whose rows divide")


def test_the_axis_that_cuts_a_fused_tensor_is_named():
    def build(kernel, axis_map):
        x, out = attach(kernel, "x", 8, HIDDEN), attach(kernel, "out", 8, 384)
        parts = [attach(kernel, name, rows, HIDDEN) for name, rows in (("q", 256), ("k", 128))]
        both = kernel.fuse_tensors(parts, 0, 1, "both")
        grid = tuple(2 if dim == 0 else 1 for dim in axis_map)
        out_map = tuple(1 if dim == 0 else -1 for dim in axis_map)
        custom(kernel, "linear_swapAB_hopper", grid, [(x, WHOLE), (both, axis_map), (out, out_map)])

    for axis_map, named in (((-1, 0, -1), "y"), ((-1, -1, 0), "z"), (WHOLE, "x")):
        got = {x.rule.code: x for x in found(lambda kernel, m=axis_map: build(kernel, m))}
        assert got["MPK113"].remedy == (
            f"Let grid axis {named} make tiles whose rows divide each of [256, 128]"
        )


def paged_attention(kernel: Any, kv_heads: int = 2, width: int = 0, out_width: int = 0) -> None:
    """Two query heads for each of two key heads of 128."""
    heads, head_dim = 2 * kv_heads, 128
    x = attach(kernel, "x", 8, width or (heads + 2 * kv_heads) * head_dim)
    caches = [attach(kernel, name, 16, 64, kv_heads, head_dim) for name in ("k", "v")]
    out = attach(kernel, "out", 8, out_width or heads * head_dim)
    maps = ((-1, 1, -1), (-1, 2, -1), (-1, 2, -1), WHOLE, WHOLE, WHOLE, WHOLE, (-1, 1, -1))
    tensors = [x, *caches, None, None, None, None, out]
    slots = list(zip(tensors, maps, strict=True))
    custom(
        kernel,
        "paged_attention_hopper",
        (1, kv_heads, 1),
        slots,
        [heads, kv_heads, 0, 0, 512, 64],
    )


def test_attention_is_clean():
    assert not found(paged_attention)


def test_a_split_that_cuts_a_head():
    got = found(lambda kernel: paged_attention(kernel, width=2 * 384))
    assert codes(got) == ["MPK114"]
    assert "in0.tile[1] is 384" in got[0].message
    assert got[0].location.tensor == "out"


def test_a_layer_with_too_many_blocks():
    finding = only(lambda kernel: norm(kernel, 5000, 5000))
    assert (finding.rule.code, finding.severity) == ("MPK116", "warning")


def test_one_stride_for_two_tensors():
    def build(kernel, stride):
        x, w = attach(kernel, "x", 8, HIDDEN), attach(kernel, "w", HIDDEN, HIDDEN)
        narrow = kernel.new_tensor(dims=(8, HIDDEN), strides=(stride, 1), name="residual")
        out = attach(kernel, "out", 8, HIDDEN)
        kernel.linear_with_residual_layer(x, w, narrow, out, (8, 1, 1), block(kernel))

    assert not found(lambda kernel: build(kernel, HIDDEN))
    assert "MPK117" in codes(found(lambda kernel: build(kernel, 2 * HIDDEN)))


@pytest.mark.parametrize("cc", [80, 90, 100])
def test_a_padded_weight_where_the_kernel_takes_it_for_dense(cc):
    def build(kernel):
        x, out = attach(kernel, "x", 8, HIDDEN), attach(kernel, "out", 8, HIDDEN)
        w = kernel.new_tensor(dims=(HIDDEN, HIDDEN), strides=(HIDDEN, 1), name="w")
        kernel.linear_layer(x, w, out, (8, 1, 1), block(kernel))
        wide = kernel.new_tensor(dims=(HIDDEN, HIDDEN), strides=(HIDDEN // 2, 1), name="wide")
        kernel.linear_layer(x, wide, out, (8, 1, 1), block(kernel))

    # Hopper's copies go by the tensor's own strides, as far as is known
    got = [x for x in found(build, cc) if x.rule.code == "MPK117"]
    assert [x.location.tensor for x in got] == ([] if cc == 90 else ["wide"])


def test_fewer_ids_than_rows():
    def build(kernel, count):
        ids, table = attach(kernel, "ids", 1, count, dtype="int64"), attach(kernel, "t", 99, HIDDEN)
        out = attach(kernel, "out", 8, HIDDEN)
        kernel.embed_layer(ids, table, out, (1, 1, 1), block(kernel), input_source=1)

    assert not found(lambda kernel: build(kernel, 8))
    (finding,) = found(lambda kernel: build(kernel, 4))
    assert finding.rule.code == "MPK111"
    assert "out0.dim[0] is 8" in finding.message


def test_layers_that_repeat_are_told_once():
    def build(kernel):
        x, w = attach(kernel, "x", 8, HIDDEN), attach(kernel, "w", HIDDEN)
        for layer in range(5):
            out = attach(kernel, f"out_{layer}", 8, HIDDEN)
            kernel.rmsnorm_layer(x, w, out, (3, 1, 1), block(kernel))
            x = out

    finding = only(build)
    assert (finding.rule.code, finding.num_operators) == ("MPK101", 5)


def test_kinds_of_bad_pipelines_that_only_look_odd_are_clean():
    builds = (
        odd.fork_lcm_12_4_6,
        odd.fork_three_way,
        odd.join_lcm_4_6_12,
        odd.nested_fork,
        odd.fuse_ok,
        odd.war_chain_barrier_ok,
        odd.chain_same_tensor_twice,
        odd.residual_map_mismatch,
        odd.strip_then_fork,
    )
    assert [codes(found(build)) for build in builds] == [[] for _ in builds]


def add(kernel: Any, grid: tuple[int, int, int], *maps: tuple[int, int, int]) -> None:
    """Three tensors of one shape, each with its own map."""
    tensors = [attach(kernel, name, 8, 512) for name in ("x", "w", "out")]
    custom(kernel, "elementwise_add_sm100", grid, list(zip(tensors, maps, strict=True)))


def test_a_remainder_where_another_dim_is_split_too():
    """The elements left out are those of all tasks, not of one."""
    finding = only(lambda kernel: add(kernel, (3, 2, 1), *[(0, 1, -1)] * 3), 100)
    assert finding.rule.code == "MPK101"
    assert finding.location.elements == ((6, 8), (0, 512))


def test_of_tensors_that_are_only_read_the_first_is_named():
    got = found(lambda kernel: add(kernel, (3, 1, 1), ROWS, ROWS, WHOLE), 100)
    (finding,) = (x for x in got if x.rule.code == "MPK101")
    assert finding.location.tensor == "x"
    assert "(also 'w' without [6, 8))" in finding.message


def test_empty_tiles_where_another_dim_is_split_too():
    finding = only(lambda kernel: add(kernel, (16, 2, 1), *[(0, 1, -1)] * 3), 100)
    assert finding.rule.code == "MPK102"
    assert finding.location.elements == ((0, 8), (0, 512))


def test_a_slot_whose_map_is_wrong_hides_no_other():
    def build(kernel: Any) -> None:
        x, w = attach(kernel, "x", 8, HIDDEN), attach(kernel, "w", HIDDEN, HIDDEN)
        slots = [(x, (2, -1, -1)), (w, COLUMNS), (attach(kernel, "out", 8, HIDDEN), COLUMNS)]
        custom(kernel, "linear_swapAB_hopper", (8, 1, 1), slots)

    got = {x.rule.code: x for x in found(build)}
    assert got["MPK103"].location.tensor == "x"
    assert got["MPK109"].location.tensor == "w"


def test_an_axis_that_has_no_place_in_an_input():
    """The rows of the weight are no dim of x."""

    def build(kernel: Any) -> None:
        x, w = attach(kernel, "x", 8, HIDDEN), attach(kernel, "w", HIDDEN, HIDDEN)
        slots = [(x, COLUMNS), (w, ROWS), (attach(kernel, "out", 8, HIDDEN), COLUMNS)]
        custom(kernel, "linear_swapAB_hopper", (8, 1, 1), slots)

    finding = only(build)
    assert (finding.rule.code, finding.location.tensor) == ("MPK109", "x")
    assert finding.remedy == "Map axis x to -1 in 'x'"


def test_an_operator_whose_tiles_fit_no_grid_is_found_after_a_sound_one():
    def build(kernel: Any) -> None:
        for source, target in (("x", "y"), ("y", "z")):
            x, out = attach(kernel, source, 8, HIDDEN), attach(kernel, target, 8, HIDDEN)
            kernel.rmsnorm_layer(x, attach(kernel, "w", HIDDEN), out, (8, 1, 1), block(kernel))

    graph = planned(record_of(build)).graph
    slot = len(graph.tasks.slot_offsets) - 1  # the last output
    moved = set_tasks(graph, "slot_offsets", slot, int(graph.tasks.slot_offsets[slot]) - 2)
    got = [x for x in findings("splits", bare(moved)) if x.rule.code == "MPK118"]
    assert [x.location.operator for x in got] == [1]


def test_bytes_of_a_tensor():
    """The caller's memory by strides, Mirage's by dims."""
    tensor = RecordedTensor(0, "x", "attach_input", (3, 4), (8, 1), "bf16")
    reach = {2 * (8 * i + j) + k for i in range(3) for j in range(4) for k in range(2)}
    assert bytes_of(tensor, 2) == max(reach) + 1
    assert bytes_of(replace(tensor, kind="new_tensor"), 2) == 3 * 4 * 2
    assert bytes_of(replace(tensor, dims=(0, 4)), 2) == 0


@pytest.mark.parametrize("seed", range(40))
def test_tiles_over_the_end_of_a_row(seed):
    """Against each element of each tile: past its row when an index passes the stride above."""
    rng = Random(seed)
    size, strides = rng.choice([1, 2]), [rng.choice([1, 1, 2])]
    for _ in range(rng.randrange(3)):
        strides.insert(0, strides[0] * rng.randrange(1, 6))
    dims = [rng.randrange(1, 4) for _ in strides]
    firsts = [rng.randrange(3 * strides[0]) for _ in range(4)]

    def crosses(first: int) -> bool:
        starts = []
        for stride in strides:
            starts.append(first // stride)
            first %= stride
        return any(
            (start + k) * stride >= above
            for start, dim, stride, above in zip(
                starts[1:], dims[1:], strides[1:], strides, strict=False
            )
            for k in range(dim)
            if above > stride and dim > 1
        )

    layout = TileLayout(tuple(dims), tuple(strides), size)
    use = SimpleNamespace(layout=layout, offsets=np.array(firsts, dtype=np.int64) * size)
    wanted = next((at for at, first in enumerate(firsts) if crosses(first)), -1)
    assert _first_crossing(use) == wanted


def test_rows_have_no_end_where_strides_are_not_row_major():
    use = SimpleNamespace(layout=TileLayout((2, 4), (2, 8), 2), offsets=np.array([14]))
    assert _first_crossing(use) == -1
