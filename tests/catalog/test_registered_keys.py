"""Variant keys on random layers: equal exactly where the extracted facts say so."""

import dataclasses
import random

import pytest

from mpkgraph.catalog.registered import REGISTERED_TASKS, SlotFacts, TaskFacts
from tests.catalog import mpk_facts

NUM_PAIRS = 6
"""Pairs of layers for each name; each pair makes a mutant for every number of a layer."""
NUM_CHANGES = 4
"""How often mutants change again, to meet others of equal quotients and products."""
NUM_COUSINS = 60
"""Mutants of each pair that change again."""
# Names whose key depends on the rank; the others read dims that Mirage leaves 0 beyond it.
RANKS = {
    "identity": (2, 3, 4),
    "quantize_fp8_sm100": (2, 3),
    "quantize_fp8_f32scale_sm100": (2, 3),
}
SIZES = (1, 2, 3, 4, 6, 8, 12, 128, 129, 256, 1024)
SWITCH = (0, 1, 2)
PARAMS = {
    "input_source": SWITCH,
    "enable_residual": SWITCH,
    "qk_norm": SWITCH,
    "rotary": SWITCH,
    # Two that differ in the seventh decimal, one that differs in the sixth.
    "scaling_factor_bits": (0x40200000, 0x40200001, 0x40200008, 0x3F800000),
}


def draw_four(rng, rank):
    return tuple(rng.choice(SIZES) if dim < rank else 0 for dim in range(4))


def draw_slot(rng, name):
    rank = rng.choice(RANKS.get(name, (4,)))
    numbers = (draw_four(rng, rank) for _ in range(3))
    return SlotFacts(*numbers, rank=rank, input_map=(-1, -1, -1))


def draw_layer(rng, row):
    num_params = rng.randint(row.num_required_params, len(row.params))
    return TaskFacts(
        inputs=tuple(draw_slot(rng, row.name) for _ in range(row.num_inputs)),
        outputs=tuple(draw_slot(rng, row.name) for _ in range(row.num_outputs)),
        params=tuple(rng.choice(PARAMS.get(x, SIZES)) for x in row.params[:num_params]),
        grid_dim=(rng.choice(SIZES), rng.choice(SIZES), rng.choice(SIZES)),
    )


def draw_layers(row):
    """Layers that differ in one number, in a few and in all."""
    rng = random.Random(row.name)
    for _ in range(NUM_PAIRS):
        layer, donor = draw_layer(rng, row), draw_layer(rng, row)
        family = [changed(layer, place, donor) for place in places(layer)]
        yield from (layer, donor, *family)
        for _ in range(NUM_CHANGES):
            donor = draw_layer(rng, row)
            parents = rng.choices(family, k=NUM_COUSINS)
            family = [changed(x, rng.choice(places(x)), donor) for x in parents]
            yield from family


def places(layer):
    """Where the numbers of a layer stand: the names and positions that lead to each."""
    return [
        *(
            (side, slot, field, dim)
            for side in ("inputs", "outputs")
            for slot in range(len(getattr(layer, side)))
            for field in ("tile", "dims", "strides")
            for dim in range(getattr(layer, side)[slot].rank)
        ),
        *(("params", position) for position in range(len(layer.params))),
        *(("grid_dim", axis) for axis in range(3)),
    ]


def changed(this, path, donor):
    """`this` with the number at `path` taken from `donor`, where that has one."""
    step, *rest = path
    if isinstance(step, str):
        value = changed(getattr(this, step), rest, getattr(donor, step))
        return dataclasses.replace(this, **{step: value})
    if step >= len(donor):
        return this
    value = changed(this[step], rest, donor[step]) if rest else donor[step]
    return (*this[:step], value, *this[step + 1 :])


@pytest.mark.parametrize("name", mpk_facts.names())
def test_keys_depend_on_what_the_facts_say(name):
    row, fact = REGISTERED_TASKS[name], mpk_facts.all_facts()[name]
    if row.variant_key is None:
        assert fact.expression == ""
        return
    by_key, by_fact = {}, {}
    for layer in draw_layers(row):
        key, expected = row.variant_key(layer), fact.key(layer)
        assert by_key.setdefault(key, expected) == expected, layer
        assert by_fact.setdefault(expected, key) == key, layer
    assert len(by_key) > 2


@pytest.mark.parametrize(
    ("first", "second"),
    [("silu_mul", "moe_silu_mul"), ("quantize_fp8_sm100", "quantize_fp8_f32scale_sm100")],
)
def test_names_of_one_type_never_share_a_variant(first, second):
    """Their kernel calls end differently, whatever the layer."""
    one, two = REGISTERED_TASKS[first], REGISTERED_TASKS[second]
    assert one.task_type == two.task_type
    layers = list(draw_layers(one))
    assert {one.variant_key(x) for x in layers}.isdisjoint({two.variant_key(x) for x in layers})
