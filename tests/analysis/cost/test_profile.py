"""Profiles as Mirage's profiler and its exporter write them, joined to tasks."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.cost.durations import model_costs
from mpkgraph.analysis.cost.join import join_profile
from mpkgraph.analysis.cost.model import CostModel
from mpkgraph.analysis.cost.profile import read_profile, tensor_profile
from mpkgraph.analysis.schedule.run import ScheduleOptions, schedule
from mpkgraph.analysis.schedule.times import NEVER
from mpkgraph.catalog import DEFAULT
from mpkgraph.errors import GraphReadError, UsageError
from mpkgraph.io.reader import read_graph
from mpkgraph.views.operators import recover_operators
from tests import goldens
from tests.analysis.graphs import context_of, graph_of, task

DATA = Path(__file__).parents[2] / "data"
BASE = (1 << 32) - 3000
"""The clock wraps in the middle of the run."""
SCHD_EVENTS, BEGIN = 201, 10


def graph():
    """20 linear tasks, then 7 norms that wait for them."""
    norms = [task(2, 3, task_type=119) for _ in range(7)]
    return graph_of([*([(None, 2)] * 20), *norms], 4)


def simulated(context, workers, schedulers):
    return schedule([context], ScheduleOptions(workers, schedulers, CostModel.of_gpu("h100")))


def slices_of(found):
    """By worker (type, start, end) as the profiler would see the schedule."""
    system, times = found.account.system, found.account.times
    types = found.contexts[0].graph.tasks.task_types
    rows = [[] for _ in range(system.num_workers)]
    rows[0] = [(BEGIN, 10, 20), (SCHD_EVENTS, 30, 40)]
    for number in np.lexsort((system.places, system.workers)).tolist():
        if system.workers[number] >= 0 and times.starts[number] != NEVER:
            rows[system.workers[number]].append(
                (int(types[number]), int(times.starts[number]), int(times.ends[number]))
            )
    return rows


def tensor_of(rows, spare=6):
    """The words of `profiler.h`: blocks take turns, begin then end of each slice."""
    longest = 2 * max(map(len, rows)) + spare
    words = np.zeros(1 + longest * len(rows), dtype=np.uint64)
    words[0] = len(rows) | 1 << 32
    for block, mine in enumerate(rows):
        place = 1 + block
        for number, (task_type, start, end) in enumerate(mine):
            for kind, clock in ((0, start), (1, end)):
                tag = ((number & 0x1FFF) << 19) | (block << 11) | (task_type << 2) | kind
                words[place] = tag | ((BASE + clock) & 0xFFFFFFFF) << 32
                place += len(rows)
    return words


def trace_of(words, catalog=DEFAULT):
    """A trace as `export_to_perfetto_trace` and the package tg4perfetto write it."""
    pb2 = pytest.importorskip("perfetto.protos.perfetto.trace.perfetto_trace_pb2")
    trace = pb2.Trace()
    blocks = int(words[0]) & 0xFFFFFFFF
    uuid = 1234567
    groups, tracks, names = {}, {}, {}
    for block in range(blocks):
        process = trace.packet.add().track_descriptor
        process.uuid, process.name = uuid, f"block_{block}"
        process.process.pid = uuid
        process.process.process_name = f"block_{block}"
        group = trace.packet.add().track_descriptor
        group.uuid, group.parent_uuid, group.name = uuid + 1, uuid, "group_0"
        groups[block] = uuid + 1
        uuid += 2
    for word in words[1:].tolist():
        if not word:
            continue
        tag, clock = word & 0xFFFFFFFF, word >> 32
        kind, task_type, block, number = tag & 3, tag >> 2 & 0x1FF, tag >> 11 & 0xFF, tag >> 19
        if (block, task_type) not in tracks:
            track = trace.packet.add().track_descriptor
            track.uuid, track.parent_uuid, track.name = uuid, groups[block], "group_0"
            tracks[block, task_type] = uuid
            uuid += 1
        packet = trace.packet.add()
        packet.timestamp = clock
        event = packet.track_event
        event.track_uuid = tracks[block, task_type]
        event.type = 2 if kind else 1
        if not kind:
            name = f"{catalog.task_type_name(task_type)}_{number}"
            if name not in names:
                names[name] = len(names) + 1
                packet.interned_data.event_names.add(iid=names[name], name=name)
            event.name_iid = names[name]
    return trace.SerializeToString()


@pytest.mark.parametrize(("workers", "schedulers"), [(4, 2), (3, 3), (5, 1)])
@pytest.mark.parametrize("form", ["npy", "bin", "perfetto-trace"])
def test_measured_times_are_those_that_were_measured(tmp_path, workers, schedulers, form):
    context = context_of(graph(), [range(2, 22), range(22, 29)])
    found = simulated(context, workers, schedulers)
    words = tensor_of(slices_of(found))
    path = tmp_path / f"profile.{form}"
    if form == "npy":
        np.save(path, words.view(np.int64))
    else:
        path.write_bytes(words.tobytes() if form == "bin" else trace_of(words))
    profile = read_profile(str(path), DEFAULT)
    assert profile.num_workers == workers
    measured, _ = join_profile(profile, context, schedulers)
    assert measured.known.tolist() == list(range(2, 29))
    durations = (measured.ends - measured.starts)[2:]
    assert durations.tolist() == found.account.durations[2:].tolist()
    again = schedule(
        [context],
        ScheduleOptions(workers, schedulers, CostModel.of_gpu("h100"), measured=measured),
    )
    assert again.measured.makespan_ns == again.measured.simulated_ns
    assert again.makespan_ns == found.makespan_ns


def test_schedulers_that_fit_are_found():
    # Types alternate, so that another rotation of the first scheduler's workers shows
    tasks = [(None, 2) if i % 3 else task(None, 2, task_type=119) for i in range(40)]
    context = context_of(graph_of(tasks, 3), [range(2, 42)])
    rows = slices_of(simulated(context, 8, 2))
    profile = tensor_profile(tensor_of(rows))
    measured, schedulers = join_profile(profile, context, None)
    assert -(-8 // schedulers) == 4
    assert len(measured.known) == 40
    assert join_profile(profile, context, None, likely=2)[1] == 2
    with pytest.raises(UsageError, match=r"worker \d ran TASK_"):
        join_profile(profile, context, 8)


def test_a_profile_that_ends_early_gives_what_it_has():
    context = context_of(graph(), [range(2, 22), range(22, 29)])
    words = tensor_of(slices_of(simulated(context, 4, 2)), spare=0)
    profile = tensor_profile(words[: 1 + 4 * 5])
    measured, _ = join_profile(profile, context, 2)
    # Five words of each worker: two slices and a begin without its end; worker 0's are others
    assert len(measured.known) == 3 * 2


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_reader(data):
    words = np.frombuffer(data[: len(data) // 8 * 8], dtype=np.uint64)
    with contextlib.suppress(GraphReadError):
        tensor_profile(words)


def test_what_is_no_profile(tmp_path):
    with pytest.raises(GraphReadError, match=r"numpy\.save"):
        read_profile("profile.pt", DEFAULT)
    np.save(tmp_path / "x.npy", np.zeros(4, dtype=np.float32))
    with pytest.raises(GraphReadError, match="float32"):
        read_profile(str(tmp_path / "x.npy"), DEFAULT)
    (tmp_path / "y.npy").write_bytes(b"nonsense")
    with pytest.raises(GraphReadError, match="no NumPy array"):
        read_profile(str(tmp_path / "y.npy"), DEFAULT)
    with pytest.raises(GraphReadError, match="can't be read"):
        read_profile(str(tmp_path / "absent.npy"), DEFAULT)
    pytest.importorskip("perfetto.protos.perfetto.trace.perfetto_trace_pb2")
    (tmp_path / "z.perfetto-trace").write_bytes(b"\xff\xff\xff")
    with pytest.raises(GraphReadError, match="no Perfetto trace"):
        read_profile(str(tmp_path / "z.perfetto-trace"), DEFAULT)
    (tmp_path / "empty.perfetto-trace").write_bytes(b"")
    with pytest.raises(GraphReadError, match="no task"):
        read_profile(str(tmp_path / "empty.perfetto-trace"), DEFAULT)


def test_words_of_another_block_are_told():
    rows = [[(120, 0, 10)], [(120, 0, 10)]]
    words = tensor_of(rows)
    words[1], words[2] = words[2], words[1]
    with pytest.raises(GraphReadError, match="tagged with block 1"):
        tensor_profile(words)


def test_the_runtime_is_simulated_as_an_h100_runs_it():
    """A profile of `benchmarks/gpu/runtime.cu`: kernels that spin for the model's durations."""
    graph = read_graph(goldens.get("models/qwen3_demo-Qwen3-8B-b8-L2-cc90").graph_path)
    context = GraphContext(graph, recover_operators(graph))
    profile = read_profile(str(DATA / "h100_spin_qwen3_8b_b8_L2.npy"), DEFAULT)
    measured, schedulers = join_profile(profile, context, likely=16)
    assert (profile.num_workers, schedulers) == (128, 16)
    assert len(measured.known) == graph.num_tasks - 2
    model = CostModel.of_gpu("h100")
    found = schedule([context], ScheduleOptions(128, 16, model, measured=measured))
    assert found.measured.simulated_ns == pytest.approx(found.measured.makespan_ns, rel=0.002)
    # What the kernels were told to spin is what the model says
    told = model_costs(context, model, 128).durations[2:]
    took = (measured.ends - measured.starts)[2:]
    assert np.abs(took - told).max() < 500
    # Task by task: starts of the simulation are those on the GPU, within 0.5 % of the whole
    shift = measured.starts[2] - found.account.times.starts[2]
    late = measured.starts[2:] - found.account.times.starts[2:] - shift
    assert np.abs(late).max() < 0.005 * found.makespan_ns
