"""Launches of a compiled kernel, watched: time limit, repeats, tensors before and after.

What a script launches first is run as `RunOptions` say; later launches only have the time limit.
Torch and the GPU are there when this is used.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mpkgraph.mirage.poison import only_written
from mpkgraph.mirage.protocol import Channel, ChildRequest

if TYPE_CHECKING:
    from mpkgraph.mirage.child.kernel_hooks import GraphState, KernelHooks

POLL_S = 0.0005
HUNG_STATUS = 3
CUDA_STATUS = 4
TORCH_TYPES = {
    "fp8": "float8_e4m3fn",
    "fp16": "float16",
    "bf16": "bfloat16",
    "fp32": "float32",
    "fp64": "float64",
}
"""torch's types by Mirage's names, where they differ."""
NAN_BYTE = 0xFF
"""Every byte so is a NaN in every float type, and -1 in every integer."""
NAN_WORD = -1
"""Four such bytes."""
MAX_PLACES = 4096
"""Elements that differ between runs are listed up to so many a tensor."""
PROFILER_ENTRIES = 3000 * 128
"""As in Mirage's demos."""


class Launcher:
    """Puts itself between Mirage's Python and its compiled launcher."""

    def __init__(self, request: ChildRequest, channel: Channel, hooks: KernelHooks) -> None:
        self._run = request.run
        self._channel = channel
        self._hooks = hooks
        self._warm = False
        self._launched: set[int] = set()
        self._libraries: dict[int, Any] = {}

    def install(self, pk: Any) -> None:
        """`compile()` sets these names on the kernel; what it sets is wrapped."""
        pk.init_func = _wrapped("init_func", self._init)
        pk.launch_func = _wrapped("launch_func", self._launch)
        if self._run.get("profile"):
            self._profile(pk)

    def _profile(self, pk: Any) -> None:
        real = pk.__init__

        def init(kernel: Any, *args: Any, **kwargs: Any) -> None:
            import torch

            if kwargs.get("profiler_tensor") is None and len(args) < 13:
                kwargs["profiler_tensor"] = torch.zeros(
                    PROFILER_ENTRIES, dtype=torch.uint64, device="cuda"
                )
            real(kernel, *args, **kwargs)

        pk.__init__ = init

    def _init(self, kernel: Any, real: Any, *args: Any) -> Any:
        state = self._hooks.state_of(kernel)
        self._channel.send("stage", stage="init")
        # While its file is there: loading it again by another name would be another copy.
        if self._hooks.step.output is not None:
            self._libraries[id(kernel)] = _library(self._hooks.step.output)
        values = list(args)
        # A kernel from the cache was compiled where its graph no longer lies.
        if state is not None and values and values[-1] == "":
            values[-1] = str(state.path)
        return real(*values)

    def _launch(self, kernel: Any, real: Any, *args: Any) -> Any:
        import torch

        state = self._hooks.state_of(kernel)
        torch.cuda.synchronize()
        self._warm_up(torch)
        if state is None or state.index in self._launched:
            self._channel.send("stage", stage="launch", again=True)
            self._wait(torch, kernel, lambda: real(*args), None)
            return
        self._launched.add(state.index)
        library = self._libraries.get(id(kernel))
        run = _Run(torch, kernel, state, library, self._channel, self._run)
        run.save_inputs()
        times = []
        for number in range(int(self._run.get("repeat", 1))):
            run.prepare(number)
            self._channel.send("stage", stage="launch", run=number)
            times.append(self._wait(torch, kernel, lambda: real(*args), run))
            run.finish(number)
        run.tell(times)
        if self._run.get("stop_after_run"):
            raise SystemExit(0)

    def _warm_up(self, torch: Any) -> None:
        """The first kernel with a printf or an assert, and the first with local memory.

        They can't start while another kernel runs; Mirage's scheduler kernel would be that, with
        its workers waiting for it.
        """
        if self._warm:
            return
        self._warm = True
        x = torch.ones(1 << 12, device="cuda")
        x.sum()
        (x * 1e9).sin_()
        x[torch.zeros(1, dtype=torch.long, device="cuda")]
        torch.cuda.synchronize()

    def _wait(self, torch: Any, kernel: Any, launch: Any, run: _Run | None) -> float:
        """Milliseconds between before and after on the stream."""
        before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start = time.monotonic()
        try:
            before.record()
            launch()
            after.record()
            while not after.query():
                if time.monotonic() - start > float(self._run.get("limit_s", 30)):
                    self._hung(kernel, run)
                time.sleep(POLL_S)
            torch.cuda.synchronize()
        except RuntimeError as error:
            self._channel.send("cuda-error", text=_first_line(error))
            # The context is lost: destructors would only fail, or wait for ever.
            os._exit(CUDA_STATUS)
        return float(before.elapsed_time(after))

    def _hung(self, kernel: Any, run: _Run | None) -> None:
        counters = None if run is None else run.counters()
        state = self._hooks.state_of(kernel)
        self._channel.send("hung", index=None if state is None else state.index, counters=counters)
        os._exit(HUNG_STATUS)


class _Run:
    """One graph's tensors, before and after."""

    def __init__(
        self,
        torch: Any,
        kernel: Any,
        state: GraphState,
        library: Any,
        channel: Channel,
        options: Mapping[str, Any],
    ) -> None:
        self._torch = torch
        self._kernel = kernel
        self._state = state
        self._channel = channel
        self._options = options
        self._library = library
        self._attached: dict[str, Any] = dict(kernel._model_tensors)  # noqa: SLF001
        self._before: dict[str, Any] = {}
        self._first: dict[str, Any] = {}
        self._differing: list[dict[str, Any]] = []
        names = frozenset() if state.record is None else only_written(state.record)
        self._poisoned = names & set(self._attached)
        self._is_poisoned = bool(options.get("poison", True))
        if self._library is not None and self._library.mpkgraph_prepare() != 0:
            self._library = None

    def save_inputs(self) -> None:
        values = {name: x.detach().clone() for name, x in self._attached.items()}
        self._before = values
        meta = {
            f"meta:{name}": x.detach().clone()
            for name, x in self._kernel.meta_tensors.items()
            if hasattr(x, "data_ptr")
        }
        self._save("inputs", {**values, **meta})

    def prepare(self, number: int) -> None:
        """Everything as it was; what is only written is NaN (integers -1).

        Then the GPU is idle: Mirage's workers and schedulers wait for the same event on two
        streams. Behind other work the schedulers may be first, and no worker fits on their SMs.
        """
        if number:
            for name, value in self._before.items():
                self._attached[name].copy_(value)
        if self._is_poisoned:
            for name in self._poisoned:
                _bytes(self._torch, self._attached[name]).fill_(NAN_BYTE)
            for pointer, size, _ in self._buffers().values():
                if self._library is not None:
                    self._library.mpkgraph_fill(pointer, NAN_BYTE, size)
            self._fill_shared()
        self._torch.cuda.synchronize()

    def _fill_shared(self) -> None:
        """Last: the L1 cache of what ran before is where shared memory will be, NaN and all."""
        if self._library is None:
            return
        word = NAN_WORD if self._options.get("poison_shared") else 0
        status = self._library.mpkgraph_fill_shared(word)
        if status:
            self._channel.send(
                "note",
                text="shared memory could not be filled before the launch (CUDA error "
                f"{status}): it holds what was there",
            )

    def finish(self, number: int) -> None:
        values = {name: x.detach().clone() for name, x in self._attached.items()}
        values.update(self._copied_buffers())
        if number == 0:
            self._first = values
            self._save("outputs", values)
            return
        changed = {}
        for name, value in values.items():
            places = self._differences(self._first[name], value)
            if places is not None:
                changed[name] = value
                self._differing.append({"run": number, "tensor": name, **places})
        if changed:
            self._save(f"outputs_run{number}", changed)

    def tell(self, times: list[float]) -> None:
        profile = getattr(self._kernel, "profiler_tensor", None)
        file = None
        if profile is not None:
            import numpy as np

            file = self._state.folder / "profile.npy"
            np.save(file, profile.view(self._torch.int64).cpu().numpy().view("uint64"))
        self._channel.send(
            "run",
            index=self._state.index,
            milliseconds=[round(x, 4) for x in times],
            differing=self._differing,
            poisoned=sorted({*self._poisoned, *self._buffers()}) if self._is_poisoned else [],
            buffers=sorted(self._buffers()),
            poison_shared=self._is_poisoned and bool(self._options.get("poison_shared")),
            device=self._torch.cuda.get_device_name(0),
            profile=None if file is None else str(file),
        )

    def counters(self) -> list[int] | None:
        """Event counters of a kernel that is still running; None when they can't be had."""
        if self._library is None:
            return None
        found = self._library.mpkgraph_event_counters()
        return None if not found else [found[i] for i in range(self._library.mpkgraph_num_events())]

    def _buffers(self) -> dict[str, tuple[int, int, Any]]:
        """(address, bytes, recorded tensor) of memory that the generated code allocated."""
        if self._library is None or self._state.record is None:
            return {}
        found = {}
        for tensor in self._state.record.tensors:
            if tensor.kind not in {"new_tensor", "shuffle_tensors"}:
                continue
            pointer = self._library.mpkgraph_tensor(tensor.base_ptr.encode())
            if pointer and tensor.kind == "new_tensor":
                size = self._size(tensor)
                found[tensor.name] = (pointer, size, tensor)
        return found

    def _size(self, tensor: Any) -> int:
        elements = 1
        for dim in tensor.dims:
            elements *= dim
        return elements * int(self._type(tensor).itemsize)

    def _type(self, tensor: Any) -> Any:
        return getattr(self._torch, TORCH_TYPES.get(tensor.dtype, tensor.dtype))

    def _copied_buffers(self) -> dict[str, Any]:
        copies = {}
        for name, (pointer, size, tensor) in self._buffers().items():
            copy = self._torch.empty(tensor.dims, dtype=self._type(tensor), device="cuda")
            if self._library is not None:
                self._library.mpkgraph_copy(copy.data_ptr(), pointer, size)
                copies[name] = copy
        return copies

    def _differences(self, first: Any, second: Any) -> dict[str, Any] | None:
        width = first.element_size()
        left, right = (_bytes(self._torch, x).view(-1, width) for x in (first, second))
        differ = (left != right).any(-1).nonzero().flatten()
        count = int(differ.numel())
        if not count:
            return None
        return {"num_elements": count, "places": differ[:MAX_PLACES].tolist()}

    def _save(self, name: str, values: Mapping[str, Any]) -> None:
        from safetensors.torch import save_file

        tensors = {key: x.detach().cpu().contiguous() for key, x in values.items()}
        save_file(tensors, str(self._state.folder / f"{name}.safetensors"))


def _wrapped(name: str, around: Any) -> Any:
    """A property that wraps what is assigned to it."""
    key = f"_mpkgraph_{name}"

    def get(kernel: Any) -> Any:
        try:
            real = vars(kernel)[key]
        except KeyError:
            raise AttributeError(name) from None
        return lambda *args: around(kernel, real, *args)

    def put(kernel: Any, value: Any) -> None:
        vars(kernel)[key] = value

    return property(get, put)


def _library(path: Path) -> Any:
    """The compiled launcher with our own functions; None when they are not in it."""
    library = ctypes.CDLL(str(path))
    if not hasattr(library, "mpkgraph_prepare"):
        return None
    library.mpkgraph_tensor.restype = ctypes.c_void_p
    library.mpkgraph_tensor.argtypes = [ctypes.c_char_p]
    library.mpkgraph_copy.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    library.mpkgraph_fill.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
    library.mpkgraph_event_counters.restype = ctypes.POINTER(ctypes.c_ulonglong)
    return library


def _bytes(torch: Any, tensor: Any) -> Any:
    flat = tensor if tensor.is_contiguous() else tensor.t()
    return flat.reshape(-1).view(torch.uint8)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
