"""A schedule as text, chart and trace: golden files, and what a reader of each form finds."""

from __future__ import annotations

import io
import os
import re
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from mpkgraph.analysis.cost.model import CostModel, TypeCost
from mpkgraph.analysis.schedule.bins import BLOCKED, find_runs
from mpkgraph.analysis.schedule.run import ScheduleOptions, schedule
from mpkgraph.analysis.schedule.what_if import parse_what_if
from mpkgraph.errors import MissingDependencyError, UsageError
from mpkgraph.render import gantt
from mpkgraph.render.gantt import gantt_svg, write_gantt
from mpkgraph.render.perfetto import write_trace
from mpkgraph.render.schedule_text import schedule_text
from mpkgraph.render.text import TextWriter
from tests.analysis.graphs import context_of, graph_of, slot, task

SVG = "{http://www.w3.org/2000/svg}"


def small(what_if=(), names="y"):
    """Four producers, one of them slow; three that wait for them."""
    made = [
        task(
            None,
            2,
            task_type=119 if i == 1 else 120,
            outputs=[slot(names, (1, 8), (64, 1), 16 * i)],
        )
        for i in range(4)
    ]
    tasks = [*made, *(task(2, 3, inputs=[slot(names, (1, 8), (64, 1), 16 * i)]) for i in range(3))]
    context = context_of(graph_of(tasks, 4), [[2, 4, 5], [3], [6, 7, 8]])
    model = replace(
        CostModel.of_gpu("h100"),
        task_types={
            "TASK_LINEAR": TypeCost(duration_ns=4000),
            "TASK_RMS_NORM": TypeCost(duration_ns=9000),
        },
    )
    options = ScheduleOptions(3, 2, model, what_if=parse_what_if(what_if, context))
    return schedule([context], options)


def hung():
    return schedule(
        [context_of(graph_of([(2, 3), (None, 2)], 4))],
        ScheduleOptions(1, 1, CostModel.of_gpu("h100")),
    )


def text_of(found, **options):
    stream = io.StringIO()
    schedule_text(TextWriter(stream), found, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("small", small),
        ("what-if", lambda: small(["event:2=split", "rms_norm=0.5"])),
        ("hang", hung),
    ],
)
def test_text(name, make, golden):
    golden(f"schedule/{name}.txt", text_of(make()))


def test_text_is_one_screen():
    assert len(text_of(small()).splitlines()) < 50


@pytest.mark.parametrize(("name", "make"), [("small", small), ("hang", hung)])
def test_chart(name, make, golden):
    svg = gantt_svg(make())
    ET.fromstring(svg)
    golden(f"schedule/{name}.svg", svg)


def test_chart_of_pixels(golden, monkeypatch):
    monkeypatch.setattr(gantt, "MAX_TITLED_TASKS", 0)
    svg = gantt_svg(small())
    golden("schedule/pixels.svg", svg)


def test_chart_shows_every_task_at_its_time():
    found = small()
    root = ET.fromstring(gantt_svg(found))
    titles = [item.find(f"{SVG}title") for item in root.iter(f"{SVG}rect")]
    shown = [title.text for title in titles if title is not None]
    tasks = [text for text in shown if text.startswith("task ")]
    assert len(tasks) == 7
    assert sum("waits for event 2" in text for text in shown) == int(
        (found.account.blocked > 0).sum()
    )
    times = found.account.times
    for item in root.iter(f"{SVG}rect"):
        title = item.find(f"{SVG}title")
        if title is None or not title.text.startswith("task "):
            continue
        number = int(title.text.split()[1])
        x = gantt.LEFT + gantt.WIDTH * times.starts[number] / found.makespan_ns
        assert float(item.get("x")) == pytest.approx(x, abs=0.01)


def test_names_are_text_in_charts():
    context = context_of(graph_of([(None, 2)], 3))
    operator = replace(context.operators[0], register_name="<script>&\x1b[31m")
    context = replace(context, operators=replace(context.operators, operators=(operator,)))
    found = schedule([context], ScheduleOptions(1, 1, CostModel.of_gpu("h100")))
    svg = gantt_svg(found)
    ET.fromstring(svg)
    assert "<script>" not in svg
    assert "\x1b" not in svg + text_of(found)


def test_pixels_are_what_workers_do_most():
    found = small()
    labels = np.zeros(found.account.system.num_tasks, dtype=np.int64)
    runs = find_runs(found.account, labels, 1, 97)
    edges = np.linspace(0, found.makespan_ns, 98)
    times, workers = found.account.times, found.account.system.workers
    shown = {}
    for worker, first, end, label in zip(
        runs.workers.tolist(),
        runs.firsts.tolist(),
        runs.ends.tolist(),
        runs.labels.tolist(),
        strict=True,
    ):
        for place in range(first, end):
            shown[worker, place] = label
    for worker in range(3):
        for place in range(97):
            low, high = edges[place], edges[place + 1]
            busy = sum(
                max(0.0, min(high, times.ends[i]) - max(low, times.starts[i]))
                for i in np.flatnonzero(workers == worker).tolist()
            )
            inside = max(0.0, min(high, times.free[worker]) - low)
            if inside <= 0:
                assert (worker, place) not in shown
            elif abs(2 * busy - inside) > 1e-6:
                assert shown[worker, place] == (0 if 2 * busy > inside else BLOCKED)


def test_chart_is_an_svg_file(tmp_path):
    with pytest.raises(UsageError, match="SVG"):
        write_gantt(small(), str(tmp_path / "x.png"))
    assert list(tmp_path.iterdir()) == []


# Traces


@pytest.fixture
def pb2():
    return pytest.importorskip("perfetto.protos.perfetto.trace.perfetto_trace_pb2")


def read_slices(pb2, data):
    """Slices (track, name, start, end), and flows by id as (ends of sources, starts of targets).

    A reader of its own: begins and ends of a track nest, times never go back on a track.
    """
    trace = pb2.Trace()
    trace.ParseFromString(data)
    tracks, names, stacks, latest = {}, {}, {}, {}
    slices, sources, targets = [], {}, {}
    for packet in trace.packet:
        for item in packet.interned_data.event_names:
            names[item.iid] = item.name
        if packet.HasField("track_descriptor"):
            tracks[packet.track_descriptor.uuid] = packet.track_descriptor
        if not packet.HasField("track_event"):
            continue
        event, now = packet.track_event, packet.timestamp
        assert event.track_uuid in tracks
        assert now >= latest.get(event.track_uuid, 0)
        latest[event.track_uuid] = now
        stack = stacks.setdefault(event.track_uuid, [])
        if event.type == 1:
            stack.append((names[event.name_iid], now, list(event.flow_ids)))
            for flow in event.terminating_flow_ids:
                assert flow not in targets
                targets[flow] = now
        else:
            name, start, flows = stack.pop()
            slices.append((event.track_uuid, name, start, now))
            for flow in flows:
                assert flow not in sources
                sources[flow] = now
    assert all(not stack for stack in stacks.values())
    return tracks, slices, sources, targets


def test_trace_holds_the_schedule(pb2, tmp_path):
    found = small()
    path = tmp_path / "x.perfetto-trace"
    write_trace(found, str(path))
    tracks, slices, sources, targets = read_slices(pb2, path.read_bytes())
    names = {uuid: track.name for uuid, track in tracks.items()}
    on_workers = [x for x in slices if names[x[0]].startswith("worker")]
    times, system = found.account.times, found.account.system
    expected = {
        (
            f"worker {system.workers[i]}",
            found.task_name(i),
            int(times.starts[i]),
            int(times.ends[i]),
        )
        for i in range(2, 9)
    }
    tasks = {
        (names[track], name, start, end)
        for track, name, start, end in on_workers
        if not name.startswith("wait")
    }
    assert tasks == expected
    waits = [x for x in on_workers if x[1].startswith("wait for rms_norm")]
    assert sum(end - start for *_, start, end in waits) == int(found.account.blocked.sum())
    path_slices = [x for x in slices if names[x[0]] == "critical path"]
    assert len(path_slices) == len(found.path.tasks)
    # An arrow to each of the three that wait, from the end of the slow one
    assert set(sources) == set(targets)
    assert len(sources) == 3
    assert set(sources.values()) == {int(times.ends[3])}
    assert sorted(targets.values()) == sorted(times.starts[6:9].tolist())


def test_trace_is_the_same_every_time(pb2, tmp_path):
    del pb2
    for name in ("a", "b"):
        write_trace(small(), str(tmp_path / f"{name}.perfetto-trace"))
    first, second = (tmp_path / f"{name}.perfetto-trace" for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()


def test_trace_processor_counts_slices_and_flows(pb2, tmp_path):
    del pb2
    processor = trace_processor()
    found = small()
    path = tmp_path / "x.perfetto-trace"
    write_trace(found, str(path))
    with processor(trace=str(path)) as tp:

        def count(query):
            return next(iter(tp.query(query))).n

        on_workers = (
            "slice join track on slice.track_id = track.id where track.name like 'worker %'"
        )
        assert count(f"select count(*) as n from {on_workers} and slice.name not like 'wait%'") == 7
        assert count(
            f"select count(*) as n from {on_workers} and slice.name like 'wait for%'"
        ) == int((found.account.blocked > 0).sum() + (found.account.starved > 0).sum())
        assert count("select count(*) as n from flow") == 3
        assert count(
            "select count(*) as n from slice join track on slice.track_id = track.id "
            "where track.name = 'critical path'"
        ) == len(found.path.tasks)
        assert count("select max(ts + dur) as n from slice") <= found.makespan_ns
        assert count("select sum(value) as n from stats where severity = 'error'") == 0


def trace_processor():
    """Perfetto's own reader: the binary that PERFETTO_TRACE_PROCESSOR names, else the one that the
    package downloads on first use, which may not be possible.
    """
    api = pytest.importorskip("perfetto.trace_processor")
    errors = pytest.importorskip("perfetto.common.exceptions")
    config = api.TraceProcessorConfig(bin_path=os.environ.get("PERFETTO_TRACE_PROCESSOR"))
    try:
        api.TraceProcessor(config=config).close()
    except (OSError, subprocess.SubprocessError, errors.PerfettoException) as error:
        pytest.skip(f"perfetto's trace_processor can't be had here: {type(error).__name__}")
    return partial(api.TraceProcessor, config=config)


def test_trace_is_no_other_file(tmp_path):
    with pytest.raises(UsageError, match="perfetto-trace"):
        write_trace(small(), str(tmp_path / "x.json"))
    assert list(tmp_path.iterdir()) == []


def test_without_the_package(tmp_path, monkeypatch):
    import sys

    for name in [name for name in sys.modules if name.startswith("perfetto")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "perfetto", None)
    with pytest.raises(MissingDependencyError, match=re.escape("mpkgraph[trace]")):
        write_trace(small(), str(tmp_path / "x.perfetto-trace"))
    assert list(tmp_path.iterdir()) == []
