"""Integers as Mirage's registrars compute with them: C++ `int`."""

from __future__ import annotations

import math
import struct

_INT32_MIN = -(1 << 31)


def int32(value: int) -> int:
    """`value` after it has wrapped around in 32 bits.

    >>> int32(65536 * 65536 + 5), int32(1 << 31)
    (5, -2147483648)
    """
    return (value + (1 << 31)) % (1 << 32) - (1 << 31)


def divide(dividend: int, divisor: int) -> int:
    """The quotient of two 32-bit integers, cut towards zero.

    Raises ZeroDivisionError where the processor stops Mirage: a divisor of 0, or a quotient that
    does not fit 32 bits.

    >>> divide(7, 2), divide(-7, 2)
    (3, -3)
    """
    if dividend == _INT32_MIN and divisor == -1:
        raise ZeroDivisionError(f"{dividend} / -1 traps as a division by zero does")
    quotient = abs(dividend) // abs(divisor)
    return quotient if (dividend < 0) == (divisor < 0) else -quotient


def float_text(bits: int) -> str:
    """The text that the generated code holds for a float32 with these bits (6 decimals).

    >>> float_text(0x40200000)
    '2.500000'
    """
    (value,) = struct.unpack("<f", struct.pack("<i", int32(bits)))
    if math.isnan(value):
        return "-nan" if bits & (1 << 31) else "nan"
    return f"{value:.6f}"
