"""Memory before anything runs: what the caller gave, what is made up, and poison for the rest."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

import torch

from mpkgraph.errors import UsageError
from mpkgraph.model.record import TensorCall
from mpkgraph.reference.interpreter.buffer import Buffer, Content
from mpkgraph.reference.interpreter.element_types import torch_type
from mpkgraph.reference.interpreter.generate import block_of, fill, large
from mpkgraph.reference.interpreter.memory import RankMemory, TensorShape
from mpkgraph.reference.interpreter.program import Program, RankProgram
from mpkgraph.reference.interpreter.repeated import (
    LARGE_BYTES,
    MIN_BYTES,
    PAGE,
    Blocks,
    can_map,
    joined,
)
from mpkgraph.reference.interpreter.requests import Batch
from mpkgraph.reference.interpreter.roles import TensorRole, tensor_roles
from mpkgraph.reference.known import KnownProducts

GUARD_SHARE = 0.9
"""Of the memory that is free, at most so much is asked for."""


@dataclass(frozen=True)
class Given:
    """Values of the caller for one rank, as torch tensors."""

    tensors: Mapping[str, Any] = field(default_factory=dict)
    """By name; those that a layer writes first are not read."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Names that mean the memory of another one."""
    keep: frozenset[str] = frozenset()
    """Tensors whose given values stay though a layer writes them: those of layers that do not
    run, say."""


NOTHING_GIVEN = Given()


@dataclass(frozen=True)
class InitialOptions:
    """How memory is made up."""

    seed: int = 0
    given: Sequence[Given] = ()
    """By position of the rank; missing ones are given nothing."""
    supply_meta: bool = False
    """Make up meta tensors that kernels read and the pipeline lacks."""


class Initial:
    """Makes the memories of a program, any number of times, the same each time."""

    def __init__(self, program: Program, options: InitialOptions) -> None:
        self.program = program
        self.options = options
        self.notes: list[str] = []
        self._roles = [tensor_roles(rank) for rank in program.ranks]
        self._shared: list[dict[str, Buffer]] = [{} for _ in program.ranks]
        """Buffers that nobody writes: the same in all memories."""
        self._known = [KnownProducts() for _ in program.ranks]
        self._blocks = Blocks()
        self._written = self._written_names()
        """By position of the rank."""
        self._repeated = self._repeated_names()
        """By position of the rank those that are made of a block."""
        for position, rank in enumerate(program.ranks):
            self._check(rank, self._given(position))

    def memories(self) -> list[RankMemory]:
        """New memories, one a rank. Raises UsageError when they do not fit this machine."""
        self._check_size()
        return [self._memory(position) for position in range(len(self.program.ranks))]

    def roles(self, position: int) -> Mapping[str, TensorRole]:
        """By `base_ptr` what each tensor of a rank is."""
        return self._roles[position]

    def _given(self, position: int) -> Given:
        given = self.options.given
        return given[position] if position < len(given) else NOTHING_GIVEN

    def _check(self, rank: RankProgram, given: Given) -> None:
        for name, tensor in given.tensors.items():
            shape = rank.shapes.get(name)
            if shape is None:
                continue
            if tuple(tensor.shape) != shape.dims and shape.kind != "unknown":
                raise UsageError(
                    f"tensor {name!r} is given as {list(tensor.shape)}, the pipeline has "
                    f"{list(shape.dims)}",
                    remedy="Give tensors of the pipeline's shapes",
                )
            if tensor.dtype != torch_type(shape.type_name):
                raise UsageError(
                    f"tensor {name!r} is given as {tensor.dtype}, the pipeline has "
                    f"{torch_type(shape.type_name)}",
                    remedy="Give tensors of the pipeline's types",
                )

    def _check_size(self) -> None:
        total = 0
        for position, rank in enumerate(self.program.ranks):
            shared = self._shared[position]
            for name, shape in rank.shapes.items():
                role = self._roles[position][name]
                if name in shared or role.role == "cache":
                    continue
                if name in self._repeated[position] and can_map():
                    continue  # its pages are those of a block
                total += shape.num_elements * torch_type(shape.type_name).itemsize
        free = _free_bytes()
        if free is not None and total > free * GUARD_SHARE:
            raise UsageError(
                f"the tensors take {total / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free",
                remedy="Run fewer layers, a smaller batch, or on a machine with more memory",
            )

    def _memory(self, position: int) -> RankMemory:
        rank, given = self.program.ranks[position], self._given(position)
        batch = self._batch(rank)
        storages = _Storages(self._written_storages(rank, given))
        written = self._written[position]
        memory = RankMemory(rank.shapes, dict(self._shared[position]), known=self._known[position])
        for name, shape in rank.shapes.items():
            if name in memory.buffers or name in given.aliases:
                continue
            if shape.kind == "shuffle_tensors" and name not in given.tensors:
                continue
            buffer = self._buffer(position, shape, given, storages, batch)
            memory.buffers[name] = buffer
            if name not in written and buffer.name not in storages.written_names:
                self._share(position, name, buffer)
        for call in rank.shuffled.values():
            if call.name not in memory.buffers:
                memory.buffers[call.name] = shuffled(memory, rank, call)
                if call.name not in written:
                    self._share(position, call.name, memory.buffers[call.name])
        for name, other in given.aliases.items():
            if name in rank.shapes and other in memory.buffers:
                memory.buffers[name] = memory.buffers[other]
        memory.meta = self._meta(rank, given, storages, batch)
        return memory

    def _written_names(self) -> list[set[str]]:
        """Names of memory that some task of some rank writes, under this name or another."""
        written = {name for rank in self.program.ranks for name in rank.written}
        found = []
        for position in range(len(self.program.ranks)):
            aliases = self._given(position).aliases
            found.append(written | {x for name, x in aliases.items() if name in written})
        return found

    def _repeated_names(self) -> list[set[str]]:
        """By position of the rank tensors that repeat a block, and joined ones of such."""
        blocks: dict[Hashable, list[tuple[int, str, int]]] = {}
        for position, rank in enumerate(self.program.ranks):
            given = self._given(position)
            others = {*given.tensors, *given.aliases, *self._written[position]}
            for name, shape in rank.shapes.items():
                size = _num_bytes(shape)
                if size < MIN_BYTES or shape.kind == "shuffle_tensors" or name in others:
                    continue
                role = self._roles[position][name]
                key = None if role.role in {"output", "cache"} else block_of(shape, role)
                if key is not None:
                    blocks.setdefault(key, []).append((position, name, size))
        found: list[set[str]] = [set() for _ in self.program.ranks]
        for tensors in blocks.values():
            if sum(size for _, _, size in tensors) >= LARGE_BYTES:
                for position, name, _ in tensors:
                    found[position].add(name)
        for position, rank in enumerate(self.program.ranks):
            for call in rank.shuffled.values():
                if _joins_pages(rank, call, found[position], self._written[position]):
                    found[position].add(call.name)
        return found

    def _share(self, position: int, name: str, buffer: Buffer) -> None:
        self._shared[position][name] = buffer
        self._known[position].add_constant(buffer.raw)

    def _buffer(
        self,
        position: int,
        shape: TensorShape,
        given: Given,
        storages: _Storages,
        batch: Batch,
    ) -> Buffer:
        rank, role = self.program.ranks[position], self._roles[position][shape.name]
        size = _num_bytes(shape)
        tensor = given.tensors.get(shape.name)
        if tensor is not None:
            buffer = storages.buffer(shape, tensor)
            if role.role == "output" and shape.name not in given.keep and not buffer.is_shared:
                buffer.poison_all()
            return buffer
        if role.role == "output":
            return Buffer.new(shape.name, shape.type_name, size)
        if shape.name in self._repeated[position]:
            made = large(self._blocks, shape, size, role, self.options.seed, rank.rank)
            if made is not None:
                return made
        is_cache = role.role == "cache"
        content: Content = "zero" if is_cache or role.role == "sum" else "none"
        buffer = Buffer.new(shape.name, shape.type_name, size, content)
        pages = [page for pages in batch.pages for page in pages] if is_cache else None
        fill(buffer, shape, role, self.options.seed, rank.rank, pages)
        return buffer

    def _batch(self, rank: RankProgram) -> Batch:
        limits = [x.limit for x in self._roles[0].values() if x.role == "tokens" and x.limit]
        return Batch(rank.settings, min(limits, default=8), self.options.seed)

    def _meta(
        self, rank: RankProgram, given: Given, storages: _Storages, batch: Batch
    ) -> dict[str, Any]:
        shapes = {} if rank.record is None else rank.record.init.get("meta_tensors") or {}
        if self.options.supply_meta or rank.record is None:
            shapes = {**batch.shapes(_meta_names(rank)), **shapes}
        found = batch.meta_tensors(shapes)
        for name, tensor in given.meta.items():
            if isinstance(tensor, torch.Tensor):
                found[name] = storages.view(tensor)
        return found

    @staticmethod
    def _written_storages(rank: RankProgram, given: Given) -> dict[int, str]:
        """Storages of given tensors of which some name is written."""
        return {
            tensor.untyped_storage().data_ptr(): name
            for name, tensor in given.tensors.items()
            if name in rank.written
        }


class _Storages:
    """Copies of the caller's storages that some task writes; the others are used as they are."""

    def __init__(self, written: Mapping[int, str]) -> None:
        self._written = written
        self._copies: dict[int, Any] = {}
        self.written_names: set[str] = set()

    def buffer(self, shape: TensorShape, tensor: Any) -> Buffer:
        """The buffer of an attached tensor; two of one storage see each other's writes."""
        key = tensor.untyped_storage().data_ptr()
        if key not in self._written:
            return Buffer.borrowed(shape.name, shape.type_name, tensor)
        self.written_names.add(shape.name)
        if key not in self._copies:
            base = Buffer.borrowed(shape.name, shape.type_name, tensor)
            is_whole = base.num_bytes == tensor.untyped_storage().nbytes()
            if is_whole:
                copy = base.clone()
                self._copies[key] = copy, copy.guard
                return copy
            whole = torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage())
            raw = Buffer.new(shape.name, "DT_UINT8", len(whole))
            raw.data.copy_(whole)
            self._copies[key] = raw, raw.guard
        copy, start = self._copies[key]
        size = Buffer.borrowed(shape.name, shape.type_name, tensor).num_bytes
        copy.is_shared = True
        return Buffer(
            shape.name,
            shape.type_name,
            size,
            copy.raw,
            start + tensor.storage_offset() * tensor.element_size(),
            is_shared=True,
        )

    def view(self, tensor: Any) -> Any:
        """A meta tensor: in the copy of its storage when there is one, else a copy of its own."""
        key = tensor.untyped_storage().data_ptr()
        if key not in self._copies:
            return tensor.clone()
        copy, start = self._copies[key]
        size = tensor.element_size()
        flat = copy.raw[: len(copy.raw) // size * size].view(tensor.dtype)
        return flat.as_strided(
            tensor.shape, tensor.stride(), start // size + tensor.storage_offset()
        )


def in_place(rank: RankProgram, tensors: Mapping[str, Any], meta: Mapping[str, Any]) -> RankMemory:
    """A memory on the caller's own tensors, which tasks write; the rest is new and poisoned.

    Raises UsageError for a tensor that has no values.
    """
    memory = RankMemory(rank.shapes, {}, {k: v for k, v in meta.items() if _is_tensor(v)})
    for name, shape in rank.shapes.items():
        tensor = tensors.get(name)
        if tensor is None:
            if shape.kind != "shuffle_tensors":
                memory.buffers[name] = Buffer.new(name, shape.type_name, _num_bytes(shape))
            continue
        if tensor.is_meta:
            raise UsageError(
                f"tensor {name!r} has no values, for the script runs with --meta",
                remedy="Leave --meta out to execute it",
            )
        memory.buffers[name] = Buffer.borrowed(name, shape.type_name, tensor)
    for call in rank.shuffled.values():
        memory.buffers[call.name] = shuffled(memory, rank, call)
    return memory


def shuffled(memory: RankMemory, rank: RankProgram, call: TensorCall) -> Buffer:
    """The buffer of shuffle_tensors: rows of the inputs take turns, group by group."""
    shape = rank.shapes[call.name]
    # Rows that no group takes stay as the allocator gave them
    is_full = sum(x.num_elements for x in _parts(rank, call)) == shape.num_elements
    content: Content = "none" if is_full else "poison"
    if is_full:
        made = _joined(memory, rank, call)
        if made is not None:
            return made
    buffer = Buffer.new(call.name, shape.type_name, _num_bytes(shape), content)
    whole = buffer.view(shape.dims, shape.strides, 0)
    interleave(whole, [memory.whole(_base(rank, x.tensor)) for x in call.inputs or ()], call)
    return buffer


def interleave(whole: Any, parts: Sequence[Any], call: TensorCall) -> None:
    """Fill a joined tensor from its parts: of each group first the rows of part 0, and so on."""
    groups = call.num_groups or 1
    start = 0
    grouped = whole[: whole.shape[0] // groups * groups].unflatten(0, (groups, -1))
    for part in parts:
        rows = part.shape[0] // groups
        grouped[:, start : start + rows] = part[: rows * groups].unflatten(0, (groups, rows))
        start += rows


def _joined(memory: RankMemory, rank: RankProgram, call: TensorCall) -> Buffer | None:
    """The same rows mapped once more, where the parts are made of pages that are mapped."""
    parts = _parts(rank, call)
    shape, groups = rank.shapes[call.name], call.num_groups or 1
    if not all(x.is_dense for x in (shape, *parts)):
        return None
    pieces = []
    for group in range(groups):
        for part in parts:
            size = _num_bytes(part) // groups
            pieces.append((memory.buffers[part.name], group * size, size))
    return joined(call.name, shape.type_name, pieces, _num_bytes(shape))


def _joins_pages(
    rank: RankProgram, call: TensorCall, mapped: AbstractSet[str], written: AbstractSet[str]
) -> bool:
    """Whether a joined tensor is made of whole pages of mapped ones, and nobody writes it."""
    parts, groups = _parts(rank, call), call.num_groups or 1
    return (
        call.name not in written
        and len(parts) == len(call.inputs or ())
        and all(x.is_dense and x.name in mapped for x in parts)
        and all(_num_bytes(x) % (groups * PAGE) == 0 for x in parts)
    )


def missing_meta(rank: RankProgram, given: Mapping[str, Any]) -> dict[str, Any]:
    """Meta tensors that kernels read and nobody gave, made up: all rows in use."""
    names = {x for x in _meta_names(rank) if not _is_tensor(given.get(x))}
    batch = Batch(rank.settings, 8, 0)
    return batch.meta_tensors(batch.shapes(names))


def _meta_names(rank: RankProgram) -> set[str]:
    """Meta tensors that kernels of the graph dereference."""
    return {name for plan in rank.plans for name in plan.effects.meta_tensors}


def _parts(rank: RankProgram, call: TensorCall) -> list[TensorShape]:
    groups = call.num_groups or 1
    shapes = [rank.shapes[_base(rank, x.tensor)] for x in call.inputs or ()]
    return [x for x in shapes if x.dims and x.dims[0] % groups == 0]


def _base(rank: RankProgram, tensor: int | None) -> str:
    record = rank.record
    if record is None or tensor is None:
        raise UsageError("a joined tensor has a part that was given as None")
    return record.tensor_by_id[tensor].base_ptr


def _num_bytes(shape: TensorShape) -> int:
    """What Mirage allocates: `new_tensor` takes the product of the dims, whatever the strides."""
    size: int = torch_type(shape.type_name).itemsize
    if shape.kind == "new_tensor":
        count = 1
        for dim in shape.dims:
            count *= dim
        return count * size
    return shape.num_elements * size


def _is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor)


def _free_bytes() -> int | None:
    """Memory that programs can have; None where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as stream:  # noqa: PTH123
            for line in stream:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None
