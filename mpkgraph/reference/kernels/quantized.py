"""FP8 (e4m3) with a scale for each block of 128 columns: quantization and linear layers.

Scales are powers of two for the linear layers, as biased exponents packed four to a word
(little-endian), or float32 for the experts.
"""

from __future__ import annotations

import torch

from mpkgraph.reference.call import TaskCall
from mpkgraph.reference.kernels.linear import store_with_residual
from mpkgraph.reference.kernels.memory import as_type, rows_of
from mpkgraph.reference.kernels.sums import products

BLOCK = 128
LARGEST = 448.0
"""Of e4m3."""
SMALLEST = 1e-10
"""Blocks whose elements are all smaller are scaled as if one was as large as this."""
BIAS = 127
PACKED = 4


def quantize(call: TaskCall) -> None:
    """Scale each block of a row so that its largest element is at most 448, and round to e4m3.

    Input (..., hidden), values of the same shape, scales: float32 (..., hidden / 128), or packed
    words (hidden / 512, rows). A task does the row that `request_id` names, counted over all
    outer dims.
    """
    rows = call.walk("request_id")
    some = slice(rows.start, rows.stop)
    x, values, scales = call.input(0), call.output(0), call.output(1)
    blocks = x.flatten(0, -2)[some].float().unflatten(1, (-1, BLOCK))
    scale = blocks.abs().amax(2).clamp(min=SMALLEST) / torch.tensor(LARGEST)
    is_packed = scales.dtype != torch.float32
    if is_packed:
        exponent = torch.ceil(torch.log2(scale.double()).float()).to(torch.int64) + BIAS
        exponent = exponent.clamp(0, 255)
        scale = torch.exp2((exponent - BIAS).double()).float()
    fitted = (blocks / scale.unsqueeze(2)).clamp(-LARGEST, LARGEST)
    out = _outer_rows(call, as_type(values, torch.float8_e4m3fn))
    out[some] = fitted.flatten(1).to(torch.float8_e4m3fn)
    if is_packed:
        as_type(scales, torch.int32)[:, some] = _pack(exponent).T
    else:
        _outer_rows(call, scales)[some] = scale


def linear_fp8(call: TaskCall) -> None:
    """`out[b, n] = sum_k x[b, k] * w[n, k]` with both in FP8, rounded once.

    x (rows, K), its scales (K / 512, rows), w (columns, K), its scales (columns, K / 512).
    """
    call.output(0).copy_(_products(call))


def linear_fp8_with_residual(call: TaskCall) -> None:
    """As `linear_fp8`, plus a residual (rows, columns) where param 0 is 1, rounded once."""
    store_with_residual(call, _products(call), 4)


def _products(call: TaskCall) -> torch.Tensor:
    x, x_scale, weight, weight_scale = (call.input(i) for i in range(4))
    return products(
        _word_scaled(x, as_type(x_scale, torch.int32).T[: len(x)]),
        _word_scaled(weight, as_type(weight_scale, torch.int32)),
    )


def float_scaled(values: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Values (..., K) times the float32 scales (..., K / 128) of their blocks, in float64."""
    wide = as_type(values, torch.float8_e4m3fn).double()
    return wide * scale.double().repeat_interleave(BLOCK, -1)[..., : values.shape[-1]]


def _word_scaled(values: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
    """Values (rows, K) times the powers of two in words (rows, K / 512)."""
    shifts = torch.arange(PACKED, dtype=torch.int32) * 8
    exponent = (words.unsqueeze(-1) >> shifts & 0xFF).flatten(1)
    return float_scaled(values, torch.exp2((exponent - BIAS).double()))


def _pack(exponent: torch.Tensor) -> torch.Tensor:
    """Bytes (rows, blocks) to words (rows, blocks / 4), filled up with 0."""
    rows, blocks = exponent.shape
    filled = torch.zeros(rows, -(-blocks // PACKED) * PACKED, dtype=torch.uint8)
    filled[:, :blocks] = exponent.to(torch.uint8)
    return filled.view(torch.int32)


def _outer_rows(call: TaskCall, view: torch.Tensor) -> torch.Tensor:
    """(rows, columns) of the same memory, with the outer dims as one."""
    if view.dim() == 2:
        return view
    return rows_of(call, view, view.shape[-1], view.numel() // view.shape[-1])
