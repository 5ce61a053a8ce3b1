"""Resources: a minimal bad pipeline a rule, and a clean twin that differs in the one thing."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from mpkgraph.analysis.cost.gpus import GPUS
from mpkgraph.analysis.verify.context import VerifyContext, VerifyOptions
from mpkgraph.analysis.verify.layer_facts import _padded
from mpkgraph.analysis.verify.rules.resources import CHECKS, alignment, limits, meta, types
from mpkgraph.analysis.verify.rules.resources.kernels import check_sizes
from mpkgraph.analysis.verify.run import verify
from mpkgraph.catalog import DEFAULT
from mpkgraph.catalog.registered import REGISTERED_TASKS
from mpkgraph.model.operator import OperatorSet
from mpkgraph.pipeline import target
from mpkgraph.views.operators import recover_operators
from tests import goldens, loaded
from tests.analysis.verify.rules.raw_layers import (
    META,
    Layer,
    Tensor,
    built,
    codes,
    context_of,
    found,
    record_of,
    without_record,
)
from tests.pipelines.kit import COLUMNS, ROWS, attach, block

ROWS_AND = (0, -1, -1)


def norm(name="rmsnorm_hopper", rows=8, hidden=512, grid=8, **slots):
    return Layer(
        name,
        (grid, 1, 1),
        (
            Tensor((rows, hidden), ROWS, **slots),
            Tensor((hidden,)),
            Tensor((rows, hidden), ROWS),
        ),
    )


def linear(name="linear_swapAB_hopper", rows=8, k=512, n=512, grid=8):
    return Layer(
        name,
        (grid, 1, 1),
        (Tensor((rows, k)), Tensor((n, k), ROWS), Tensor((rows, n), COLUMNS)),
    )


def silu(grid=8, name="silu_mul"):
    return Layer(name, (grid, 1, 1), (Tensor((8, 1024), COLUMNS), Tensor((8, 512), COLUMNS)))


def one(context, code):
    """The only finding of a code."""
    (finding,) = [x for x in found(context) if x.rule.code == code]
    return finding


# Limits of the runtime


def many_tasks(workers):
    layers = [
        Layer("rmsnorm_hopper", (4096, 1, 1), norm(rows=4096, grid=4096).slots) for _ in range(5)
    ]
    return context_of(record_of(*layers), num_workers=workers)


def test_queue_of_a_worker():
    # 20,480 tasks: 8,192 fit a worker
    assert codes(many_tasks(3)) == []
    finding = one(many_tasks(2), "MPK401")
    assert finding.severity == "error"
    assert "20,480 tasks on 2 workers are 10,240" in finding.message
    assert "at least 3 workers" in finding.remedy
    assert finding.count == 20_480 - 2 * 8192
    assert finding.witness[0].task_id == 2 + 2 * 8192


def with_events(context, count, event_type):
    """The graph with so many events of a type that schedulers handle."""
    events = context.graph.events
    spare = count - len(events)
    columns = {
        name: np.concatenate([getattr(events, name), np.zeros(spare, getattr(events, name).dtype)])
        for name in ("event_types", "num_triggers", "first_task_ids", "last_task_ids")
    }
    columns["event_types"][-spare:] = event_type
    return replace(context, graph=replace(context.graph, events=replace(events, **columns)))


def test_queue_of_a_scheduler():
    context = context_of(record_of(norm()), num_schedulers=1)
    assert codes(with_events(context, 4096, 901)) == []
    assert codes(with_events(context, 9000, 900)) == []  # empty events go to no queue
    finding = one(with_events(context, 5000, 901), "MPK402")
    assert finding.count_of == "events"
    assert finding.count == 4998 - 4096 + 1  # termination goes to no queue, the end does
    assert finding.location.event is not None


def test_workers():
    assert codes(context_of(record_of(norm(), num_workers=132))) == []
    assert codes(context_of(record_of(norm(), cc=100, num_workers=144))) == []
    warned = context_of(record_of(norm(), num_workers=144))
    assert codes(warned) == [("MPK403", "warning")]
    assert "any GPU of cc 90" in one(warned, "MPK403").message
    named = context_of(record_of(norm(), num_workers=128), num_multiprocessors=100)
    assert codes(named) == [("MPK403", "error")]
    too_many = context_of(record_of(norm(), cc=120), num_workers=161)
    assert codes(too_many)[0] == ("MPK403", "error")


def test_multiprocessors_are_those_of_the_gpus_whose_costs_are_known():
    capabilities = {"a100": 80, "h100": 90, "h200": 90, "b200": 100}
    assert set(capabilities) == set(GPUS)
    for name, cc in capabilities.items():
        assert limits.MOST_MULTIPROCESSORS[cc] == GPUS[name].num_sms
    # Of each compute capability that is planned for no product has more
    assert set(limits.MOST_MULTIPROCESSORS) == {gpu.cc for gpu in target.GPUS}
    for gpu in target.GPUS:
        assert limits.MOST_MULTIPROCESSORS[gpu.cc] >= gpu.num_sms, gpu


def with_slots(context, **counts):
    """The operator with its slots repeated."""
    (operator,) = context.operators
    inputs = [x for x in operator.slots if not x.is_output]
    outputs = [x for x in operator.slots if x.is_output]
    slots = [inputs[0]] * counts.get("inputs", len(inputs))
    slots += [outputs[0]] * counts.get("outputs", len(outputs))
    slots = tuple(replace(x, position=p) for p, x in enumerate(slots))
    changed = replace(operator, slots=slots)
    return replace(context, operators=OperatorSet((changed,), context.operators.num_tasks))


@pytest.mark.parametrize(
    ("counts", "wrong"),
    [({"inputs": 7}, 0), ({"inputs": 8}, 1), ({"outputs": 3}, 0), ({"outputs": 4}, 1)],
)
def test_slots_of_a_task(counts, wrong):
    context = with_slots(context_of(record_of(norm())), **counts)
    found_here = list(limits.check_slots(context))
    assert len(found_here) == wrong
    first = int(context.operators[0].task_ids[0])
    assert [[x.task_id for x in finding.witness] for finding in found_here] == [[first]] * wrong


def test_dims_of_a_tensor():
    context = context_of(record_of(norm()))
    (operator,) = context.operators
    deep = replace(operator.slots[0], tile_dims=(1, 1, 1, 1, 8))
    changed = replace(operator, slots=(deep, *operator.slots[1:]))
    context = replace(context, operators=OperatorSet((changed,), context.operators.num_tasks))
    (finding,) = limits.check_slots(context)
    assert finding.rule.code == "MPK405"
    assert "5 dims" in finding.message


def moe_silu(grid):
    return Layer(
        "moe_silu_mul",
        grid,
        (Tensor((grid[0], 8, 64), ROWS_AND), Tensor((grid[0], 8, 32), ROWS_AND)),
    )


def quantize(rows):
    slots = (
        Tensor((rows, 128)),
        Tensor((rows, 128), dtype="fp8"),
        Tensor((rows, 1), dtype="fp32"),
    )
    return Layer("quantize_fp8_f32scale_sm100", (rows, 1, 1), slots)


def test_bits_of_metadata():
    """A row per task beyond 15 bits wraps where the kernel reads it, and only there."""
    assert codes(context_of(record_of(quantize(32_768), cc=100))) == []
    finding = one(context_of(record_of(quantize(32_800), cc=100)), "MPK406")
    assert finding.count == 32
    assert finding.witness[0].grid_position == (32_768, 0, 0)
    assert codes(context_of(record_of(moe_silu((33_000, 1, 1)), cc=100))) == []


# Sizes that kernels take


def test_rows_of_a_linear_on_hopper():
    """Mirage asserts it while the kernel is compiled."""
    assert codes(context_of(record_of(linear(rows=16)))) == []
    finding = one(context_of(record_of(linear(rows=32))), "MPK411")
    assert finding.severity == "error"
    assert "is 32 in linear_swapAB_hopper" in finding.message
    assert "at most 16" in finding.message
    assert finding.location.slot == 2
    assert finding.count == 8


def test_a_size_that_the_grid_decides_names_the_grids():
    layer = linear("linear_cutlass_hopper", grid=4)
    finding = one(context_of(record_of(layer)), "MPK411")
    assert finding.remedy.startswith("Make grid.x one of 8, 16, 32,")
    assert codes(context_of(record_of(linear("linear_cutlass_hopper", grid=8)))) == []


def test_a_graph_alone_tells_sizes_of_tiles():
    record = record_of(linear(rows=32))
    assert ("MPK411", "error") in codes(without_record(record))
    assert codes(without_record(record_of(linear(rows=16)))) == []


@pytest.mark.parametrize(
    ("layer", "cc", "needs_dims"),
    [
        (linear(rows=32), 90, False),
        (
            Layer(
                "quantize_fp8_f32scale_sm100",
                (8, 1, 1),
                (
                    Tensor((8, 192)),
                    Tensor((8, 192), dtype="fp8"),
                    Tensor((8, 2), dtype="fp32"),
                ),
            ),
            100,
            True,
        ),
    ],
)
def test_only_sizes_of_whole_tensors_need_their_dims(layer, cc, needs_dims):
    """Of a tile its own dims are enough."""
    context = context_of(record_of(layer, cc=cc))
    operators = [
        replace(x, slots=tuple(replace(s, known_dims=(False,) * 4) for s in x.slots))
        for x in context.operators
    ]
    unknown = replace(context, operators=OperatorSet(tuple(operators), context.operators.num_tasks))
    assert [x.rule.code for x in check_sizes(context)] == ["MPK411"]
    assert [x.rule.code for x in check_sizes(unknown)] == ([] if needs_dims else ["MPK411"])


def test_params_are_looked_at_where_a_record_gives_them():
    def attention(page_size, head=128):
        cache = Tensor((16, page_size, 8, head), (-1, 2, -1))
        return Layer(
            "paged_attention_hopper",
            (8, 8, 1),
            (
                Tensor((8, 48 * head), (-1, 1, -1)),
                cache,
                cache,
                *[Tensor((head,))] * 2,
                *[Tensor((512, head))] * 2,
                Tensor((8, 32 * head), (-1, 1, -1)),
            ),
            (32, 8, 1, 1, 512, page_size),
        )

    assert codes(context_of(record_of(attention(64)))) == []
    finding = one(context_of(record_of(attention(48))), "MPK411")
    assert "its page size is 48" in finding.message
    assert "a multiple of 64" in finding.message
    assert codes(without_record(record_of(attention(48)))) == []
    # What params do not tell hides nothing that tiles tell
    finding = one(without_record(record_of(attention(48, 192))), "MPK411")
    assert "the head dim of its caches is 192" in finding.message


def test_the_build_decides_about_ampere_linears():
    layer = linear("linear", rows=4)
    ptx = context_of(record_of(layer, cc=80, use_cutlass_kernel=False))
    assert codes(ptx) == [("MPK411", "warning")]
    assert codes(context_of(record_of(layer, cc=80, use_cutlass_kernel=True))) == []


@pytest.mark.parametrize(
    ("lanes", "wanted"), [(4, [("MPK411", "error")]), (5, []), (10, [("MPK411", "warning")])]
)
def test_lanes_of_experts(lanes, wanted):
    layer = Layer(
        "moe_w13_linear_sm90",
        (lanes, 4, 1),
        (
            Tensor((8, 512)),
            Tensor((32, 1024, 512), (-1, 1, -1)),
            Tensor((32, 8), dtype="int32"),
            Tensor((33,), dtype="int32"),
            Tensor((8, 4, 1024), (-1, 2, -1)),
        ),
    )
    assert codes(context_of(record_of(layer))) == wanted


def topk(rows):
    return Layer(
        "moe_topk_softmax_sm100",
        (1, 1, 1),
        (
            Tensor((rows, 128), ROWS),
            Tensor((rows, 8), ROWS, "fp32"),
            Tensor((128, rows), dtype="int32"),
            Tensor((129,), dtype="int32"),
        ),
    )


def test_rows_that_no_warp_routes():
    assert codes(context_of(record_of(topk(16), cc=100))) == []
    finding = one(context_of(record_of(topk(24), cc=100)), "MPK411")
    assert "is 8 in" in finding.message


def test_shared_memory_by_target():
    fits, too_long = norm(hidden=512 * 66), norm(hidden=512 * 72)
    assert codes(context_of(record_of(fits))) == []
    finding = one(context_of(record_of(too_long)), "MPK412")
    assert "221,216 bytes" in finding.message
    assert "205,824" in finding.message
    assert codes(context_of(record_of(norm("rmsnorm", hidden=512 * 40), cc=80))) == []
    small = context_of(record_of(norm("rmsnorm", hidden=512 * 40), cc=86, num_workers=64))
    assert codes(small) == [("MPK412", "error")]


# Alignment


def test_grids_that_align_a_vector():
    """Of one dim: the only one is the inner one."""
    slot = SimpleNamespace(tensor_dims=(96,), input_map=ROWS)
    use = SimpleNamespace(slot=slot, operator=SimpleNamespace(grid_dim=(8, 1, 1)))
    assert alignment._remedy(use, 8) == (
        "Make grid.x 1, 2, 3, 4, 6, 12: tiles of a multiple of 8 elements"
    )
    slot.tensor_dims = ()
    assert alignment._remedy(use, 8) == "Let tiles start at multiples of 8 elements"
    slot.tensor_dims = (4, 96)
    for axes in ((1, 1, -1), (-1, -1, -1), (0, 5, -1)):  # two axes on the dim, or none
        slot.input_map = axes
        assert alignment._remedy(use, 8) == "Let tiles start at multiples of 8 elements"
    slot.input_map = (0, 1, -1)
    assert alignment._remedy(use, 8).startswith("Make grid.y 1, 2, 3, 4, 6, 12: tiles of")
    slot.input_map = ROWS
    slot.tensor_dims = (95,)
    assert alignment._remedy(use, 8) == "Pad the dim to a multiple of 8 elements"


def test_tiles_that_tma_cannot_name():
    """60 blocks of 68 columns: every other tile starts at no multiple of 16 bytes."""
    assert codes(context_of(record_of(linear(n=4096, grid=64)))) == []
    finding = one(context_of(record_of(linear(n=4096, grid=60))), "MPK421")
    assert finding.severity == "error"
    assert finding.count == 30
    assert finding.location.byte_range is not None
    assert finding.location.byte_range[0] == 68 * 2
    assert finding.witness[0].grid_position == (1, 0, 0)
    assert "64" in finding.remedy


def test_strides_that_tma_cannot_name():
    def padded(pitch):
        return Layer(
            "linear_swapAB_hopper",
            (8, 1, 1),
            (
                Tensor((8, 512)),
                Tensor((512, 512), ROWS),
                Tensor((8, 512), COLUMNS, strides=(pitch, 1)),
            ),
        )

    assert codes(context_of(record_of(padded(520)))) == []
    finding = one(context_of(record_of(padded(516))), "MPK421")
    assert "stride of 1032 bytes" in finding.message


def test_planes_of_rows_that_tma_cannot_name():
    """Of a weight for each expert the innermost stride is the last of three."""

    def experts(pitch):
        return Layer(
            "moe_w13_linear_sm90",
            (5, 4, 1),
            (
                Tensor((8, 512)),
                Tensor((32, 1024, 512), (-1, 1, -1), strides=(1024 * pitch, pitch, 1)),
                Tensor((32, 8), dtype="int32"),
                Tensor((33,), dtype="int32"),
                Tensor((8, 4, 1024), (-1, 2, -1)),
            ),
        )

    assert codes(context_of(record_of(experts(520)))) == []
    finding = one(context_of(record_of(experts(516))), "MPK421")
    assert finding.message.startswith("dim 1 of 't0_1'")
    assert "stride of 1032 bytes" in finding.message


def test_rows_that_tma_cannot_name():
    """The row stride of the input and the weight is K: 516 elements are no multiple of 8."""
    found_here = found(context_of(record_of(linear(k=516))))
    assert {(x.rule.code, x.location.slot) for x in found_here} == {("MPK421", 0), ("MPK421", 1)}


def test_loads_of_vectors():
    """A row of 4,096 is loaded by 16 bytes; one of 512 by 4."""

    def shifted(hidden, columns, axis_map):
        return Layer(
            "rmsnorm_hopper",
            (2, 1, 1),
            (Tensor((8, hidden)), Tensor((hidden,)), Tensor((8, columns), axis_map)),
        )

    assert codes(context_of(record_of(shifted(4096, 4096, ROWS)))) == []
    bad = context_of(record_of(shifted(4096, 8204, COLUMNS)))
    assert ("MPK421", "error") in codes(bad)


# Kernels of the target


def test_kernels_that_the_target_lacks():
    layer = Layer("elementwise_add_sm100", (4, 1, 1), [Tensor((8, 512), ROWS)] * 3)
    assert codes(context_of(record_of(layer, cc=100))) == []
    finding = one(context_of(record_of(layer, cc=90)), "MPK431")
    assert finding.severity == "warning"
    assert "Blackwell" in finding.message
    assert codes(without_record(record_of(layer, cc=90))) == []
    assert ("MPK431", "warning") in codes(without_record(record_of(layer, cc=90), target_cc=90))


def test_a_kernel_of_another_target_is_named_where_there_is_one():
    finding = one(context_of(record_of(linear("linear", rows=8), cc=90)), "MPK431")
    assert "linear_swapAB_hopper" in finding.remedy


def test_kernels_that_no_header_has():
    layer = Layer(
        "find_ngram_global",
        (1, 1, 1),
        (
            Tensor((1, 96), dtype="int64"),
            Tensor((1, 512), dtype="int64"),
            Tensor((1, 6), dtype="int64"),
        ),
        (3, 5),
    )
    finding = one(context_of(record_of(layer)), "MPK431")
    assert "no header" in finding.message


def test_kernels_of_several_gpus():
    layer = Layer("nvshmem_tile_allreduce", (8, 1, 1), [Tensor((8, 512), COLUMNS)] * 2, (1, 0))
    finding = one(context_of(record_of(layer, cc=100)), "MPK431")
    assert "several GPUs" in finding.message
    assert codes(context_of(record_of(layer, cc=100, world_size=2)), "MPK431") == []


def test_a_task_without_code():
    layer = Layer("argmax", (1, 1, 1), (Tensor((8, 512)), Tensor((8, 1), dtype="int64")))
    finding = one(context_of(record_of(layer)), "MPK432")
    assert finding.severity == "error"
    assert finding.remedy == "Use argmax_partial and argmax_reduce"
    assert [x.name for x in REGISTERED_TASKS.values() if x.variant_key is None] == ["argmax"]


# Names


def named(*names):
    shapes = ((8, 512), (512,), (8, 512))

    def build(kernel):
        x, w, y = (attach(kernel, n, *d) for n, d in zip(names, shapes, strict=True))
        kernel.rmsnorm_layer(x, w, y, (8, 1, 1), block(kernel))

    return context_of(built(build))


@pytest.mark.parametrize(
    ("name", "instead"),
    [("model.x", "model_x"), ("9x", "t_9x"), ("class", "t_class"), ("a b", "a_b")],
)
def test_names_that_nvcc_refuses(name, instead):
    finding = one(named(name, "w", "y"), "MPK441")
    assert finding.severity == "error"
    assert repr(instead) in finding.remedy
    assert finding.location.tensor == name


def test_names_that_are_taken():
    assert codes(named("x", "w", "y")) == []
    assert codes(named("x", "w", "x")) == [("MPK442", "error")]


def test_names_in_a_graph_alone():
    def build(kernel):
        x, w, y = (
            attach(kernel, "a.b", 8, 512),
            attach(kernel, "w", 512),
            attach(kernel, "y", 8, 512),
        )
        kernel.rmsnorm_layer(x, w, y, (8, 1, 1), block(kernel))

    assert codes(without_record(built(build))) == [("MPK441", "error")]


def test_parts_of_a_shuffled_tensor_need_no_name():
    """The generated code has no variable for them."""

    def build(kernel):
        parts = [attach(kernel, name, 256, 512) for name in ("a.b", "c.d")]
        weight = kernel.shuffle_tensors(parts, 0, 4, "w")
        x, y = attach(kernel, "x", 8, 512), attach(kernel, "y", 8, 512)
        kernel.linear_layer(x, weight, y, (8, 1, 1), block(kernel))

    assert codes(context_of(built(build))) == []


# Meta tensors


def test_meta_tensors_that_are_null():
    assert codes(context_of(record_of(silu()))) == []
    context = context_of(record_of(silu(), meta={}))
    finding = one(context, "MPK451")
    assert finding.severity == "warning"
    assert "qo_indptr_buffer" in finding.message
    assert "max_num_batched_requests + 1" in finding.remedy
    assert verify([without_record(record_of(silu(), meta={}))], select=["MPK451"]).skipped


def test_meta_tensors_that_some_builds_leave_out():
    context = context_of(record_of(linear("linear", rows=8), cc=80, meta={}))
    assert codes(context) == [("MPK451", "warning")]


def test_meta_tensors_that_params_ask_for():
    def embedding(source):
        return Layer(
            "embedding",
            (1, 1, 1),
            (Tensor((8, 1), dtype="int64"), Tensor((1000, 512)), Tensor((8, 512))),
            (source,),
        )

    assert codes(context_of(record_of(embedding(1), meta={}))) == []
    assert codes(context_of(record_of(embedding(0), meta={}))) == [("MPK451", "warning")] * 2


def test_meta_tensors_that_are_short():
    from mpkgraph.pipeline import TensorSpec

    short = META | {"qo_indptr_buffer": TensorSpec((8,), "int32")}
    finding = one(context_of(record_of(silu(), meta=short)), "MPK452")
    assert "8 entries; kernels read 9" in finding.message


@pytest.mark.parametrize(
    ("tensor", "length"),
    [
        ({"torch": [3, 4]}, 12),
        ({"torch": ()}, 1),
        ({"torch": [3, "n"]}, None),
        ({"torch": 7}, None),
        ({"torch": None}, None),
        ({}, None),
        ("int32", None),
    ],
)
def test_lengths_of_meta_tensors(tensor, length):
    """A record may be anybody's."""
    assert meta._length(tensor) == length


# Element types


@pytest.mark.parametrize(
    ("declared", "wanted", "size", "wanted_size", "severity"),
    [
        ("DT_INT64", ["DT_INT32"], 8, 4, "warning"),
        ("DT_INT32", ["DT_INT64"], 4, 8, "error"),
        ("DT_INT64", ["DT_INT32", "DT_FLOAT32"], 8, 4, "error"),
        ("DT_INT64", ["DT_FLOAT32"], 8, 4, "error"),
        ("DT_DOUBLE", ["DT_INT32"], 8, 4, "error"),
    ],
)
def test_only_halves_of_integers_are_warned_of(declared, wanted, size, wanted_size, severity):
    assert types._severity(declared, wanted, size, wanted_size) == severity


def test_types_of_the_same_bits():
    for group in types.SAME_BITS:
        assert all(types._same(a, b) for a in group for b in group)
    assert not types._same("DT_INT32", "DT_FLOAT32")


@pytest.mark.parametrize(
    ("declared", "wanted"), [("bf16", []), ("fp16", ["error"]), ("fp32", ["error"])]
)
def test_types_that_kernels_are_compiled_for(declared, wanted):
    record = record_of(norm(dtype=declared))
    assert [severity for _, severity in codes(context_of(record))] == wanted
    assert all(code == "MPK461" for code, _ in codes(context_of(record)))
    assert [severity for _, severity in codes(without_record(record))] == wanted


def test_integers_that_are_wider_than_the_kernel_takes_them_for():
    def verify_strict(counts):
        return Layer(
            "mtp_verify_strict",
            (1, 1, 1),
            (
                Tensor((8, 1), dtype="int64"),
                Tensor((8, 2), dtype="int64"),
                Tensor((8, 1), dtype=counts),
                Tensor((8, 2), dtype="int64"),
            ),
            (1,),
        )

    assert codes(context_of(record_of(verify_strict("int32"), cc=100))) == []
    assert codes(context_of(record_of(verify_strict("int64"), cc=100))) == [("MPK461", "warning")]


def test_slots_that_are_not_touched_may_have_any_type():
    layer = Layer(
        "tensor_init",
        (1, 1, 1),
        (Tensor((8, 512)), Tensor((8, 512), dtype="fp32"), Tensor((8, 512), dtype="int32")),
    )
    assert codes(context_of(record_of(layer, cc=100))) == []


def test_two_types_of_one_tensor():
    shared = Tensor((8, 512), ROWS, name="mid")
    first = Layer("rmsnorm_hopper", (8, 1, 1), (Tensor((8, 512), ROWS), Tensor((512,)), shared))
    second = Layer("rmsnorm_hopper", (8, 1, 1), (shared, Tensor((512,)), Tensor((8, 512), ROWS)))
    context = context_of(record_of(first, second))
    assert codes(context) == []
    producer, consumer = context.operators
    other = replace(consumer.slots[0], data_type=940)
    changed = replace(consumer, slots=(other, *consumer.slots[1:]))
    context = replace(
        context, operators=OperatorSet((producer, changed), context.operators.num_tasks)
    )
    finding = one(context, "MPK462")
    assert [x.operator for x in finding.witness] == [0, 1]
    assert "bfloat16" in finding.message
    assert "float16" in finding.message


# All together


def test_repeats_of_a_layer_are_one_finding():
    layers = [linear(rows=32), linear(rows=32), linear(rows=32)]
    finding = one(context_of(record_of(*layers)), "MPK411")
    assert finding.num_operators == 3


def test_codes_stand_once_and_belong_here():
    rules = [rule for row in CHECKS for rule in row.rules]
    assert len({rule.code for rule in rules}) == len(rules)
    assert {rule.family for rule in rules} == {"resources"}


REAL = {
    # The argmax of the prompt-lookup demo splits rows, and reduces in several tasks
    "models/qwen3_demo-Qwen3-8B-promptlookup-L2-cc90": {"MPK411"},
}
"""Errors of good goldens that are real."""


def errors_of(golden):
    return {
        x.rule.code
        for x in verify([loaded.verified(golden)], select=["MPK4"]).findings
        if x.severity == "error"
    }


@pytest.mark.parametrize("group", ["tests", "gpu", "models"])
def test_good_goldens_have_no_errors_but_real_ones(group):
    goldens.require()
    seen = {}
    for golden in goldens.graphs(max_bytes=6_000_000, group=group):
        seen.setdefault(golden.case, set()).update(errors_of(golden))
    assert seen
    wanted = {case: REAL.get(case, set()) for case in seen}
    assert seen == wanted


@pytest.mark.parametrize(
    ("case", "code"),
    [
        ("dotted_name", "MPK441"),
        ("duplicate_name", "MPK442"),
        ("linear_batch32", "MPK411"),
        ("grid_nondiv_linear", "MPK421"),
    ],
)
def test_bad_goldens_have_the_right_error(case, code):
    assert errors_of(goldens.get(f"bad/{case}-cc90")) == {code}


EMITTER_KINDS = ("ok", "fork-3", "fork-deep", "fork-lcm", "fork-merge", "join-lcm", "strip-fork")


def test_pipelines_that_merely_exercise_the_emitter_have_no_errors():
    goldens.require()
    cases = [
        x
        for x in goldens.all_graphs()
        if x.group == "bad" and x.fault is not None and x.fault.startswith(EMITTER_KINDS)
    ]
    assert len(cases) >= 10
    for golden in cases:
        assert errors_of(golden) == set(), golden


def test_good_graphs_alone_have_no_errors_but_real_ones():
    """Operators recovered from the tasks: what they do not tell is not guessed."""
    goldens.require()
    options = VerifyOptions(num_workers=128)
    for golden in goldens.graphs(max_bytes=2_500_000):
        if golden.group in {"tests", "gpu", "models"}:
            alone = replace(loaded.verified_alone(golden), options=options)
            errors = {x.rule.code for x in found(alone) if x.severity == "error"}
            assert errors <= REAL.get(golden.case, set()), golden


def test_addresses_that_an_h100_refused(tmp_path):
    """A map to a dim that the tensor lacks makes wild offsets: it died of a misaligned address."""
    from mpkgraph.io.reader import read_graph

    golden = goldens.get("bad/map_dim_out_of_range-cc90")
    graph = read_graph(golden.write_graph(tmp_path))
    context = VerifyContext(graph, recover_operators(graph), DEFAULT)
    finding = one(context, "MPK421")
    assert finding.location.tensor == "x"
    assert finding.count == 4


BESIDE = {
    "sound": [norm()],
    "many rows": [linear(rows=32)],
    "tiles off": [linear(n=4096, grid=60)],
    "rows off": [linear(k=516)],
    "shared memory": [norm(hidden=512 * 72)],
    "no code": [Layer("argmax", (1, 1, 1), (Tensor((1, 64)), Tensor((1, 1), dtype="int64")))],
    "other type": [norm(dtype="fp16")],
    "too few lanes": [
        Layer(
            "moe_w13_linear_sm90",
            (4, 4, 1),
            (
                Tensor((8, 512)),
                Tensor((32, 1024, 512), (-1, 1, -1)),
                Tensor((32, 8), dtype="int32"),
                Tensor((33,), dtype="int32"),
                Tensor((8, 4, 1024), (-1, 2, -1)),
            ),
        )
    ],
    "uneven waits": [
        Layer(
            "rmsnorm_hopper",
            (grid, 1, 1),
            (
                Tensor((24, 512), ROWS, name=source),
                Tensor((512,)),
                Tensor((24, 512), ROWS, name=target),
            ),
        )
        for grid, source, target in ((6, "u", "v"), (8, "v", "w"))
    ],
}


@pytest.mark.parametrize("one", BESIDE)
@pytest.mark.parametrize("family", ["MPK4", "MPK5"])
def test_layers_are_looked_at_beside_each_other(one, family):
    """What is wrong with a layer is found before and after any other."""

    def told(layers):
        context = context_of(record_of(*layers))
        return {
            (x.rule.code, x.severity, x.key) for x in verify([context], select=[family]).findings
        }

    for other, layers in BESIDE.items():
        if other != one:
            alone = told(BESIDE[one]) | told(layers)
            assert told(BESIDE[one] + layers) == alone, other


def test_numbers_are_padded_to_four():
    for numbers in ((), (5,), (5, 6), (5, 6, 7), (5, 6, 7, 8), (5, 6, 7, 8, 9)):
        assert _padded(numbers) == tuple(numbers[n] if n < len(numbers) else 0 for n in range(4))
