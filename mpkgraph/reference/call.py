"""What a task function is called with: one task, or several of one layer as one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any

from mpkgraph.catalog.task_types import TASK_TYPES
from mpkgraph.errors import MpkGraphError
from mpkgraph.reference.known import KnownProducts

Tensor = Any
"""A `torch.Tensor`; torch is not imported here."""

Point = tuple[int, int, int]


class TaskExecutionError(MpkGraphError):
    """A task can't be executed with what it was given: a meta tensor, param or shape is missing."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a kernel knows of the whole run: compile-time macros and the runtime's configuration."""

    target_cc: int = 90
    world_size: int = 1
    rank: int = 0
    max_seq_length: int = 0
    max_num_batched_requests: int = 1
    max_num_batched_tokens: int = 1
    max_num_pages: int = 0
    page_size: int = 0
    eos_token_id: int = -1
    mode: str = "offline"


@dataclass(frozen=True)
class TaskCall:
    """Tasks of one layer at the grid points `grid_position` .. `grid_position + joined`.

    A single task has `joined` (1, 1, 1) and its tiles as views. A call that stands for several
    tasks has the unions of their tiles, and the metadata of the first. The reference of the whole
    layer is the call with `grid_position` (0, 0, 0), `joined` equal to `grid_dim` and the whole
    tensors as views.

    Views are strided (`torch.as_strided` of a buffer, or slices). A function writes its results
    into `outputs` in place, and into those inputs that the kernel changes (caches). What a kernel
    leaves alone it leaves alone: rows that are not in use keep what they hold.
    """

    task_type: str
    """Name, such as `TASK_RMS_NORM`."""
    inputs: tuple[Tensor | None, ...]
    """In slot order; None for a tensor given as None."""
    outputs: tuple[Tensor | None, ...]
    params: tuple[int, ...] = ()
    """The ints given to `register_task`; empty when not known."""
    registered_name: str | None = None
    """`linear_hopper` and the like; tells apart the names that share a task type."""
    metadata: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """`request_id`, `kv_idx`, `merge_task_offset`, `expert_offset`, `task_offset` of the first
    task, as in the JSON."""
    meta: Mapping[str, Tensor | None] = field(default_factory=lambda: MappingProxyType({}))
    """Meta tensors of the run by PersistentKernel's names: `step`, `tokens`, `input_tokens`,
    `output_tokens`, `num_new_tokens`, `prompt_lengths`, `qo_indptr_buffer`,
    `paged_kv_indptr_buffer`, `paged_kv_indices_buffer`, `paged_kv_last_page_len_buffer`."""
    settings: Settings = field(default_factory=Settings)
    grid_position: Point = (0, 0, 0)
    grid_dim: Point = (1, 1, 1)
    joined: Point = (1, 1, 1)
    """So many grid points along x, y and z are done by this call."""
    input_maps: tuple[Point, ...] = ()
    """For each slot, inputs first, the dim that each grid axis splits (-1 for none); empty when not
    known. Functions that do one task after the other take those of Mirage's layer then."""
    tile_dims: tuple[tuple[int, ...], ...] = ()
    """Dims of one task's tile by slot, inputs first; empty when the views are one task's tiles."""
    peers: Mapping[int, tuple[Tensor | None, ...]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """By rank (this rank too) the views at the same places of that rank's tensors, inputs first:
    what multi-GPU kernels reach. Empty for others."""
    target_rank: int | None = None
    """The rank that owns the trigger event of a put: where it puts."""
    known: KnownProducts | None = None
    """Products of weights that nobody writes, added up by earlier calls; None: add up anew."""

    @property
    def slots(self) -> tuple[Tensor | None, ...]:
        """Inputs, then outputs."""
        return (*self.inputs, *self.outputs)

    def input(self, position: int) -> Tensor:
        """The view of an input slot. Raises TaskExecutionError where it is None or missing."""
        return self._view(self.inputs, position, "input")

    def output(self, position: int) -> Tensor:
        """The view of an output slot. Raises TaskExecutionError where it is None or missing."""
        return self._view(self.outputs, position, "output")

    def param(self, position: int, default: int | None = None) -> int:
        """The int at `position`; `default` for one that is not there.

        Raises TaskExecutionError when it is absent and has no default.
        """
        if position < len(self.params):
            return self.params[position]
        if default is None:
            raise TaskExecutionError(
                f"param {position} of the layer is not known",
                where=self.task_type,
                remedy="Give the pipeline (script or record): a graph alone holds no params",
            )
        return default

    def meta_tensor(self, name: str) -> Tensor:
        """A meta tensor. Raises TaskExecutionError where it is missing: on a GPU, a null pointer
        that the kernel dereferences.
        """
        tensor = self.meta.get(name)
        if tensor is None:
            raise TaskExecutionError(
                f"the kernel reads the meta tensor {name}, which was not given",
                where=self.task_type,
                remedy="Give it in meta_tensors; on the GPU this is an illegal memory access",
            )
        return tensor

    @property
    def num_active_rows(self) -> int:
        """Tokens of the batch: the last entry of `qo_indptr_buffer` that the run uses."""
        requests = self.settings.max_num_batched_requests
        return int(self.meta_tensor("qo_indptr_buffer")[requests])

    def walk(self, name: str) -> range:
        """The values of a metadata field over the tasks of this call: `request_id`, say.

        A field that the generator does not write for this task type has one value.
        """
        axis = _axis_of(self.task_type, name)
        first = self.metadata.get(name)
        if axis is None:
            return range(first or 0, (first or 0) + 1)
        first = self.grid_position[axis] if first is None else first
        return range(first, first + self.joined[axis])

    def tile(self, slot: int) -> tuple[int, ...]:
        """Dims of one task's tile of a slot, inputs first."""
        if self.tile_dims:
            return self.tile_dims[slot]
        view = self.slots[slot]
        return () if view is None else tuple(view.shape)

    def num_tiles(self, slot: int, dim: int) -> int:
        """So many tiles of a slot lie side by side along `dim` in this call."""
        view = self.slots[slot]
        size = self.tile(slot)[dim]
        return 1 if view is None or size == 0 else int(view.shape[dim]) // size

    def _view(self, views: tuple[Tensor | None, ...], position: int, kind: str) -> Tensor:
        view = views[position] if position < len(views) else None
        if view is None:
            raise TaskExecutionError(
                f"{kind} {position} is None, and the kernel needs it",
                where=self.task_type,
                remedy="Give the layer a tensor there",
            )
        return view


@cache
def _axis_of(task_type: str, name: str) -> int | None:
    """The grid axis that a metadata field counts; None where it counts none, or all."""
    for row in TASK_TYPES:
        if row.name == task_type:
            axis = dict(row.metadata).get(name)
            return "xyz".index(axis) if axis in {"x", "y", "z"} else None
    return None
