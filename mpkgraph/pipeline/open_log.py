"""Log entries while they are being made, and arguments as a record shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mpkgraph.model.operator import Grid, InputMap
from mpkgraph.model.record import BlockGraph, LayerCall, LayerSlot, RegisteredTask, TensorRef
from mpkgraph.pipeline.dtypes import dtype, torch_name
from mpkgraph.pipeline.tensors import DTensor, STensor, is_tensor_like, tile_dims


@dataclass(slots=True)
class OpenBlock:
    """A thread-block graph that is being put together: grid and slots, then what it became."""

    grid_dim: Grid
    forloop_range: int = 1
    slots: list[LayerSlot] = field(default_factory=list)
    customized: tuple[TensorRef | None, ...] = ()
    register_task: RegisteredTask | None = None

    def new_slot(
        self,
        tensor: DTensor | None,
        input_map: InputMap,
        forloop_dim: int,
        *,
        store_in_dmem: bool,
    ) -> STensor:
        """Add a slot; outputs are slots too, after the inputs. Returns the tile."""
        shown = TensorRef(None, None) if tensor is None else ref(tensor)
        self.slots.append(
            LayerSlot(shown.tensor, shown.name, input_map, forloop_dim, store_in_dmem=store_in_dmem)
        )
        if tensor is None:
            return STensor(len(self.slots), (), None)
        tile = tile_dims(tensor.dims, self.grid_dim, input_map)
        tile = tile_dims(tile, (self.forloop_range, 1, 1), (forloop_dim, -1, -1))
        return STensor(len(self.slots), tile, tensor.dtype)

    def freeze(self) -> BlockGraph:
        # Every layer's range is 1; a graph of the user's own may say something else.
        extra = {} if self.forloop_range == 1 else {"forloop_range": self.forloop_range}
        slots = tuple(self.slots)
        return BlockGraph(self.grid_dim, slots, self.customized, self.register_task, extra)


@dataclass(slots=True)
class OpenLayer:
    """A layer call that may still be running."""

    method: str
    args: Mapping[str, Any]
    lowlevel: list[OpenLayer | OpenBlock] = field(default_factory=list)
    exception: str | None = None

    def freeze(self) -> LayerCall:
        extra = {} if self.exception is None else {"exception": self.exception}
        lowlevel = tuple(entry.freeze() for entry in self.lowlevel)
        return LayerCall(self.method, self.args, lowlevel, extra)


def to_json(value: Any) -> Any:
    """An argument as a record shows it."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, DTensor):
        return ref(value).to_json()
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, dtype):
        return value.name
    if is_tensor_like(value):
        return {
            "torch": [int(x) for x in value.shape],
            "strides": [int(x) for x in value.stride()],
            "dtype": torch_name(value.dtype),
        }
    if hasattr(value, "__index__"):
        return int(value)  # numpy's integers
    if hasattr(value, "__dict__"):
        fields = {name: to_json(item) for name, item in vars(value).items()}
        return {"object": type(value).__name__, "fields": fields}
    return repr(value)


def ref(tensor: DTensor) -> TensorRef:
    """A tensor where an entry refers to it."""
    return TensorRef(tensor.guid, tensor.name)
