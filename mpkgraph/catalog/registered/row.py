"""What a registered task name is, and what its registrar sees of a layer.

Mirage turns each layer into the text of a kernel call, and numbers the different texts of a task
type by first occurrence: `variant_id` (`register_task_variant` in `src/kernel/task_register.cc`
at `de8745d`). A row says which values reach that text.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from mpkgraph.catalog.registered.arithmetic import int32
from mpkgraph.frozen import dataclass

Dims = tuple[int, int, int, int]
"""One number a tensor dim; 0 beyond the rank, as Mirage initialises them."""

ARCHITECTURES = ("ampere", "hopper", "blackwell")
"""Sets of kernels that a graph can be compiled with: cc 90 takes Hopper's, cc 100 Blackwell's,
every other target Ampere's."""


class UndefinedVariantError(Exception):
    """The registrar reads what is not there, so nothing tells the variant: base of the reasons."""


class NullSlotError(UndefinedVariantError):
    """It reads the strides of a tensor given as None: Mirage dereferences a null pointer."""


class MissingStrideError(UndefinedVariantError):
    """It reads a stride beyond the tensor's rank: Mirage reads past the end of an array."""


class MissingSlotError(UndefinedVariantError):
    """It reads a slot that the layer does not have."""


class MissingParamError(UndefinedVariantError):
    """It reads an int that the layer was registered without."""


@dataclass(frozen=True, slots=True)
class SlotFacts:
    """One slot of a layer, as the registrar sees it. Dims and strides are in elements."""

    tile: Dims
    dims: Dims
    """Of the whole tensor."""
    strides: Dims
    """Of the whole tensor; read through `stride`."""
    rank: int
    input_map: tuple[int, int, int]
    is_null: bool = False
    """The layer was given None: dims are 0, and there are no strides to read."""

    def stride(self, dim: int) -> int:
        """The stride of `dim` as a C++ int.

        Raises NullSlotError or MissingStrideError where Mirage has no such stride.
        """
        if self.is_null:
            raise NullSlotError(f"stride {dim} of a tensor given as None")
        if dim >= self.rank:
            raise MissingStrideError(f"stride {dim} of a tensor of rank {self.rank}")
        return int32(self.strides[dim])


@dataclass(frozen=True, slots=True)
class UncheckedSlotFacts(SlotFacts):
    """A slot whose strides beyond the rank read as 0, where Mirage reads whatever lies there."""

    def stride(self, dim: int) -> int:
        """As `SlotFacts.stride`, but for a dim beyond the rank."""
        return SlotFacts.stride(self, dim) if self.is_null or dim < self.rank else 0


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """A layer at the moment of `register_task`. Slots and params beyond those that a registrar
    reads do not matter to it.
    """

    inputs: tuple[SlotFacts, ...]
    """Read through `input`."""
    outputs: tuple[SlotFacts, ...]
    """Read through `output`."""
    params: tuple[int, ...]
    """The ints given to `register_task`; read through `param`."""
    grid_dim: tuple[int, int, int]

    def input(self, position: int) -> SlotFacts:
        """The input slot at `position`. Raises MissingSlotError when there are fewer."""
        if position < len(self.inputs):
            return self.inputs[position]
        raise MissingSlotError(f"input {position}, of {len(self.inputs)}")

    def output(self, position: int) -> SlotFacts:
        """The output slot at `position`. Raises MissingSlotError when there are fewer."""
        if position < len(self.outputs):
            return self.outputs[position]
        raise MissingSlotError(f"output {position}, of {len(self.outputs)}")

    def param(self, position: int, default: int | None = None) -> int:
        """The int at `position`; `default` for one that may be left out.

        Raises MissingParamError when it is absent and has no default.
        """
        if position < len(self.params):
            return self.params[position]
        if default is None:
            raise MissingParamError(f"param {position}, of {len(self.params)}")
        return default


VariantKey = tuple[Hashable, ...]
"""The values that reach the text of a kernel call, equal iff the texts are."""

KeyFunction = Callable[[TaskFacts], VariantKey]
"""Raises UndefinedVariantError, or ZeroDivisionError where Mirage dies of a division."""


@dataclass(frozen=True, slots=True)
class RegisteredTaskRow:
    """One name that `Graph::register_task` knows.

    >>> from mpkgraph.catalog.registered import REGISTERED_TASKS
    >>> row = REGISTERED_TASKS["linear_swapAB_with_residual_hopper"]
    >>> row.task_type, row.num_inputs, row.num_outputs, row.params
    ('TASK_LINEAR_SWAPAB_WITH_RESIDUAL_HOPPER', 3, 1, ('enable_residual',))
    """

    name: str
    task_type: str
    num_inputs: int
    num_outputs: int
    params: tuple[str, ...]
    """What each int means."""
    variant_key: KeyFunction | None
    """Two layers of one `task_type` share a `variant_id` iff their keys are equal, whatever their
    names. None: no code is registered, and `variant_id` is always 0."""
    compiled_for: tuple[str, ...] = ()
    """Of `ARCHITECTURES`, those whose kernels include it; none: the graph can't be compiled."""
    num_optional_params: int = 0
    """So many of the last params may be left out."""
    needs_nvshmem: bool = False
    """Its kernel is there only where several GPUs run together."""

    def __post_init__(self) -> None:
        unknown = set(self.compiled_for).difference(ARCHITECTURES)
        if unknown:
            raise ValueError(f"{self.name}: unknown architectures {sorted(unknown)}")

    @property
    def num_required_params(self) -> int:
        """Fewer make Mirage read past the end of the ints."""
        return len(self.params) - self.num_optional_params
