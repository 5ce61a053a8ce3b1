"""The table of effects: complete, consistent, and as the facts have it."""

import dataclasses
import functools
import re

import pytest
import yaml

from mpkgraph.catalog.effects import (
    EFFECT_FAMILIES,
    EFFECTS,
    EFFECTS_BY_REGISTER_NAME,
    EffectRow,
    SlotEffect,
    effects_of,
)
from mpkgraph.catalog.registered import REGISTERED_TASKS
from mpkgraph.catalog.task_types import TASK_TYPES
from tests.catalog import mpk_facts

WITH_SLOTS = [row for row in TASK_TYPES if row.register_names]
META_NAMES = {
    "step",
    "tokens",
    "input_tokens",
    "output_tokens",
    "num_new_tokens",
    "prompt_lengths",
    "qo_indptr_buffer",
    "paged_kv_indptr_buffer",
    "paged_kv_indices_buffer",
    "paged_kv_last_page_len_buffer",
}


def row_of(name):
    registered = REGISTERED_TASKS[name]
    return effects_of(
        registered.task_type, registered.num_inputs, registered.num_outputs, register_name=name
    )


@pytest.mark.parametrize("row", WITH_SLOTS, ids=lambda row: row.name)
def test_every_type_with_slots_has_a_row_with_as_many(row):
    effects = EFFECTS[row.name]
    assert (len(effects.inputs), len(effects.outputs)) == (row.num_inputs, row.num_outputs)
    assert len(effects.data_types) == len(effects.slots)


def test_every_row_is_of_a_type_with_slots_and_stands_once():
    assert set(EFFECTS) == {row.name for row in WITH_SLOTS}
    rows = [row for rows in EFFECT_FAMILIES.values() for row in rows]
    assert len({(row.task_type, row.register_name) for row in rows}) == len(rows)
    for name, row in EFFECTS_BY_REGISTER_NAME.items():
        assert REGISTERED_TASKS[name].task_type == row.task_type


def test_meta_tensors_are_those_that_a_kernel_takes():
    assert {x for row in EFFECTS.values() for x in row.meta_tensors} <= META_NAMES


def test_axes_that_keep_tasks_apart_are_axes_that_the_kernel_knows():
    for row in EFFECTS.values():
        for slot in row.slots:
            assert set(slot.disjoint_by) <= set(row.varies_by), row.task_type


def test_what_is_refused():
    with pytest.raises(ValueError, match="axes"):
        SlotEffect("read", disjoint_by=("w",))
    with pytest.raises(ValueError, match="axes"):
        EffectRow("T", (), (), varies_by=("w",))
    with pytest.raises(ValueError, match="data types"):
        EffectRow("T", (SlotEffect("read"),), (), data_types=("bf16", "bf16"))


@pytest.mark.parametrize(
    ("access", "reads", "writes", "remotely"),
    [
        ("none", False, False, False),
        ("read", True, False, False),
        ("write", False, True, False),
        ("readwrite", True, True, False),
        ("accumulate", True, True, False),
        ("remote", False, False, True),
    ],
)
def test_what_an_access_means(access, reads, writes, remotely):
    effect = SlotEffect(access)
    assert (effect.reads, effect.writes, effect.writes_remotely) == (reads, writes, remotely)


def test_a_type_without_a_row_reads_inputs_and_writes_outputs():
    row = effects_of("TASK_OF_TOMORROW", 2, 1)
    assert [x.access for x in row.slots] == ["read", "read", "write"]
    other = effects_of("TASK_LINEAR", 3, 1)  # not what a linear has
    assert [x.access for x in other.slots] == ["read", "read", "read", "write"]


def test_one_type_with_two_kernels_is_told_apart_by_the_registered_name():
    assert effects_of("TASK_SILU_MUL", 1, 1).meta_tensors == ("qo_indptr_buffer",)
    assert row_of("silu_mul").inputs[0].footprint == "rows"
    assert row_of("moe_silu_mul").meta_tensors == ()
    assert row_of("moe_silu_mul").inputs[0].footprint == "tile"


@pytest.mark.parametrize(
    ("name", "params", "rank", "untouched"),
    [
        ("embedding", (0,), 0, {0}),
        ("embedding", (1,), 0, set()),
        ("embedding", (), 0, set()),
        ("linear_with_residual", (), 0, set()),
        ("linear_with_residual", (), 1, {2}),
        ("linear_swapAB_with_residual_hopper", (1,), 0, set()),
        ("linear_swapAB_with_residual_hopper", (0,), 0, {2}),
        ("linear_swapAB_with_residual_hopper", (1,), 1, {2}),
        ("linear_with_residual_sm100", (0,), 0, {2}),
        ("linear_with_residual_sm100", (1,), 3, set()),
        ("paged_attention", (32, 8, 0, 1, 512, 64), 0, {3, 4}),
        ("paged_attention", (32, 8, 1, 0, 512, 64), 0, {5, 6}),
    ],
)
def test_params_and_rank_decide(name, params, rank, untouched):
    row = row_of(name).given(params, rank)
    nothing = {x for x, slot in enumerate(row.slots) if slot.access == "none"}
    assert nothing == untouched
    assert all(x.only_if is None for x in (*row.slots, *row.meta))


def test_params_decide_about_meta_tensors():
    assert row_of("embedding").given((0,), 0).meta_tensors == ("step", "tokens")
    assert row_of("embedding").given((1,), 0).meta_tensors == ()
    decode = row_of("mla_decode_sm100")
    assert "qo_indptr_buffer" not in decode.given((128, 576, 512, 4, 512), 0).meta_tensors
    assert "qo_indptr_buffer" in decode.given((128, 576, 512, 4, 512, 2), 0).meta_tensors


# Against the facts: one name after the other, slot by slot


LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@functools.cache
def read_facts(name):
    return yaml.load((mpk_facts.FOLDER / name).read_text(encoding="utf-8"), Loader=LOADER)


def facts():
    mpk_facts.require()
    return read_facts("tasks_sm80_sm90.yaml")["tasks"] | read_facts("tasks_sm100.yaml")["tasks"]


def slots_of(task):
    effects = task["effects"]
    if isinstance(effects, dict):
        return [*effects["inputs"], *effects["outputs"]]
    return effects


def access_of(slot):
    """`read`, `write`, ... out of the words of the facts."""
    words = slot["access"]
    if isinstance(words, list):
        accumulate = slot.get("accumulate", False)
        joined = "".join(words) if len(words) < 2 else "readwrite"
        return "accumulate" if accumulate else joined
    if words.startswith("atomic_add"):
        return "accumulate"
    if words.startswith("remote write only"):
        return "remote"
    return re.match(r"none|readwrite|read|write", words)[0]


def is_conditional(slot):
    words = slot["access"] if isinstance(slot["access"], str) else ""
    return "condition" in slot or " if " in words or " iff " in words


@pytest.mark.parametrize("name", mpk_facts.names())
def test_accesses_are_those_of_the_facts(name):
    task, row = facts()[name], row_of(name)
    slots = slots_of(task)
    assert [x.access for x in row.slots] == [access_of(x) for x in slots]
    conditional = [x.only_if is not None for x in row.slots]
    assert conditional == [is_conditional(x) for x in slots]


ALLOWED = {
    "tile": {"tile", "rows"},
    "whole": {"tile", "whole", "anywhere", "rows", "dynamic"},
    "dynamic": {"dynamic", "whole"},
    "none": {"tile"},
    "sliced-by-metadata": {"rows", "dynamic", "anywhere"},
}
"""Footprints that may stand for a word of the facts: their `whole` is of slots that no grid axis
splits, and rows in use are told apart there."""


@pytest.mark.parametrize("name", mpk_facts.names())
def test_footprints_are_those_of_the_facts(name):
    task, row = facts()[name], row_of(name)
    for position, (effect, slot) in enumerate(zip(row.slots, slots_of(task), strict=True)):
        words = slot["footprint"]
        kind = words["kind"] if isinstance(words, dict) else words.partition(":")[0]
        if kind in ALLOWED and effect.access != "none":
            assert effect.footprint in ALLOWED[kind], (position, kind)


def written_meta(task):
    found = task.get("meta_deref", task.get("meta_tensors_dereferenced"))
    if isinstance(found, dict):
        found = [x for names in found.values() for x in names]
    return " ".join(found)


@pytest.mark.parametrize("name", mpk_facts.names())
def test_meta_tensors_are_those_of_the_facts(name):
    text = written_meta(facts()[name]).replace("new_token_nums", "num_new_tokens")
    if "(attached)" in text or "(as attached" in text:
        text = ""
    named = {x for x in META_NAMES if re.search(rf"(?<!\w){x}(?!\w)", text)}
    assert set(row_of(name).meta_tensors) == named


@pytest.mark.parametrize("name", mpk_facts.names())
def test_the_kernel_knows_the_axes_that_its_metadata_hold(name):
    """A type that reads no metadata does the same work at every grid point with equal tiles."""
    read = facts()[name].get("metadata_read")
    if read is None or name.startswith("quantize"):
        return
    named = set(re.findall(r"bid\.([xyz])", read))
    row = row_of(name)
    if "merge_task_offset passed but unused" in read:
        named = {"x"}
    if name == "paged_attention_sm100":
        named = {"x"}
    assert set(row.varies_by) == named


def test_data_types_are_those_that_the_facts_expect():
    mpk_facts.require()
    words = {"f32": "fp32", "i64": "int64", "i32": "int32", "u32": "uint32", "e4m3": "fp8"}
    words |= {"u64": "uint64", "bf16": "bf16"}
    layers = read_facts("tasks_sm100.yaml")["layers"]
    layers = layers.values() if isinstance(layers, dict) else layers
    checked = 0
    for layer in layers:
        for dispatch in layer["dispatch"]:
            name = dispatch.get("register_name")
            if name is None:
                continue
            row = row_of(name)
            for types, slot in zip(row.data_types, layer["slots"], strict=True):
                expected = slot.get("dtype_expected_by_kernel")
                if expected is None:
                    assert types == "any"
                    continue
                expected = expected.partition(" ")[0]
                assert types == "|".join(words[x] for x in expected.split("|")), (name, slot)
                checked += 1
    assert checked > 150


def test_rows_are_values():
    """Equal effects of equal rows: what is remembered by row must not depend on identity."""
    assert dataclasses.replace(EFFECTS["TASK_LINEAR"]) == EFFECTS["TASK_LINEAR"]
