"""What a script tells the real Mirage, as a pipeline record: each call is told to our recorder too.

Mirage goes first. Where it takes what the recorder refuses, that is worth a note, and the graph
has no record from there on.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import Any

from mpkgraph.errors import MpkGraphError
from mpkgraph.mirage.protocol import Channel
from mpkgraph.model.record import PipelineRecord
from mpkgraph.pipeline.call_site import user_site
from mpkgraph.pipeline.dtypes import dtype
from mpkgraph.pipeline.graphs import CyTBGraph
from mpkgraph.pipeline.kernel import SNAPSHOT
from mpkgraph.pipeline.open_log import to_json
from mpkgraph.pipeline.recorder import PipelineRecorder
from mpkgraph.pipeline.tensors import DTensor

LAYER_SUFFIXES = ("_layer", "_handler", "_dispatcher")
"""Methods of PersistentKernel that describe layers, by how Mirage names them."""
OURS = "_mpkgraph_recording"
"""Attribute of Mirage's objects that holds what we keep about them."""
UNUSED_BLOCK_DIM = (128, 1, 1)
"""What our thread-block graph is made with: it reaches no record."""


class GraphRecording:
    """The recorder beside one of Mirage's kernel graphs."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.recorder = PipelineRecorder()
        self.init: Mapping[str, Any] = {}
        self.kernel: Any = None
        self.broken: str | None = None
        """Why there is no record, as a sentence."""
        self.making: str | None = None
        """The name of a buffer that the script is making."""
        self._tell = tell
        self._tensors: dict[int, DTensor] = {}
        self._reals: dict[int, Any] = {}

    def follow(self, call: Callable[[], Any]) -> Any:
        """Tell the recorder what Mirage has taken."""
        if self.broken is not None:
            return None
        try:
            return call()
        except (MpkGraphError, KeyError) as error:
            self.broken = f"Mirage takes what mpkgraph's record of the pipeline can't hold: {error}"
            self._tell(self.broken)
            return None

    def made(self, real: Any, ours: DTensor | None) -> None:
        if ours is not None:
            self._tensors[real.guid] = ours
            self._reals[ours.guid] = real

    def real(self, number: int) -> Any:
        """Mirage's tensor with the record's id; None when there is none."""
        return self._reals.get(number)

    def ours(self, real: Any) -> DTensor | None:
        return None if real is None else self._tensors[real.guid]

    def value(self, value: Any, tensor_class: type) -> Any:
        """An argument with our tensors in place of Mirage's."""
        if isinstance(value, tensor_class):
            return self.ours(value)
        if isinstance(value, list | tuple):
            return type(value)(self.value(x, tensor_class) for x in value)
        if isinstance(value, dict):
            return {key: self.value(x, tensor_class) for key, x in value.items()}
        return value

    def record(
        self, num_gpus: int, my_gpu_id: int, origin: Mapping[str, Any]
    ) -> PipelineRecord | None:
        """The pipeline so far; None when it can't be told."""
        kernel = self.kernel
        if kernel is None or self.broken is not None:
            return None
        meta = {k: v for k, v in kernel.meta_tensors.items() if k not in self._own_meta}
        try:
            return self.recorder.record(
                target_cc=int(kernel.target_cc),
                init={**self.init, "meta_tensors": to_json(meta)},
                origin=origin,
                generate={"num_gpus": num_gpus, "my_gpu_id": my_gpu_id},
            )
        except MpkGraphError as error:
            self.broken = str(error)
            self._tell(self.broken)
            return None

    _own_meta: frozenset[str] = frozenset()

    def made_by(
        self, kernel: Any, arguments: Mapping[str, Any], given_meta: frozenset[str]
    ) -> None:
        """Take a kernel's parameters; a snapshot that Mirage added itself is not the user's."""
        self.kernel = kernel
        self.init = {k: to_json(v) for k, v in arguments.items() if k != "meta_tensors"}
        if SNAPSHOT not in given_meta:
            self._own_meta = frozenset({SNAPSHOT})


class Recording:
    """Hooks in the classes of an imported Mirage."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.place: str | None = None
        """Where a recorded pipeline is, that has no lines of a user's."""

    def install(self, kernel_module: ModuleType, pk_module: ModuleType) -> None:
        """Wrap the kernel graph, the thread-block graph and PersistentKernel."""
        kn, tb = kernel_module.KNGraph, pk_module.TBGraph
        self._dtensor: type = pk_module.DTensor
        self._wrap_graph(kn)
        _wrap(tb, "new_input", self._block_input)
        _wrap(kn, "customized", self._customized)
        _wrap(kn, "register_task", self._register)
        self._wrap_kernel(pk_module.PersistentKernel)

    def of(self, graph: Any) -> GraphRecording:
        """The recording beside a kernel graph of Mirage's."""
        found = getattr(graph, OURS, None)
        if found is None:
            found = GraphRecording(lambda text: self._channel.send("note", text=text))
            setattr(graph, OURS, found)
        return found

    def call(self, method: str, **fields: Any) -> None:
        """Say what is about to happen: if the process dies, it was this."""
        site = self.place or user_site()
        where = None if site is None else str(site)
        self._channel.send("call", method=method, site=where, **fields)

    # The kernel graph

    def _wrap_graph(self, kn: type) -> None:
        def new_input(real: Any, graph: Any, *args: Any, **kwargs: Any) -> Any:
            dims, strides, data_type = _arguments(real, graph, args, kwargs)
            made = real(graph, *args, **kwargs)
            beside = self.of(graph)
            ours = beside.follow(
                lambda: beside.recorder.new_input(dims, strides, dtype(str(data_type)))
            )
            beside.made(made, ours)
            return made

        def attach_torch(real: Any, graph: Any, *args: Any, **kwargs: Any) -> Any:
            tensor, data, name = _arguments(real, graph, args, kwargs)
            result = real(graph, tensor, data, name)
            beside = self.of(graph)
            beside.follow(
                lambda: beside.recorder.attach_input(_there(beside, tensor), name, data.dtype)
            )
            return result

        def attach_buffer(category: str) -> Callable[..., Any]:
            def attach(real: Any, graph: Any, *args: Any, **kwargs: Any) -> Any:
                tensor, name = _arguments(real, graph, args, kwargs)
                result = real(graph, tensor, name)
                beside = self.of(graph)
                # As the script named it: a record keeps the dots that Mirage replaces.
                label = beside.making or name
                beside.follow(
                    lambda: beside.recorder.attach_buffer(_there(beside, tensor), label, category)
                )
                return result

            return attach

        def together(method: str) -> Callable[..., Any]:
            def put(real: Any, graph: Any, *args: Any, **kwargs: Any) -> Any:
                inputs, dim, groups, name = _arguments(real, graph, args, kwargs)
                beside = self.of(graph)
                made = real(graph, inputs, dim, groups, name)
                parts = [_there(beside, x) for x in inputs]
                call = getattr(beside.recorder, method)
                beside.made(made, beside.follow(lambda: call(parts, dim, groups, name)))
                return made

            return put

        _wrap(kn, "new_input", new_input)
        _wrap(kn, "attach_torch_tensor", attach_torch)
        _wrap(kn, "attach_cuda_tensor", attach_buffer("cuda_tensor"))
        _wrap(kn, "attach_nvshmem_tensor", attach_buffer("nvshmem_tensor"))
        _wrap(kn, "fuse_tensors", together("fuse_tensors"))
        _wrap(kn, "shuffle_tensors", together("shuffle_tensors"))

    def _block_input(self, real: Any, block: Any, *args: Any, **kwargs: Any) -> Any:
        slots = vars(block).setdefault(OURS, [])
        slots.append(_arguments(real, block, args, kwargs))
        return real(block, *args, **kwargs)

    def _customized(self, real: Any, graph: Any, inputs: Any, block: Any) -> Any:
        result = real(graph, inputs, block)
        beside = self.of(graph)

        def follow() -> None:
            core = block.cygraph
            grid = tuple(int(core.grid_dim[axis]) for axis in "xyz")
            ours = CyTBGraph(grid, UNUSED_BLOCK_DIM, int(core.forloop_range), 64)
            for tensor, input_map, forloop_dim, store in vars(block).get(OURS, ()):
                ours.new_input(
                    beside.ours(tensor), tuple(input_map), forloop_dim, store_in_dmem=bool(store)
                )
            beside.recorder.customized([beside.ours(x) for x in inputs], ours.block)

        beside.follow(follow)
        return result

    def _register(
        self, real: Any, graph: Any, block: Any, task_type: str, params: Any = None
    ) -> Any:
        self.call("register_task", task=task_type)
        result = real(graph, block, task_type, params)
        beside = self.of(graph)
        beside.follow(lambda: beside.recorder.register_task(task_type, params))
        return result

    # The persistent kernel

    def _wrap_kernel(self, pk: type) -> None:
        signature = inspect.signature(pk.__init__)  # type: ignore[misc]

        def init(real: Any, kernel: Any, *args: Any, **kwargs: Any) -> None:
            given = signature.bind(kernel, *args, **kwargs)
            given.apply_defaults()
            arguments = dict(given.arguments)
            arguments.pop("self", None)
            meta = frozenset(arguments.get("meta_tensors") or ())
            self.call("PersistentKernel")
            real(kernel, *args, **kwargs)
            self.of(kernel.kn_graph).made_by(kernel, arguments, meta)

        _wrap(pk, "__init__", init)
        _wrap(pk, "new_tensor", self._new_tensor)
        for name, method in inspect.getmembers(pk, inspect.isfunction):
            if name.endswith(LAYER_SUFFIXES):
                _wrap(pk, name, functools.partial(self._layer, name, inspect.signature(method)))

    def _new_tensor(self, real: Any, kernel: Any, *args: Any, **kwargs: Any) -> Any:
        given = inspect.signature(real).bind(kernel, *args, **kwargs)
        beside = self.of(kernel.kn_graph)
        beside.making = given.arguments.get("name")
        try:
            return real(kernel, *args, **kwargs)
        finally:
            beside.making = None

    def _layer(
        self, name: str, signature: inspect.Signature, real: Any, kernel: Any, *args: Any, **kw: Any
    ) -> Any:
        self.call(name)
        beside = self.of(kernel.kn_graph)
        context: AbstractContextManager[Any] = nullcontext()
        if beside.broken is None:
            given = signature.bind(kernel, *args, **kw)
            given.apply_defaults()
            arguments = dict(given.arguments)
            arguments.pop("self", None)
            told = beside.follow(
                lambda: {k: beside.value(v, self._dtensor) for k, v in arguments.items()}
            )
            if told is not None:
                context = beside.recorder.layer(name, told)
        with context:
            return real(kernel, *args, **kw)


def _there(beside: GraphRecording, real: Any) -> DTensor:
    found = beside.ours(real)
    if found is None:
        raise KeyError("a tensor")
    return found


def _arguments(
    real: Callable[..., Any], self: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Any, ...]:
    """All of a method's arguments but `self`, in its order, defaults included."""
    given = inspect.signature(real).bind(self, *args, **kwargs)
    given.apply_defaults()
    return tuple(given.arguments.values())[1:]


def _wrap(cls: type, name: str, around: Callable[..., Any]) -> None:
    """Put `around(real, self, ...)` in a method's place."""
    real = getattr(cls, name)

    @functools.wraps(real)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return around(real, self, *args, **kwargs)

    setattr(cls, name, method)
