"""Products that were added up before: the same rows times a weight that nobody writes.

The whole layer, the joined tasks and each task alone multiply the same rows by the same weight: a
task by some of its rows. What one of them added up the others look up, when the bits of their rows
are the same; when one is not, they add up anew.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

LIMIT_BYTES = 64 << 20
"""Of results that are kept; the oldest go first. All linear layers of an 8B model's decoder with 8
rows are 50 MB."""

Tensor = Any
"""A `torch.Tensor`; torch is not imported here."""


@dataclass(frozen=True, slots=True)
class _Result:
    x: Tensor
    first: int
    """Row of the weight's memory that the first column of the result belongs to."""
    out: Tensor


@dataclass
class KnownProducts:
    """Results by weight, for memory that stays as it is for as long as this object lives."""

    _constant: dict[int, Tensor] = field(default_factory=dict)
    """Storages that nobody writes, by address; held, so that no other memory takes the address."""
    _results: OrderedDict[tuple[Any, ...], list[_Result]] = field(default_factory=OrderedDict)
    _num_bytes: int = 0

    def add_constant(self, tensor: Tensor) -> None:
        """Say that nobody writes the storage of a tensor any more."""
        storage = tensor.untyped_storage()
        self._constant[storage.data_ptr()] = storage

    def find(self, x: Tensor, weights: Sequence[Tensor], compute: Callable[[], Tensor]) -> Tensor:
        """`compute()`, (rows of x, rows of the weight), or a result that was computed before.

        `weights` are the tensors that make up the weight, by rows in the first dim of each: values
        and scales, say. Nothing is kept when one may be written.
        """
        places = [_Place.of(x) for x in weights]
        if not all(place.storage in self._constant for place in places):
            return compute()
        first, count = places[0].row, int(weights[0].shape[0])
        key = (*x.shape, x.dtype, *(place.key(first) for place in places))
        results = self._results.setdefault(key, [])
        for result in results:
            start = first - result.first
            if start >= 0 and start + count <= result.out.shape[1] and _equal(x, result.x):
                return result.out[:, start : start + count]
        result = _Result(x.clone(), first, compute())
        results.append(result)
        self._num_bytes += _num_bytes(result)
        self._forget(key)
        return result.out

    def _forget(self, last: tuple[Any, ...]) -> None:
        """Let the results go that were asked for first, until the rest is little enough."""
        while self._num_bytes > LIMIT_BYTES:
            key, results = next(iter(self._results.items()))
            if not results:
                del self._results[key]
                if key == last:
                    return
                continue
            self._num_bytes -= _num_bytes(results.pop(0))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where rows lie in memory: the row they begin with, and all else that tells them apart."""

    storage: int
    row: int
    rest: tuple[Any, ...]

    @classmethod
    def of(cls, tensor: Tensor) -> _Place:
        stride = int(tensor.stride()[0]) or 1
        row, column = divmod(int(tensor.storage_offset()), stride)
        rest = (column, tensor.dtype, tuple(tensor.shape[1:]), tuple(tensor.stride()))
        return cls(int(tensor.untyped_storage().data_ptr()), row, rest)

    def key(self, first: int) -> tuple[Any, ...]:
        """Rows of several tensors go together when they are as far apart as these."""
        return (self.storage, self.row - first, *self.rest)


def _equal(x: Tensor, other: Tensor) -> bool:
    """Whether all bits are; of one shape and type."""
    return bool((x.view(_bits(x)) == other.view(_bits(x))).all())


def _bits(x: Tensor) -> Any:
    import torch

    return {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[x.element_size()]


def _num_bytes(result: _Result) -> int:
    return int(result.out.nbytes + result.x.nbytes)
