"""Operators that were split into several, or fused into one."""

from __future__ import annotations

import pytest

from mpkgraph.analysis.diff.compare import compare
from mpkgraph.analysis.diff.side import Side
from mpkgraph.planner.plan import plan
from mpkgraph.views.recorded import recorded_operators
from tests.pipelines.kit import attach, block, record_of

HIDDEN, SIZES = 1024, {"q": 1024, "k": 256, "v": 256}


def start(kernel):
    x, h = attach(kernel, "x", 8, HIDDEN), attach(kernel, "h", 8, HIDDEN)
    norm = attach(kernel, "w_norm", HIDDEN)
    kernel.rmsnorm_layer(
        input=x, weight=norm, output=h, grid_dim=(8, 1, 1), block_dim=block(kernel)
    )
    weights = {name: attach(kernel, f"w_{name}", size, HIDDEN) for name, size in SIZES.items()}
    return h, weights


def linear(kernel, x, weight, output, tasks):
    kernel.linear_layer(
        input=x, weight=weight, output=output, grid_dim=(tasks, 1, 1), block_dim=block(kernel)
    )


def apart(kernel):
    """Three linears."""
    h, weights = start(kernel)
    for name, weight in weights.items():
        out = attach(kernel, f"out_{name}", 8, SIZES[name])
        linear(kernel, h, weight, out, SIZES[name] // 64)


def together(kernel):
    """One linear with a weight that was shuffled from three."""
    h, weights = start(kernel)
    whole = kernel.shuffle_tensors([*weights.values()], 0, 4, "w_qkv")
    linear(kernel, h, whole, attach(kernel, "out", 8, sum(SIZES.values())), 24)


def fused(kernel):
    """One linear whose tiles lie in three weights."""
    h, weights = start(kernel)
    whole = kernel.fuse_tensors([*weights.values()], 0, 4, "w_qkv")
    linear(kernel, h, whole, attach(kernel, "out", 8, sum(SIZES.values())), 24)


def side(build, *, recorded=True):
    record = record_of(build, 90)
    graph = plan(record).graph
    operators = recorded_operators(graph, record) if recorded else None
    return Side.of(graph, operators, record if recorded else None)


@pytest.mark.parametrize("whole", [together, fused])
def test_recorded(whole):
    found = compare(side(apart), side(whole)).result
    (change,) = found.operators
    assert change.kind == "fused"
    assert (len(change.left), len(change.right)) == (3, 1)
    assert not found.tensors
    assert not found.own_events
    back = compare(side(whole), side(apart)).result
    assert [(x.kind, len(x.right)) for x in back.operators] == [("split", 3)]


def test_by_the_names_in_a_fused_tensor():
    found = compare(side(apart, recorded=False), side(fused, recorded=False)).result
    assert [x.kind for x in found.operators] == ["fused"]


def test_as_many_but_not_the_same():
    """A linear that is gone and two others are no split."""

    def other(kernel):
        h, weights = start(kernel)
        for name in "kv":
            out = attach(kernel, f"out_{name}", 8, SIZES[name])
            linear(kernel, h, weights[name], out, SIZES[name] // 64)

    found = compare(side(apart), side(other)).result
    assert [x.kind for x in found.operators] == ["removed"]
