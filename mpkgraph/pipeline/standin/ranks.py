"""Which rank a script is told that it is: environment variables and `mpi4py`."""

from __future__ import annotations

import types
from collections.abc import MutableMapping
from typing import Any

from mpkgraph.pipeline.target import Target

RANK_VARIABLES = (
    "RANK",
    "LOCAL_RANK",
    "OMPI_COMM_WORLD_RANK",
    "OMPI_COMM_WORLD_LOCAL_RANK",
    "PMI_RANK",
    "MV2_COMM_WORLD_RANK",
    "SLURM_PROCID",
    "SLURM_LOCALID",
)
SIZE_VARIABLES = (
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "OMPI_COMM_WORLD_SIZE",
    "OMPI_COMM_WORLD_LOCAL_SIZE",
    "PMI_SIZE",
    "MV2_COMM_WORLD_SIZE",
    "SLURM_NTASKS",
)
"""torchrun's, Open MPI's, MPICH's, MVAPICH's and Slurm's; all ranks are on one host."""

ADDRESS = {"MASTER_ADDR": "localhost", "MASTER_PORT": "12355"}


def set_rank_variables(environ: MutableMapping[str, str], target: Target) -> None:
    """Set them for a rank of several; for a single one take those of our own launcher away."""
    if target.world_size == 1:
        for name in (*RANK_VARIABLES, *SIZE_VARIABLES):
            environ.pop(name, None)
        return
    environ.update(dict.fromkeys(RANK_VARIABLES, str(target.rank)))
    environ.update(dict.fromkeys(SIZE_VARIABLES, str(target.world_size)))
    for name, value in ADDRESS.items():
        environ.setdefault(name, value)


class Communicator:
    """`MPI.COMM_WORLD` of one rank that runs alone: the others say what it says."""

    def __init__(self, target: Target) -> None:
        self.rank = target.rank
        self.size = target.world_size

    def Get_rank(self) -> int:  # noqa: N802  mpi4py's name
        return self.rank

    def Get_size(self) -> int:  # noqa: N802
        return self.size

    def bcast(self, obj: Any = None, root: int = 0) -> Any:  # noqa: ARG002
        return obj

    def gather(self, sendobj: Any, root: int = 0) -> list[Any] | None:
        return [sendobj] * self.size if self.rank == root else None

    def allgather(self, sendobj: Any) -> list[Any]:
        return [sendobj] * self.size

    def scatter(self, sendobj: Any, root: int = 0) -> Any:  # noqa: ARG002
        return None if sendobj is None else sendobj[self.rank]

    def allreduce(self, sendobj: Any, op: Any = None) -> Any:  # noqa: ARG002
        return sendobj

    def reduce(self, sendobj: Any, op: Any = None, root: int = 0) -> Any:  # noqa: ARG002
        return sendobj if self.rank == root else None

    def Split(self, color: int = 0, key: int = 0) -> Communicator:  # noqa: N802, ARG002
        return self

    def Split_type(self, split_type: int = 0, key: int = 0, info: Any = None) -> Communicator:  # noqa: N802, ARG002
        return self

    def Dup(self, info: Any = None) -> Communicator:  # noqa: N802, ARG002
        return self

    def _nothing(self, *_args: Any, **_kwargs: Any) -> None:
        return None

    Barrier = barrier = Bcast = Allreduce = Reduce = Free = _nothing

    def Abort(self, errorcode: int = 0) -> None:  # noqa: N802
        raise SystemExit(errorcode)


def mpi_names(target: Target) -> dict[str, Any]:
    """Names of the module `mpi4py.MPI`."""
    world = Communicator(target)
    return {
        "COMM_WORLD": world,
        "COMM_SELF": Communicator(Target(cc=target.cc)),
        "Comm": Communicator,
        "COMM_TYPE_SHARED": 1,
        "SUM": "sum",
        "MAX": "max",
        "MIN": "min",
        "Init": world.Barrier,
        "Finalize": world.Barrier,
        "Is_initialized": lambda: True,
        "Is_finalized": lambda: False,
        "Get_processor_name": lambda: "localhost",
    }


def mpi4py_names() -> dict[str, Any]:
    """Names of the package `mpi4py`."""
    rc = types.SimpleNamespace(initialize=True, finalize=True, threads=True)
    return {"rc": rc, "__version__": "0", "get_config": dict}
