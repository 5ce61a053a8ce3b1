"""torch as a script sees it while it runs: the GPU that is planned for, on any machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed
import torch.overrides
import torch.utils._device

from mpkgraph.pipeline.standin import distributed
from mpkgraph.pipeline.standin.claims import tensors_in
from mpkgraph.pipeline.standin.cuda_answers import CudaAnswers, nvtx_names
from mpkgraph.pipeline.standin.device_mode import HOST, NO_MEMORY, DeviceMode
from mpkgraph.pipeline.standin.snapshot import Snapshot
from mpkgraph.pipeline.target import Target


@contextmanager
def torch_session(target: Target, *, meta: bool) -> Iterator[None]:
    """Redirect GPUs to the CPU (or to `meta`) and answer for the target.

    Afterwards torch is as it was: names that the script replaced in it, modes that it left open,
    default type and device.
    """
    answers = CudaAnswers(target)
    mode = DeviceMode(meta=meta, current_device=answers.current_device)
    context = torch.utils._device.DeviceContext  # noqa: SLF001
    before = Snapshot(
        [
            torch,
            torch.cuda,
            torch.cuda.nvtx,
            torch.distributed,
            torch.nn.functional,
            torch.Tensor,
            torch.nn.Module,
            context,
            threading.Thread,
        ]
    )
    modes = _take_modes()
    _give_modes(modes)
    default_type = torch.get_default_dtype()
    default_device = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)  # noqa: SLF001
    grad = torch.is_grad_enabled()
    rng = torch.get_rng_state()
    try:
        vars(torch.cuda).update(answers.names())
        vars(torch.cuda.nvtx).update(nvtx_names())
        vars(torch.distributed).update(distributed.names(target))
        context.__torch_function__ = _default_device(mode)
        threading.Thread.run = _in_thread(mode, threading.Thread.run)  # type: ignore[method-assign]
        vars(torch).update(_functions(mode))
        _give_modes([mode])
        yield
    finally:
        distributed.finish()
        before.restore()
        _take_modes()
        torch._GLOBAL_DEVICE_CONTEXT.device_context = default_device  # noqa: SLF001
        _give_modes(modes)
        torch.set_default_dtype(default_type)
        torch.set_grad_enabled(grad)
        torch.set_rng_state(rng)


def _take_modes() -> list[Any]:
    """Take all function modes off the stack, bottom first."""
    taken = []
    while torch._C._len_torch_function_stack():  # noqa: SLF001
        taken.append(torch.overrides._pop_mode())  # noqa: SLF001
    return taken[::-1]


def _give_modes(modes: list[Any]) -> None:
    for mode in modes:
        torch.overrides._push_mode(mode)  # noqa: SLF001


def _default_device(mode: DeviceMode) -> Any:
    """What `with torch.device(...)` and `set_default_device` do with a call."""

    def call(self: Any, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ARG001
        kwargs = dict(kwargs or {})
        factories = torch.utils._device._device_constructors()  # noqa: SLF001
        if func in factories and kwargs.get("device") is None:
            kwargs["device"] = self.device
            return mode.redirect(func, args, kwargs)
        return func(*args, **kwargs)

    return call


def _in_thread(mode: DeviceMode, run: Any) -> Any:
    """Modes belong to a thread; those that a script starts get one too."""

    def redirected(thread: threading.Thread) -> None:
        with mode.copy():
            run(thread)

    return redirected


def _functions(mode: DeviceMode) -> dict[str, Any]:
    """What takes a device and is no function that a mode sees, by its name in torch."""
    load = torch.load
    real_generator = torch.Generator

    class Generator(real_generator):  # type: ignore[misc,valid-type]
        def __new__(cls, device: Any = "cpu") -> Any:
            return real_generator.__new__(cls, "cpu" if mode.gpu(device) else device)

    def loaded(f: Any, map_location: Any = None, *args: Any, **kwargs: Any) -> Any:
        """A checkpoint's tensors, whichever GPUs they were saved from."""
        gpu = mode.gpu(map_location)
        result = load(f, NO_MEMORY if gpu and mode.meta else HOST, *args, **kwargs)
        for tensor in tensors_in(result):
            mode.claims.claim(tensor, gpu)
        return result

    return {"Generator": Generator, "load": loaded}
