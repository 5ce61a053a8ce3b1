"""The named tensors of one rank."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mpkgraph.model.record import RecordedTensor
from mpkgraph.reference.interpreter.buffer import Buffer, OutsideError
from mpkgraph.reference.interpreter.element_types import recorded_type
from mpkgraph.reference.known import KnownProducts


@dataclass(frozen=True)
class TensorShape:
    """A whole tensor as a pipeline declares it; `dims` and `strides` in elements."""

    name: str
    """`base_ptr`."""
    dims: tuple[int, ...]
    strides: tuple[int, ...]
    type_name: str
    """`DT_BFLOAT16`, or torch's name of another 8-bit type."""
    kind: str
    """`attach_input` and so on; `unknown` without a record."""

    @classmethod
    def of(cls, tensor: RecordedTensor) -> TensorShape:
        return cls(tensor.base_ptr, tensor.dims, tensor.strides, recorded_type(tensor), tensor.kind)

    @property
    def num_elements(self) -> int:
        """That its memory must hold: up to the last one that indices reach.

        >>> TensorShape("x", (2, 3), (8, 1), "DT_BFLOAT16", "attach_input").num_elements
        11
        """
        if 0 in self.dims:
            return 0
        return 1 + sum((n - 1) * abs(s) for n, s in zip(self.dims, self.strides, strict=True))

    @property
    def is_dense(self) -> bool:
        """Whether elements lie in memory in the order of their indices, without gaps."""
        expected = 1
        for size, stride in zip(reversed(self.dims), reversed(self.strides), strict=True):
            if size != 1 and stride != expected:
                return False
            expected *= size
        return True


@dataclass
class RankMemory:
    """Buffers by `base_ptr`, and the meta tensors of the run by PersistentKernel's names."""

    shapes: Mapping[str, TensorShape]
    buffers: dict[str, Buffer]
    meta: dict[str, Any] = field(default_factory=dict)
    known: KnownProducts | None = None
    """Products of its tensors that nobody writes; shared by memories that hold the same ones."""

    def view(self, name: str, dims: Sequence[int], strides: Sequence[int], offset: int) -> Any:
        """A strided view; raises OutsideError where it can't be, KeyError for no such tensor."""
        return self.buffers[name].view(dims, strides, offset)

    def whole(self, name: str) -> Any:
        """A tensor by its declared shape.

        Raises OutsideError where its memory does not hold that (`new_tensor` with wide strides).
        """
        shape = self.shapes[name]
        return self.buffers[name].view(shape.dims, shape.strides, 0)

    def tensors(self) -> Iterator[tuple[str, Any]]:
        """All tensors whole, by name, where their memory holds them."""
        for name in self.shapes:
            if name in self.buffers:
                try:
                    yield name, self.whole(name)
                except OutsideError:
                    continue

    @property
    def num_bytes(self) -> int:
        """Of all buffers, the guard zones left out; aliases are counted once."""
        distinct = {id(x.raw): x.num_bytes for x in self.buffers.values()}
        return sum(distinct.values())
