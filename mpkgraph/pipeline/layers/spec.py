"""What a row of the layer table says.

A layer method checks its arguments (`steps`, in Mirage's order), declares one thread-block graph
(`block`: slots, then the task that the target's compute capability selects), or calls other
layers (`expand`). Escape hooks are named functions of a `Call`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Container
from dataclasses import field
from functools import cached_property
from typing import Any

from mpkgraph.frozen import dataclass
from mpkgraph.model.operator import InputMap
from mpkgraph.pipeline.layers.call import Call

FAMILIES = (
    "embedding",
    "norm",
    "linear",
    "attention",
    "mla",
    "moe",
    "fp8",
    "elementwise",
    "multigpu",
    "sampling",
    "speculative",
    "mtp",
)

Step = Callable[[Call], None]
"""A check, or a formula that adds to the call's values."""
ParamSource = str | int
"""A parameter of a registered task: a number, or a name that the call knows; `kernel.NAME` is an
attribute of the kernel.
"""
REQUIRED = inspect.Parameter.empty
WHOLE: InputMap = (-1, -1, -1)
"""No grid axis splits this tensor."""
ANY = range(1000)
"""Every compute capability."""


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter of the method; `default` is `REQUIRED` when it has none."""

    name: str
    annotation: str = "DTensor"
    default: Any = REQUIRED


def tensors(names: str) -> tuple[Param, ...]:
    """Tensor parameters by name, separated by spaces."""
    return tuple(Param(name) for name in names.split())


def integers(names: str) -> tuple[Param, ...]:
    return tuple(Param(name, "int") for name in names.split())


LAUNCH = (Param("grid_dim", "tuple"), Param("block_dim", "tuple"))


@dataclass(frozen=True, slots=True)
class SlotSpec:
    """A tensor slot in the order declared, inputs first.

    `name` is a parameter, or a value that a step took out of one. Grid axis a splits tensor dim
    `input_map[a]`.
    """

    name: str
    input_map: InputMap | Callable[[Call], InputMap] = WHOLE
    forloop_dim: int = -1
    shape: str = ""
    """What the dimensions are, for people."""

    def map_for(self, call: Call) -> InputMap:
        return self.input_map(call) if callable(self.input_map) else self.input_map


@dataclass(frozen=True, slots=True)
class Dispatch:
    """The task that is registered `when` the target's compute capability is in `cc`.

    `params` None is what Mirage passes where it passes none; a record tells it from an empty list.
    """

    task: str
    cc: Container[int] = ANY
    params: tuple[ParamSource, ...] | None = None
    when: Callable[[Call], bool] | None = None
    """A further condition, on the arguments."""
    register: Callable[[Call], str] | None = None
    """The name, where it is an argument; `task` then describes it."""

    def applies(self, cc: int, call: Call) -> bool:
        return cc in self.cc and (self.when is None or self.when(call))


@dataclass(frozen=True, slots=True)
class Refusal:
    """What Mirage raises where no dispatch applies, after the graph has the layer."""

    kind: type[Exception]
    upstream: str = ""
    """Mirage's message; `{cc}` is the target's compute capability."""


@dataclass(frozen=True, slots=True)
class BlockSpec:
    """A thread-block graph of a layer."""

    slots: tuple[SlotSpec, ...]
    dispatch: tuple[Dispatch, ...]
    refusal: Refusal | None = None
    """None where every target has a task."""
    grid_checks: tuple[Step, ...] = ()
    """Mirage makes them once the grid is known to be three numbers."""
    before_register: tuple[Step, ...] = ()
    """Mirage fails there after the graph has the layer."""


@dataclass(frozen=True)
class LayerSpec:
    """One layer method.

    Raises ValueError when the row contradicts itself.
    """

    method: str
    family: str
    doc: str
    """One line: what it computes, or what it is for."""
    parameters: tuple[Param, ...]
    block: BlockSpec | None = None
    steps: tuple[Step, ...] = ()
    expand: Callable[[Call], Any] | None = None
    """For a layer that is more than one block: does it all, after the steps."""
    blocks: tuple[BlockSpec, ...] = ()
    """Blocks that `expand` may emit, for documentation."""
    calls: tuple[str, ...] = ()
    """Layer methods that `expand` may call, for documentation."""
    tasks: tuple[str, ...] = ()
    """Tasks that those register under names which their rows leave open."""
    notes: str = ""
    """What a user would not expect."""
    shapes: dict[str, str] = field(default_factory=dict)
    """Shapes of parameters that are no slots by their own name."""

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise ValueError(f"{self.method}: unknown family {self.family!r}")
        if (self.block is None) == (self.expand is None):
            raise ValueError(f"{self.method}: either a block or an expansion")

    @cached_property
    def signature(self) -> inspect.Signature:
        """Parameters as Mirage's method has them, `self` included."""
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        return inspect.Signature(
            [
                inspect.Parameter("self", kind),
                *(
                    inspect.Parameter(x.name, kind, default=x.default, annotation=x.annotation)
                    for x in self.parameters
                ),
            ]
        )

    @property
    def all_blocks(self) -> tuple[BlockSpec, ...]:
        return self.blocks if self.block is None else (self.block,)

    def tasks_on(self, cc: int) -> tuple[str, ...]:
        """Tasks that this row itself may register on a target, `tasks` included; none where it
        refuses, and where it only calls other layers.
        """
        # The first row without a condition ends the search.
        found: list[str] = []
        for block in self.all_blocks:
            for row in block.dispatch:
                if cc in row.cc:
                    found.append(row.task)
                    if row.when is None:
                        break
        return (*dict.fromkeys(found), *self.tasks)

    def docstring(self) -> str:
        """For `help()`: what, then shapes and notes."""
        lines = [self.doc]
        shapes = dict(self.shapes)
        for block in self.all_blocks:
            shapes.update({slot.name: slot.shape for slot in block.slots if slot.shape})
        if shapes:
            lines += ["", "Shapes:", *(f"    {name}: {shape}" for name, shape in shapes.items())]
        if self.notes:
            lines += ["", self.notes]
        return "\n".join(lines)
