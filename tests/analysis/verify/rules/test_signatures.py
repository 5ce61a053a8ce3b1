"""Signatures and relations: they name real slots, and say what they mean."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from mpkgraph.analysis.verify.rules.splits.facts import facts_of
from mpkgraph.analysis.verify.rules.splits.relations import judge
from mpkgraph.analysis.verify.rules.splits.signatures import SIGNATURES, parse
from mpkgraph.catalog.registered import REGISTERED_TASKS
from tests.analysis.verify.rules.mutated import planned
from tests.analysis.verify.rules.test_splits import linear, paged_attention
from tests.pipelines.kit import record_of

SLOTS = {row.task_type: (row.num_inputs, row.num_outputs) for row in REGISTERED_TASKS.values()}


@pytest.mark.parametrize("task_type", SIGNATURES)
def test_a_signature_has_the_slots_of_its_task_type(task_type):
    num_inputs, num_outputs = SLOTS[task_type]
    for text in SIGNATURES[task_type].texts:
        inputs, _, outputs = text.partition("->")
        assert len(inputs.split(",")) == num_inputs
        assert len([x for x in outputs.split(",") if x.strip()]) == num_outputs
        assert len(parse(text)) == num_inputs + num_outputs


@pytest.mark.parametrize("task_type", SIGNATURES)
def test_relations_name_slots_and_ints_that_are_there(task_type):
    num_inputs, num_outputs = SLOTS[task_type]
    params = max(len(x.params) for x in REGISTERED_TASKS.values() if x.task_type == task_type)
    for relation in SIGNATURES[task_type].relations:
        for kind, number in re.findall(r"\b(in|out)(\d)\.(?:tile|dim|stride)\[", relation.text):
            assert int(number) < (num_inputs if kind == "in" else num_outputs)
        for number in re.findall(r"\bp\[(\d+)\]", relation.text):
            assert int(number) < params


def test_judging_a_relation():
    context = planned(record_of(linear))
    facts = facts_of(context, context.operators[0])
    judged = judge("in1.tile[0] == out0.tile[1]", facts)
    assert judged is not None
    assert judged.holds
    assert judged.labels == ("in1", "out0")
    assert dict(judged.numbers) == {"in1.tile[0]": 64, "out0.tile[1]": 64}
    judged = judge("2 * in1.tile[0] + 1 <= grid[0]", facts)
    assert judged is not None
    assert (judged.holds, judged.left, judged.right) == (False, 129, 8)


@pytest.mark.parametrize(
    "text",
    [
        "in5.tile[0] == 1",
        "in0.tile[2] == 1",
        "in0.tile[-3] == 1",
        "in0.tile[7] == 1",
        "p[0] == 1",
        "in0.dim[0] == p[3]",
    ],
)
def test_an_unknown_number_is_not_judged(text):
    context = planned(record_of(linear))
    assert judge(text, facts_of(context, context.operators[0])) is None


def test_a_slot_that_was_given_none_is_not_judged():
    context = planned(record_of(paged_attention))
    facts = facts_of(context, context.operators[0])
    assert judge("in3.tile[0] == 1", facts) is None
    assert judge("in1.dim[2] == p[1]", replace(facts, params=None)) is None


@pytest.mark.parametrize("text", ["1 + 1", "in0 == 1", "1 < 2", "f(1) == 1", "1 == 1 == 1"])
def test_a_text_that_is_no_relation_is_refused(text):
    context = planned(record_of(linear))
    with pytest.raises(ValueError, match="no "):
        judge(text, facts_of(context, context.operators[0]))


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("in1.tile[0] % 7 == 1", True),
        ("in1.tile[0] % (0 * 7) == 0", True),
        ("in0.tile[-1] == 512", True),
        ("in0.tile[0] * 8 == in1.tile[0]", True),
        ("in0.tile[0] <= 7", False),
        ("in0.tile[0] <= 8", True),
        ("in0.tile[0] <= 9", True),
        ("in0.tile[0] == 9", False),
    ],
)
def test_arithmetic(text, holds):
    context = planned(record_of(linear))
    judged = judge(text, facts_of(context, context.operators[0]))
    assert judged is not None
    assert judged.holds is holds


def test_slots_that_are_null_or_never_touched_are_not_judged():
    context = planned(record_of(linear))
    facts = facts_of(context, context.operators[0])
    first = facts.slots[0]
    untouched = replace(first, effect=replace(first.effect, access="none"))
    for slot in (replace(first, is_null=True), untouched):
        assert judge("in0.tile[0] == 8", replace(facts, slots=(slot, *facts.slots[1:]))) is None


@pytest.mark.parametrize(
    ("text", "fits", "told"),
    [("b n", {2}, "2"), ("... n", {1, 2, 3, 4}, "1 or more"), ("b H 2n", {3}, "3")],
)
def test_ranks_that_a_slot_takes(text, fits, told):
    (slot,) = parse(text)
    assert {rank for rank in range(5) if slot.fits(rank)} == fits
    assert slot.rank_text == told
    assert [x.is_whole for x in slot.indices] == [
        x.isupper() for x in re.findall("[A-Za-z]+", text)
    ]


def test_what_cuts_a_head_is_about_tiles_and_heads():
    """Sizes of whole tensors cut none."""
    for task_type, signature in SIGNATURES.items():
        for relation in signature.relations:
            wanted = "head" in relation.why and ".tile[" in relation.text
            assert relation.cuts_heads == wanted, (task_type, relation.text)
