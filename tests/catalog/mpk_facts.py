"""Facts about each registered name, extracted from Mirage apart from this project.

`../shared/mpk/tasks_*.yaml` hold them in two notations of the variant key; `Fact.key` evaluates
either. Tests skip with a reason where the files are not.
"""

from __future__ import annotations

import functools
import math
import struct
from dataclasses import dataclass
from types import CodeType, SimpleNamespace
from typing import Any

import pytest
import yaml

from mpkgraph.catalog.registered import SlotFacts, TaskFacts
from tests import goldens

FOLDER = goldens.FOLDER.parent / "mpk"
ABSENT = "no facts: ../shared/mpk is not here"
KV_TILE = 128
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""In C where there is such: in Python these files take seconds, in every process of the tests."""


@dataclass(frozen=True)
class Fact:
    """What the files say of one name; `compiled_for` is None where they leave it out."""

    name: str
    task_type: str
    num_inputs: int
    num_outputs: int
    params: tuple[str, ...]
    expression: str
    compiled_for: tuple[str, ...] | None

    def key(self, facts: TaskFacts) -> tuple[Any, ...]:
        """The variant key of a layer; floors where C++ truncates, so for positive numbers only."""
        return eval(_compiled(self.expression), _namespace(facts))


@functools.cache
def _compiled(expression: str) -> CodeType:
    return compile(f"({expression},)" if expression else "()", "<variant key>", "eval")


@functools.cache
def all_facts() -> dict[str, Fact]:
    """By name; empty when the files are not here."""
    facts: dict[str, Fact] = {}
    for path in sorted(FOLDER.glob("tasks_*.yaml")):
        for name, task in yaml.load(path.read_text(encoding="utf-8"), LOADER)["tasks"].items():
            facts[name] = _fact(name, task)
    return facts


def names() -> list[Any]:
    """Parameters: every name."""
    skipped = pytest.param(None, marks=pytest.mark.skip(reason=ABSENT), id="no-facts")
    return list(all_facts()) or [skipped]


def require() -> dict[str, Fact]:
    """All facts; skips the test when they are not here."""
    if not FOLDER.exists():
        pytest.skip(ABSENT)
    return all_facts()


def _fact(name: str, task: dict[str, Any]) -> Fact:
    task_type, compiled_for = task["task_type"], task.get("compiled_for")
    return Fact(
        name=name,
        task_type=task_type["name"] if isinstance(task_type, dict) else task_type,
        num_inputs=task["num_inputs"],
        num_outputs=task["num_outputs"],
        params=() if name == "argmax" else tuple(task["params"]),  # "accepted and ignored"
        expression=task.get("variant_key_expr") or ",".join(task["variant_key"]),
        compiled_for=None if compiled_for is None else tuple(compiled_for),
    )


def _namespace(facts: TaskFacts) -> dict[str, Any]:
    inputs, outputs = map(_slots, (facts.inputs, facts.outputs))
    return {
        **{f"in{position}": slot for position, slot in enumerate(inputs)},
        **{f"out{position}": slot for position, slot in enumerate(outputs)},
        "tile": lambda slot: slot.t,
        "dt": lambda slot: slot.d,
        "stride": lambda slot: slot.s,
        "prod": math.prod,
        "i": inputs,
        "o": outputs,
        "p": facts.params,
        "g": facts.grid_dim,
        "st": lambda kv_len, splits: math.ceil(math.ceil(kv_len / KV_TILE) / splits) == 1,
        "f6": lambda bits: f"{struct.unpack('<f', struct.pack('<i', bits))[0]:f}",
    }


def _slots(slots: tuple[SlotFacts, ...]) -> list[SimpleNamespace]:
    return [
        SimpleNamespace(t=x.tile[: x.rank], d=x.dims[: x.rank], s=x.strides[: x.rank])
        for x in slots
    ]
