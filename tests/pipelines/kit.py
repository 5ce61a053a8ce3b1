"""What the pipelines of the tests are written with, and how they are made into records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mpkgraph.errors import PipelineError
from mpkgraph.model.record import PipelineRecord
from mpkgraph.pipeline import (
    CyTBGraph,
    DTensor,
    PersistentKernel,
    Target,
    TBGraph,
    TensorSpec,
    exception_text,
    use_target,
)

ROWS, WHOLE = (0, -1, -1), (-1, -1, -1)
COLUMNS = (1, -1, -1)


def block(kernel: Any) -> tuple[int, int, int]:
    """Threads of a block; Mirage's tests give half as many on Ampere. It reaches no graph."""
    return (256 if kernel.target_cc >= 90 else 128, 1, 1)


def attach(kernel: Any, name: str, *dims: int, dtype: str = "bfloat16") -> DTensor:
    """A row-major tensor of the caller."""
    return kernel.attach_input(TensorSpec(dims, dtype), name=name)


def attach_all(kernel: Any, *names: str, dims: tuple[int, ...]) -> list[DTensor]:
    """Several of the same shape."""
    return [attach(kernel, name, *dims) for name in names]


Slot = tuple[DTensor | None, tuple[int, int, int]]
"""A tensor and how the grid axes split it."""


def block_graph(
    grid: tuple[int, int, int], slots: Sequence[Slot], forloop_dim: int = -1
) -> TBGraph:
    """A thread-block graph over these slots, inputs first."""
    graph = TBGraph(CyTBGraph(grid, (128, 1, 1), 1, 64))
    for tensor, axis_map in slots:
        graph.new_input(tensor, axis_map, forloop_dim, store_in_dmem=True)
    return graph


@dataclass(frozen=True)
class Made:
    """What Mirage made of a pipeline for one target (`index.json` of the goldens)."""

    sha256: str
    num_tasks: int
    num_events: int
    num_null_tasks: int = 0
    undefined: bool = False
    """Its bytes hang on memory that Mirage never wrote."""


class Refused:
    """A pipeline that Mirage dies of or raises at, and what our message must say.

    The line of its source that the message must name ends with `# refused`.
    """

    def __init__(self, *says: str) -> None:
        self.says = says


@dataclass(frozen=True)
class Pipeline:
    """One pipeline, and by compute capability what Mirage did with it."""

    group: str
    """Folder of the goldens: `bad`, `tests`, `gpu`."""
    build: Callable[[Any], None]
    results: dict[int, Made | Refused]
    tokens: int = 8
    init: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.build.__name__

    def case(self, cc: int) -> str:
        """The folder of this pipeline's golden."""
        return f"{self.group}/{self.name}-cc{cc}"

    def parameters(self, cc: int) -> dict[str, Any]:
        """PersistentKernel parameters as Mirage's tests give them."""
        workers, schedulers = Target(cc=cc).configuration
        return {
            **PersistentKernel.get_default_init_parameters(),
            "test_mode": True,
            "num_workers": workers,
            "num_local_schedulers": schedulers,
            "max_num_batched_requests": self.tokens,
            "max_num_batched_tokens": self.tokens,
            "meta_tensors": {},
            **self.init,
        }

    def record(self, cc: int) -> PipelineRecord:
        """The record; a call that was refused is noted in it, as a recording session notes it."""
        exception = None
        with use_target(Target(cc=cc)):
            kernel = PersistentKernel(**self.parameters(cc))
            try:
                self.build(kernel)
            except PipelineError as error:
                exception = exception_text(error)
        return kernel.record(exception=exception)


def record_of(build: Callable[[Any], Any], cc: int = 90, **init: Any) -> PipelineRecord:
    """The record that a function makes with a kernel."""
    parameters = {**PersistentKernel.get_default_init_parameters(), "test_mode": True, **init}
    parameters["meta_tensors"] = {}
    target = Target(
        cc=cc, world_size=parameters["world_size"], rank=parameters["mpi_rank"], multicast=False
    )
    with use_target(target):
        kernel = PersistentKernel(**parameters)
        build(kernel)
    return kernel.record()
