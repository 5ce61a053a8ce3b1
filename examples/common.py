"""What the examples share, so that each of them is only its layers.

The same files run on Mirage and a GPU (`python examples/NAME.py`) and without both
(`mpkgraph compile examples/NAME.py`, or `.../NAME.py:build --set ...`). All differences are here:
where tensors come from, and whether there is something to launch.
"""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import mirage as mi
from mirage.mpk.persistent_kernel import PersistentKernel

T = TypeVar("T")

WEIGHT_SCALE = 0.02
"""Standard deviation of the numbers in tensors: as in a fresh model, nothing overflows."""


def is_planning() -> bool:
    """Whether `mirage` is mpkgraph's stand-in: a module that comes from no file."""
    return getattr(mi, "__file__", None) is None


def tensor(*shape: int, dtype: str = "bfloat16", column_major: bool = False) -> Any:
    """A tensor for `attach_input`: random floats or zeros on the GPU, only a shape when planning.

    `attach_input` reads `shape`, `stride()` and `dtype`. While a pipeline is planned that is all
    there needs to be, and a model of any size takes no memory.
    """
    strides = (1, shape[0]) if column_major else None
    if is_planning():
        from mpkgraph.pipeline.tensors import TensorSpec

        return TensorSpec(shape, dtype, strides)
    import torch

    kind = {"dtype": getattr(torch, dtype), "device": "cuda"}
    if strides is None:
        made = torch.empty(shape, **kind)
    else:
        made = torch.empty_strided(shape, strides, **kind)
    if not made.is_floating_point():
        return made.zero_()
    if made.element_size() == 1:  # random numbers come in no 8-bit type
        return made.copy_(torch.empty(shape, dtype=torch.bfloat16, device="cuda").normal_())
    return made.normal_(std=WEIGHT_SCALE)


def pick(table: Mapping[str, T], name: str) -> T:
    """An entry of a table, such as a model's sizes, or an error that names them all."""
    if name not in table:
        raise ValueError(f"{name!r} is none of {', '.join(table)}")
    return table[name]


def rank_and_size() -> tuple[int, int]:
    """Which of how many processes this is; MPI starts one for each GPU."""
    try:
        from mpi4py import MPI
    except ImportError:
        return 0, 1
    return MPI.COMM_WORLD.Get_rank(), MPI.COMM_WORLD.Get_size()


def new_kernel(*, rank: int = 0, world_size: int = 1, **limits: Any) -> Any:
    """A kernel in test mode (its graph runs once per launch) for this GPU.

    `limits` are further parameters of PersistentKernel, such as max_num_batched_tokens.
    """
    workers, schedulers = mi.get_configurations_from_gpu(rank)
    parameters = PersistentKernel.get_default_init_parameters()
    parameters.update(
        test_mode=True,
        world_size=world_size,
        mpi_rank=rank,
        num_workers=workers,
        num_local_schedulers=schedulers,
        **limits,
    )
    return PersistentKernel(**parameters)


def threads(kernel: Any) -> tuple[int, int, int]:
    """`block_dim`: threads that work on a task. Kernels since Hopper use 256."""
    return (256, 1, 1) if kernel.target_cc >= 90 else (128, 1, 1)


def use_rows(kernel: Any, rows: int) -> None:
    """Say that the first `rows` rows of the layers' tensors are in use, by one request.

    Some tasks, such as SiLU times, work on as many rows as there are tokens in the batch. They
    read where the last request's tokens end, and without this tensor they crash.
    """
    ends = tensor(kernel.max_num_batched_requests + 1, dtype="int32")
    if not is_planning():
        ends[1:] = rows
    kernel.meta_tensors["qo_indptr_buffer"] = ends


def launch(kernel: Any) -> None:
    """Let a compiled kernel's graph run once, and wait for it; on a GPU only.

    Mirage starts its workers, and then schedulers that may call printf. The first kernel of a
    process with a printf or an assert in it can't start while others run; were that the
    schedulers, they and the workers would wait for each other for ever. torch's sum has an assert.
    """
    import torch

    torch.zeros(1, device="cuda").sum()
    kernel.run_test_mode()
    torch.cuda.synchronize()


def run(kernel: Any) -> None:
    """Launch a compiled kernel and take it down; nothing when planning."""
    if is_planning():
        return
    launch(kernel)
    kernel.finalize()


def main(build: Callable[..., Any]) -> None:
    """Run a file's `build` as a script: its keyword parameters become options.

    A `build` that takes a kernel describes layers to it; any other makes a kernel of its own,
    compiles it into `output_dir` and returns it.
    """
    parser = argparse.ArgumentParser(
        description=build.__globals__["__doc__"],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parameters = inspect.signature(build).parameters
    for parameter in parameters.values():
        if parameter.name != "kernel":
            _add_option(parser, parameter)
    if "kernel" in parameters:
        parser.add_argument("--output-dir", help="keep the CUDA source and the graph here")
    given = vars(parser.parse_args())
    if "kernel" in parameters:
        output_dir = given.pop("output_dir")
        kernel = new_kernel()
        build(kernel, **given)
        kernel.compile(output_dir=output_dir)
    else:
        kernel = build(**given)
    run(kernel)


def _add_option(parser: argparse.ArgumentParser, parameter: inspect.Parameter) -> None:
    name, default = "--" + parameter.name.replace("_", "-"), parameter.default
    if isinstance(default, bool):
        action = argparse.BooleanOptionalAction
        parser.add_argument(name, dest=parameter.name, default=default, action=action)
        return
    is_integer = isinstance(default, int) or (default is None and parameter.name in INTEGERS)
    kind = int if is_integer else str
    parser.add_argument(name, dest=parameter.name, default=default, type=kind)


INTEGERS = ("layers", "requests")
"""Parameters that are numbers but whose default is None."""
