"""The table of registered names: complete, consistent, and with Mirage's corner cases."""

import collections

import pytest

from mpkgraph.catalog.registered import (
    ARCHITECTURES,
    FAMILIES,
    REGISTERED_TASKS,
    MissingParamError,
    MissingSlotError,
    MissingStrideError,
    NullSlotError,
    RegisteredTaskRow,
    SlotFacts,
    TaskFacts,
)
from mpkgraph.catalog.registered.arithmetic import divide, float_text, int32
from mpkgraph.catalog.task_types import TASK_TYPES
from tests.catalog import mpk_facts

WHOLE = (-1, -1, -1)
NULL = SlotFacts((0,) * 4, (0,) * 4, (0,) * 4, 0, WHOLE, is_null=True)


def slot(*dims, tile=None, strides=None):
    """A slot of a tensor; by default one tile is all of it and strides are 1."""
    padding = (0,) * (4 - len(dims))
    return SlotFacts(
        tile=(*(tile or dims), *padding),
        dims=(*dims, *padding),
        strides=(*(strides or (1,) * len(dims)), *padding),
        rank=len(dims),
        input_map=WHOLE,
    )


def key(name, inputs=(), outputs=(), params=(), grid=(1, 1, 1)):
    facts = TaskFacts(tuple(inputs), tuple(outputs), tuple(params), grid)
    return REGISTERED_TASKS[name].variant_key(facts)


def attention(name, *, width=4096, cache=None, params=(32, 8, 1, 1, 512, 64)):
    num_inputs = REGISTERED_TASKS[name].num_inputs
    inputs = [slot(8, 6144), *[cache or slot(64, 64, 8, 128)] * (num_inputs - 1)]
    return key(name, inputs, [slot(8, width)], params)


def test_every_name_of_the_facts_is_here():
    facts = mpk_facts.require()
    assert set(REGISTERED_TASKS) == set(facts)
    for name, fact in facts.items():
        row = REGISTERED_TASKS[name]
        assert (row.task_type, row.num_inputs, row.num_outputs) == (
            fact.task_type,
            fact.num_inputs,
            fact.num_outputs,
        ), name
        assert len(row.params) == len(fact.params), name
        if fact.compiled_for is not None:
            told = " ".join(x for x in fact.compiled_for if "NOT" not in x)
            assert set(row.compiled_for) == {x for x in ARCHITECTURES if x in told}, name
            assert row.needs_nvshmem == ("USE_NVSHMEM" in told), name


def test_each_name_stands_in_one_family():
    assert sum(map(len, FAMILIES.values())) == len(REGISTERED_TASKS)
    assert all(row.name == name for name, row in REGISTERED_TASKS.items())


def test_rows_are_of_task_types():
    types = {row.name: row for row in TASK_TYPES}
    for row in REGISTERED_TASKS.values():
        task_type = types[row.task_type]
        assert row.name in task_type.register_names
        assert (task_type.num_inputs, task_type.num_outputs) == (row.num_inputs, row.num_outputs)


def test_two_types_have_two_names():
    names = collections.Counter(row.task_type for row in REGISTERED_TASKS.values())
    shared = {task_type for task_type, count in names.items() if count > 1}
    assert shared == {"TASK_SILU_MUL", "TASK_QUANTIZE_FP8_SM100"}


def test_only_argmax_registers_no_code():
    assert [x.name for x in REGISTERED_TASKS.values() if x.variant_key is None] == ["argmax"]


def test_an_unknown_architecture_is_refused():
    with pytest.raises(ValueError, match="unknown architectures"):
        RegisteredTaskRow("x", "TASK_X", 0, 0, (), variant_key=None, compiled_for=("volta",))


# What Mirage reads and is not there


@pytest.mark.parametrize("name", REGISTERED_TASKS)
def test_strides_of_a_null_output(name):
    """Of a tensor given as None only dims can be read."""
    row = REGISTERED_TASKS[name]
    if row.variant_key is None:
        return
    params = [1] * len(row.params)
    inputs = [slot(8, 8, 8, 8)] * row.num_inputs
    present = [slot(8, 8, 8, 8)] * row.num_outputs
    changed = [slot(8, 8, 8, 8, strides=(7, 7, 7, 7))] * row.num_outputs
    if key(name, inputs, present, params) == key(name, inputs, changed, params):
        key(name, inputs, [NULL] * row.num_outputs, params)
    else:
        with pytest.raises(NullSlotError):
            key(name, inputs, [NULL] * row.num_outputs, params)


def test_strides_of_a_null_input():
    with pytest.raises(NullSlotError):
        key("nvshmem_tile_allreduce", [NULL], [slot(8, 64)], [2, 0])


def test_strides_beyond_the_rank():
    with pytest.raises(MissingStrideError, match="stride 1 of a tensor of rank 1"):
        key("moe_silu_mul", [slot(8, 8, 8)], [slot(8)])


@pytest.mark.parametrize("name", REGISTERED_TASKS)
def test_too_few_params(name):
    row = REGISTERED_TASKS[name]
    if row.variant_key is None:
        return
    slots = [slot(8, 8, 8, 8)] * row.num_inputs, [slot(8, 8, 8, 8)] * row.num_outputs
    key(name, *slots, [1] * row.num_required_params)
    if not row.params or name.startswith("nvshmem"):
        key(name, *slots, ())
    else:
        with pytest.raises(MissingParamError):
            key(name, *slots, ())


def test_slots_too_few_and_too_many():
    exact = key("rmsnorm", [slot(8, 64), slot(64)], [slot(8, 64)])
    assert key("rmsnorm", [slot(8, 64), slot(64)], [slot(8, 64), slot(8, 64)]) == exact
    with pytest.raises(MissingSlotError, match="output 0, of 0"):
        key("rmsnorm", [slot(8, 64), slot(64)], [])
    with pytest.raises(MissingSlotError, match="input 0, of 0"):
        key("linear", [], [slot(8, 64)])


def test_the_query_length_of_mla_may_be_left_out():
    decode = [128, 576, 512, 4, 4096]
    assert key("mla_decode_sm100", params=decode) == key("mla_decode_sm100", params=[*decode, 1])
    assert key("mla_decode_sm100", params=decode) != key("mla_decode_sm100", params=[*decode, 2])
    reduce = [128, 512, 4, 0, 512]
    assert key("mla_reduce_sm100", params=reduce) == key("mla_reduce_sm100", params=[*reduce, 1])


# C++ integers


def test_products_wrap_around():
    wide = slot(1, 8, 1, 1 << 16)
    params = [1, 1 << 16, 1, 1, 512, 64, 1]
    split = [slot(8, 6144), wide, wide, NULL, NULL, NULL, NULL]
    zero_stride = key("paged_attention_split_kv_sm100", split, [slot(8, 8, 8)] * 2, params)
    assert zero_stride[2] == 0  # a KV row of 2 ** 32 elements
    assert key("mla_prefill_sm100", params=[1 << 16, 1, 512, 64, 1 << 16]) == key(
        "mla_prefill_sm100", params=[1 << 16, 1, 512, 64, 0]
    )
    assert key("identity", [slot(1 << 16, 1 << 16, 8)], [slot(8)]) == (0, 8, 8)


def test_strides_wrap_around():
    far = slot(8, 64, strides=((1 << 32) + 64, 1))
    near = slot(8, 64, strides=(64, 1))
    assert key("linear", [slot(8, 32)] * 2, [far]) == key("linear", [slot(8, 32)] * 2, [near])


def test_division_truncates():
    assert [divide(x, 3) for x in (-4, -3, -1, 0, 1, 4)] == [-1, -1, 0, 0, 0, 1]
    assert [divide(7, x) for x in (-8, -7, -2, 2)] == [0, -1, -3, 3]
    assert attention("paged_attention", params=(-3, 2, 1, 1, 512, 64))[0] == -1


@pytest.mark.parametrize(
    ("dividend", "divisor"), [(1, 0), (0, 0), (-(1 << 31), 0), (-(1 << 31), -1)]
)
def test_division_that_traps(dividend, divisor):
    with pytest.raises(ZeroDivisionError):
        divide(dividend, divisor)


@pytest.mark.parametrize("name", ["attention", "paged_attention", "paged_attention_hopper"])
def test_no_heads_kill_mirage(name):
    with pytest.raises(ZeroDivisionError):
        attention(name, params=(0, 8, 1, 1, 512, 64))
    with pytest.raises(ZeroDivisionError):
        attention(name, params=(32, 0, 1, 1, 512, 64))


@pytest.mark.parametrize("name", ["linear_hopper", "linear_with_residual_hopper"])
def test_an_output_tile_without_columns_kills_mirage(name):
    """As a grid finer than the tensor leaves it."""
    inputs = [slot(8, 32)] * REGISTERED_TASKS[name].num_inputs
    key(name, inputs, [slot(8, 64, tile=(8, 1))])
    with pytest.raises(ZeroDivisionError):
        key(name, inputs, [slot(8, 64, tile=(8, 0))])
    # The kernels that layers choose print no such quotient.
    key("linear_swapAB_hopper", inputs, [slot(8, 64, tile=(8, 0))])


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("mla_decode_sm100", [128, 576, 512, 4, 4096, 0]),
        ("mla_reduce_sm100", [128, 512, 4, 0, 512, 0]),
        ("mla_mtp_decode_sm100", [1, 4, 4096, 0]),
        ("mla_mtp_decode_tp2_sm100", [1, 4, 4096, 0]),
        ("mla_mtp_decode_tp4_sm100", [1, 4, 4096, 0]),
        ("mla_mtp_decode_tp8_sm100", [1, 4, 4096, 0, 4]),
    ],
)
def test_mla_divides_by_queries_and_splits(name, params):
    with pytest.raises(ZeroDivisionError):
        key(name, params=params)


def test_no_expert_groups_kill_mirage():
    outputs = [slot(8, 4), slot(64, 8), slot(65)]
    assert key("moe_topk_sigmoid_sm100", outputs=outputs, params=[8, 4, 0x40200000])
    with pytest.raises(ZeroDivisionError):
        key("moe_topk_sigmoid_sm100", outputs=outputs, params=[0, 4, 0x40200000])


def test_head_groups():
    """Of queries and heads as many as fit 128 rows, in groups of equal size."""

    def groups(num_heads, q_len):
        return key("mla_decode_sm100", params=[num_heads, 576, 512, 4, 4096, q_len])[-1]

    assert groups(128, 1) == 1
    assert groups(128, 4) == 4
    assert groups(16, 4) == 1
    assert groups(96, 3) == 3  # 42 heads fit, 32 divide
    assert groups(7, 64) == 7
    assert groups(128, 200) == 128
    assert groups(-3, 1) == -3


# What enters a key and what does not


@pytest.mark.parametrize(
    "name",
    ["attention", "paged_attention", "paged_attention_hopper", "paged_attention_sm100"],
)
def test_heads_of_another_size_are_another_variant(name):
    """Even if a KV row, the output and the queries a KV head stay the same."""
    few, many = (4, 4, 1, 1, 512, 64), (8, 8, 1, 1, 512, 64)
    assert attention(name, width=1024, params=few) != attention(name, width=1024, params=many)


@pytest.mark.parametrize(
    "name",
    [
        "mla_mtp_decode_sm100",
        "mla_mtp_decode_tp2_sm100",
        "mla_mtp_decode_tp4_sm100",
        "mla_mtp_decode_tp8_sm100",
    ],
)
def test_only_whether_a_split_is_one_tile_matters(name):
    def decode(kv_len):
        return key(name, params=[1, 4, kv_len, 4, 4])

    assert decode(385) == decode(512) != decode(513)
    assert decode(513) == decode(4096) == decode(0)


def test_a_source_of_neither_kind_leaves_the_argument_out():
    def source(number):
        return key("embedding", [slot(1, 8), slot(99, 64)], [slot(8, 64)], [number])

    assert len({source(0), source(1), source(2)}) == 3
    assert source(2) == source(-7)


def test_only_one_enables_the_residual():
    def residual(number):
        return key("linear_with_residual_sm100", [slot(8, 32)] * 3, [slot(8, 64)], [number])

    assert residual(0) == residual(2) != residual(1)


def test_identity_of_any_rank():
    assert key("identity", [slot(2, 3, 4, 5)], [slot(2, 3, 4, 5, tile=(2, 3, 4, 1))]) == (24, 5, 1)
    assert key("identity", [slot(7)], [slot(7)]) == (1, 7, 7)
    assert key("identity", [NULL], [slot(7)]) == (1, 0, 7)


def test_quantize_joins_the_leading_dims_of_three():
    three = key("quantize_fp8_sm100", [slot(8, 4, 512)], [NULL] * 2)
    assert three == key("quantize_fp8_sm100", [slot(32, 512)], [NULL] * 2)
    assert three != key("quantize_fp8_sm100", [slot(8, 512)], [NULL] * 2)


@pytest.mark.parametrize(
    ("bits", "text"),
    [
        (0x40200000, "2.500000"),
        (0x40200001, "2.500000"),
        (0x3A83126F, "0.001000"),
        (-0x80000000, "-0.000000"),
        (0x7F800000, "inf"),
        (-0x00800000, "-inf"),
        (0x7FC00000, "nan"),
        (-0x00400000, "-nan"),
    ],
)
def test_floats_are_printed_with_six_decimals(bits, text):
    assert float_text(bits) == text


@pytest.mark.parametrize(
    ("value", "wrapped"), [(0, 0), (-1, -1), ((1 << 31) - 1, (1 << 31) - 1), (1 << 32, 0)]
)
def test_int32(value, wrapped):
    assert int32(value) == wrapped
