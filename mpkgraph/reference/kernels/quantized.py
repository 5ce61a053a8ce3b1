"""FP8 (e4m3) with a scale for each block of 128 columns: quantization and linear layers.

Scales are powers of two for the linear layers, as biased exponents packed four to a word
(little-endian), or float32 for the experts, whose kernels take no more than the exponent of them.
"""

from __future__ import annotations

import math
import sys
from functools import cache
from typing import Any

import numpy as np
import torch

from mpkgraph.reference.call import TaskCall
from mpkgraph.reference.kernels.linear import store_with_residual
from mpkgraph.reference.kernels.memory import as_type, rows_of
from mpkgraph.reference.kernels.sums import products_of
from mpkgraph.reference.known import KnownProducts

BLOCK = 128
LARGEST = 448.0
"""Of e4m3."""
SMALLEST = 1e-10
"""Blocks whose elements are all smaller are scaled as if one was as large as this."""
BIAS = 127
NO_EXPONENT = 0xFF
"""Of UE8M0: a NaN."""
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
    words = as_type(weight_scale, torch.int32)
    scaled = float_scaled(x, _powers(as_type(x_scale, torch.int32).T[: len(x)]))
    return scaled_products(scaled, weight, words, call.known)


def scaled_products(
    x: torch.Tensor,
    values: torch.Tensor,
    scale: torch.Tensor,
    known: KnownProducts | None = None,
) -> torch.Tensor:
    """`x @ weight.T` as float32: x (rows, K) float64, the weight in FP8 with scales.

    Values (columns, K); scales float32 (columns, K / 128), of which the power of two counts, or
    words (columns, K / 512) of such. Weights are widened a few rows at a time.
    """

    def widen(start: int, stop: int, out: torch.Tensor) -> None:
        _widen(values[start:stop], out)
        some = scale[start:stop]
        some = power_below(some) if some.dtype == torch.float32 else _powers(some)
        num_blocks = out.shape[1] // BLOCK
        if num_blocks * BLOCK == out.shape[1] and some.shape[1] >= num_blocks:
            out.view(len(out), num_blocks, BLOCK).mul_(some[:, :num_blocks].unsqueeze(2))
        else:
            out.mul_(some.repeat_interleave(BLOCK, 1)[:, : out.shape[1]])

    def compute() -> torch.Tensor:
        return products_of(x, values.shape[0], widen)

    return compute() if known is None else known.find(x, (values, scale), compute)


def float_scaled(values: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Values (..., K) times the scales (..., K / 128) of their blocks, in float64."""
    wide = as_type(values, torch.float8_e4m3fn).double()
    return wide * scale.double().repeat_interleave(BLOCK, -1)[..., : values.shape[-1]]


def _widen(values: torch.Tensor, out: torch.Tensor) -> None:
    """Write FP8 values (rows, K) as float64: two at a time by a table, which is faster by far than
    one after the other.
    """
    if values.shape[1] % 2 or values.stride()[1] != 1 or values.stride()[0] % 2:
        out.copy_(as_type(values, torch.float8_e4m3fn))
        return
    pairs = as_type(values, torch.uint8).numpy()
    if pairs.ctypes.data % 2:
        out.copy_(as_type(values, torch.float8_e4m3fn))
        return
    wide = out.numpy().view(np.complex128)
    np.take(_pairs(), pairs.view(np.uint16), out=wide, mode="clip")  # "raise" makes a copy


@cache
def _pairs() -> Any:
    """By 16 bits the two numbers of FP8 that they are, as the parts of a complex number."""
    every = torch.arange(1 << 8, dtype=torch.int64).to(torch.uint8).view(torch.float8_e4m3fn)
    number = every.double().numpy()
    pairs = np.empty((1 << 8, 1 << 8, 2))
    low, high = (0, 1) if sys.byteorder == "little" else (1, 0)
    pairs[:, :, low] = number
    pairs[:, :, high] = number[:, None]
    return pairs.view(np.complex128).ravel()


def power_below(scale: torch.Tensor) -> torch.Tensor:
    """Of float32 scales what the experts' kernels take: exponents as UE8M0, mantissas dropped."""
    exponent = as_type(scale, torch.int32) >> 23 & 0xFF
    power = torch.exp2((exponent - BIAS).double())
    return power.masked_fill_(exponent == NO_EXPONENT, math.nan)


def _powers(words: torch.Tensor) -> torch.Tensor:
    """Words (rows, K / 512) as the powers of two (rows, K / 128) that their bytes are."""
    shifts = torch.arange(PACKED, dtype=torch.int32) * 8
    exponent = (words.unsqueeze(-1) >> shifts & 0xFF).flatten(1)
    return torch.exp2((exponent - BIAS).double())


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
