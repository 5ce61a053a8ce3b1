"""A layer call on its way: arguments by name, what was derived from them, and how to refuse."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, NoReturn, Protocol

from mpkgraph.pipeline.graphs import KNGraph
from mpkgraph.pipeline.refusal import arithmetic, refuse
from mpkgraph.pipeline.target import Target
from mpkgraph.pipeline.tensors import DTensor


class Kernel(Protocol):
    """What layers read and write on a PersistentKernel."""

    kn_graph: KNGraph
    target: Target
    target_cc: int
    world_size: int
    mpi_rank: int
    max_seq_length: int
    max_num_batched_requests: int
    max_num_pages: int
    page_size: int
    argmax_partial_output_size: int
    allocate_nvshmem_teams: int
    _spec_decode_handlers: dict[str, Any]
    _spec_verify_handlers: dict[str, Any]

    def new_tensor(
        self,
        dims: tuple[int, ...],
        strides: tuple[int, ...] | None = None,
        dtype: Any = None,
        name: str | None = None,
        io_category: str = "cuda_tensor",
    ) -> DTensor: ...


class Call:
    """One call of a layer method; `call["name"]` is an argument or a derived value."""

    def __init__(self, method: str, kernel: Kernel, values: dict[str, Any]) -> None:
        self.method = method
        self.kernel = kernel
        self._values = values

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._values[name] = value

    def tensor(self, name: str, reads: str = "num_dims") -> DTensor:
        """The tensor of that name; refused as Mirage does when it is None or something else."""
        value = self._values[name]
        if not isinstance(value, DTensor):
            given = type(value).__name__
            refuse(
                AttributeError,
                f"{name} is {'None' if value is None else f'a {given}'}: a tensor of the graph is "
                "needed",
                remedy="Use what attach_input or new_tensor returned",
                upstream=f"'{given}' object has no attribute '{reads}'",
            )
        return value

    def show(self, name: str) -> str:
        """`input 'x' [8, 4096]`, for messages."""
        value = self._values[name]
        return f"{name} {value}" if isinstance(value, DTensor) else f"{name}={value!r}"

    def fail(self, what: str, *, remedy: str | None = None, upstream: str = "") -> NoReturn:
        """Refuse where Mirage asserts."""
        refuse(AssertionError, what, remedy=remedy, upstream=upstream)

    def arithmetic(self, *names: str) -> AbstractContextManager[None]:
        """Formulas over these arguments: what Python refuses there is refused with their values."""
        shown = ", ".join(f"{name}={self._values[name]!r}" for name in names)
        return arithmetic(f"what follows from {shown}")
