"""A recorded pipeline told again by `mpkgraph.pipeline.replay`: the same record, or one error."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mpkgraph.errors import PipelineError
from mpkgraph.model.record import BlockGraph, LayerCall, PipelineRecord, TensorCall
from mpkgraph.pipeline import CyTBGraph, Target, TBGraph
from mpkgraph.pipeline.replay import recorded_target
from mpkgraph.pipeline.replay import replay as told_again
from tests.pipelines import odd, own
from tests.pipelines.kit import ROWS, WHOLE, attach, block, record_of


def blocks_of_ones_own(kernel: Any) -> None:
    """A layer without params, one with, one without a task; a for-loop; a slot of nothing."""
    x, w, out = (attach(kernel, "x", 8, 512), attach(kernel, "w", 512), attach(kernel, "o", 8, 512))
    for name, params, turns in (
        ("rmsnorm_hopper", (), 1),
        ("my_task", ([1, 2],), 4),
        (None, (), 1),
    ):
        graph = TBGraph(CyTBGraph((8, 1, 1), (128, 1, 1), turns, 64))
        tensors = [x, w if name else None, out]
        for tensor, axes, dim in zip(tensors, (ROWS, WHOLE, ROWS), (1, 0, -1), strict=True):
            graph.new_input(tensor, axes, dim, tensor is x)
        kernel.kn_graph.customized(tensors, graph)
        if name is not None:
            kernel.kn_graph.register_task(graph, name, *params)


def strided(kernel: Any) -> None:
    """A tensor with a pitch; memory that other GPUs reach; parts put together."""
    x, w = attach(kernel, "x", 8, 512), attach(kernel, "w", 512)
    out = kernel.new_tensor(
        dims=(8, 512), strides=(1024, 1), name="out", io_category="nvshmem_tensor"
    )
    kernel.rmsnorm_layer(x, w, out, (8, 1, 1), block(kernel))
    for op in ("fuse_tensors", "shuffle_tensors"):
        parts = [attach(kernel, f"{op}_{n}", 64, 512, dtype="float16") for n in range(2)]
        getattr(kernel, op)(parts, 0, 4, op)


@pytest.mark.parametrize(
    "build",
    [blocks_of_ones_own, strided, odd.fuse_ok, odd.fork_three_way, own.small_argmax],
)
def test_it_is_the_same_record(build):
    record = record_of(build)
    again = told_again(record)
    assert (again.log, again.tensors) == (record.log, record.tensors)
    assert again.init == record.init
    assert again.call_sites == record.call_sites


def test_layers_choose_for_the_other_target():
    record = record_of(odd.fork_three_way)
    again = told_again(record, Target(cc=80, world_size=2, rank=1, num_workers=4))
    assert (again.target_cc, again.num_gpus, again.my_gpu_id) == (80, 2, 1)
    assert (again.init["num_workers"], again.init["mpi_rank"]) == (4, 1)
    assert {x.register_name for x in record.layers} == {"rmsnorm_hopper", "linear_swapAB_hopper"}
    assert {x.register_name for x in again.layers} == {"rmsnorm", "linear"}


@pytest.mark.parametrize(("multicast", "name"), [(True, "tile_allreduce"), (False, "allgather")])
def test_whether_an_all_reduce_was_over_multicast_is_seen(multicast, name):
    """Of a record that does not say so itself."""

    def build(kernel: Any) -> None:
        tensors = [attach(kernel, "x", 8, 512), attach(kernel, "b", 2, 8, 512)]
        kernel.allreduce_layer(*tensors, attach(kernel, "o", 8, 512), (8, 1, 1), block(kernel))

    target = Target(cc=90, world_size=2, multicast=multicast)
    record = told_again(record_of(build, world_size=2), target)
    assert any(name in str(x.register_name) for x in record.layers)
    silent = replace(record, origin=None)
    assert recorded_target(silent).multicast == multicast
    assert told_again(silent).log == record.log


def changed(record: PipelineRecord, kind: type, **fields: Any) -> PipelineRecord:
    """With other fields in the last entry of a kind."""
    last = [at for at, entry in enumerate(record.log) if isinstance(entry, kind)][-1]
    log = list(record.log)
    log[last] = replace(log[last], **fields)
    return replace(record, log=tuple(log), path="mine.json")


@pytest.mark.parametrize(
    ("kind", "fields", "says"),
    [
        (
            LayerCall,
            {"args": {"no_such": 1}},
            r"mine.json, log\[3\]: rmsnorm_layer: missing a required argument: 'input'",
        ),
        (
            LayerCall,
            {"method": "my_layer"},
            r"mine.json, log\[3\]: my_layer: no layer is called 'my_layer'. Plan the record as it",
        ),
        (
            TensorCall,
            {"tensor": 7},
            r"mine.json, log\[2\]: it can't be called so again: 7. Give the record as Mirage",
        ),
        (TensorCall, {"op": "new_tensor", "dtype": "bf17"}, r"log\[2\]"),
        (TensorCall, {"op": "new_tensor", "io_category": "disk"}, r"log\[2\].*io_category"),
    ],
)
def test_what_can_not_be_told_again(kind, fields, says):
    def build(kernel: Any) -> None:
        x, w = attach(kernel, "x", 8, 512), attach(kernel, "w", 512)
        kernel.rmsnorm_layer(x, w, attach(kernel, "o", 8, 512), (8, 1, 1), block(kernel))

    with pytest.raises(PipelineError, match=says):
        told_again(changed(record_of(build), kind, **fields))


def test_tensors_that_become_others():
    def build(kernel: Any) -> None:
        for name in "xyz":
            kernel.new_tensor(dims=(8, 512), name=name)

    record = record_of(build)
    shifted = replace(record, log=record.log[1:])
    with pytest.raises(PipelineError, match="'y' became tensor 0, recorded is 1"):
        told_again(shifted)


def test_a_grid_that_is_none():
    record = changed(record_of(blocks_of_ones_own), BlockGraph, grid_dim=(8, 1, -1))
    with pytest.raises(PipelineError, match=r"log\[5\]: .*negative"):
        told_again(record)
