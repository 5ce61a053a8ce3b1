"""Comparison of tensors, tolerances, and patterns."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from mpkgraph.errors import UsageError  # noqa: E402
from mpkgraph.reference.table import task_function  # noqa: E402
from mpkgraph.reference.validation.compare import compare, mismatches  # noqa: E402
from mpkgraph.reference.validation.limits import (  # noqa: E402
    GivenLimits,
    Limits,
    default_limits,
)
from mpkgraph.reference.validation.patterns import element_pattern, tile_pattern  # noqa: E402

EQUAL = Limits(0.0, 0.0, "equal")


@given(st.integers(0, 10_000), st.sampled_from([0.0, 1e-3, 0.1]), st.sampled_from([0.0, 1e-2]))
def test_agrees_with_torch(seed, rtol, atol):
    generator = torch.Generator().manual_seed(seed)
    right = torch.randn(5, 7, generator=generator, dtype=torch.float64)
    value = right + 0.02 * torch.randn(5, 7, generator=generator, dtype=torch.float64)
    limits = Limits(rtol, atol, "")
    found = compare(value, right, limits)
    wanted = ~torch.isclose(value, right, rtol=rtol, atol=atol)
    assert torch.equal(mismatches(value, right, limits), wanted)
    assert found.num_mismatches == int(wanted.sum())
    assert found.max_abs_error == float((value - right).abs().max())
    assert found.mean_abs_error == pytest.approx(float((value - right).abs().mean()))
    cosine = torch.nn.functional.cosine_similarity(value.ravel(), right.ravel(), dim=0)
    assert found.cosine == pytest.approx(float(cosine))
    # The smallest tolerance that would pass does, and less does not
    enough = compare(value, right, Limits(found.needed_rtol * (1 + 1e-12), atol, ""))
    assert enough.passes
    if not found.passes:
        assert not compare(value, right, Limits(found.needed_rtol * 0.99, atol, "")).passes
        assert compare(value, right, Limits(rtol, found.needed_atol * (1 + 1e-12), "")).passes
        place = tuple(int(x) for x in wanted.nonzero()[0])
        assert found.first == place
        assert found.first_values == (float(value[place]), float(right[place]))


def test_steps_of_bfloat16():
    right = torch.tensor([1.0, -1.0, 0.0], dtype=torch.bfloat16)
    value = torch.tensor([1.0 + 2**-7, -1.0 - 2**-6, -0.0], dtype=torch.bfloat16)
    assert compare(value, right, EQUAL).max_ulps == 2


def test_nan_is_wrong_where_a_number_should_be():
    nan, inf = float("nan"), float("inf")
    right = torch.tensor([1.0, nan, inf, 4.0, 5.0])
    value = torch.tensor([nan, nan, inf, -inf, 5.0])
    found = compare(value, right, Limits(1e9, 1e9, ""))
    assert (found.num_mismatches, found.num_nan, found.num_inf) == (2, 2, 2)
    assert found.num_right_nan == 1
    assert found.needed_rtol is None
    assert found.needed_atol is None
    assert mismatches(value, right, EQUAL).tolist() == [True, False, False, True, False]


def test_what_nobody_wrote_is_wrong():
    right = torch.ones(4)
    holes = torch.tensor([False, True, False, False])
    found = compare(right.clone(), right, EQUAL, holes)
    assert (found.num_mismatches, found.num_unwritten, found.first) == (1, 1, (1,))


def test_equal_tensors_are_told_as_equal():
    right = torch.randn(3, 5).to(torch.bfloat16)
    found = compare(right.clone(), right, EQUAL)
    assert found.passes
    assert (found.max_ulps, found.needed_rtol, found.first) == (0, 0.0, None)
    assert found.cosine == pytest.approx(1.0)
    assert compare(torch.zeros(3), torch.zeros(3), EQUAL).cosine is None
    with_nan = torch.tensor([1.0, float("nan")])
    assert compare(with_nan.clone(), with_nan, EQUAL).num_right_nan == 1
    tokens = torch.tensor([3, 4])
    assert compare(tokens, tokens + 1, EQUAL).num_mismatches == 2


def test_limits_grow_with_the_sum():
    linear = task_function("TASK_LINEAR")
    short, long = (default_limits(linear, "bf16", k, 2.0) for k in (64, 1 << 16))
    assert long.atol > short.atol
    assert short.rtol == 2.0**-7
    assert default_limits(linear, "int64", 64, 1.0).atol == 0.0
    assert default_limits(None, "fp32", 64, 1.0).rtol < short.rtol


def test_limits_of_the_user():
    given_limits = GivenLimits.parse(["1e-3", "out=0.1"], ["out=2"])
    default = Limits(0.5, 0.5, "bf16")
    assert given_limits.apply("out", default) == Limits(0.1, 2.0, "given")
    assert given_limits.apply("x", default) == Limits(1e-3, 0.5, "given")
    assert GivenLimits().apply("x", default) is default
    for text in ("much", "out=", "out=-1", "nan"):
        with pytest.raises(UsageError, match="rtol"):
            GivenLimits.parse([text], [])


def _mask(rows, columns, kept_rows=slice(None), kept_columns=slice(None)):
    mask = np.zeros((rows, columns), dtype=bool)
    mask[kept_rows, kept_columns] = True
    return mask


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (_mask(8, 64, slice(1, None, 2)), "every second row from 1"),
        (_mask(8, 64, slice(6, 8), slice(0, 16)), "columns before 16 in rows from 6 on"),
        (_mask(8, 64, 3), "row 3"),
        (_mask(8, 64, slice(2, 4)), "rows 2 to 3"),
        (_mask(8, 64), "everything"),
        (_mask(8, 64, []), "nothing"),
    ],
)
def test_patterns_have_names(mask, said):
    assert element_pattern(mask) == said


def test_a_pattern_bears_right_values_by_chance():
    rng = np.random.default_rng(0)
    mask = _mask(64, 256, slice(32, None)) & (rng.random((64, 256)) < 0.97)
    assert element_pattern(mask) == "rows from 32 on"
    groups = np.zeros((8, 64), dtype=bool)
    for start in range(8, 64, 16):
        groups[:, start : start + 8] = True
    assert element_pattern(groups) == "every second group of 8 columns from 8"
    few = np.zeros((8, 64), dtype=bool)
    few[[0, 3, 7], [1, 40, 63]] = True
    assert "elements there" in element_pattern(few)


def test_patterns_of_tasks():
    grid = (8, 4, 1)
    points = np.array([(x, y, 0) for x in range(8) for y in range(4)])
    assert tile_pattern(points, points[:, 0] >= 4, grid) == "grid x >= 4"
    assert tile_pattern(points, points[:, 1] % 2 == 1, grid) == "grid every second y from 1"
    odd = (points[:, 0] == 2) & (points[:, 1] != 3)
    assert tile_pattern(points, odd, grid) == "grid x = 2 and y <= 2"
    assert not math.isnan(float(points.sum()))
