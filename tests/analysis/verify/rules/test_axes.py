"""Grid axes mean the same wherever they stand: a pipeline along x is as wrong along z."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.run import verify
from mpkgraph.model.record import BlockGraph, LayerCall
from tests.analysis.verify.rules import test_splits as splits
from tests.analysis.verify.rules.mutated import planned
from tests.analysis.verify.rules.test_together import BAD
from tests.pipelines import odd, own
from tests.pipelines.kit import COLUMNS, ROWS, WHOLE, attach, record_of


def _moved(graph: BlockGraph) -> BlockGraph:
    """The last axis that is used becomes z; the order of blocks stays."""
    steps = 0 if graph.grid_dim[2] > 1 else 1 if graph.grid_dim[1] > 1 else 2

    def turned(triple: Any) -> Any:
        return (*triple[3 - steps :], *triple[: 3 - steps]) if steps else triple

    inputs = tuple(replace(x, input_map=turned(x.input_map)) for x in graph.inputs)
    return replace(graph, grid_dim=turned(graph.grid_dim), inputs=inputs)


def _moved_log(log: Any) -> tuple[Any, ...]:
    made = []
    for entry in log:
        if isinstance(entry, BlockGraph):
            made.append(_moved(entry))
        elif isinstance(entry, LayerCall):
            made.append(replace(entry, lowlevel=_moved_log(entry.lowlevel)))
        else:
            made.append(entry)
    return tuple(made)


def _told(context: VerifyContext, names: str) -> list[Any]:
    return [
        (
            x.rule.code,
            x.severity,
            x.count,
            x.location.slot,
            x.location.elements,
            x.location.byte_range,
            [task.task_id for task in x.witness],
            _renamed(x.message, names),
            _renamed(x.remedy, names),
        )
        for x in verify([context], select=["all"]).findings
    ]


def _renamed(text: str, names: str) -> str:
    """With other names for x, y and z, and grids and maps without their order."""

    def sort(found: Any) -> str:
        return " ".join(sorted(re.findall(r"-?\d+", found[0])))

    def rename(found: Any) -> str:
        return names["xyz".index(found[0])]

    text = re.sub(r"\d+x\d+x\d+|[\[(]-?\d+, -?\d+, -?\d+[\])]", sort, text)
    return re.sub(r"(?<=axis )[xyz]\b|(?<=grid\.)[xyz]\b", rename, text)


def _crossed(kernel: Any) -> None:
    """A weight split along the sum, a map past the rank, and an axis that splits nothing."""
    x, w = attach(kernel, "x", 8, 512), attach(kernel, "w", 512, 512)
    for number, (grid, w_map) in enumerate(
        (((8, 1, 1), COLUMNS), ((8, 1, 1), (2, -1, -1)), ((8, 4, 1), ROWS))
    ):
        out = attach(kernel, f"out_{number}", 8, 512)
        slots = [(x, WHOLE), (w, w_map), (out, COLUMNS)]
        splits.custom(kernel, "linear_swapAB_hopper", grid, slots)


def _crosses_parts(kernel: Any) -> None:
    """Tiles of two thirds of a fused tensor's rows."""
    x, out = attach(kernel, "x", 8, 512), attach(kernel, "out", 8, 512)
    parts = [attach(kernel, name, rows, 512) for name, rows in (("q", 256), ("k", 128), ("v", 128))]
    qkv = kernel.fuse_tensors(parts, 0, 1, "qkv")
    slots = [(x, WHOLE), (qkv, ROWS), (out, COLUMNS)]
    splits.custom(kernel, "linear_swapAB_hopper", (2, 1, 1), slots)


READ_AXES = {
    odd.fork_duplicate_edges_second,
    odd.two_outputs_diff_maps,
    own.small_argmax,
    own.test_moe_w13_linear,
}
"""What their kernels do hangs on the sizes of x and y."""
CASES = [
    _crossed,
    _crosses_parts,
    *(x for x in BAD if x not in READ_AXES),
    lambda kernel: splits.norm(kernel, grid=3),
    lambda kernel: splits.norm(kernel, grid=16),
    lambda kernel: splits.gate_up(kernel, 4, 8),
    lambda kernel: splits.gate_up(kernel, 8, 1, "fuse_tensors"),
]


@pytest.mark.parametrize("build", CASES, ids=lambda x: x.__name__)
def test_another_axis_is_as_wrong(build):
    record = record_of(build)
    moved = replace(record, log=_moved_log(record.log))
    num_used = {sum(size > 1 for size in layer.grid_dim) for layer in record.layers}
    # Of one axis x becomes z; of two y does; where layers differ any name will do
    before, after = {(1,): ("z??", "xyz"), (2,): ("yz?", "xyz")}.get(
        tuple(num_used), ("???", "???")
    )
    assert _told(planned(moved), after) == _told(planned(record), before)
