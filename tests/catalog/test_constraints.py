"""The table of constraints: each row can hold and fail, and its numbers are those of the facts."""

import itertools
import json
import random
import re

import pytest
import yaml

from mpkgraph.catalog.constraints import CONSTRAINTS, CONSTRAINTS_BY_NAME, Setting
from mpkgraph.catalog.constraints.aligned import TMA_SLOTS, VECTOR_BYTES
from mpkgraph.catalog.constraints.row import (
    at_least,
    at_most,
    exactly,
    multiple_of,
    one_of,
    one_of_or_multiple,
)
from mpkgraph.catalog.constraints.shared_memory import NEEDS, dynamic_limit_bytes, needed_bytes
from mpkgraph.catalog.registered import REGISTERED_TASKS, SlotFacts, TaskFacts
from tests.catalog import mpk_facts

SIZES = (1, 2, 4, 5, 8, 10, 16, 24, 32, 48, 64, 96, 100, 128, 256, 300, 512, 640, 1024)


def random_facts(name, generator):
    """A layer of this name with sizes of all kinds, some slots of which are split."""
    row = REGISTERED_TASKS[name]
    size = lambda: generator.choice(SIZES)  # noqa: E731  shorter than a function

    def slot():
        dims = tuple(size() for _ in range(4))
        tile = tuple(generator.choice((dim, max(dim // 4, 1))) for dim in dims)
        strides = tuple(generator.choice((64, 65, 128)) for _ in range(4))
        axes = tuple(generator.choice((-1, -1, 0, 1)) for _ in range(3))
        return SlotFacts(tile, dims, strides, generator.choice((2, 3, 4)), axes)

    return TaskFacts(
        inputs=tuple(slot() for _ in range(row.num_inputs)),
        outputs=tuple(slot() for _ in range(row.num_outputs)),
        params=tuple(size() for _ in row.params),
        grid_dim=tuple(generator.choice((1, 1, 4, 5, 8, 10, 12)) for _ in range(3)),
    )


SETTINGS = (Setting(use_cutlass=True), Setting(use_cutlass=False), Setting())


@pytest.mark.parametrize("row", CONSTRAINTS, ids=lambda row: f"{row.names[0]}-{row.size.label}")
def test_each_row_can_hold_and_fail_for_each_of_its_names(row):
    generator = random.Random(1)
    for name in row.names:
        outcomes = set()
        for _ in range(4000):
            facts = random_facts(name, generator)
            # Sizes of two slots that should be equal rarely are by chance
            if generator.random() < 0.5:
                same = facts.inputs[0]
                facts = TaskFacts(
                    (same,) * len(facts.inputs),
                    (same,) * len(facts.outputs),
                    facts.params,
                    (facts.params[0] if facts.params else 1, 1, (*facts.params, 1)[-1]),
                )
            settings = (x for x in SETTINGS if row.only_if is None or row.only_if(facts, x))
            if next(settings, None) is not None:
                outcomes.add(row.requirement.holds(row.size.value(facts)))
            if len(outcomes) == 2:
                break
        assert outcomes == {True, False} or (outcomes == {False} and row.only_if is not None), name


def test_names_are_registered():
    assert set(CONSTRAINTS_BY_NAME) <= set(REGISTERED_TASKS)
    assert set(NEEDS) <= set(REGISTERED_TASKS)
    types = {row.task_type: row for row in REGISTERED_TASKS.values()}
    for name, slots in TMA_SLOTS.items():
        assert max(slots) < types[name].num_inputs + types[name].num_outputs
    assert set(VECTOR_BYTES) <= set(types)


@pytest.mark.parametrize(
    ("requirement", "holds", "fails"),
    [
        (at_most(16), (0, 16), (17,)),
        (at_least(16), (16, 17), (15,)),
        (exactly(5), (5,), (0, 4, 6)),
        (multiple_of(64), (64, 640), (0, 32, 65)),
        (one_of(8, 16), (8, 16), (0, 12, 24)),
        (one_of_or_multiple(256, 16, 32), (16, 32, 256, 512), (0, 48, 128)),
    ],
)
def test_requirements(requirement, holds, fails):
    assert all(requirement.holds(x) for x in holds)
    assert not any(requirement.holds(x) for x in fails)


LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def text_of_facts():
    """What the facts say of each name, as text."""
    mpk_facts.require()
    found = {}
    for path in sorted(mpk_facts.FOLDER.glob("tasks_*.yaml")):
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER)
        for name, task in document["tasks"].items():
            found.setdefault(name, []).append(json.dumps(task))
    return {name: " ".join(texts) for name, texts in found.items()}


def follow(text, texts):
    """The text with those of the tasks that it says it is the same as."""
    named = re.findall(r"(?:same as|as) (\w+)", text)
    return " ".join([text, *(texts[x] for x in named if x in texts)])


UNSTATED = {0, 1}
"""Numbers that mean `equal` and `not split`."""


def test_numbers_are_those_of_the_facts():
    texts = text_of_facts()
    checked = 0
    for row in CONSTRAINTS:
        numbers = {int(x) for x in re.findall(r"\d+", row.requirement.text)} - UNSTATED
        for name in row.names:
            text = follow(follow(texts[name], texts), texts)
            stated = {int(x) for x in re.findall(r"\d+", text)}
            powers = {2**x for x in range(3, 9)} if "power of two" in text else set()
            assert numbers <= stated | powers, (name, row.size.label, row.requirement.text)
            checked += len(numbers)
    assert checked > 60


def test_shared_memory_of_each_target():
    mpk_facts.require()
    document = yaml.load(
        (mpk_facts.FOLDER / "enums.yaml").read_text(encoding="utf-8"), Loader=LOADER
    )
    limits = document["shared_memory"]["dynamic_limit_bytes"]
    for modes, mode in (
        ("modes_online_notoken_or_multi_turn", "online_notoken"),
        ("modes_online_notoken_or_multi_turn", "online_multi_turn"),
        ("other_modes", "offline"),
        ("other_modes", "onepass"),
    ):
        wanted = limits[modes]
        for target, words in itertools.chain(
            ((x, "cc 90 / 100") for x in (90, 100)),
            ((x, "cc >= 90 otherwise") for x in (103, 110, 120)),
            ((x, "86 <= cc < 90") for x in (86, 89)),
            ((x, "80 <= cc < 86") for x in (80,)),
            ((x, "cc < 80") for x in (75,)),
        ):
            assert dynamic_limit_bytes(target, mode) == wanted[words], (target, mode)


def test_bytes_that_norms_need():
    slot = SlotFacts((1, 4096, 0, 0), (8, 4096, 0, 0), (4096, 1, 0, 0), 2, (0, -1, -1))
    facts = TaskFacts((slot, slot), (slot,), (), (8, 1, 1))
    assert needed_bytes("rmsnorm", facts) == 3 * 2 * 4096 + 16
    assert needed_bytes("rmsnorm_hopper", facts) == 6 * 4096 + 32
    assert needed_bytes("linear", facts) is None
    assert needed_bytes("rmsnorm", TaskFacts((), (), (), (1, 1, 1))) is None
