"""What `torch.cuda` says of a GPU that is planned for and not there."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace
from typing import Any, ClassVar

from mpkgraph.pipeline.target import Target

KIB = 1024

SHARED_MEMORY_KIB = {80: 163, 86: 99, 89: 99, 90: 227, 100: 227, 103: 227, 110: 227, 120: 99}
"""Shared memory that a block can opt in to, by compute capability (CUDA C++ programming guide)."""

FEWER_THREADS = (86, 89, 110, 120)
"""Compute capabilities with 1536 threads an SM in place of 2048."""


class Stream:
    """A stream on which nothing runs."""

    _numbers: ClassVar = itertools.count(1)

    def __init__(self, device: Any = None, priority: int = 0, **_kwargs: Any) -> None:
        self.device = device
        self.priority = priority
        self.stream_id = next(self._numbers)
        self.cuda_stream = self.stream_id

    def __enter__(self) -> Stream:  # noqa: PYI034  Self needs Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def synchronize(self) -> None:
        return None

    def wait_event(self, event: Event) -> None:  # noqa: ARG002
        return None

    def wait_stream(self, stream: Stream) -> None:  # noqa: ARG002
        return None

    def record_event(self, event: Event | None = None) -> Event:
        event = Event() if event is None else event
        event.record(self)
        return event

    def query(self) -> bool:
        return True


class Event:
    """An event that is complete as soon as it is recorded, at the host's time."""

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        self._seconds: float | None = None
        self.cuda_event = 0

    def record(self, stream: Stream | None = None) -> None:  # noqa: ARG002  torch's signature
        self._seconds = time.perf_counter()

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds of the host, never 0: scripts divide by it."""
        start = 0.0 if self._seconds is None else self._seconds
        end = start if end_event._seconds is None else end_event._seconds
        return max((end - start) * 1e3, 1e-3)

    def wait(self, stream: Stream | None = None) -> None:  # noqa: ARG002
        return None

    def synchronize(self) -> None:
        return None

    def query(self) -> bool:
        return True


class CUDAGraph:
    """A captured graph of nothing."""

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        return

    def replay(self) -> None:
        return None

    def reset(self) -> None:
        return None

    def capture_begin(self, *_args: Any, **_kwargs: Any) -> None:
        return None

    def capture_end(self) -> None:
        return None

    def pool(self) -> tuple[int, int]:
        return (0, 0)


class CudaAnswers:
    """The functions of `torch.cuda`, by name, for a target. Keeps the current device."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._device = 0
        self._default_stream = Stream()
        self._default_stream.cuda_stream = 0

    def current_device(self) -> int:
        return self._device

    def names(self) -> dict[str, Any]:
        """What to set in the module `torch.cuda`."""
        properties = self._target.properties
        free = properties.total_memory
        answers: dict[str, Any] = {
            "Stream": Stream,
            "ExternalStream": Stream,
            "Event": Event,
            "CUDAGraph": CUDAGraph,
            "graph": _context,
            "stream": _context,
            "device": self._device_context,
            "device_of": _context,
            "current_device": self.current_device,
            "set_device": self._set_device,
            "current_stream": self._stream,
            "default_stream": self._stream,
            "get_device_properties": self._properties,
            "mem_get_info": _constant((free, free)),
            "memory_stats": _constant({}),
            "list_gpu_processes": _constant(""),
            "memory_summary": _constant(""),
        }
        constants = {
            "is_available": True,
            "is_initialized": True,
            "is_bf16_supported": True,
            "device_count": self._target.world_size,
            "get_device_name": properties.name,
            "get_device_capability": (properties.major, properties.minor),
            "get_arch_list": [f"sm_{properties.major}{properties.minor}"],
            "can_device_access_peer": self._target.peer_access,
            "is_current_stream_capturing": False,
            "utilization": 0,
            **dict.fromkeys(ZEROS, 0),
            **dict.fromkeys(SILENT),
        }
        answers.update({name: _constant(value) for name, value in constants.items()})
        return answers

    def _stream(self, device: Any = None) -> Stream:  # noqa: ARG002  torch's signature
        return self._default_stream

    def _set_device(self, device: Any) -> None:
        """A number, a `torch.device` or its string; one without a number changes nothing."""
        if isinstance(device, str):
            index = int(device.rpartition(":")[2]) if ":" in device else None
        else:
            index = getattr(device, "index", device) if device is not None else None
        if index is None or int(index) < 0:
            return
        if int(index) >= self._target.world_size:
            raise RuntimeError(
                f"invalid device ordinal {index}: the target has {self._target.world_size} GPU(s)"
            )
        self._device = int(index)

    def _device_context(self, device: Any) -> AbstractContextManager[None]:
        return _DeviceContext(self, device)

    def _properties(self, device: Any = None) -> SimpleNamespace:  # noqa: ARG002
        cc = self._target.cc
        said = self._target.properties
        shared = SHARED_MEMORY_KIB.get(cc, 99) * KIB
        return SimpleNamespace(
            name=said.name,
            major=said.major,
            minor=said.minor,
            multi_processor_count=said.multi_processor_count,
            total_memory=said.total_memory,
            warp_size=32,
            regs_per_multiprocessor=64 * KIB,
            max_threads_per_block=1024,
            max_threads_per_multi_processor=1536 if cc in FEWER_THREADS else 2048,
            shared_memory_per_block=48 * KIB,
            shared_memory_per_block_optin=shared,
            shared_memory_per_multiprocessor=shared + KIB,
            is_integrated=0,
            is_multi_gpu_board=0,
        )


class _DeviceContext(AbstractContextManager[None]):
    def __init__(self, answers: CudaAnswers, device: Any) -> None:
        self._answers = answers
        self._wanted = device
        self._before = 0

    def __enter__(self) -> None:
        self._before = self._answers.current_device()
        self._answers._set_device(self._wanted)  # noqa: SLF001

    def __exit__(self, *_: object) -> None:
        self._answers._set_device(self._before)  # noqa: SLF001


ZEROS = (
    "memory_allocated",
    "max_memory_allocated",
    "memory_reserved",
    "max_memory_reserved",
    "memory_cached",
    "max_memory_cached",
    "initial_seed",
    "get_rng_state",
)

SILENT = (
    "init",
    "_lazy_init",
    "synchronize",
    "empty_cache",
    "ipc_collect",
    "reset_peak_memory_stats",
    "reset_max_memory_allocated",
    "reset_max_memory_cached",
    "reset_accumulated_memory_stats",
    "set_per_process_memory_fraction",
    "set_stream",
    "set_sync_debug_mode",
    "set_rng_state",
    "manual_seed",
    "manual_seed_all",
    "seed",
    "seed_all",
)

NVTX_SILENT = ("range_push", "range_pop", "range_start", "range_end", "mark")


def _constant(value: Any) -> Callable[..., Any]:
    def answer(*_args: Any, **_kwargs: Any) -> Any:
        return value

    return answer


def _context(*_args: Any, **_kwargs: Any) -> AbstractContextManager[None]:
    return nullcontext()


def nvtx_names() -> dict[str, Any]:
    """What to set in the module `torch.cuda.nvtx`."""
    return {**dict.fromkeys(NVTX_SILENT, _constant(None)), "range": _context}
