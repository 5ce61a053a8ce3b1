"""`PersistentKernel` as a user's script sees it: Mirage's parameters, attributes and methods.

Source: `python/mirage/mpk/persistent_kernel.py`. It takes calls and gives a record; compiling and
running belong to whoever holds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mpkgraph.model.record import PipelineRecord
from mpkgraph.pipeline import call_site
from mpkgraph.pipeline.dtypes import bfloat16, dtype, from_torch
from mpkgraph.pipeline.graphs import CyKNGraph, KNGraph
from mpkgraph.pipeline.layers import LAYERS
from mpkgraph.pipeline.layers.method import method_of
from mpkgraph.pipeline.meta_tensors import check_meta_tensors
from mpkgraph.pipeline.open_log import to_json
from mpkgraph.pipeline.refusal import arithmetic, need_attribute, refuse
from mpkgraph.pipeline.target import current_target
from mpkgraph.pipeline.tensors import DTensor, TensorSpec, row_major

MODES = ("offline", "online", "online_multi_turn", "online_notoken", "onepass")
SNAPSHOT = "paged_kv_indices_snapshot"
"""The meta tensor that Mirage adds when it is not given."""


class PersistentKernel:
    """A pipeline in the making, for the target of the session (`use_target`).

    Raises an error that is a ValueError for an unknown mode, and outside test mode an
    AssertionError or KeyError when a meta tensor is missing or does not fit.
    """

    argmax_partial_output_size: int
    """Set by `argmax_partial_layer`."""

    def __init__(
        self,
        mode: str,
        world_size: int,
        mpi_rank: int,
        num_workers: int,
        num_local_schedulers: int,
        num_remote_schedulers: int,
        max_seq_length: int,
        max_num_batched_requests: int,
        max_num_batched_tokens: int,
        max_num_pages: int,
        page_size: int,
        meta_tensors: dict[str, Any],
        profiler_tensor: Any,
        trace_name: str,
        spec_decode_config: Any,
        use_cutlass_kernel: bool,
        eos_token_id: int = -1,
        test_mode: bool = False,
    ) -> None:
        self._init: Mapping[str, Any] = {
            "mode": mode,
            "world_size": to_json(world_size),
            "mpi_rank": to_json(mpi_rank),
            "num_workers": to_json(num_workers),
            "num_local_schedulers": to_json(num_local_schedulers),
            "num_remote_schedulers": to_json(num_remote_schedulers),
            "max_seq_length": to_json(max_seq_length),
            "max_num_batched_requests": to_json(max_num_batched_requests),
            "max_num_batched_tokens": to_json(max_num_batched_tokens),
            "max_num_pages": to_json(max_num_pages),
            "page_size": to_json(page_size),
            "profiler_tensor": to_json(profiler_tensor),
            "trace_name": trace_name,
            "spec_decode_config": to_json(spec_decode_config),
            "use_cutlass_kernel": use_cutlass_kernel,
            "eos_token_id": to_json(eos_token_id),
            "test_mode": test_mode,
        }
        self.__finalized__ = False
        self._is_compiled = False
        self.test_mode = test_mode
        with call_site.doing("PersistentKernel"):
            if mode not in MODES:
                refuse(
                    ValueError,
                    f"mode is {mode!r}",
                    remedy=f"Use one of {', '.join(MODES)}",
                    upstream=f"Invalid persistent kernel mode: {mode}",
                )
        self.mode = mode
        self.world_size = world_size
        self.mpi_rank = mpi_rank
        self.num_workers = num_workers
        self.num_local_schedulers = num_local_schedulers
        self.num_remote_schedulers = num_remote_schedulers
        self.max_seq_length = max_seq_length
        self.max_num_batched_requests = max_num_batched_requests
        self.max_num_batched_tokens = max_num_batched_tokens
        self.max_num_pages = max_num_pages
        self.page_size = page_size
        self.eos_token_id = eos_token_id
        self.kn_graph = KNGraph(CyKNGraph(disable_fingerprint=True))
        self.meta_tensors = meta_tensors
        self._snapshot: TensorSpec | None = None
        if SNAPSHOT not in self.meta_tensors:
            self._snapshot = self.meta_tensors[SNAPSHOT] = TensorSpec((max_num_pages,), "int32")
        self.profiler_tensor = profiler_tensor
        self.trace_name = trace_name
        with call_site.doing("PersistentKernel"), arithmetic("world_size > 1"):
            self.use_nvshmem = world_size > 1
        self.spec_decode_config = spec_decode_config
        self.use_cutlass_kernel = use_cutlass_kernel
        self._model_tensors: dict[str, Any] = {}
        self._spec_decode_handlers: dict[str, Any] = {
            "promptlookup": self.prompt_lookup_spec_handler
        }
        self._spec_verify_handlers: dict[str, Any] = {
            "promptlookup": self.prompt_lookup_verify_handler
        }
        self.allocate_nvshmem_teams = 0
        self.target = current_target()
        self.target_cc = self.target.cc
        if test_mode:
            self.total_num_requests = 1
            return
        with call_site.doing("PersistentKernel"):
            self.total_num_requests = check_meta_tensors(
                meta_tensors,
                max_seq_length=max_seq_length,
                max_num_batched_requests=max_num_batched_requests,
                max_num_pages=max_num_pages,
            )

    if TYPE_CHECKING:  # layer methods come from the table, below

        def __getattr__(self, method: str) -> Any: ...

    @classmethod
    def get_default_init_parameters(cls) -> dict[str, Any]:
        """Parameters for one GPU and one token; add `test_mode=True` for a test."""
        return {
            "mode": "offline",
            "world_size": 1,
            "mpi_rank": 0,
            "num_workers": 1,
            "num_local_schedulers": 4,
            "num_remote_schedulers": 0,
            "max_seq_length": 1,
            "max_num_batched_requests": 1,
            "max_num_batched_tokens": 1,
            "max_num_pages": 1,
            "page_size": 1,
            "meta_tensors": {},
            "profiler_tensor": None,
            "trace_name": "test_trace",
            "spec_decode_config": None,
            "use_cutlass_kernel": False,
            "eos_token_id": -1,
        }

    # Tensors

    def attach_input(self, torch_tensor: Any, name: str | None = None) -> DTensor:
        """A tensor of the caller: row-major, or 2-D column-major.

        Anything with `shape`, `stride()` and `dtype` will do. Raises an error that is an
        AssertionError for another layout or no name, a RuntimeError for a type Mirage lacks.
        """
        with call_site.doing("attach_input"):
            for attribute in ("shape", "stride", "dtype"):
                need_attribute(torch_tensor, attribute, "torch_tensor", "Give a torch tensor")
            dims = tuple(torch_tensor.shape)
            strides = tuple(torch_tensor.stride())
            _check_layout(dims, strides, name)
            data_type = from_torch(torch_tensor.dtype)
            graph = self.kn_graph.cygraph
            tensor = graph.new_input(dims, strides, data_type)
            graph.attach_torch_tensor(tensor, torch_tensor, _need_name(name))
            self._model_tensors[_need_name(name)] = torch_tensor
            return tensor

    def new_tensor(
        self,
        dims: tuple[int, ...],
        strides: tuple[int, ...] | None = None,
        dtype: dtype = bfloat16,
        name: str | None = None,
        io_category: str = "cuda_tensor",
    ) -> DTensor:
        """A buffer that the generated code allocates, row-major unless strides are given.

        `io_category` is `cuda_tensor` or `nvshmem_tensor` (memory that other GPUs reach). Raises
        an error that is an AssertionError without a name, a RuntimeError for another category.
        """
        with call_site.doing("new_tensor"):
            tensor = self.kn_graph.new_input(dims=dims, strides=strides, dtype=dtype)
            label = _need_name(name)
            need_attribute(label, "replace", "name", "Give a string")
            graph = self.kn_graph.cygraph
            if io_category == "cuda_tensor":
                graph.attach_cuda_tensor(tensor, label)
            elif io_category == "nvshmem_tensor":
                graph.attach_nvshmem_tensor(tensor, label)
            else:
                refuse(
                    RuntimeError,
                    f"io_category of {label!r} is {io_category!r}",
                    remedy="Use cuda_tensor or nvshmem_tensor",
                    upstream=f"Invalid io_category: {io_category}",
                )
            return tensor

    def fuse_tensors(
        self, inputs: list[DTensor], fused_dim: int, num_groups: int, name: str | None = None
    ) -> DTensor:
        """One tensor over several along dimension 0, without a buffer of its own."""
        with call_site.doing("fuse_tensors"):
            _need_first_dim("fused_dim", fused_dim)
            graph = self.kn_graph.cygraph
            return graph.fuse_tensors(inputs, fused_dim, num_groups, name)

    def shuffle_tensors(
        self, inputs: list[DTensor], shuffled_dim: int, num_groups: int, name: str | None = None
    ) -> DTensor:
        """A new buffer in which the inputs' rows take turns in `num_groups` groups."""
        with call_site.doing("shuffle_tensors"):
            _need_first_dim("shuffled_dim", shuffled_dim)
            graph = self.kn_graph.cygraph
            return graph.shuffle_tensors(inputs, shuffled_dim, num_groups, name)

    # The result

    def record(
        self,
        *,
        origin: Mapping[str, Any] | None = None,
        generate: Mapping[str, Any] | None = None,
        exception: str | None = None,
    ) -> PipelineRecord:
        """The pipeline so far; `call_sites` of it names the user's line of each entry.

        `generate` may hold what was generated (`num_gpus`, `my_gpu_id`), `exception` what ended
        the script (`exception_text`). Raises PipelineError when a layer uses a tensor that was
        never attached.
        """
        return self.kn_graph.cygraph.recorder.record(
            target_cc=self.target_cc,
            init={**self._init, "meta_tensors": self._given_meta_tensors()},
            origin=origin,
            generate=generate,
            exception=exception,
        )

    def _given_meta_tensors(self) -> Any:
        """As they are now: Mirage takes them in compile(), so a script may add some until then."""
        return to_json({k: v for k, v in self.meta_tensors.items() if v is not self._snapshot})


for _spec in LAYERS:
    setattr(PersistentKernel, _spec.method, method_of(_spec))


def _check_layout(dims: tuple[int, ...], strides: tuple[int, ...], name: str | None) -> None:
    row = all(strides[d] == strides[d + 1] * dims[d + 1] for d in range(len(dims) - 1))
    column = len(dims) == 2 and strides[0] == 1 and strides[1] >= dims[0]
    if not row and not column:
        refuse(
            AssertionError,
            f"{name!r} {list(dims)} has strides {list(strides)}: it is neither row-major nor a "
            "2-D column-major tensor",
            remedy=f"Attach tensor.contiguous(), whose strides are {list(row_major(dims))}",
            upstream=f"Tensor must be row-major or column-major, got dims={dims} strides={strides}",
        )


def _need_name(name: str | None) -> str:
    if name is None:
        refuse(AssertionError, "a tensor without a name", remedy="Give name=...")
    return name


def _need_first_dim(argument: str, value: Any) -> None:
    if value != 0:
        refuse(
            AssertionError,
            f"{argument} is {value!r}",
            remedy="Mirage puts tensors together along dimension 0 only",
        )


__all__ = ["MODES", "PersistentKernel"]
