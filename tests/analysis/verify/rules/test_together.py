"""What is wrong with a pipeline is found beside any other, before it or after it."""

from __future__ import annotations

from typing import Any

import pytest

from mpkgraph.analysis.verify.run import verify
from tests.analysis.verify.rules.mutated import planned
from tests.pipelines import odd
from tests.pipelines.kit import Made, record_of
from tests.pipelines.table import PIPELINES

BAD = [
    x.build
    for x in PIPELINES
    if not x.init and x.build is not odd.empty_graph and isinstance(x.results.get(90), Made)
]


class Renamed:
    """A kernel whose tensors get other names."""

    def __init__(self, kernel: Any, prefix: str) -> None:
        self._kernel, self._prefix = kernel, prefix

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kernel, name)

    def attach_input(self, tensor: Any, name: str) -> Any:
        return self._kernel.attach_input(tensor, name=self._prefix + name)

    def new_tensor(self, *given: Any, name: str, **more: Any) -> Any:
        return self._kernel.new_tensor(*given, name=self._prefix + name, **more)

    def fuse_tensors(self, inputs: Any, dim: int, groups: int, name: str) -> Any:
        return self._kernel.fuse_tensors(inputs, dim, groups, self._prefix + name)

    def shuffle_tensors(self, inputs: Any, dim: int, groups: int, name: str) -> Any:
        return self._kernel.shuffle_tensors(inputs, dim, groups, self._prefix + name)


def told(*builds: Any) -> set[Any]:
    """Findings without the numbers of tasks, events and operators."""

    def build(kernel: Any) -> None:
        for number, one in enumerate(builds):
            one(Renamed(kernel, f"p{number}_"))

    found = verify([planned(record_of(build))], select=["all"]).findings
    return {(x.rule.code, x.severity, x.key) for x in found}


@pytest.mark.parametrize("place", range(len(BAD)), ids=lambda x: BAD[x].__name__)
def test_two_pipelines_in_one(place):
    one, two = BAD[place], BAD[place - 1]
    alone = told(one) | told(two)
    assert told(one, two) == alone
