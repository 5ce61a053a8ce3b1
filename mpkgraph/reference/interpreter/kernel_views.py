"""Tiles as kernels see them, where these are not the tiles that were declared.

A kernel knows its tile from a few numbers that were compiled in (`variant_key` of its task type)
and takes the rest for granted. Where a split gives it something else it does not notice: it goes on
past its tile, or stops before the end. Source: the kernels under
`include/mirage/persistent_kernel/tasks` at `de8745d`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mpkgraph.model.graph import SlotLayout
from mpkgraph.reference.call import TaskCall

# Not typed as more: these modules make views, what a rank is they need not know
Rank = Any
Plan = Any

Adapt = Callable[[TaskCall, "Whole"], TaskCall]


@dataclasses.dataclass(frozen=True)
class Whole:
    """What a layer says of its slots beyond the tile: dims of the tensors."""

    dims: Sequence[tuple[int, ...]]


def as_kernel_sees(call: TaskCall, _rank: Rank, plan: Plan) -> TaskCall:
    """The call of one task with the views that its kernel makes of its pointers."""
    adapt = ADAPTERS.get(call.task_type)
    if adapt is None or any(x is None for x in call.outputs):
        return call
    return adapt(call, Whole([x.slot.tensor_dims for x in plan.slots]))


def is_ordinary(task_type: str, tiles: Sequence[SlotLayout]) -> bool:
    """Whether a kernel sees the tiles of its slots as they were declared, as far as this knows."""
    if task_type not in ADAPTERS or any(x.is_null for x in tiles):
        return True
    dims = [x.dims for x in tiles]
    if task_type in _NORMS:
        rows_touch = _rows_touch(tiles[0]) and _rows_touch(tiles[-1])
        return dims[0] == dims[-1] and len(dims[1]) == 1 and rows_touch
    if any(len(x) != 2 for x in (dims[0], dims[-1])):
        return True
    if task_type in _SILU:
        return dims[0][1] == 2 * dims[-1][1]
    x, weight, out = dims[0], dims[1], dims[-1]
    fits = x[0] == out[0] and weight[0] == out[1] and x[1] == weight[1]
    return fits and _rows_touch(tiles[0]) and _rows_touch(tiles[1])


def _rows_touch(tile: SlotLayout) -> bool:
    """Whether rows lie side by side in memory."""
    return len(tile.dims) != 2 or tile.dims[0] == 1 or tile.strides == (tile.dims[1], 1)


def as_kernel_means(call: TaskCall) -> TaskCall:
    """The call on whole tensors that do not fit each other, cut to what the output asks for."""
    fit = FITS.get(call.task_type)
    if fit is None or any(x is None for x in call.outputs):
        return call
    return fit(call)


def _rows(view: Any, dims: Sequence[int], strides: Sequence[int]) -> Any:
    """A view at the same address; None where the memory ends before."""
    return view.as_strided(tuple(dims), tuple(strides), view.storage_offset())


def _first(call: TaskCall, count: int) -> list[Any]:
    """The first inputs and the first output."""
    return [*call.inputs[:count], call.outputs[0]]


def _rmsnorm(call: TaskCall, _whole: Whole) -> TaskCall:
    """`tile(out)[0]` contiguous rows of `tile(out)[1]`, wherever they end."""
    x, weight, out = _first(call, 2)
    if x is None or weight is None or out.dim() != 2:
        return call
    rows, hidden = out.shape
    dims, strides = (rows, hidden), (hidden, 1)
    if weight.dim() == 1 and x.shape == out.shape and _is_dense(x) and _is_dense(out):
        return call
    return dataclasses.replace(
        call,
        inputs=(_rows(x, dims, strides), _rows(weight, (hidden,), (1,))),
        outputs=(_rows(out, dims, strides),),
    )


def _linear_tma(call: TaskCall, _whole: Whole) -> TaskCall:
    """Descriptors of the tiles with rows side by side; what lies past a tile counts as zero."""
    x, weight, out = _first(call, 2)
    if x is None or weight is None or out.dim() != 2 or x.dim() != 2 or weight.dim() != 2:
        return call
    fits = x.shape[0] == out.shape[0] and weight.shape[0] == out.shape[1]
    if fits and x.shape[1] == weight.shape[1] and _is_dense(x) and _is_dense(weight):
        return call
    k = max(x.shape[1], weight.shape[1])
    x = _padded(_rows(x, x.shape, (x.shape[1], 1)), (out.shape[0], k))
    weight = _padded(_rows(weight, weight.shape, (weight.shape[1], 1)), (out.shape[1], k))
    return dataclasses.replace(call, inputs=(x, weight, *call.inputs[2:]))


def _linear_pointers(call: TaskCall, whole: Whole) -> TaskCall:
    """Rows by pointer arithmetic: as many as the output's tile, each as long as the whole input's.

    The residual's rows are as far apart as the output's.
    """
    x, weight, out = _first(call, 2)
    if x is None or weight is None or out.dim() != 2 or len(whole.dims[0]) != 2:
        return call
    k = whole.dims[0][1]
    inputs: list[Any] = [
        _rows(x, (out.shape[0], k), (k, 1)),
        _rows(weight, (out.shape[1], k), (k, 1)),
        *call.inputs[2:],
    ]
    if len(inputs) > 2 and inputs[2] is not None:
        inputs[2] = _rows(inputs[2], out.shape, out.stride())
    return dataclasses.replace(call, inputs=tuple(inputs))


def _silu_mul(call: TaskCall, _whole: Whole) -> TaskCall:
    """The ups begin as many columns behind the gates as the output's tile has."""
    x, out = _first(call, 1)
    if x is None or out.dim() != 2 or x.shape[1] == 2 * out.shape[1]:
        return call
    return dataclasses.replace(
        call,
        inputs=(_rows(x, (x.shape[0], 2 * out.shape[1]), x.stride()),),
        tile_dims=((x.shape[0], 2 * out.shape[1]), tuple(out.shape)),
    )


def _fit_rows(call: TaskCall) -> TaskCall:
    """Norms: as many rows as the output has, and the weight's first elements."""
    x, weight, out = _first(call, 2)
    if x is None or weight is None or x.dim() != 2 or out.dim() != 2:
        return call
    rows, hidden = (min(a, b) for a, b in zip(x.shape, out.shape, strict=True))
    inputs = (x[:rows, :hidden], weight.flatten()[:hidden])
    return dataclasses.replace(call, inputs=inputs, outputs=(out[:rows, :hidden],))


def _fit_linear(call: TaskCall) -> TaskCall:
    """Linear layers: as many rows of the weight as the output has columns."""
    x, weight, out = _first(call, 2)
    if x is None or weight is None or {x.dim(), weight.dim(), out.dim()} != {2}:
        return call
    rows, columns = min(x.shape[0], out.shape[0]), min(weight.shape[0], out.shape[1])
    k = min(x.shape[1], weight.shape[1])
    rest: list[Any] = [None if y is None else y[:rows, :columns] for y in call.inputs[2:]]
    return dataclasses.replace(
        call, inputs=(x[:rows, :k], weight[:columns, :k], *rest), outputs=(out[:rows, :columns],)
    )


def _is_dense(view: Any) -> bool:
    """Whether rows lie side by side in memory."""
    return bool(view.stride()[0] == view.shape[1] or view.shape[0] == 1)


def _padded(view: Any, dims: Sequence[int]) -> Any:
    """The view cut or filled up with zeros."""
    rows, columns = (min(a, b) for a, b in zip(view.shape, dims, strict=True))
    if tuple(view.shape) == tuple(dims):
        return view
    if (rows, columns) == tuple(dims):
        return view[:rows, :columns]
    filled = view.new_zeros(tuple(dims))
    filled[:rows, :columns] = view[:rows, :columns]
    return filled


_TMA_LINEARS = (
    "TASK_LINEAR_HOPPER",
    "TASK_LINEAR_WITH_RESIDUAL_HOPPER",
    "TASK_LINEAR_SWAPAB_HOPPER",
    "TASK_LINEAR_SWAPAB_WITH_RESIDUAL_HOPPER",
    "TASK_LINEAR_CUTLASS_HOPPER",
    "TASK_LINEAR_CUTLASS_WITH_RESIDUAL_HOPPER",
    "TASK_LINEAR_SM100",
    "TASK_LINEAR_WITH_RESIDUAL_SM100",
)
_POINTER_LINEARS = ("TASK_LINEAR", "TASK_LINEAR_WITH_RESIDUAL")
_SILU = ("TASK_SILU_MUL", "TASK_SILU_MUL_HOPPER")
_NORMS = ("TASK_RMS_NORM", "TASK_RMS_NORM_HOPPER")

ADAPTERS: Mapping[str, Adapt] = {
    **dict.fromkeys(_NORMS, _rmsnorm),
    **dict.fromkeys(_TMA_LINEARS, _linear_tma),
    **dict.fromkeys(_POINTER_LINEARS, _linear_pointers),
    **dict.fromkeys(_SILU, _silu_mul),
}
"""By task type how one task's views become those that its kernel makes."""

FITS: Mapping[str, Callable[[TaskCall], TaskCall]] = {
    **dict.fromkeys(_NORMS, _fit_rows),
    **dict.fromkeys((*_TMA_LINEARS, *_POINTER_LINEARS), _fit_linear),
}
"""By task type how whole tensors that do not fit are cut to what fits."""
