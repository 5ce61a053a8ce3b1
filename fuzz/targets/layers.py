"""What a user's script gives to the planner: layer calls with any tensors, grids and numbers.

Calls may be refused, each as Mirage would or with a message. What is not refused is planned, and
its record must say all: read again and replayed it gives the same graph.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any

from fuzz import edits, seeds
from mpkgraph.errors import MpkGraphError
from mpkgraph.io.record import parse_record
from mpkgraph.pipeline.kernel import PersistentKernel
from mpkgraph.pipeline.layers import LAYERS
from mpkgraph.pipeline.layers.spec import REQUIRED
from mpkgraph.pipeline.target import Target, use_target
from mpkgraph.pipeline.tensors import TensorSpec
from mpkgraph.planner.plan import plan
from tests.naive import assert_same_graph

SIZES = (1, 2, 3, 8, 16, 64, 128, 256, 384, 4096, 0)
RANKS = (2, 2, 2, 2, 1, 3, 4, 0)
"""How many dims: most layers want two."""
GRID_SIZES = (1, 2, 3, 4, 8, 16, 0, 64)
TARGETS = (80, 90, 100)
TYPES = ("bfloat16", "float32", "int32", "int64", "float16", "float8_e4m3fn", "uint8")
LOOSE: list[Any] = [0, 1, -1, 2, 64, 1 << 31, 1 << 63, 1 << 64, 1.5, None, True, "x", "", (), (1,)]
LOOSE += [(1, 1, 1), (2, 2), (0, 0, 0), (-1, 1, 1), (1 << 31, 1, 1), [1, 1, 1], ("a", 1, 1), {}]
MAX_TASKS = 20_000


def SEEDS() -> list[bytes]:
    return seeds.random_bytes(96, 64)


def try_input(data: bytes) -> None:
    choices = edits.Bytes(data)
    world = 1 + choices.below(3)
    target = Target(cc=choices.choice(TARGETS), world_size=world, rank=choices.below(world))
    with use_target(target):
        try:
            kernel = _kernel(choices, target)
            _calls(kernel, choices)
            record = kernel.record()
        except MpkGraphError as error:
            assert str(error)
            return
    if sum(x.grid_dim[0] * x.grid_dim[1] * x.grid_dim[2] for x in record.layers) > MAX_TASKS:
        return
    text = json.dumps(record.to_json())
    try:
        again = parse_record(text.encode(), file="record")
        graph = plan(record).graph
    except MpkGraphError as error:
        assert str(error)
        return
    assert again.to_json() == json.loads(text)
    assert_same_graph(plan(again).graph, graph)


def _kernel(choices: edits.Bytes, target: Target) -> Any:
    parameters = PersistentKernel.get_default_init_parameters()
    parameters.update(
        test_mode=True,
        world_size=target.world_size,
        mpi_rank=target.rank,
        max_num_batched_tokens=choices.choice(SIZES),
    )
    for _ in range(choices.below(3)):
        name = choices.choice(sorted(parameters))
        if name not in {"test_mode", "meta_tensors"}:
            parameters[name] = choices.choice(LOOSE)
    return PersistentKernel(**parameters)


def _calls(kernel: Any, choices: edits.Bytes) -> None:
    tensors: list[Any] = []
    for number in range(2 + choices.below(6)):
        with contextlib.suppress(MpkGraphError):
            tensors.append(_tensor(kernel, choices, f"t{number}"))
    for _ in range(1 + choices.below(5)):
        if choices.is_left:
            # A script may catch what Mirage raises, and go on
            with contextlib.suppress(MpkGraphError):
                result = _call(kernel, choices, tensors)
                if result is not None:
                    tensors.append(result)


def _tensor(kernel: Any, choices: edits.Bytes, name: str) -> Any:
    dims = tuple(choices.choice(SIZES) for _ in range(choices.choice(RANKS)))
    way = choices.below(8)
    if way == 0:
        loose = choices.choice([dims, None, "x", 3, (1.5,), (-1, 2)])
        return kernel.new_tensor(dims=loose, name=choices.choice([name, "a.b\x00c", None, 3]))
    if way == 1:
        category = choices.choice(["nvshmem_tensor", "cuda_tensor", "other", None])
        return kernel.new_tensor(dims=dims, name=name, io_category=category)
    spec = TensorSpec(dims, choices.choice(TYPES))
    return kernel.attach_input(spec, name=choices.choice([name, name, "t0", "\x1b[31m"]))


def _call(kernel: Any, choices: edits.Bytes, tensors: list[Any]) -> Any:
    if choices.below(16) == 0:
        together = choices.choice([kernel.fuse_tensors, kernel.shuffle_tensors])
        some = [choices.choice(tensors) for _ in range(choices.below(4))] if tensors else []
        return together(some, choices.choice([0, 0, 1, None]), choices.choice([1, 2, 0, -1, None]))
    spec = choices.choice(LAYERS)
    arguments = {}
    for parameter in spec.parameters:
        if choices.below(32) == 0:
            arguments[parameter.name] = choices.choice(LOOSE)
        elif parameter.default is not REQUIRED and choices.below(2):
            continue
        elif "DTensor" in str(parameter.annotation):
            arguments[parameter.name] = choices.choice(tensors) if tensors else None
        elif "tuple" in str(parameter.annotation):
            arguments[parameter.name] = tuple(choices.choice(GRID_SIZES) for _ in range(3))
        else:
            arguments[parameter.name] = choices.choice(SIZES)
    return getattr(kernel, spec.method)(**arguments)
