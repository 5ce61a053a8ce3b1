"""Arguments that Mirage's Cython turns into C numbers: what it takes, and how it refuses others."""

from __future__ import annotations

import numpy as np
import pytest

from mpkgraph.pipeline.c_types import c_int, c_size, c_triple, c_unsigned, exactly


@pytest.mark.parametrize(
    ("convert", "low", "high"),
    [
        (c_int, -(1 << 31), (1 << 31) - 1),
        (c_unsigned, 0, (1 << 32) - 1),
        (c_size, 0, (1 << 64) - 1),
    ],
)
def test_ranges(convert, low, high):
    assert (convert(low, "n"), convert(high, "n")) == (low, high)
    for value in (low - 1, high + 1):
        what = "is negative" if value < 0 and low == 0 else "does not fit"
        with pytest.raises(OverflowError, match=what):
            convert(value, "n")


@pytest.mark.parametrize(("value", "number"), [(2.7, 2), (True, 1), (np.int64(5), 5), (-0.5, 0)])
def test_what_becomes_a_number(value, number):
    assert c_int(value, "n") == number


@pytest.mark.parametrize(
    ("value", "error", "says"),
    [
        ("7", TypeError, "n: '7' is no number"),
        (None, TypeError, "n: None is no number"),
        ([1], TypeError, r"n: \[1\] is no number"),
        (float("nan"), ValueError, "n: nan is no integer"),
        (float("inf"), OverflowError, "n: inf is no integer"),
        ("y" * 58, TypeError, f"n: '{'y' * 58}' is no number"),
        ("y" * 59, TypeError, f"n: '{'y' * 56}... is no number"),
    ],
)
def test_what_is_no_number(value, error, says):
    with pytest.raises(error, match=says):
        c_int(value, "n")


def test_a_value_of_one_type_alone():
    exactly((1, 2), tuple, "map")
    exactly(None, tuple, "map", optional=True)
    with pytest.raises(TypeError, match="map is None: a tuple is needed"):
        exactly(None, tuple, "map")
    with pytest.raises(TypeError, match=r"\[1\], a list: a tuple is needed.*Write map=tuple"):
        exactly([1], tuple, "map", optional=True)
    with pytest.raises(TypeError, match="map is 3, a int: a tuple is needed") as caught:
        exactly(3, tuple, "map")
    assert "Write" not in str(caught.value)


def test_triples():
    assert c_triple((1, 2, 3), "grid_dim", unsigned=True) == (1, 2, 3)
    assert c_triple((0, -1, -1), "input_map", unsigned=False) == (0, -1, -1)
    with pytest.raises(AssertionError, match=r"three numbers are needed.*such as \(4, 2, 1\)"):
        c_triple((4, 2), "grid_dim", unsigned=True)
    with pytest.raises(AssertionError, match=r"such as \(0, -1, -1\)"):
        c_triple((0,), "input_map", unsigned=False)
    with pytest.raises(OverflowError):
        c_triple((0, -1, -1), "grid_dim", unsigned=True)
