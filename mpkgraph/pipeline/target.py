"""The GPU that a pipeline is planned for, in place of the one that Mirage would ask.

SM counts decide Mirage's workers and schedulers (`python/mirage/utils.py`), compute capability
decides which tasks layers register, and NVLink multicast decides the all-reduce
(`python/mirage/mpk/multigpu.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from mpkgraph.errors import UsageError
from mpkgraph.frozen import dataclass
from mpkgraph.model.ids import EVENT_RANK_MASK
from mpkgraph.pipeline.refusal import refuse

GIB = 2**30


@dataclass(frozen=True, slots=True)
class Gpu:
    """A product: what a script can ask of it, and whether its usual host has NVLink multicast."""

    cc: int
    name: str
    num_sms: int
    memory_bytes: int
    multicast: bool


GPUS: tuple[Gpu, ...] = (
    # The first of a compute capability is its default.
    Gpu(80, "NVIDIA A100-SXM4-80GB", 108, 80 * GIB, multicast=False),
    Gpu(86, "NVIDIA RTX A5000", 64, 24 * GIB, multicast=False),
    Gpu(89, "NVIDIA RTX 6000 Ada Generation", 142, 48 * GIB, multicast=False),
    Gpu(90, "NVIDIA H100 80GB HBM3", 132, 80 * GIB, multicast=True),
    Gpu(90, "NVIDIA H200", 132, 141 * GIB, multicast=True),
    Gpu(100, "NVIDIA B200", 148, 180 * GIB, multicast=True),
    Gpu(103, "NVIDIA B300", 148, 270 * GIB, multicast=True),
    Gpu(110, "NVIDIA Thor", 20, 122 * GIB, multicast=False),
    Gpu(120, "NVIDIA GeForce RTX 5090", 170, 32 * GIB, multicast=False),
)

WORKERS_BY_SMS = ((160, 144), (144, 128), (132, 128), (108, 96), (68, 64), (40, 30), (0, 20))
"""(SMs at least, workers) in the order that Mirage tries them."""

SCHEDULERS_PER_FREE_SM = 4
MAX_WORLD_SIZE = EVENT_RANK_MASK + 1


@dataclass(frozen=True, slots=True)
class DeviceProperties:
    """What `torch.cuda.get_device_properties` says, by torch's names."""

    name: str
    major: int
    minor: int
    multi_processor_count: int
    total_memory: int


@dataclass(frozen=True, slots=True)
class Target:
    """What is planned for: one GPU of `world_size` that run together.

    None means the usual: workers and schedulers as Mirage chooses them for the GPU, `num_sms`,
    `name`, `memory_bytes` and `multicast` of the first product with this compute capability.
    `world_size` and `rank` are what a script that asks MPI is told.
    """

    cc: int = 90
    num_workers: int | None = None
    num_local_schedulers: int | None = None
    world_size: int = 1
    rank: int = 0
    multicast: bool | None = None
    peer_access: bool = True
    num_sms: int | None = None
    memory_bytes: int | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if not any(gpu.cc == self.cc for gpu in GPUS):
            known = ", ".join(str(cc) for cc in sorted({gpu.cc for gpu in GPUS}))
            raise UsageError(
                f"no GPU with compute capability {self.cc} is known", remedy=f"Use one of {known}"
            )
        if not 0 <= self.rank < self.world_size:
            raise UsageError(
                f"rank {self.rank} of {self.world_size} GPUs",
                remedy="Ranks go from 0 to the number of GPUs less one",
            )
        if self.world_size > MAX_WORLD_SIZE:
            raise UsageError(
                f"a world of {self.world_size} GPUs: event ids have 16 bits for the rank",
                remedy=f"Give at most {MAX_WORLD_SIZE}",
            )
        for field in ("num_workers", "num_local_schedulers", "num_sms", "memory_bytes"):
            value = getattr(self, field)
            if value is not None and value < 1:
                raise UsageError(f"{field} is {value}", remedy="Give at least 1")

    @property
    def gpu(self) -> Gpu:
        return next(gpu for gpu in GPUS if gpu.cc == self.cc)

    @property
    def properties(self) -> DeviceProperties:
        """What a script that asks torch for device properties is told."""
        return DeviceProperties(
            name=self.name or self.gpu.name,
            major=self.cc // 10,
            minor=self.cc % 10,
            multi_processor_count=self.num_sms or self.gpu.num_sms,
            total_memory=self.memory_bytes or self.gpu.memory_bytes,
        )

    @property
    def has_multicast(self) -> bool:
        return self.gpu.multicast if self.multicast is None else self.multicast

    def has_tile_allreduce(self, world_size: int) -> bool:
        """Whether Mirage's choice of all-reduce for so many GPUs is that over NVLink multicast."""
        reaches_peers = self.peer_access or world_size <= 1
        return self.cc >= 90 and self.has_multicast and reaches_peers

    @property
    def configuration(self) -> tuple[int, int]:
        """(workers, local schedulers) that a script is told to use.

        Raises as `get_configurations` does when a count is left to Mirage.
        """
        if self.num_workers is not None and self.num_local_schedulers is not None:
            return self.num_workers, self.num_local_schedulers
        num_sms = self.properties.multi_processor_count
        if self.num_workers is None:
            workers, schedulers = get_configurations(num_sms)
        else:
            workers = self.num_workers
            schedulers = _schedulers(num_sms, workers)
        return workers, self.num_local_schedulers or schedulers


def get_configurations(num_sms: int) -> tuple[int, int]:
    """Mirage's (workers, local schedulers) for a GPU with so many SMs.

    Raises an error that is an AssertionError when no SM is left for schedulers.

    >>> get_configurations(132)
    (128, 16)
    """
    workers = next(workers for at_least, workers in WORKERS_BY_SMS if num_sms >= at_least)
    return workers, _schedulers(num_sms, workers)


def _schedulers(num_sms: int, workers: int) -> int:
    schedulers = SCHEDULERS_PER_FREE_SM * (num_sms - workers)
    if schedulers <= 0:
        refuse(
            AssertionError,
            f"{workers} workers leave no SM of {num_sms} for schedulers",
            remedy="Give the numbers of workers and of schedulers",
            upstream="worker count is not compatible with sm count on",
        )
    return schedulers


def find_cc(text: str) -> int:
    """The compute capability that a user means: `90`, `sm_90a`, `9.0`, or (part of) a GPU's name.

    Raises UsageError when no GPU is known by it.

    >>> find_cc("90"), find_cc("sm_100a"), find_cc("8.0"), find_cc("a100"), find_cc("h200")
    (90, 100, 80, 80, 90)
    """
    number = text.lower().removeprefix("sm_").removeprefix("sm").removesuffix("a").replace(".", "")
    if number.isdecimal():
        return Target(cc=int(number)).cc
    for gpu in GPUS:
        if text.lower() in gpu.name.lower().replace("-", " ").split():
            return gpu.cc
    raise UsageError(
        f"no GPU is known as {text!r}",
        remedy="Use a compute capability, such as 80, 90 or 100, or a name, such as H100 or B200",
    )


_CURRENT: ContextVar[Target | None] = ContextVar("mpkgraph_target", default=None)


def current_target() -> Target:
    """The target of the running session; an H100 when none was chosen."""
    return _CURRENT.get() or Target()


@contextmanager
def use_target(target: Target) -> Iterator[Target]:
    """Plan for this GPU: kernels made inside belong to it."""
    token = _CURRENT.set(target)
    try:
        yield target
    finally:
        _CURRENT.reset(token)
