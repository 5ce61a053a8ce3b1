"""At the corners of what Mirage's generator takes: the same bytes, or an error where it dies.

What the real generator did with the calls of `tests/pipelines/corners.py` at `de8745d` (its
default build), as digests of its text, and as how its process ended.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json

import pytest

from mpkgraph.catalog.registered import REGISTERED_TASKS, SlotFacts, TaskFacts
from mpkgraph.errors import GraphReadError, PipelineError
from mpkgraph.io.record import parse_record
from mpkgraph.io.writer import text_chunks
from mpkgraph.pipeline import CyTBGraph, TBGraph
from mpkgraph.pipeline.custom_tasks import custom_task, with_custom_tasks
from mpkgraph.planner import plan as planning
from mpkgraph.planner.plan import plan
from mpkgraph.planner.variants import VariantRegistry
from tests.pipelines import corners
from tests.pipelines.kit import ROWS, WHOLE, attach, record_of

PLANNED = {
    "chain_of_two_axes": (
        "ecd69680e6879023f01a0868b6790961a46d4d3ce20ebe2c336fe5becbca2993",
        {"mapped-twice"},
    ),
    "fork_of_two_axes": (
        "2d546d18d4616d6edfdd5bdf671710ad044ebc17b2857fcdc775ecf2fd1152e1",
        {"mapped-twice", "null-tasks"},
    ),
    "fork_of_two_axes_beyond_the_grid": (
        "646afdc81dd50a8232acebffbf7a1d81e8eecda8f8f67d769a6cfc9d780e1244",
        {"mapped-twice", "null-tasks"},
    ),
    "join_into_two_axes": (
        "a9a2e6237aa52e12f0f19aa6b37fcc8979eee8bdf7ff70e52ba635eeac965a50",
        {"mapped-twice", "stuck-event"},
    ),
    "fork_into_rows_and_columns": (
        "cad0dc61d773f6d8a0165a78a2099f32c2dd847128597ba04446bc6b3da60226",
        {"remainder"},
    ),
    "fork_of_12_into_3_and_4": (
        "21cd47087fa12d3112364221714457e20f19585fde2e57ebd1eff7baf37e9c5a",
        set(),
    ),
    "both_outputs_are_one_tensor": (
        "a31a00a3621df9f81fabd03ed6e75f7d87467b3da5e02026ca4c5472f852b4c7",
        set(),
    ),
    "axis_of_one_block_past_the_rank": (
        "90a42f707e36888ab2f3a9f07d391fa8b05491393d04027a99d364384c50b68a",
        set(),
    ),
    "customized_with_more": (
        "18f0edcd2f5da6c91001fc8d6984a1d5f1622bcee1ce0da1bf0db66570902a85",
        set(),
    ),
    "customized_with_others": (
        "5e08a517fefe4042d9d3522f9b5d438987f76be49ce7ff692c7795640607dcad",
        set(),
    ),
    "none_as_an_input": (
        "b8a3f25c28a3fed76f3f81d7c747f0399fa3c71e80b3ace28de216cef573a414",
        set(),
    ),
    "more_params_than_are_read": (
        "8f941d5c0163023e4a632efe4eee41897fe2d12d89584e7ebd91f581c7576c4f",
        set(),
    ),
    "fuse_of_a_shuffle": (
        "7b83811f3e17083e6155be0cb588cf5eb40fa2727ab7a05b4cbd9071554e3e74",
        set(),
    ),
    "shuffle_of_a_fuse": (
        "0782931ef14579c1dd0624ed5dd53f1cdd98339c6887c423f3f1fc683ca0fd0b",
        set(),
    ),
    "fused_output": ("f50e0b24d86adade71abf7a59ab8fe8ceaf98194e4c54f213cbf943da8a99589", set()),
    "empty_groups_of_one_part": (
        "4e3cef4d19e3f4fb793a235fd485085619fda881f01750ef8c756c4217ba0614",
        set(),
    ),
    "groups_that_do_not_divide": (
        "cb51373ab5578360e5faec54a7733718537232ecf0cd9e51a795e5bd5b135c5e",
        set(),
    ),
    "fused_parts_of_another_shape": (
        "711e6e2ed926ee037ac2c1ba22602e0cc7cca5a7ef6ba430c7629d3142c03a2e",
        set(),
    ),
    "control_characters": (
        "f1d165c8afc58da459bb50094c22633f3363f969b681dee5fa1c8f8e4991e8de",
        {"name"},
    ),
    "name_that_ends_at_nul": (
        "b5b8815506928d5fc70a69ac6f4b0f4e10b34d60b15d1767684f079030e336d2",
        {"duplicate-name"},
    ),
    "names_beyond_ascii": (
        "df4fe417fccc018b39768d3d00295fd3e1225d0e2a04e59b3860b258229aed19",
        {"name"},
    ),
    "name_of_10000": (
        "db7bb13dd0e81ed2d2d50df0918132d3d0db8520408eb9f9a037ee4ee55c7bb5",
        {"name"},
    ),
    "empty_name": (
        "ce2073efbaa475e30ef6bfe20bced7e0d4abbc9685324e71915228a88143418d",
        {"name"},
    ),
    "no_elements": ("6d0b051224ddf668fe2dbafc4698a21f8240698b67289254d00f802c2bb42c3e", set()),
    "two_billion_rows": (
        "0f4f6b4f9743efdfcb89228605648cb001bd56fb96b6cb4b001be386bcc64cd3",
        {"remainder"},
    ),
}
"""By name: sha256 of Mirage's text, and what we warn of."""

RANKS = {
    ("put_that_nothing_reads", 2, 0): (
        "e5c0276261dddd36e7afa6b2a9019fdd5a898b53edf3d6ecb4333eec17ac88a3"
    ),
    ("put_that_nothing_reads", 3, 2): (
        "74c4ca46e79f852f52aa97a8493b4d1112d8674d5f87bd4fa03fc394bf3c8add"
    ),
    ("put_and_reduce", 2, 0): ("5b0c98c1ca306424a852354c101c23dc66fe4803d7f9cb90fe48209d2d42cb79"),
    ("put_and_reduce", 3, 2): ("7a5d4dbeac37303ed18caede406f4140e740b38db7ee6dd2c4377b5f473b2234"),
}
"""By name, number of GPUs and rank."""

TWO_AXES = "Map each grid axis to a tensor dim of its own"
DIED = {
    "chain_into_two_axes": ("layer 1 ", "leaves out", "aborts", "tensor 'a'", TWO_AXES),
    "fork_of_two_axes_by_zero": ("layer 0 ", "(2, 4, 1)", "division by zero", "'a'", TWO_AXES),
    "fork_without_blocks": (
        "layer 0 ",
        "(4, 0, 1)",
        "no blocks",
        "division by zero",
        "tensor 'a'",
        "at least 1",
    ),
    "fork_of_groups_that_do_not_divide": (
        "layer 0 ",
        "groups of (10, 1, 2) blocks, which do not divide its grid (5, 1, 2)",
        "layer 1 ",
        "layer 2 ",
        "tensor 'a'",
        TWO_AXES,
    ),
    "join_into_two_axes_beyond_the_grid": (
        "layer 0 ",
        "beyond its grid",
        "segmentation fault",
        "layer 2 (elementwise_add_sm100, grid 3x2x1)",
        "tensor 'a'",
        TWO_AXES,
    ),
    "join_into_two_axes_by_zero": ("layer 2 ", "division by zero", "tensors 'a', 'b'", TWO_AXES),
    "join_of_events_that_do_not_merge": (
        "layer 2 ",
        "its 2 events along dim 0 can't be merged 3 at a time",
        "layer 0 ",
        "tensor 'a'",
        TWO_AXES,
    ),
    "too_few_tensors": ("layer 0 ", "2 slots", "2 inputs and 1 outputs", "exactly 3 tensors"),
    "customized_with_fewer": ("layer 0 ", "3 slots", "2 tensors", "the same tensors"),
    "never_registered": ("layer 0 (grid 8x1x1)", "never registered"),
    "none_as_an_output": ("layer 0 ", "None as an output", "Give it a tensor"),
    "none_whose_stride_is_read": ("layer 0 ", "None as an output", "Give it a tensor"),
    "too_few_params": ("layer 0 ", "0 ints of 1 (num_partial_tasks)", "all of them"),
    "part_of_a_shuffle": ("layer 1 (linear_layer", "'part0', which went into 'both'", "Use 'both'"),
    "part_of_a_fuse_before_it": (
        "layer 0 (linear_layer",
        "'part0', which went into 'both' (fuse_tensors)",
        "attach the tensor a second time",
    ),
    "one_part_twice": ("'both' is made of 'part0'", "Attach the tensor a second time"),
    "empty_groups": (
        "layer 0 (linear_layer",
        "the groups of 'both' are empty",
        "division by zero",
        "at most as many groups as the smallest part has rows",
    ),
    "put_that_nothing_reads": ("layer 0 ", "there is only one", "world_size of at least 2"),
    "put_and_reduce": ("layer 1 ", "there is only one", "world_size of at least 2"),
    "kernel_that_divides_by_zero": (
        "layer 0 (linear_hopper, grid 128x1x1)",
        "divide by zero",
        "its tiles of 'w' [64, 64] are [0, 64]",
        "Check the dims",
    ),
    "heads_that_are_zero": (
        "layer 0 (attention",
        "divide by zero",
        "it is registered with num_q_heads=0, num_kv_heads=0",
    ),
}
"""Where its process died (or the generator threw): what our message says, in this order."""

UNDEFINED = {
    "axis_past_four_dims": ("layer 0 ", "'x' to dim 4", "at most 4 dims", "or to -1"),
    "fused_part_of_lower_rank": ("'second' has 2 dims", "'both'", "has 3", "Attach it with 3 dims"),
}
"""Where its text hangs on memory beyond an array, and we refuse."""


def digest(graph):
    text = hashlib.sha256()
    for chunk in text_chunks(graph):
        text.update(chunk)
    return text.hexdigest()


def record(name, **init):
    return record_of(getattr(corners, name), **init)


@pytest.mark.parametrize("name", PLANNED)
def test_planned_as_mirage_does(name):
    sha256, codes = PLANNED[name]
    made = plan(record(name))
    assert digest(made.graph) == sha256
    assert {x.code for x in made.warnings} == codes


@pytest.mark.parametrize(("name", "world_size", "rank"), RANKS)
def test_ranks_are_planned_as_mirage_does(name, world_size, rank):
    made = plan(record(name, world_size=world_size, mpi_rank=rank))
    assert digest(made.graph) == RANKS[name, world_size, rank]
    assert made.warnings == ()


@pytest.mark.parametrize("name", [*DIED, *UNDEFINED])
def test_refused_where_mirage_dies(name):
    with pytest.raises(PipelineError) as caught:
        plan(record(name))
    assert caught.value.exit_code == 3
    text, at = str(caught.value), 0
    for part in {**DIED, **UNDEFINED}[name]:
        found = text.find(part, at)
        assert found >= 0, f"{part!r} is not in {text[at:]!r}"
        at = found + len(part)
    assert "corners.py:" in caught.value.where


def test_the_real_generators_fate_is_known_of_every_corner():
    told = {
        name
        for name, item in vars(corners).items()
        if getattr(item, "__module__", "") == corners.__name__
    }
    helpers = {"task", "norm", "tensors", "parts", "linear", "named", "put"}
    known = {*PLANNED, *DIED, *UNDEFINED, *(name for name, *_ in RANKS)}
    assert told - helpers == known | {"rank_that_reads_past_its_strides"}


def test_a_variant_that_hangs_on_undefined_memory_is_warned_of():
    made = plan(record("rank_that_reads_past_its_strides"))
    (warning,) = made.warnings
    assert warning.code == "undefined-variant"
    assert "stride 0 of a tensor of rank 0" in str(warning)
    assert made.graph.tasks.variant_ids[2] == 0


def narrow(kernel):
    x, w, out = attach(kernel, "x", 8, 64), attach(kernel, "w", 64), attach(kernel, "o", 8, 64)
    kernel.rmsnorm_layer(x, w, out, (8, 1, 1), (128, 1, 1))


def wide_then_narrow(kernel):
    for suffix, columns in (("", 128), ("2", 64)):
        x, w = attach(kernel, f"x{suffix}", 8, columns), attach(kernel, f"w{suffix}", columns)
        out = attach(kernel, f"o{suffix}", 8, columns)
        kernel.rmsnorm_layer(x, w, out, (8, 1, 1), (128, 1, 1))


def test_variants_go_on_counting_through_a_process():
    registry = VariantRegistry()
    first = plan(record_of(narrow), registry=registry)
    second = plan(record_of(wide_then_narrow), registry=registry)
    assert digest(first.graph) == (
        "44123341c6e0e67aba3a929f8b4e6a9fdc5ce11f8e00000cdf9662bf377f2db7"
    )
    assert digest(second.graph) == (
        "606d98c98fa330cc1a4e52898e40ba531af47be90f4975fdb5eaac6a6f6a031b"
    )
    assert second.graph.tasks.variant_ids[2:].tolist() == [1] * 8 + [0] * 8
    alone = plan(record_of(wide_then_narrow))
    assert alone.graph.tasks.variant_ids[2:].tolist() == [0] * 8 + [1] * 8


@pytest.mark.parametrize(("rank", "world_size"), [(1, 1), (5, 2), (1, 0)])
def test_a_rank_outside_the_world_is_refused(rank, world_size):
    outside = dataclasses.replace(
        record_of(narrow), generate={"num_gpus": world_size, "my_gpu_id": rank}, path="r.json"
    )
    with pytest.raises(PipelineError, match=f"r.json: rank {rank} is not one of {world_size}. "):
        plan(outside)


def test_more_tasks_than_are_ever_made_are_refused():
    def build(kernel):
        narrow(kernel)
        x, w, out = (attach(kernel, name, 64) for name in ("a", "b", "c"))
        grid = (4096, 4096, 2)
        slots = [(x, ROWS), (w, WHOLE), (out, ROWS)]
        corners.task(kernel, "rmsnorm_hopper", grid, slots)

    with pytest.raises(PipelineError) as caught:
        plan(record_of(build))
    assert "layer 1 (rmsnorm_hopper, grid 4096x4096x2)" in str(caught.value)
    assert f"{2 + 8 + 4096 * 4096 * 2} tasks" in str(caught.value)


def test_the_limit_is_on_all_tasks(monkeypatch):
    made = record_of(narrow)
    monkeypatch.setattr(planning, "MAX_TASKS", 10)
    assert plan(made).graph.num_tasks == 10
    monkeypatch.setattr(planning, "MAX_TASKS", 9)
    with pytest.raises(PipelineError, match="10 tasks"):
        plan(made)


def own_norm(kernel, params=None):
    x, w, out = attach(kernel, "x", 8, 64), attach(kernel, "w", 64), attach(kernel, "o", 8, 64)
    slots = [(x, ROWS), (w, WHOLE), (out, ROWS)]
    corners.task(kernel, "own_norm", (8, 1, 1), slots, params)


@pytest.mark.parametrize(
    ("kind", "number"), [("4242", 4242), ("TASK_RMS_NORM", 119), ("rms_norm", 119)]
)
def test_tasks_of_the_users_own(kind, number):
    tasks = with_custom_tasks(REGISTERED_TASKS, [custom_task(f"own_norm:2:1:{kind}")])
    made = plan(record_of(own_norm), tasks=tasks)
    assert set(made.graph.tasks.task_types[2:].tolist()) == {number}
    assert made.warnings == ()


def test_tasks_of_the_users_own_share_variants_when_nothing_tells_them_apart():
    def build(kernel):
        for params in ([1], [1], [2]):
            names = [f"{name}{len(kernel.record().tensors)}" for name in "xwo"]
            x, w, out = (attach(kernel, n, *d) for n, d in zip(names, SHAPES, strict=True))
            slots = [(x, ROWS), (w, WHOLE), (out, ROWS)]
            corners.task(kernel, "own_norm", (2, 1, 1), slots, params)

    tasks = with_custom_tasks(REGISTERED_TASKS, [custom_task("own_norm:2:1:4242")])
    made = plan(record_of(build), tasks=tasks)
    assert made.graph.tasks.variant_ids[2:].tolist() == [0, 0, 0, 0, 1, 1]


SHAPES = ((8, 64), (64,), (8, 64))


def test_a_task_type_of_no_source_tree_is_refused():
    tasks = with_custom_tasks(REGISTERED_TASKS, [custom_task("own_norm:2:1:TASK_OWN")])
    with pytest.raises(PipelineError, match=r"makes TASK_OWN tasks, which .* lacks"):
        plan(record_of(own_norm), tasks=tasks)


@pytest.mark.parametrize(
    ("dtype", "size"), [("bfloat16", 2), ("float16", 2), ("float32", 4), ("int32", 4), ("int64", 8)]
)
def test_tiles_in_shared_memory_must_fit(dtype, size):
    def build(kernel, more):
        x, w, out = (attach(kernel, n, 2 * (98304 // size) + 2 * more, dtype=dtype) for n in "xwo")
        graph = CyTBGraph((2, 1, 1), (128, 1, 1), 1, 64)
        tb = TBGraph(graph)
        for tensor, axes, in_device in ((x, ROWS, False), (w, WHOLE, True), (out, ROWS, True)):
            tb.new_input(tensor, axes, -1, store_in_dmem=in_device)
        kernel.kn_graph.customized([x, w, out], tb)
        kernel.kn_graph.register_task(tb, "rmsnorm_hopper", [])

    assert plan(record_of(lambda kernel: build(kernel, 0))).graph.num_tasks == 4
    with pytest.raises(
        PipelineError, match=f"keeps {98304 + size} bytes in shared memory up to 'x'"
    ):
        plan(record_of(lambda kernel: build(kernel, 1)))


@pytest.mark.parametrize(("value", "columns"), [(2, 32), (1, 64), (0, 64), (-2, 64), ("2", 64)])
def test_a_for_loop_divides_what_its_dim_names(value, columns):
    content = record_of(narrow).to_json()
    (block,) = [x for x in content["log"][3]["lowlevel"] if x["op"] == "tbgraph"]
    block["forloop_range"] = value
    graph = plan(parse_record(json.dumps(content).encode(), file="r.json")).graph
    assert graph.inputs(2)[0].dims == (1, columns)


def test_a_name_that_is_no_task_is_told_what_is_like_it():
    def build(kernel):
        x, w, out = (attach(kernel, name, 8, 64) for name in "xwo")
        slots = [(x, ROWS), (w, WHOLE), (out, ROWS)]
        corners.task(kernel, "linear_hoper", (8, 1, 1), slots)

    with pytest.raises(PipelineError) as caught:
        plan(record_of(build))
    assert "Did you mean linear_hopper or linear_swapAB_hopper or linear_cutlass_hopper?" in str(
        caught.value
    )


def test_a_task_of_one_kernel_has_one_variant():
    row = REGISTERED_TASKS["argmax"]
    assert row.variant_key is None
    slot = SlotFacts((8, 64, 0, 0), (8, 64, 0, 0), (64, 1, 0, 0), 2, (0, -1, -1))
    registry = VariantRegistry()
    assert [registry.number(row, TaskFacts((slot,), (slot,), (), (n, 1, 1))) for n in (1, 2)] == [
        0,
        0,
    ]


# Records that no recorder writes


def changed(**fields):
    """A record's text with other fields in its first tensor."""
    content = record_of(narrow).to_json()
    for holder in (content["tensors"][0], content["log"][0]):
        holder.update(fields)
    return json.dumps(content).encode()


@pytest.mark.parametrize(
    ("strides", "sha256"),
    [
        ([2**31 - 1, 1], "3a1f82af1a3767e7b9236ca9faba62529aa11fe297ca3d3f2e3718cb03f15523"),
        ([2**32 + 5, 1], "42630b11f977ad02e283a4a5a28cfc620f1ce76d03d26b6a57efabea500de46b"),
        ([2**40, 2**40], "d6325fd7cb4706e3d81aa99c0f1feedb7cc1abbb191a98422a63ab93e4ecd112"),
        ([0, 0], "d6325fd7cb4706e3d81aa99c0f1feedb7cc1abbb191a98422a63ab93e4ecd112"),
    ],
)
def test_strides_are_32_bit_integers(strides, sha256):
    made = plan(parse_record(changed(strides=strides), file="r.json"))
    assert digest(made.graph) == sha256


def test_offsets_that_wrap_below_zero_are_refused():
    """Mirage writes them as unsigned numbers of 64 bits, which no tool reads back."""
    with pytest.raises(PipelineError) as caught:
        plan(parse_record(changed(strides=[2**31, 1]), file="r.json"))
    assert "the strides of 'x' do not fit 32 bits" in str(caught.value)


def test_an_unknown_element_type_is_refused():
    with pytest.raises(PipelineError, match="'x' has the unknown type 'bf17'"):
        plan(parse_record(changed(dtype="bf17"), file="r.json"))


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        (b"[8, 1, 1]", b"[8, 1, -1]", "grid_dim"),
        (b"[8, 1, 1]", b"[8, 1]", "grid_dim"),
        (b"[8, 1, 1]", b"[99999999999999999999, 1, 1]", "grid_dim"),
        (b"[8, 64]", b"[-1, 64]", "dims"),
        (b"[8, 64]", b"[4294967296, 64]", "dims"),
        (b"[64, 1]", b"[64]", "dims but"),
        (b"[64, 1]", b"[1e99, 1]", "strides"),
        (b'"tensor": 0', b'"tensor": 7', "no tensor has the id 7"),
        (b"mpk-pipeline-1", b"mpk-pipeline-2", "schema"),
        (b'"name": "x"', b'"name": "\\ud800"', "not JSON"),
    ],
)
def test_broken_records_are_refused_with_their_place(before, after, says):
    text = changed()
    assert before in text
    with pytest.raises(GraphReadError) as caught:
        parse_record(text.replace(before, after), file="r.json")
    assert "r.json" in str(caught.value)
    assert says in str(caught.value)


def test_deep_nesting_is_refused():
    content = record_of(narrow).to_json()
    for _ in range(100):
        content["log"] = [{"op": "layer", "method": "m", "args": {}, "lowlevel": content["log"]}]
    with pytest.raises(GraphReadError, match="nest more than 64 deep"):
        parse_record(json.dumps(content).encode(), file="r.json")
    with pytest.raises(GraphReadError):
        parse_record(b"[" * 100_000, file="r.json")
