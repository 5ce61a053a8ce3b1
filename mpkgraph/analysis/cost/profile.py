"""What Mirage's profiler measured: which worker ran a task of which type from when to when.

Two forms of the same: the profiler's tensor (`profiler_tensor`, 64-bit words), and the trace that
`export_to_perfetto_trace` makes of it. Facts from Mirage `include/mirage/persistent_kernel/
profiler.h` and `python/mirage/mpk/profiler_persistent.py` at `de8745d`: word 0 holds the numbers
of blocks and groups, then the words of all blocks take turns. A word is a tag (2 bits begin or
end, 9 bits type, 8 bits block, 13 bits a running number) and the low 32 bits of the GPU's ns clock.
Traces that this very exporter made of tensors with every type that it knows were read back as the
tensors are; it has no name for types 164 and 295, and stops there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.csr import IntArray
from mpkgraph.catalog import Catalog
from mpkgraph.errors import GraphReadError, MissingDependencyError

TRACE_SUFFIXES = (".perfetto-trace", ".pftrace", ".perfetto", ".pb")
CLOCK_BITS = 32
PROFILED_BY_RUNTIME = frozenset({200, 201, 202, 203})
"""Types of the runtime's own work, which are no tasks of the graph (TASK_SCHD_EVENTS, ...)."""
OTHER_NAMES = {"TASK_SILU_MUL_LINEAR": "TASK_SILU_MUL_LINEAR_WITH_RESIDUAL"}
"""Names in the exporter's table that are not those of the enum."""
SAVE = "Save it with numpy.save('profile.npy', profiler_tensor.cpu().numpy())"
MAX_BLOCKS = 256
"""Blocks that a tag can tell apart."""


@dataclass(frozen=True)
class Profile:
    """Slices of tasks, ascending by worker, then in the order in which the worker ran them."""

    path: str
    num_workers: int
    workers: IntArray = field(repr=False)
    task_types: IntArray = field(repr=False)
    starts: IntArray = field(repr=False)
    """In ns since the first start."""
    ends: IntArray = field(repr=False)


def read_profile(path: str, catalog: Catalog) -> Profile:
    """A profile in a trace (by the file's name), a `.npy` array or the tensor's raw bytes.

    Raises GraphReadError for what is none, MissingDependencyError without the package that reads
    traces.
    """
    if path.endswith(TRACE_SUFFIXES):
        return _trace_profile(path, catalog)
    if path.endswith((".pt", ".pth", ".safetensors")):
        raise GraphReadError(
            "a profile is read from a trace or a NumPy array",
            where=path,
            remedy=SAVE,
        )
    return tensor_profile(_words(path), path)


def tensor_profile(words: npt.NDArray[np.uint64], path: str = "") -> Profile:
    """The profile in the words of a profiler tensor.

    Raises GraphReadError when they are none.
    """
    num_blocks, num_groups = (
        (int(words[0]) & 0xFFFFFFFF, int(words[0]) >> 32) if len(words) else (0, 0)
    )
    if not 1 <= num_blocks <= MAX_BLOCKS or num_groups != 1:
        raise GraphReadError(
            f"no profiler tensor: it is of {num_blocks} blocks and {num_groups} groups",
            where=path or None,
            remedy="Give the tensor that PersistentKernel was given as profiler_tensor",
        )
    rest = words[1 : 1 + (len(words) - 1) // num_blocks * num_blocks].reshape(-1, num_blocks)
    # By block, then in order of time; a word of zeros was never written
    columns = np.ascontiguousarray(rest.T)
    blocks, places = np.nonzero(columns)
    values = columns[blocks, places]
    tags, clocks = values & np.uint64(0xFFFFFFFF), (values >> np.uint64(32)).astype(np.int64)
    is_end = (tags & np.uint64(3)).astype(np.int64)
    types = ((tags >> np.uint64(2)) & np.uint64(0x1FF)).astype(np.int64)
    tagged = ((tags >> np.uint64(11)) & np.uint64(0xFF)).astype(np.int64)
    wrong = np.flatnonzero(tagged != blocks)
    if len(wrong):
        at = int(wrong[0])
        raise GraphReadError(
            f"a word of block {int(blocks[at])} is tagged with block {int(tagged[at])}",
            where=path or None,
            remedy="The kernel wrote past the tensor, or it is no profiler tensor; make it larger",
        )
    return _paired(path, num_blocks, blocks.astype(np.int64), types, is_end, clocks)


def _load_array(path: str) -> Any:
    # `np.load` would take an archive of arrays too, and runs on into its errors
    with Path(path).open("rb") as stream:
        try:
            return np.lib.format.read_array(stream, allow_pickle=False)
        except (SyntaxError, TokenError, TypeError, RecursionError) as error:
            # Its header is Python's text, which NumPy tokenizes when it can't be parsed
            raise ValueError(str(error)) from None


def _words(path: str) -> npt.NDArray[np.uint64]:
    try:
        array: Any = _load_array(path) if path.endswith(".npy") else None
        data = b"" if array is not None else Path(path).read_bytes()
    except OSError as error:
        raise GraphReadError(
            f"can't be read: {error.strerror or error}", where=path, remedy="Check the path"
        ) from None
    except (ValueError, EOFError) as error:
        raise GraphReadError(f"no NumPy array: {error}", where=path, remedy=SAVE) from None
    if array is None:
        return np.frombuffer(data[: len(data) // 8 * 8], dtype="<u8").astype(np.uint64)
    if array.dtype.itemsize != 8 or array.dtype.kind not in "iu":
        raise GraphReadError(
            f"its elements are {array.dtype}, not 64-bit integers", where=path, remedy=SAVE
        )
    return np.ascontiguousarray(array).ravel().view(np.uint64)


def _paired(
    path: str,
    num_workers: int,
    blocks: IntArray,
    types: IntArray,
    kinds: IntArray,
    clocks: IntArray,
) -> Profile:
    """Begins and ends, ascending by block and then in order of time, made slices.

    A begin whose end was not written (the tensor was full) is dropped.
    """
    begins = np.flatnonzero(kinds[:-1] == 0) if len(kinds) else np.empty(0, dtype=np.int64)
    ends = begins + 1
    matched = (kinds[ends] == 1) & (types[ends] == types[begins]) & (blocks[ends] == blocks[begins])
    begins, ends = begins[matched], ends[matched]
    kept = ~np.isin(types[begins], list(PROFILED_BY_RUNTIME))
    times = _unwrapped(blocks, clocks)
    begins, ends = begins[kept], ends[kept]
    if not len(begins):
        raise GraphReadError(
            "the profile has no task",
            where=path or None,
            remedy="Run the kernel with profiling on, and give the tensor as it is afterwards",
        )
    starts = times[begins]
    first = int(starts.min())
    return Profile(
        path, num_workers, blocks[begins], types[begins], starts - first, times[ends] - first
    )


def _unwrapped(blocks: IntArray, clocks: IntArray) -> IntArray:
    """Clocks of 32 bits made to go on past 4.3 s; all blocks' clocks are one clock."""
    if not len(clocks):
        return clocks
    span = 1 << CLOCK_BITS
    firsts = np.r_[True, blocks[1:] != blocks[:-1]]
    steps = np.zeros(len(clocks), dtype=np.int64)
    steps[1:] = (clocks[1:] - clocks[:-1]) % span
    # Each block starts within 2.1 s of the first one
    base = int(clocks[0])
    half = span // 2
    steps[firsts] = (clocks[firsts] - base + half) % span - half
    sums = np.cumsum(steps)
    starts = np.flatnonzero(firsts)
    before = np.r_[0, sums[starts[1:] - 1]]
    unwrapped: IntArray = sums - np.repeat(before, np.diff(starts, append=len(clocks)))
    return unwrapped


def _trace_profile(path: str, catalog: Catalog) -> Profile:
    """The slices that Mirage's exporter wrote: tracks by block and type, in order of the words."""
    try:
        from google.protobuf.message import DecodeError
        from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace
    except ImportError:
        raise MissingDependencyError(
            "reading Perfetto traces needs the package perfetto",
            remedy="Install it with: pip install 'mpkgraph[trace]'",
        ) from None
    trace = Trace()
    try:
        trace.ParseFromString(Path(path).read_bytes())
    except OSError as error:
        raise GraphReadError(
            f"can't be read: {error.strerror}", where=path, remedy="Check the path"
        ) from None
    except DecodeError:
        raise GraphReadError(
            "no Perfetto trace", where=path, remedy="Give the trace that Mirage's profiler wrote"
        ) from None
    reader = _TraceReader(path, {name: value for value, name in catalog.task_types.items()})
    for packet in trace.packet:
        reader.take(packet)
    return reader.profile()


@dataclass
class _TraceReader:
    path: str
    types: dict[str, int]
    parents: dict[int, int] = field(default_factory=dict)
    blocks: dict[int, int] = field(default_factory=dict)
    """By uuid of a process track its block."""
    names: dict[int, str] = field(default_factory=dict)
    rows: list[tuple[int, int, int, int]] = field(default_factory=list)
    """(block, type, 0 for begin and 1 for end, clock) in order of the file."""
    open_types: dict[int, int] = field(default_factory=dict)
    """By track the type of its open slice."""

    def take(self, packet: Any) -> None:
        for item in packet.interned_data.event_names:
            self.names[item.iid] = item.name
        if packet.HasField("track_descriptor"):
            self._track(packet.track_descriptor)
        if packet.HasField("track_event"):
            self._event(packet.timestamp, packet.track_event)

    def _track(self, track: Any) -> None:
        self.parents[track.uuid] = track.parent_uuid
        name = track.process.process_name or track.name
        number = name.removeprefix("block_")
        if name.startswith("block_") and number.isdecimal() and int(number) < MAX_BLOCKS:
            self.blocks[track.uuid] = int(number)

    def _event(self, timestamp: int, event: Any) -> None:
        if event.type not in {1, 2}:  # TYPE_SLICE_BEGIN, TYPE_SLICE_END
            return
        block = self._block(event.track_uuid)
        if event.type == 1:
            name = event.name or self.names.get(event.name_iid, "")
            self.open_types[event.track_uuid] = self._type(name)
        task_type = self.open_types.get(event.track_uuid, -1)
        self.rows.append((block, task_type, event.type - 1, timestamp % (1 << CLOCK_BITS)))

    def _block(self, uuid: int) -> int:
        start = uuid
        for _ in range(4):
            if uuid in self.blocks:
                return self.blocks[uuid]
            uuid = self.parents.get(uuid, 0)
        raise GraphReadError(
            f"track {start} belongs to no block",
            where=self.path,
            remedy="Give the trace that Mirage's profiler wrote",
        )

    def _type(self, name: str) -> int:
        """The task type that a slice is named after: the exporter adds a running number."""
        stem = name.rpartition("_")[0]
        found = self.types.get(OTHER_NAMES.get(stem, stem))
        if found is None:
            raise GraphReadError(
                f"a slice is named {name[:60]!r}, after no task type",
                where=self.path,
                remedy="Give the trace that Mirage's profiler wrote; of another Mirage version "
                "with --mirage-home",
            )
        return found

    def profile(self) -> Profile:
        columns = np.array(self.rows, dtype=np.int64).reshape(-1, 4)
        order = np.argsort(columns[:, 0], kind="stable")
        blocks, types, kinds, clocks = columns[order].T
        num_workers = 1 + max(self.blocks.values(), default=0)
        return _paired(self.path, num_workers, blocks, types, kinds, clocks)
