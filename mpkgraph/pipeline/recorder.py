"""What Mirage's kernel graph is told, call by call, and the record that this adds up to.

Mirrors `KNGraph` of `python/mirage/kernel.py` over `src/kernel/graph.cc`: what is checked there
(by a default build, without C++ asserts) is checked here; where its process would die, here is an
error. Nothing is planned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from mpkgraph.model.record import (
    CallSite,
    LogEntry,
    PipelineRecord,
    RecordedTensor,
    RegisteredTask,
    TensorCall,
    TensorRef,
)
from mpkgraph.pipeline.call_site import user_site
from mpkgraph.pipeline.dtypes import dtype, in_core, torch_name
from mpkgraph.pipeline.open_log import OpenBlock, OpenLayer, ref, to_json
from mpkgraph.pipeline.refusal import exception_text, fatal
from mpkgraph.pipeline.tensors import MAX_TENSOR_DIMS, DTensor, row_major

MIRAGE_COMMIT = "de8745d9"
"""The version of Mirage whose behaviour this package follows."""


Watcher = Callable[["PipelineRecorder"], None]

_WATCHER: ContextVar[Watcher | None] = ContextVar("mpkgraph_watcher", default=None)


@contextmanager
def watch_registrations(watcher: Watcher) -> Iterator[None]:
    """Tell `watcher` of each task that is registered inside, in the order of the whole process."""
    token = _WATCHER.set(watcher)
    try:
        yield
    finally:
        _WATCHER.reset(token)


class PipelineRecorder:
    """Takes the calls of one kernel graph and gives their record.

    Shapes and strides are in elements. Tensors get ids in the order they are made.
    """

    def __init__(self) -> None:
        self._handles: list[DTensor] = []
        self._tensors: list[RecordedTensor] = []
        self._log: list[TensorCall | OpenLayer | OpenBlock] = []
        self._sites: list[CallSite | None] = []
        self._layers: list[OpenLayer] = []
        self._attached: set[int] = set()
        self._used: set[int] = set()
        self._last_operator: OpenBlock | None = None

    # Tensors

    def new_input(
        self, dims: Sequence[int], strides: Sequence[int] | None, data_type: dtype
    ) -> DTensor:
        """A tensor of the graph that has no name yet; it joins the record when attached."""
        sizes = tuple(dims)
        if len(sizes) > MAX_TENSOR_DIMS:
            fatal(
                f"a tensor with {len(sizes)} dimensions: {list(sizes)}",
                remedy=f"Mirage has room for {MAX_TENSOR_DIMS}; join some of them",
            )
        steps = row_major(sizes) if strides is None else tuple(strides)
        tensor = DTensor(len(self._handles), sizes, steps, in_core(data_type))
        self._handles.append(tensor)
        self._last_operator = None
        return tensor

    def tensor(self, guid: int) -> DTensor:
        """The tensor with this id. Raises IndexError when none was made."""
        return self._handles[guid]

    def attach_input(self, tensor: DTensor, name: str, torch_type: Any) -> None:
        """Bind a tensor to a torch tensor of the caller."""
        self._attach(tensor, "attach_input", name, torch_dtype=torch_name(torch_type))

    def attach_buffer(self, tensor: DTensor, name: str, io_category: str) -> None:
        """Bind a tensor to memory that the generated code allocates: `cuda_tensor` (cudaMalloc)
        or `nvshmem_tensor`.
        """
        self._attach(tensor, "new_tensor", name, io_category=io_category)

    def fuse_tensors(
        self, inputs: Sequence[DTensor], dim: int, num_groups: int, name: str | None
    ) -> DTensor:
        """One tensor over several; a tile of it is a tile of one of them."""
        return self._put_together("fuse_tensors", inputs, dim, num_groups, name)

    def shuffle_tensors(
        self, inputs: Sequence[DTensor], dim: int, num_groups: int, name: str | None
    ) -> DTensor:
        """A new buffer in which the rows of the inputs take turns in groups."""
        return self._put_together("shuffle_tensors", inputs, dim, num_groups, name)

    def _attach(
        self,
        tensor: DTensor,
        kind: str,
        name: str,
        *,
        torch_dtype: str | None = None,
        io_category: str | None = None,
    ) -> None:
        if tensor.guid in self._attached:
            return  # Mirage keeps what it was told first
        tensor.name = name
        self._attached.add(tensor.guid)
        self._add_tensor(tensor, name, kind, torch_dtype=torch_dtype, io_category=io_category)

    def _put_together(
        self, op: str, inputs: Sequence[DTensor], dim: int, num_groups: int, name: str | None
    ) -> DTensor:
        if name is None:
            fatal(f"{op} without a name", remedy="Give name=...")
        if not inputs:
            fatal(f"{op} of no tensors", remedy="Give at least one")
        if dim != 0:
            fatal(f"{op} along dimension {dim}", remedy="Mirage puts tensors together along 0")
        first = inputs[0]
        for tensor in inputs:
            if tensor.guid not in self._attached:
                fatal(
                    f"{tensor} is not a buffer: it was never attached, or fuse_tensors or "
                    "shuffle_tensors took it already",
                    remedy="Attach a tensor once for each tensor that it is put into",
                )
        rows = sum(tensor.dims[0] for tensor in inputs)
        whole = self.new_input((rows, *first.dims[1:]), None, first.dtype)
        whole.name = name
        refs = tuple(ref(tensor) for tensor in inputs)
        # The parts stop being buffers of their own.
        self._attached.difference_update(tensor.guid for tensor in inputs)
        self._attached.add(whole.guid)
        self._add_tensor(whole, name, op, inputs=refs, dim=dim, num_groups=num_groups)
        return whole

    def _add_tensor(
        self,
        tensor: DTensor,
        name: str,
        kind: str,
        *,
        torch_dtype: str | None = None,
        io_category: str | None = None,
        inputs: tuple[TensorRef, ...] | None = None,
        dim: int | None = None,
        num_groups: int | None = None,
    ) -> None:
        data_type = tensor.dtype.name
        self._tensors.append(
            RecordedTensor(
                id=tensor.guid,
                name=name,
                kind=kind,
                dims=tensor.dims,
                strides=tensor.strides,
                dtype=data_type,
                torch_dtype=torch_dtype,
                io_category=io_category,
            )
        )
        # Tensors that a layer makes stand in the log after that layer, not inside it.
        self._append_top(
            TensorCall(
                op=kind,
                tensor=tensor.guid,
                name=name,
                dims=tensor.dims,
                strides=tensor.strides,
                dtype=data_type,
                io_category=io_category,
                inputs=inputs,
                dim=dim,
                num_groups=num_groups,
            )
        )

    # Layers and thread-block graphs

    @contextmanager
    def layer(self, method: str, args: Mapping[str, Any]) -> Iterator[None]:
        """What happens inside belongs to this call; an exception is noted and goes on."""
        call = OpenLayer(method, {name: to_json(value) for name, value in args.items()})
        self._append(call)
        self._layers.append(call)
        try:
            yield
        except Exception as error:
            call.exception = exception_text(error)
            raise
        finally:
            self._layers.pop()

    def customized(self, inputs: Sequence[DTensor | None], block: OpenBlock) -> None:
        """Make a thread-block graph an operator of the kernel graph."""
        self._used.update(tensor.guid for tensor in inputs if tensor is not None)
        block.customized = tuple(None if tensor is None else ref(tensor) for tensor in inputs)
        self._append(block)
        self._last_operator = block

    def register_task(self, name: str, params: Sequence[int | float] | None) -> None:
        """Say what task the last operator is, whichever graph the caller names."""
        if self._last_operator is None:
            fatal(
                f"register_task({name!r}) does not follow customized(): the last operator of the "
                "graph is a tensor",
                remedy="Call it right after customized()",
            )
        self._last_operator.register_task = RegisteredTask(
            name, None if params is None else tuple(params)
        )
        watcher = _WATCHER.get()
        if watcher is not None:
            watcher(self)

    def _append(self, entry: OpenLayer | OpenBlock) -> None:
        if self._layers:
            self._layers[-1].lowlevel.append(entry)
        else:
            self._append_top(entry)

    def _append_top(self, entry: TensorCall | OpenLayer | OpenBlock) -> None:
        self._log.append(entry)
        self._sites.append(user_site())

    # The result

    def record(
        self,
        *,
        target_cc: int,
        init: Mapping[str, Any],
        origin: Mapping[str, Any] | None = None,
        generate: Mapping[str, Any] | None = None,
        exception: str | None = None,
    ) -> PipelineRecord:
        """Everything so far. `exception` is what ended the pipeline, as `exception_text` says it.

        Raises PipelineError when a layer uses a tensor that was never attached.
        """
        known = {tensor.id for tensor in self._tensors}
        for guid in sorted(self._used - known):
            fatal(
                f"{self._handles[guid]} is used by a layer but has no memory and no name",
                remedy="Attach it: attach_input, new_tensor or attach_cuda_tensor",
            )
        return PipelineRecord(
            mirage_commit=MIRAGE_COMMIT,
            target_cc=target_cc,
            init=init,
            tensors=tuple(self._tensors),
            log=tuple(_frozen(entry) for entry in self._log),
            origin=origin,
            generate=generate,
            extra={} if exception is None else {"exception": exception},
            call_sites=tuple(self._sites),
        )


def _frozen(entry: TensorCall | OpenLayer | OpenBlock) -> LogEntry:
    return entry if isinstance(entry, TensorCall) else entry.freeze()
