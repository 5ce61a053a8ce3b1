"""Tensors that a script asks for on a GPU, made on the CPU or without memory.

A `TorchFunctionMode` sees every call of torch's functions and methods in Python, those under
`with torch.device("cuda")` and `torch.set_default_device` too; the few entries that it can't see
are in `torch_session`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from mpkgraph.pipeline.standin.claims import Claims, tensors_in

Call = Callable[..., Any]

NO_MEMORY = torch.device("meta")
HOST = torch.device("cpu")

KEPT_BYTES = 1 << 20
"""GPU tensors up to this size have memory with `meta` too: routing tables, lengths, token buffers,
whose values scripts branch on.
"""


IN_PLACE = frozenset(
    {"__setitem__"}
    | {f"__i{name}__" for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow")}
    | {f"__i{name}__" for name in ("and", "or", "xor", "lshift", "rshift", "matmul")}
)
"""Methods that change their tensor, besides those whose name ends with an underscore."""


class DeviceMode(TorchFunctionMode):  # type: ignore[misc]
    """Redirects the GPU to the CPU; with `meta`, tensors above `KEPT_BYTES` to the device `meta`.

    `current_device` answers which GPU `"cuda"` without a number is.
    """

    def __init__(
        self, *, meta: bool, current_device: Callable[[], int], claims: Claims | None = None
    ) -> None:
        super().__init__()
        self.meta = meta
        self.claims = claims or Claims()
        self._current_device = current_device

    def copy(self) -> DeviceMode:
        """The same redirection for another thread: a mode belongs to one."""
        return DeviceMode(meta=self.meta, current_device=self._current_device, claims=self.claims)

    def gpu(self, device: Any) -> torch.device | None:
        """The GPU that a device argument means, with its number; None when it means none."""
        if isinstance(device, bool) or device is None:
            return None
        if isinstance(device, int):
            return torch.device("cuda", device)
        if isinstance(device, str):
            if not device.startswith("cuda"):
                return None
            device = torch.device(device)
        if not isinstance(device, torch.device) or device.type != "cuda":
            return None
        return torch.device("cuda", self._current_device()) if device.index is None else device

    def __torch_function__(
        self,
        func: Call,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        special = SPECIAL.get(func)
        if special is not None:
            return special(self, func, args, kwargs or {})
        return self.redirect(func, args, kwargs or {})

    def redirect(self, func: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a function with a GPU in its `device` (and pinned memory) replaced."""
        gpu = self.gpu(kwargs.get("device"))
        if kwargs.get("pin_memory"):
            kwargs = {**kwargs, "pin_memory": False}
        inputs = (*tensors_in(args), *tensors_in(kwargs))
        since = self.claims.tick()
        result = self._call(func, args, kwargs, gpu, inputs)
        outputs = list(tensors_in(result))
        if outputs:
            self.claims.hand_on(inputs, outputs, gpu, since)
        return result

    def _call(
        self,
        func: Call,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        gpu: torch.device | None,
        inputs: Sequence[torch.Tensor],
    ) -> Any:
        without = self.meta and not all(map(self.claims.has_values, inputs))
        if without and not all(x.is_meta for x in inputs):
            # An operation has its tensors on one device: what has values goes without.
            for target in _written(func, args, kwargs):
                self.claims.lose_values(target)
            args, kwargs = _without_memory(args), _without_memory(kwargs)
        if gpu is None:
            return func(*args, **kwargs)
        if not self.meta:
            return func(*args, **{**kwargs, "device": HOST})
        drawn = {"generator": None} if kwargs.get("generator") is not None else {}
        result = func(*args, **{**kwargs, **drawn, "device": NO_MEMORY})
        if without or not self.keeps(result):
            return result
        return func(*args, **{**kwargs, "device": HOST})

    def keeps(self, result: Any) -> bool:
        """Whether all of a result's tensors are small enough to have memory."""
        return not self.meta or all(
            x.numel() * x.element_size() <= KEPT_BYTES for x in tensors_in(result)
        )


def _written(func: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[torch.Tensor]:
    """The tensors that a call changes in place."""
    name = getattr(func, "__name__", "")
    in_place = name in IN_PLACE or (name.endswith("_") and not name.endswith("__"))
    yield from tensors_in(args[:1] if in_place else ())
    yield from tensors_in(kwargs.get("out"))


def _without_memory(value: Any, depth: int = 3) -> Any:
    """An argument list with its tensors on `meta`."""
    if isinstance(value, torch.Tensor):
        return value if value.is_meta else value.to(NO_MEMORY)
    if depth and isinstance(value, dict):
        return {key: _without_memory(item, depth - 1) for key, item in value.items()}
    if depth and type(value) in {list, tuple}:
        return type(value)(_without_memory(item, depth - 1) for item in value)
    return value


# One function a method that asks for a device, or is asked about one.


def _to_gpu(
    mode: DeviceMode, tensor: torch.Tensor, gpu: torch.device, *, copy: bool, **options: Any
) -> torch.Tensor:
    """A tensor of its own, as a transfer gives, unless it is there already."""
    here = mode.claims.device(tensor) == gpu and not copy
    real = HOST if mode.keeps(tensor) and not tensor.is_meta else NO_MEMORY
    result = tensor.to(real, copy=not here, **options)
    if result is not tensor:
        mode.claims.claim(result, gpu)
    return result


def _from_gpu(
    mode: DeviceMode, tensor: torch.Tensor, device: torch.device, *, copy: bool, **options: Any
) -> torch.Tensor:
    """Off the GPU. What has no memory has no values to bring along and stays without."""
    stays = tensor.is_meta and mode.claims.device(tensor) is not None
    away = mode.claims.device(tensor) not in {None, device}
    result = tensor.to(tensor.device if stays else device, copy=copy or away, **options)
    if result is not tensor:
        mode.claims.claim(result, device if stays else None)
    return result


def _move(
    mode: DeviceMode, tensor: torch.Tensor, device: Any, *, copy: bool, **options: Any
) -> torch.Tensor:
    gpu = mode.gpu(device)
    if gpu is not None:
        return _to_gpu(mode, tensor, gpu, copy=copy, **options)
    return _from_gpu(mode, tensor, torch.device(device), copy=copy, **options)


def _cuda(mode: DeviceMode, _func: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    tensor, *rest = args
    device = kwargs.get("device", rest[0] if rest else None)
    options = {k: v for k, v in kwargs.items() if k == "memory_format"}
    gpu = mode.gpu("cuda" if device is None else device)
    if gpu is None:
        raise RuntimeError(f"Invalid device, must be cuda device: {device}")
    return _to_gpu(mode, tensor, gpu, copy=False, **options)


def _cpu(mode: DeviceMode, _func: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return _from_gpu(mode, args[0], HOST, copy=False, **kwargs)


def _to(mode: DeviceMode, func: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`to(device, dtype, non_blocking, copy)`, `to(dtype, non_blocking, copy)` or `to(other)`."""
    tensor, *rest = args
    options = dict(kwargs)
    other = options.pop("tensor", None)
    if rest and isinstance(rest[0], torch.Tensor):
        other = rest.pop(0)
    if other is not None:
        options["dtype"] = other.dtype
        options["device"] = mode.claims.device(other) or other.device
    elif rest and not isinstance(rest[0], torch.dtype):
        device = rest.pop(0)
        if device is not None:
            options["device"] = device
        if rest and (rest[0] is None or isinstance(rest[0], torch.dtype)):
            options["dtype"] = rest.pop(0)
    elif rest:
        options["dtype"] = rest.pop(0)
    options.update(zip(("non_blocking", "copy"), rest, strict=False))
    device = options.pop("device", None)
    if device is None:
        return mode.redirect(func, (tensor,), options)
    copy = bool(options.pop("copy", False))
    options.pop("non_blocking", None)
    return _move(mode, tensor, device, copy=copy, **options)


def _device(
    mode: DeviceMode, func: Call, args: tuple[Any, ...], _kwargs: dict[str, Any]
) -> torch.device:
    claimed = mode.claims.device(args[0])
    return func(*args) if claimed is None else claimed


def _is_on(device_type: str) -> Call:
    def answer(
        mode: DeviceMode, func: Call, args: tuple[Any, ...], _kwargs: dict[str, Any]
    ) -> bool:
        claimed = mode.claims.device(args[0])
        return bool(func(*args)) if claimed is None else claimed.type == device_type

    return answer


def _get_device(
    mode: DeviceMode, func: Call, args: tuple[Any, ...], _kwargs: dict[str, Any]
) -> int:
    claimed = mode.claims.device(args[0])
    if claimed is None or claimed.index is None:
        return int(func(*args)) if claimed is None else -1
    return int(claimed.index)


def _data_ptr(mode: DeviceMode, func: Call, args: tuple[Any, ...], _kwargs: dict[str, Any]) -> int:
    tensor = args[0]
    return mode.claims.address(tensor) if tensor.is_meta else int(func(tensor))


def _itself(_mode: DeviceMode, _func: Call, args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Any:
    """Pinned memory is memory."""
    return args[0]


def _nothing(
    _mode: DeviceMode, _func: Call, _args: tuple[Any, ...], _kwargs: dict[str, Any]
) -> None:
    """Nothing runs on a stream."""


def _unchanged(_mode: DeviceMode, func: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Only reads the device, for a later call."""
    return func(*args, **kwargs)


SPECIAL: dict[Any, Call] = {
    torch.Tensor.cuda: _cuda,
    torch.Tensor.cpu: _cpu,
    torch.Tensor.to: _to,
    torch.Tensor.device.__get__: _device,
    torch.Tensor.is_cuda.__get__: _is_on("cuda"),
    torch.Tensor.is_cpu.__get__: _is_on("cpu"),
    torch.Tensor.get_device: _get_device,
    torch.Tensor.data_ptr: _data_ptr,
    torch.Tensor.pin_memory: _itself,
    torch.Tensor.record_stream: _nothing,
    torch._C._nn._parse_to: _unchanged,  # noqa: SLF001  of nn.Module.to
}
"""By torch's function (a property's is its getter) what answers in its place."""
