"""Narrow columns against plain arrays."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpkgraph.io.narrow_column import NarrowColumn
from mpkgraph.io.resident import give_back_code

RANGES = {
    np.uint64: (0, 2**64 - 1),
    np.int64: (-(2**63), 2**63 - 1),
    np.int32: (-(2**31), 2**31 - 1),
}


@st.composite
def pieces(draw):
    dtype = draw(st.sampled_from(list(RANGES)))
    low, high = RANGES[dtype]
    edges = [x for e in (0, 7, 8, 15, 16, 31, 32, 63, 64) for x in (2**e - 1, 2**e, -(2**e))]
    values = st.integers(low, high) | st.sampled_from([x for x in edges if low <= x <= high])
    return dtype, draw(st.lists(st.lists(values, max_size=9), max_size=8))


@given(pieces(), st.integers(0, 8))
def test_holds_what_was_put_in(drawn, cleared):
    dtype, lists = drawn
    column, expected = NarrowColumn(dtype), []
    for i, values in enumerate(lists):
        if i == cleared:
            column.clear()
            expected = []
        column.extend(np.array(values, dtype))
        expected += values
        assert len(column) == len(expected)
        assert column.view().tolist() == expected
    assert column.widened().dtype == dtype
    assert column.take().tolist() == expected
    assert len(column) == 0


@pytest.mark.parametrize(
    ("values", "itemsize"), [([255], 1), ([256], 2), ([-1, 200], 2), ([2**31], 4), ([2**32], 8)]
)
def test_is_as_narrow_as_it_can_be(values, itemsize):
    column = NarrowColumn(np.int64)
    column.extend(np.array(values))
    assert column.view().dtype.itemsize == itemsize


def test_code_that_was_given_back_still_runs():
    give_back_code()
    assert np.arange(10).sum() == 45
    assert np.linalg.norm(np.ones(4)) == 2


_MAPPED = """
import ctypes, sys
import numpy as np
from mpkgraph.io.resident import map_large_arrays

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "abcdefghij"]

libc = ctypes.CDLL(None)
if not hasattr(libc, "mallinfo2"):
    sys.exit(5)
libc.mallinfo2.restype = Info
if sys.argv[1] == "fixed":
    map_large_arrays()
large = np.ones(1 << 20)
del large  # whose size the bound becomes
before = libc.mallinfo2().e
kept = np.ones(1 << 15)
sys.exit(0 if libc.mallinfo2().e - before >= kept.nbytes else 1)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the C library of Linux")
@pytest.mark.parametrize(("how", "code"), [("fixed", 0), ("as it is", 1)])
def test_large_arrays_stay_mapped(how, code):
    done = subprocess.run([sys.executable, "-c", _MAPPED, how], check=False, timeout=60)
    if done.returncode == 5:
        pytest.skip("a C library without mallinfo2")
    assert done.returncode == code
