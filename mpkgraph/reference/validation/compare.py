"""Two tensors of the same shape: how far apart, and where."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mpkgraph.reference.interpreter.pages import BoolArray, touched_elements, touched_spans
from mpkgraph.reference.validation.limits import Limits

CHUNK_ELEMS = 1 << 19
"""Elements that are widened at a time."""
SAMPLE_ELEMS = 1 << 16
"""Elements that tell a tensor's size."""
_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass(frozen=True, slots=True)
class Difference:
    """What two tensors differ by. Errors are of the elements that are finite in both."""

    num_elements: int
    num_mismatches: int
    max_abs_error: float
    mean_abs_error: float
    max_rel_error: float
    """Of elements whose right value is not 0."""
    mean_rel_error: float
    max_ulps: int | None
    """Steps between neighbouring numbers of the type; None for integers."""
    cosine: float | None
    """Of the finite elements as one vector; None where one of the two is 0 all over."""
    num_nan: int
    num_inf: int
    num_right_nan: int
    """NaN in the right values."""
    num_unwritten: int
    """Elements that no task wrote and that should have been written."""
    needed_rtol: float | None
    """The smallest that would pass with this atol; None where none does."""
    needed_atol: float | None
    first: tuple[int, ...] | None
    """Index of the first mismatch."""
    first_values: tuple[float, float] | None
    """There: value and right value."""

    @property
    def passes(self) -> bool:
        return self.num_mismatches == 0

    @property
    def fraction(self) -> float:
        """Of elements that mismatch."""
        return self.num_mismatches / self.num_elements if self.num_elements else 0.0

    def to_json(self) -> dict[str, Any]:
        return {
            "num_elements": self.num_elements,
            "num_mismatches": self.num_mismatches,
            "fraction": self.fraction,
            "max_abs_error": self.max_abs_error,
            "mean_abs_error": self.mean_abs_error,
            "max_rel_error": self.max_rel_error,
            "mean_rel_error": self.mean_rel_error,
            "max_ulps": self.max_ulps,
            "cosine": self.cosine,
            "num_nan": self.num_nan,
            "num_inf": self.num_inf,
            "num_right_nan": self.num_right_nan,
            "num_unwritten": self.num_unwritten,
            "needed_rtol": self.needed_rtol,
            "needed_atol": self.needed_atol,
            "first": None if self.first is None else list(self.first),
            "first_values": None
            if self.first_values is None
            else [_finite(x) for x in self.first_values],
        }


def compare(
    value: Any,
    right: Any,
    limits: Limits,
    unwritten: Any = None,
    pages: tuple[BoolArray, BoolArray] | None = None,
) -> Difference:
    """Compare a tensor with what it should be; both of one shape and type.

    `unwritten` is True for elements that hold nothing: they are mismatches. `pages` are those that
    are touched, of two dense tensors that are 0 elsewhere.
    """
    sums = _Sums(limits)
    flat, wanted = value.reshape(-1), right.reshape(-1)
    holes = None if unwritten is None else unwritten.reshape(-1)
    used = None
    if pages is not None and holes is None:
        used = touched_spans(flat, pages[0], CHUNK_ELEMS)
        used = (used | touched_spans(wanted, pages[1], CHUNK_ELEMS)).tolist()
    for start in range(0, len(flat), CHUNK_ELEMS):
        stop = start + CHUNK_ELEMS
        if used is not None and not used[start // CHUNK_ELEMS]:
            sums.add_zeros(min(stop, len(flat)) - start, is_float=flat.dtype.is_floating_point)
            continue
        sums.add(
            start,
            flat[start:stop],
            wanted[start:stop],
            None if holes is None else holes[start:stop],
        )
    return sums.difference(tuple(value.shape))


def mismatches(value: Any, right: Any, limits: Limits, unwritten: Any = None) -> Any:
    """By element whether it mismatches."""
    if _same_bits(value, right) and unwritten is None:
        return torch.zeros(value.shape, dtype=torch.bool)
    a, b = _wide(value), _wide(right)
    mask = _beyond(a, b, limits)
    return mask if unwritten is None else mask | unwritten


def size_of(right: Any, pages: BoolArray | None = None) -> float:
    """Root mean square of the finite values, over a sample of large tensors.

    `pages` are those that are touched, of a dense tensor that is 0 elsewhere.
    """
    flat = right.reshape(-1)
    if not flat.dtype.is_floating_point or not len(flat):
        return 0.0
    step = max(1, len(flat) // SAMPLE_ELEMS)
    if pages is None:
        sample = _wide(flat[::step])
    else:
        places = np.arange(0, len(flat), step)
        used = touched_elements(flat, pages, places)
        sample = torch.zeros(len(places), dtype=torch.float64)
        sample[torch.from_numpy(used)] = _wide(flat[torch.from_numpy(places[used])])
    sample = sample[torch.isfinite(sample)]
    return float(sample.square().mean().sqrt()) if len(sample) else 0.0


class _Sums:
    """What chunks add up to."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.count = self.bad = self.nan = self.inf = self.right_nan = self.holes = 0
        self.finite = self.nonzero = 0
        self.max_abs = self.sum_abs = self.max_rel = self.sum_rel = 0.0
        self.ulps: int | None = None
        self.dot = self.norm = self.right_norm = 0.0
        self.rtol = self.atol = 0.0
        self.is_hopeless = False
        self.first: tuple[int, float, float] | None = None

    def add(self, start: int, value: Any, right: Any, holes: Any) -> None:
        self.count += len(value)
        is_float = value.dtype.is_floating_point
        if holes is None and _same_bits(value, right):
            self._add_equal(value, is_float=is_float)
            return
        a, b = _wide(value), _wide(right)
        bad = _beyond(a, b, self.limits)
        if holes is not None:
            self.holes += int(holes.sum())
            bad |= holes
        number = int(bad.sum())
        if number and self.first is None:
            place = int(bad.to(torch.uint8).argmax())
            self.first = start + place, float(a[place]), float(b[place])
        self.bad += number
        if is_float:
            self.nan += int(torch.isnan(a).sum())
            self.inf += int(torch.isinf(a).sum())
            self.right_nan += int(torch.isnan(b).sum())
        finite = torch.isfinite(a) & torch.isfinite(b)
        if holes is not None:
            finite &= ~holes
        if int((bad & ~finite).sum()):
            self.is_hopeless = True
        self._add_errors(a[finite], b[finite])
        if is_float and value.element_size() < 8:
            self._add_ulps(value[finite], right[finite])

    def add_zeros(self, count: int, *, is_float: bool) -> None:
        """Elements that are 0 in both."""
        self.count += count
        self.finite += count
        if is_float:
            self.ulps = self.ulps or 0

    def _add_equal(self, value: Any, *, is_float: bool) -> None:
        self.finite += len(value)
        if not is_float:
            return
        self.ulps = self.ulps or 0
        if _is_zero(value):
            return  # most of a cache
        a = value.float()
        square = float(torch.dot(a, a))
        if not math.isfinite(square):
            wide = _wide(value)
            nan = int(torch.isnan(wide).sum())
            self.nan += nan
            self.right_nan += nan
            self.inf += int(torch.isinf(wide).sum())
            wide = wide[torch.isfinite(wide)]
            self.finite += len(wide) - len(value)
            square = float(wide.square().sum())
        self.dot += square
        self.norm += square
        self.right_norm += square

    def _add_errors(self, a: Any, b: Any) -> None:
        if not len(a):
            return
        error = (a - b).abs()
        size = b.abs()
        self.finite += len(a)
        self.max_abs = max(self.max_abs, float(error.max()))
        self.sum_abs += _total(error)
        self.dot += _total(a * b)
        self.norm += _total(a.square())
        self.right_norm += _total(b.square())
        limits = self.limits
        self.atol = max(self.atol, float((error - limits.rtol * size).max()))
        nonzero = size > 0
        if bool((error[~nonzero] > limits.atol).any()):
            self.rtol = math.inf
        if bool(nonzero.any()):
            relative = error[nonzero] / size[nonzero]
            self.nonzero += len(relative)
            self.max_rel = max(self.max_rel, float(relative.max()))
            self.sum_rel += _total(relative)
            self.rtol = max(
                self.rtol, float(((error[nonzero] - limits.atol) / size[nonzero]).max())
            )

    def _add_ulps(self, value: Any, right: Any) -> None:
        if len(value):
            steps = (_ordered(value) - _ordered(right)).abs()
            self.ulps = max(self.ulps or 0, int(steps.max()))

    def difference(self, shape: tuple[int, ...]) -> Difference:
        norm = math.sqrt(self.norm) * math.sqrt(self.right_norm)
        needed = not self.is_hopeless
        return Difference(
            num_elements=self.count,
            num_mismatches=self.bad,
            max_abs_error=self.max_abs,
            mean_abs_error=self.sum_abs / self.finite if self.finite else 0.0,
            max_rel_error=self.max_rel,
            mean_rel_error=self.sum_rel / self.nonzero if self.nonzero else 0.0,
            max_ulps=self.ulps,
            cosine=max(-1.0, min(1.0, self.dot / norm)) if norm else None,
            num_nan=self.nan,
            num_inf=self.inf,
            num_right_nan=self.right_nan,
            num_unwritten=self.holes,
            needed_rtol=max(self.rtol, 0.0) if needed and math.isfinite(self.rtol) else None,
            needed_atol=max(self.atol, 0.0) if needed else None,
            first=None if self.first is None else _index(self.first[0], shape),
            first_values=None if self.first is None else self.first[1:],
        )


def _total(numbers: Any) -> float:
    """The sum, the same however many threads there are."""
    return float(numbers.numpy().sum())


def _is_zero(flat: Any) -> bool:
    """Whether every byte is 0, without widening anything."""
    return not _words(flat).max(initial=0)


def _same_bits(value: Any, right: Any) -> bool:
    if value.dtype != right.dtype or not (value.is_contiguous() and right.is_contiguous()):
        return False
    words, others = _words(value), _words(right)
    if words.dtype != others.dtype:
        words, others = words.view(np.uint8), others.view(np.uint8)
    return bool((words == others).all())


def _words(dense: Any) -> Any:
    """The bytes of a dense tensor as the longest words that it is made of, as a numpy array.

    numpy compares them without threads, which cost more than they give.
    """
    words = dense.detach().reshape(-1).view(torch.uint8).numpy()
    is_even = len(words) % 8 == 0 and words.ctypes.data % 8 == 0
    return words.view(np.uint64) if is_even else words


def _beyond(a: Any, b: Any, limits: Limits) -> Any:
    """Elements that mismatch: too far apart, or only one of them a NaN."""
    close = (a - b).abs() <= limits.atol + limits.rtol * b.abs()
    same = (a == b) | (torch.isnan(a) & torch.isnan(b))
    return ~(close & torch.isfinite(b) | same)


def _wide(tensor: Any) -> Any:
    """As float64; integers are exact to 2**53, which no index or token reaches."""
    return tensor.to(torch.float32).double() if tensor.element_size() == 1 else tensor.double()


def _ordered(tensor: Any) -> Any:
    """Bits as integers that grow with the number, so that neighbours differ by 1."""
    bits = tensor.contiguous().view(_INTEGERS[tensor.element_size()]).long()
    mask = (1 << (8 * tensor.element_size() - 1)) - 1
    return torch.where(bits < 0, -(bits & mask), bits)


def _index(flat: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    found = []
    for size in reversed(shape):
        flat, place = divmod(flat, size)
        found.append(place)
    return tuple(reversed(found))


def _finite(number: float) -> float | str:
    """JSON has no NaN."""
    return number if math.isfinite(number) else str(number)
