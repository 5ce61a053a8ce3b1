"""A schedule as a Perfetto trace: opens in ui.perfetto.dev and loads into its trace processor.

TrackEvents of `perfetto_trace.proto`: a track for each worker with a slice for each task and for
each wait, a track for each scheduler, one for the critical path, and a flow from the last trigger
of an event to every task that waits on it. Needs the package `perfetto` (extra `trace`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np

from mpkgraph.analysis.schedule.result import Schedule
from mpkgraph.analysis.schedule.slices import SliceFacts
from mpkgraph.errors import MissingDependencyError, UsageError
from mpkgraph.io.atomic import atomic_file

SEQUENCE = 1
"""All packets are one sequence, which interned strings are of."""
SUFFIXES = (".perfetto-trace", ".pftrace", ".perfetto", ".pb")
BATCH = 1 << 14
"""Tasks whose columns are made Python integers at a time."""
NAMES = ("task_id", "operator", "waits on event", "triggers event", "blocked on event")
TASK, OPERATOR, WAITS, TRIGGERS, BLOCKED = range(1, len(NAMES) + 1)
"""Ids of the interned names of annotations."""


def write_trace(schedule: Schedule, path: str) -> None:
    """Writes the trace to a file, which appears only when it is complete.

    Raises MissingDependencyError without the package, UsageError for a file of another kind.
    """
    if not path.endswith(SUFFIXES):
        raise UsageError(
            "a trace is no file of this kind", where=path, remedy=f"End it in {SUFFIXES[0]}"
        )
    packet = _packet_type()
    with atomic_file(path) as stream:
        for item in _packets(schedule, packet):
            _write(stream, item.SerializeToString())


def _packet_type() -> Callable[[], Any]:
    try:
        from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import TracePacket
    except ImportError:
        raise MissingDependencyError(
            "Perfetto traces need the package perfetto",
            remedy="Install it with: pip install 'mpkgraph[trace]'",
        ) from None
    found: Callable[[], Any] = TracePacket
    return found


def _write(stream: BinaryIO, data: bytes) -> None:
    """One packet of the trace: field 1, length-delimited."""
    head, size = bytearray(b"\x0a"), len(data)
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    stream.write(head + data)


@dataclass
class _Strings:
    """Interned strings of one kind: ids from 1, in order of first use."""

    ids: dict[str, int] = field(default_factory=dict)
    fresh: list[tuple[int, str]] = field(default_factory=list)

    def id_of(self, text: str) -> int:
        found = self.ids.get(text)
        if found is None:
            found = self.ids[text] = len(self.ids) + 1
            self.fresh.append((found, text))
        return found


@dataclass(frozen=True)
class _Tracks:
    """Uuids: any numbers that differ."""

    schedule: Schedule

    @property
    def path(self) -> int:
        return 1

    def rank(self, place: int) -> int:
        return 2 + place

    def worker(self, worker: int) -> int:
        return 1_000_000 + worker

    def scheduler(self, scheduler: int) -> int:
        return 2_000_000 + scheduler


def _packets(schedule: Schedule, packet: Callable[[], Any]) -> Iterator[Any]:
    tracks = _Tracks(schedule)
    yield from _descriptors(schedule, packet, tracks)
    first = packet()
    first.trusted_packet_sequence_id = SEQUENCE
    first.sequence_flags = 1  # SEQ_INCREMENTAL_STATE_CLEARED
    for iid, name in enumerate(NAMES, 1):
        first.interned_data.debug_annotation_names.add(iid=iid, name=name)
    yield first
    writer = _Writer(schedule, packet, tracks)
    yield from writer.critical_path()
    yield from writer.schedulers()
    yield from writer.tasks()


def _descriptors(schedule: Schedule, packet: Callable[[], Any], tracks: _Tracks) -> Iterator[Any]:
    """Tracks by name: the critical path, then each rank's workers and schedulers."""

    def track(uuid: int, name: str, parent: int | None = None, order: int = 0) -> Any:
        item = packet()
        item.trusted_packet_sequence_id = SEQUENCE
        descriptor = item.track_descriptor
        descriptor.uuid = uuid
        descriptor.name = name
        descriptor.child_ordering = 3  # EXPLICIT
        descriptor.sibling_order_rank = order
        if parent is not None:
            descriptor.parent_uuid = parent
        return item

    system = schedule.account.system
    yield track(tracks.path, "critical path")
    for place, context in enumerate(schedule.contexts):
        yield track(tracks.rank(place), f"rank {context.graph.rank}", order=1 + place)
        for own in range(system.num_schedulers):
            scheduler = place * system.num_schedulers + own
            name = f"scheduler {own}"
            yield track(tracks.scheduler(scheduler), name, tracks.rank(place), own)
        for own in range(system.num_workers):
            worker = place * system.num_workers + own
            order = system.num_schedulers + own
            yield track(tracks.worker(worker), f"worker {own}", tracks.rank(place), order)


@dataclass
class _Writer:
    """Packets of slices, with the strings that they are the first to name."""

    schedule: Schedule
    packet: Callable[[], Any]
    tracks: _Tracks
    names: _Strings = field(default_factory=_Strings)
    categories: _Strings = field(default_factory=_Strings)

    def event(self, kind: int, timestamp: int, track: int) -> Any:
        item = self.packet()
        item.trusted_packet_sequence_id = SEQUENCE
        item.sequence_flags = 2  # SEQ_NEEDS_INCREMENTAL_STATE
        item.timestamp = timestamp
        event = item.track_event
        event.type = kind
        event.track_uuid = track
        return item

    def begin(self, timestamp: int, track: int, name: str, category: str) -> Any:
        item = self.event(1, timestamp, track)  # TYPE_SLICE_BEGIN
        item.track_event.name_iid = self.names.id_of(name)
        item.track_event.category_iids.append(self.categories.id_of(category))
        if self.names.fresh:
            for iid, text in self.names.fresh:
                item.interned_data.event_names.add(iid=iid, name=text)
            self.names.fresh.clear()
        if self.categories.fresh:
            for iid, text in self.categories.fresh:
                item.interned_data.event_categories.add(iid=iid, name=text)
            self.categories.fresh.clear()
        return item

    def end(self, timestamp: int, track: int) -> Any:
        return self.event(2, timestamp, track)  # TYPE_SLICE_END

    def critical_path(self) -> Iterator[Any]:
        path, times = self.schedule.path, self.schedule.account.times
        for task in path.tasks.tolist():
            start, end = int(times.starts[task]), int(times.ends[task])
            name = self.schedule.task_name(task)
            item = self.begin(start, self.tracks.path, name, "critical path")
            self._note(item, TASK, self.schedule.account.system.local_task(task)[1])
            yield item
            yield self.end(end, self.tracks.path)

    def schedulers(self) -> Iterator[Any]:
        start = self.schedule.account.runtime.start_ns
        for scheduler, (count, last) in enumerate(self.schedule.hand_outs):
            if not count:
                continue
            track = self.tracks.scheduler(scheduler)
            name = f"hands out {count:,} tasks" if count > 1 else "hands out 1 task"
            yield self.begin(start, track, name, "scheduler")
            yield self.end(last, track)

    def tasks(self) -> Iterator[Any]:
        """Slices of each worker in order of time: a wait, then the task."""
        account = self.schedule.account
        system, times = account.system, account.times
        running = np.flatnonzero(account.runs & (system.workers >= 0))
        order = running[np.lexsort((times.starts[running], system.workers[running]))]
        facts = SliceFacts.of(self.schedule)
        for first in range(0, len(order), BATCH):
            part = order[first : first + BATCH]
            rows = zip(
                part.tolist(),
                system.workers[part].tolist(),
                times.starts[part].tolist(),
                times.ends[part].tolist(),
                account.blocked[part].tolist(),
                account.starved[part].tolist(),
                np.maximum(account.fetched, account.handed)[part].tolist(),
                account.fetched[part].tolist(),
                facts.owners[part].tolist(),
                facts.local_ids[part].tolist(),
                facts.dependents[part].tolist(),
                facts.triggers[part].tolist(),
                facts.came_last[part].tolist(),
                strict=True,
            )
            for (
                task,
                worker,
                start,
                end,
                blocked,
                starved,
                ready,
                fetched,
                owner,
                local_id,
                waits,
                triggers,
                last,
            ) in rows:
                track = self.tracks.worker(worker)
                if starved:
                    yield self.begin(fetched, track, "wait for the scheduler", "starved")
                    yield self.end(fetched + starved, track)
                if blocked:
                    producer = "" if last < 0 else self._name(facts, int(facts.owners[last]), last)
                    item = self.begin(ready, track, f"wait for {producer or 'an event'}", "blocked")
                    self._note(item, BLOCKED, waits)
                    yield item
                    yield self.end(ready + blocked, track)
                item = self.begin(start, track, self._name(facts, owner, task), facts.kind(task))
                self._note(item, TASK, local_id)
                if owner >= 0:
                    self._note(item, OPERATOR, int(facts.local_owners[owner]))
                if waits >= 0:
                    self._note(item, WAITS, waits)
                if triggers >= 0:
                    self._note(item, TRIGGERS, triggers)
                flows = facts.flows_from(task)
                if len(flows):
                    item.track_event.flow_ids.extend(flows)
                if last >= 0:
                    item.track_event.terminating_flow_ids.append(task + 1)
                yield item
                yield self.end(end, track)

    def _name(self, facts: SliceFacts, owner: int, task: int) -> str:
        return facts.owner_names[owner] if owner >= 0 else self.schedule.task_name(task)

    def _note(self, item: Any, name: int, value: int) -> None:
        item.track_event.debug_annotations.add(name_iid=name, int_value=value)
