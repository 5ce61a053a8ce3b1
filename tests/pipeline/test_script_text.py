"""A script that is written from a record makes the record's graph again."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from mpkgraph.errors import UsageError
from mpkgraph.io.writer import text_chunks
from mpkgraph.model.record import LayerCall
from mpkgraph.pipeline import CyTBGraph, TBGraph
from mpkgraph.pipeline.compile import CompileOptions, compile_pipelines
from mpkgraph.pipeline.script_text import script_text
from mpkgraph.planner.plan import plan
from tests.pipelines import odd, own
from tests.pipelines.kit import ROWS, WHOLE, attach, block, record_of

pytest.importorskip("torch")


def odd_names(kernel):
    """Names that are no variables of Python, or one variable for two."""
    names = ("class", "a.b", "a_b", "1x", "pk")
    tensors = [attach(kernel, name, 8, 512) for name in names]
    w = attach(kernel, "w", 512)
    for source, target in itertools.pairwise(tensors):
        kernel.rmsnorm_layer(source, w, target, (8, 1, 1), block(kernel))


def odd_tensors(kernel):
    """A new tensor with strides of its own, and integers."""
    x = kernel.new_tensor(dims=(8, 512), strides=(1024, 1), name="x")
    ids, y = attach(kernel, "ids", 8, 512, dtype="int64"), attach(kernel, "y", 8, 512)
    w = attach(kernel, "w", 512)
    kernel.rmsnorm_layer(ids, w, x, (8, 1, 1), block(kernel))
    kernel.rmsnorm_layer(x, w, y, (8, 1, 1), block(kernel))


def a_for_loop_of_ones_own(kernel):
    """Tiles are an eighth of a row; whole rows would not fit into shared memory."""
    graph = TBGraph(CyTBGraph((8, 1, 1), (128, 1, 1), 8, 64))
    names = {"x": (8, 1 << 17), "w": (1 << 17,), "y": (8, 1 << 17)}
    tensors = [attach(kernel, name, *dims) for name, dims in names.items()]
    for tensor, axes, dim in zip(tensors, (ROWS, WHOLE, ROWS), (1, 0, 1), strict=True):
        graph.new_input(tensor, axes, dim, tensor is tensors[1])
    kernel.kn_graph.customized(tensors, graph)
    kernel.kn_graph.register_task(graph, "rmsnorm_hopper")


@pytest.mark.parametrize(
    "build",
    [
        odd_names,
        a_for_loop_of_ones_own,
        odd_tensors,
        odd.fuse_ok,
        odd.map_output_replicated,
        odd.residual_map_mismatch,
        own.test_gateup_silu_down,
        own.small_argmax,
    ],
)
def test_a_script_makes_the_graph_again(build, tmp_path, monkeypatch):
    record = record_of(build)
    script = tmp_path / "script.py"
    script.write_text(script_text(record, "What it is"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    result = compile_pipelines([str(script)], CompileOptions(cc=90, emit=frozenset()))
    (made,) = result.compiled
    assert b"".join(text_chunks(made.graph)) == b"".join(text_chunks(plan(record).graph))
    assert [x.name for x in made.record.tensors] == [x.name for x in record.tensors]


def test_what_no_script_can_say():
    record = record_of(own.small_argmax)
    (layer, *_) = (x for x in record.log if isinstance(x, LayerCall))
    changed = replace(layer, args={**layer.args, "grid_dim": {"x": 1}})
    log = tuple(changed if x is layer else x for x in record.log)
    with pytest.raises(UsageError, match="an object, which no script can be written for"):
        script_text(replace(record, log=log), "t")
    log = tuple(x for x in record.log if isinstance(x, LayerCall))
    with pytest.raises(UsageError, match="another layer made, by no name"):
        script_text(replace(record, log=log), "t")
