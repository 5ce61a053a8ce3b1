"""Checks that rows share: ranks, numbers of tensors in a tuple, tuples of parameters."""

from __future__ import annotations

from math import prod
from typing import Any

from mpkgraph.frozen import dataclass
from mpkgraph.pipeline.layers.call import Call
from mpkgraph.pipeline.refusal import refuse
from mpkgraph.pipeline.tensors import DTensor


@dataclass(frozen=True, slots=True)
class Ranks:
    """Tensors must have so many dimensions; checked in this order."""

    ranks: tuple[tuple[str, int], ...]

    def __call__(self, call: Call) -> None:
        for name, rank in self.ranks:
            tensor = call.tensor(name)
            if tensor.num_dims != rank:
                call.fail(
                    f"{call.show(name)} has {_count(tensor.num_dims, 'dimension')}, "
                    f"{rank} {'is' if rank == 1 else 'are'} needed",
                    remedy=_rank_remedy(tensor, rank),
                )


def ranks(**needed: int) -> Ranks:
    """`ranks(input=2, output=2)`."""
    return Ranks(tuple(needed.items()))


@dataclass(frozen=True, slots=True)
class Tensors:
    """A parameter is a tuple of so many tensors, which get these names."""

    parameter: str
    names: tuple[str, ...]

    def __call__(self, call: Call) -> None:
        value = call[self.parameter]
        wanted = ", ".join(self.names)
        if not hasattr(value, "__len__"):
            given = type(value).__name__
            refuse(
                TypeError,
                f"{self.parameter} is a {given}: a tuple of {len(self.names)} tensors is needed",
                remedy=f"Give {self.parameter}=({wanted})",
                upstream=f"object of type '{given}' has no len()",
            )
        if len(value) != len(self.names):
            call.fail(
                f"{self.parameter} holds {_count(len(value), 'tensor')}, "
                f"{len(self.names)} are needed",
                remedy=f"Give {self.parameter}=({wanted})",
            )
        for name, item in zip(self.names, value, strict=True):
            call[name] = item


def tensors_in(parameter: str, *names: str) -> Tensors:
    return Tensors(parameter, names)


@dataclass(frozen=True, slots=True)
class Numbers:
    """A parameter is a tuple of these numbers; the names become values of the call."""

    parameter: str
    names: tuple[str, ...]
    or_names: tuple[str, ...] | None = None
    """A longer form that is taken too."""

    def __call__(self, call: Call) -> None:
        value = call[self.parameter]
        wanted = f"({', '.join(self.names)})"
        if not isinstance(value, tuple | list):
            given = type(value).__name__
            # Where there are two forms Mirage asks for the length first.
            message = (
                f"cannot unpack non-iterable {given} object"
                if self.or_names is None
                else f"object of type '{given}' has no len()"
            )
            refuse(
                TypeError,
                f"{self.parameter} is a {given}: {wanted} is needed",
                upstream=message,
            )
        names = self.names
        if self.or_names is not None and len(value) == len(self.or_names):
            names = self.or_names
        if len(value) != len(names):
            few = len(value) < len(names)
            refuse(
                ValueError,
                f"{self.parameter} is {tuple(value)}: {_count(len(names), 'number')} are needed",
                remedy=f"Give {self.parameter}={wanted}",
                upstream=f"not enough values to unpack (expected {len(names)}, got {len(value)})"
                if few
                else f"too many values to unpack (expected {len(names)})",
            )
        for name, item in zip(names, value, strict=True):
            call[name] = item


def numbers_in(parameter: str, *names: str, or_names: tuple[str, ...] | None = None) -> Numbers:
    return Numbers(parameter, names, or_names)


def require_dim(call: Call, name: str, dim: int, size: int, means: str) -> None:
    """Dimension `dim` of a tensor must be `size`, which is `means`."""
    tensor = call.tensor(name, "dim")
    if tensor.dim(dim) != size:
        wanted = [*tensor.dims[:dim], size, *tensor.dims[dim + 1 :]]
        call.fail(
            f"{call.show(name)}: dimension {dim} is {tensor.dim(dim)}, but {means} is {size}",
            remedy=f"Make it {wanted}",
        )


def element(call: Call, name: str, index: int) -> Any:
    """`call[name][index]` of a tuple, refused as Python refuses."""
    value = call[name]
    if not isinstance(value, tuple | list):
        given = type(value).__name__
        refuse(
            TypeError,
            f"{name} is a {given}: a tuple is needed",
            upstream=f"'{given}' object is not subscriptable",
        )
    if len(value) <= index:
        kind = type(value).__name__
        refuse(
            IndexError,
            f"{name} is {value}: element {index} is missing",
            upstream=f"{kind} index out of range",
        )
    return value[index]


def _rank_remedy(tensor: DTensor, rank: int) -> str:
    if tensor.num_dims > rank:
        joined = [prod(tensor.dims[: tensor.num_dims - rank + 1]), *tensor.dims[-rank + 1 :]]
        return f"Join dimensions before attaching it: {joined if rank > 1 else joined[:1]}"
    return f"Add dimensions of 1: {[1] * (rank - tensor.num_dims) + list(tensor.dims)}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
