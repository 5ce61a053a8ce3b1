"""Second commands: the same answers, from the cache, while nothing they depend on has changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from mpkgraph.cli import show_summary
from mpkgraph.io import cache as cache_module
from mpkgraph.io import content, derived
from tests import goldens
from tests.cli.conftest import EXAMPLE, ROOT

NEVER = -(10**18)
VIEWS = {
    "summary": (),
    "json": ("--json",),
    "csv": ("--csv",),
    "workers": ("--workers", "7", "--schedulers", "2"),
    "full": ("--full",),
    "task": ("--task", "20"),
    "operator": ("--operator", "5"),
    "all operators": ("--operator", "all", "--json"),
    "event": ("--event", "30"),
    "all events": ("--event", "all", "--json"),
    "tensor": ("--tensor", "*norm*", "--json"),
    "path": ("--path", "3", "300"),
    "operators": ("--list", "operators", "--csv"),
    "events": ("--list", "events", "--json"),
    "tasks": ("--list", "tasks", "--csv"),
    "tensors": ("--list", "tensors"),
    "hops": ("--task", "40", "--hops", "1"),
    "far": ("--operator", "3", "--hops", "20", "--direction", "down"),
    "slots": ("--list", "slots", "--task", "9-30", "--csv"),
    "some tasks": ("--list", "tasks", "--operator", "2,7", "--csv"),
    "tasks of a tensor": ("--list", "tasks", "--tensor", "*norm*"),
    "tasks that wait": ("--list", "tasks", "--waits-on", "3-9", "--json"),
    "tasks that trigger": ("--list", "tasks", "--triggers", "5", "--triggers", "9"),
    "some events": ("--list", "events", "--event", "3-9"),
    "events of tasks": ("--list", "events", "--task", "9-200", "--json"),
    "operators of tasks": ("--list", "operators", "--task", "9-200"),
    "tensors of tasks": ("--list", "tensors", "--task", "9-30", "--json"),
    "paths": ("--path", "3", "300", "--all-paths", "--limit", "20", "--json"),
}
WITH_RECORD = "models/qwen3_demo-Qwen3-0.6B-b8-L2-cc90"


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Small files are cached too, and count as settled at once."""
    monkeypatch.setattr(cache_module, "MIN_TEXT_BYTES", 0)
    monkeypatch.setattr(cache_module, "MIN_FILE_BYTES", 0)
    monkeypatch.setattr(content, "TICK_NS", NEVER)
    monkeypatch.setattr(content, "COARSE_TICK_NS", NEVER)


@pytest.fixture
def streamed(monkeypatch):
    """Small files are streamed, in many small batches."""
    monkeypatch.setattr(show_summary, "STREAM_BYTES", 0)
    monkeypatch.setattr(show_summary, "STREAM_COMPRESSED_BYTES", 0)
    monkeypatch.setattr("mpkgraph.analysis.summary.BATCH_TASKS", 50)
    monkeypatch.setattr("mpkgraph.io.cache_entry.PIECE_TASKS", 70)


@pytest.fixture
def graph(tmp_path, example):
    path = tmp_path / "task_graph_rank0.json"
    path.write_bytes(example.read_bytes())
    return path


@pytest.fixture
def recorded(tmp_path):
    """A real graph with its record beside it."""
    goldens.require()
    return goldens.get(WITH_RECORD).write_both(tmp_path)


@pytest.fixture
def work(monkeypatch):
    """Names of the expensive steps as they are taken."""
    done = []

    def count(where, name):
        module = sys.modules[where]
        step = getattr(module, name)

        def counted(*arguments, **options):
            done.append(name)
            return step(*arguments, **options)

        monkeypatch.setattr(module, name, counted)

    import mpkgraph.analysis.summary
    import mpkgraph.io.cache_entry
    import mpkgraph.io.reader
    import mpkgraph.views.operators
    import mpkgraph.views.recorded  # noqa: F401

    count("mpkgraph.io.reader", "read_graph")
    count("mpkgraph.io.reader", "stream_graph")
    count("mpkgraph.io.cache_entry", "decode")
    count("mpkgraph.views.operators", "recover_operators")
    count("mpkgraph.views.recorded", "recorded_operators")
    count("mpkgraph.analysis.summary", "summarise")
    return done


def entries(tmp_path, kind=""):
    folder = tmp_path / "cache"
    return sorted(x for x in folder.iterdir() if kind in x.name) if folder.exists() else []


@pytest.mark.parametrize("first", ["summary", "task", "operators"])
@pytest.mark.parametrize("name", VIEWS)
def test_any_second_command_says_what_a_first_one_says(mpkgraph, graph, work, first, name):
    wanted = mpkgraph("show", graph, *VIEWS[name], "--no-cache")
    assert mpkgraph("show", graph, *VIEWS[first]).code == 0
    work.clear()
    again = mpkgraph("show", graph, *VIEWS[name])
    assert (again.code, again.out, again.err) == (wanted.code, wanted.out, wanted.err)
    assert set(work) <= {"decode"}
    if name in {"summary", "json", "csv", "workers", "full"}:
        assert work == []


@pytest.mark.parametrize("name", VIEWS)
def test_with_a_record(mpkgraph, recorded, work, name):
    wanted = mpkgraph("show", recorded, *VIEWS[name], "--no-cache")
    first = mpkgraph("show", recorded, *VIEWS[name])
    work.clear()
    again = mpkgraph("show", recorded, *VIEWS[name])
    assert first.out == again.out == wanted.out
    assert again.err == wanted.err == ""
    assert set(work) <= {"decode"}


@pytest.mark.parametrize(
    "options",
    [
        ("--extract", "--operator", "3-6"),
        ("--extract", "--task", "9-30"),
        ("--draw",),
        ("--draw", "--task", "40", "--hops", "1"),
        ("--html",),
    ],
    ids=" ".join,
)
def test_files_are_the_same_from_the_cache(mpkgraph, graph, tmp_path, options, monkeypatch):
    monkeypatch.setattr("mpkgraph.io.cache_entry.PIECE_TASKS", 70)
    suffix = {"--extract": "json", "--draw": "dot", "--html": "html"}[options[0]]
    written = []
    for name, more in (("uncached", ("--no-cache",)), ("first", ()), ("second", ())):
        path = tmp_path / f"{name}.{suffix}"
        result = mpkgraph("show", graph, options[0], path, *options[1:], *more)
        assert result.code == 0
        written.append(path.read_bytes())
    assert written[0] == written[1] == written[2]


def test_no_cache_touches_nothing(mpkgraph, graph, tmp_path):
    for view in VIEWS.values():
        assert mpkgraph("show", graph, *view, "--no-cache").code == 0
    assert not (tmp_path / "cache").exists()
    mpkgraph("show", graph)
    before = {x: (x.read_bytes(), x.stat().st_mtime_ns) for x in entries(tmp_path)}
    mpkgraph("show", graph, "--no-cache")
    assert {x: (x.read_bytes(), x.stat().st_mtime_ns) for x in entries(tmp_path)} == before


def test_the_summary_tells_the_content(mpkgraph, graph):
    import hashlib

    digest = hashlib.sha256(graph.read_bytes()).hexdigest()
    for options in ((), (), ("--no-cache",)):
        assert mpkgraph("show", graph, "--json", *options).json["sha256"] == digest


def test_the_record_is_named(mpkgraph, recorded):
    record = recorded.with_name("pipeline_rank0.json")
    for options in ((), (), ("--no-cache",)):
        summary = mpkgraph("show", recorded, "--json", *options).json
        assert summary["record_path"] == str(record)
        assert summary["operators_origin"] == "recorded"
        assert summary["mirage_version"]


def test_a_changed_file_is_read_again(mpkgraph, graph, example):
    first = mpkgraph("show", graph).out
    text = example.read_text().replace('"embed_tokens"', '"embed_other"')
    graph.write_text(text)
    second = mpkgraph("show", graph)
    assert second.out != first
    assert second.out == mpkgraph("show", graph, "--no-cache").out
    assert "embed_other" in mpkgraph("show", graph, "--list", "tensors").out


def test_a_record_that_comes_goes_and_changes(mpkgraph, recorded, work):
    record = recorded.with_name("pipeline_rank0.json")
    text = record.read_bytes()

    def origin(*options):
        return mpkgraph("show", recorded, "--json", *options).json["operators_origin"]

    assert origin() == "recorded"
    record.unlink()
    assert origin() == "recovered"
    record.write_bytes(text)
    work.clear()
    assert origin() == "recorded"
    assert work == []
    changed = text.replace(b'"target_cc":90', b'"target_cc": 90')
    assert changed != text
    record.write_bytes(changed)
    assert origin() == "recorded"
    assert "recorded_operators" in work
    assert origin("--no-record") == "recovered"


@pytest.mark.parametrize("view", [(), ("--task", "5")])
def test_a_record_of_another_graph_is_said_each_time(mpkgraph, recorded, graph, view, work):
    graph.write_bytes((EXAMPLE / "task_graph_rank0.json").read_bytes())
    results = [mpkgraph("show", graph, *view) for _ in range(3)]
    uncached = mpkgraph("show", graph, *view, "--no-cache")
    assert len({(x.code, x.out, x.err) for x in [*results, uncached]}) == 1
    assert "warning" in results[0].err
    assert results[0].err.count("warning") == 1
    assert work.count("recorded_operators") == 2
    named = mpkgraph("show", graph, *view, "--record", graph.with_name("pipeline_rank0.json"))
    assert (named.code, named.out) == (3, "")


@pytest.mark.parametrize("view", [(), ("--list", "operators")])
def test_names_of_another_mirage(mpkgraph, graph, tmp_path, monkeypatch, view):
    header = tmp_path / "home/include/mirage/persistent_kernel/runtime_header.h"
    header.parent.mkdir(parents=True)
    header.write_text("enum TaskType { TASK_MINE = 101 }; enum EventType { EVENT_OURS = 903 };")
    plain = mpkgraph("show", graph, *view).out
    monkeypatch.setenv("MIRAGE_HOME", str(tmp_path / "home"))
    other = mpkgraph("show", graph, *view).out
    assert "mine" in other.lower()
    assert other == mpkgraph("show", graph, *view).out
    assert other == mpkgraph("show", graph, *view, "--no-cache").out
    header.write_text("enum TaskType { TASK_OTHER = 101 }; enum EventType { EVENT_OURS = 903 };")
    assert "other" in mpkgraph("show", graph, *view).out.lower()
    monkeypatch.delenv("MIRAGE_HOME")
    assert mpkgraph("show", graph, *view).out == plain


def test_results_of_other_code_are_not_used(mpkgraph, graph, work, monkeypatch):
    mpkgraph("show", graph)
    work.clear()
    monkeypatch.setattr(derived, "code_stamp", lambda: "changed")
    mpkgraph("show", graph)
    assert work == ["decode", "recover_operators", "summarise"]


def test_the_code_stamp_sees_a_change(tmp_path, monkeypatch):
    module = tmp_path / "io" / "derived.py"
    for folder in ("io", "analysis", "catalog", "model", "views"):
        (tmp_path / folder).mkdir()
    module.write_text("a = 1")
    monkeypatch.setattr(derived, "__file__", str(module))
    stamp = derived.code_stamp.__wrapped__
    before = stamp()
    assert stamp() == before
    (tmp_path / "views" / "new.py").write_text("")
    assert stamp() != before


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "other"])
def test_damaged_results_are_misses(mpkgraph, graph, tmp_path, damage):
    wanted = {name: mpkgraph("show", graph, *view).out for name, view in VIEWS.items()}
    results = entries(tmp_path, ".result")
    # summary, operators, levels of events, totals and lists of operators and tensors
    assert len(results) == 7
    texts = [x.read_bytes() for x in results]
    for path, text, other in zip(results, texts, reversed(texts), strict=True):
        half = len(text) // 2
        path.write_bytes(
            {
                "flip": text[:half] + bytes([text[half] ^ 1]) + text[half + 1 :],
                "cut": text[:half],
                "empty": b"",
                "other": other,
            }[damage]
        )
    for name, view in VIEWS.items():
        result = mpkgraph("show", graph, *view)
        assert (result.code, result.out, result.err) == (0, wanted[name], "")


@pytest.mark.parametrize("forged", [b"", b"{}", b"[]", b'{"slots": 3}', b"\xff", b"null"])
def test_forged_results_are_misses(mpkgraph, graph, forged, monkeypatch):
    wanted = mpkgraph("show", graph), mpkgraph("show", graph, "--task", "20")
    lookup = cache_module.GraphCache.lookup_result
    monkeypatch.setattr(
        cache_module.GraphCache,
        "lookup_result",
        lambda *arguments, **options: lookup(*arguments, **options) and forged,
    )
    assert (mpkgraph("show", graph), mpkgraph("show", graph, "--task", "20")) == wanted


def test_a_forged_summary_field_is_a_miss(mpkgraph, graph):
    from mpkgraph.analysis.summary_store import (
        SummaryStoreError,
        summary_from_bytes,
        summary_to_bytes,
    )
    from mpkgraph.api import read, summarise
    from mpkgraph.model.source import GraphSource

    summary = summarise(read(graph))
    document = json.loads(summary_to_bytes(summary))
    assert summary_from_bytes(summary_to_bytes(summary), source=summary.source) == summary

    def places(value, path=()):
        yield path
        inside = value.items() if isinstance(value, dict) else enumerate(value)
        if isinstance(value, dict | list):
            for key, item in list(inside)[:3]:
                yield from (
                    places(item, (*path, key)) if isinstance(item, dict | list) else [(*path, key)]
                )

    skipped = {"extras", "operators_origin"}
    for path in places(document):
        if not path or path[0] in skipped:
            continue
        forged = json.loads(json.dumps(document))
        inner = forged
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = 1.5
        with pytest.raises(SummaryStoreError):
            summary_from_bytes(json.dumps(forged).encode(), source=GraphSource())


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
@pytest.mark.parametrize("form", [(), ("--json",), ("--csv",), ("--workers", "4")])
def test_streamed_is_in_memory(mpkgraph, tmp_path, example, suffix, form, monkeypatch, work):
    import gzip

    import zstandard

    data = example.read_bytes()
    pack = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}[suffix]
    path = tmp_path / f"task_graph_rank0.json{suffix}"
    path.write_bytes(pack(data))
    wanted = mpkgraph("show", path, *form, "--no-cache")
    assert "stream_graph" not in work
    for name in ("STREAM_BYTES", "STREAM_COMPRESSED_BYTES"):
        monkeypatch.setattr(show_summary, name, 0)
    for options in ((), (), ("--no-cache",)):
        assert mpkgraph("show", path, *form, *options) == wanted
    assert work.count("stream_graph") == 2
    assert work.count("read_graph") == 1
    assert work.count("decode") == 0


def test_streaming_keeps_all_that_the_next_command_needs(mpkgraph, graph, streamed, work, tmp_path):
    wanted = {name: mpkgraph("show", graph, *view, "--no-cache") for name, view in VIEWS.items()}
    work.clear()
    mpkgraph("show", graph)
    assert work == ["stream_graph"]
    assert len(entries(tmp_path, ".graph")) == 1
    assert len(entries(tmp_path, ".result")) == 5
    for name, view in VIEWS.items():
        work.clear()
        assert mpkgraph("show", graph, *view) == wanted[name]
        assert set(work) <= {"decode"}


def test_streaming_is_for_those_without_a_record(mpkgraph, recorded, streamed, work):
    mpkgraph("show", recorded)
    assert "stream_graph" not in work
    mpkgraph("show", recorded, "--no-record")
    assert "stream_graph" not in work  # its columns are in the cache
    mpkgraph("show", recorded, "--no-record", "--no-cache")
    mpkgraph("show", recorded, "--no-record", "--no-cache", "--processes", "2")
    assert work.count("stream_graph") == 1


def test_a_bad_file_is_said_the_same_way(mpkgraph, graph, example, monkeypatch):
    graph.write_bytes(example.read_bytes()[:-5000])
    wanted = mpkgraph("show", graph)
    for name in ("STREAM_BYTES", "STREAM_COMPRESSED_BYTES"):
        monkeypatch.setattr(show_summary, name, 0)
    found = mpkgraph("show", graph)
    assert wanted.code == found.code == 3
    assert found.out == ""
    assert str(graph) in found.err


def test_ranks_of_a_directory_are_kept_apart(mpkgraph, tmp_path, work):
    for rank in (0, 1):
        name = f"task_graph_rank{rank}.json"
        (tmp_path / name).write_bytes((EXAMPLE / name).read_bytes())
    wanted = mpkgraph("show", tmp_path, "--no-cache")
    mpkgraph("show", tmp_path)
    work.clear()
    assert mpkgraph("show", tmp_path) == wanted
    assert mpkgraph("show", tmp_path, "--rank", "1", "--json").json["rank"] == 1
    assert work == []
    assert mpkgraph("show", tmp_path, "--rank", "7").code == 2


def test_a_failed_first_command_keeps_no_summary(mpkgraph, graph, work):
    assert mpkgraph("show", graph, "--task", "999").code == 2
    assert "summarise" not in work
    assert mpkgraph("show", graph, "--task", "20").code == 0


def test_first_commands_at_once(graph, tmp_path):
    """Several processes read, keep and answer at the same time."""
    code = (
        "import sys\n"
        "from mpkgraph.io import cache, content\n"
        "cache.MIN_TEXT_BYTES = cache.MIN_FILE_BYTES = 0\n"
        "content.TICK_NS = content.COARSE_TICK_NS = -10**18\n"
        "from mpkgraph.cli.main import run\n"
        f"sys.exit(run(['show', {str(graph)!r}, *sys.argv[1:]]))"
    )
    environment = {**os.environ, "MPKGRAPH_CACHE_DIR": str(tmp_path / "cache")}
    environment.pop("MIRAGE_HOME", None)
    views = [(), ("--task", "20"), (), ("--list", "operators", "--csv")] * 2
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, *view],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd=ROOT,
        )
        for view in views
    ]
    outputs = [process.communicate(timeout=120) for process in running]
    assert all(process.returncode == 0 for process in running), outputs
    for i, (out, err) in enumerate(outputs):
        assert (out, err) == (outputs[i % 4][0], b"")
    assert outputs[0] == outputs[2]
    assert len(entries(tmp_path, ".graph")) == 1
    assert len(entries(tmp_path, ".result")) == 6
    assert not entries(tmp_path, ".tmp")


def test_a_kept_summary_needs_no_numpy(mpkgraph, graph, tmp_path):
    mpkgraph("show", graph)
    code = (
        "import sys\n"
        "sys.modules['numpy'] = None\n"
        "from mpkgraph.io import cache, content\n"
        "cache.MIN_FILE_BYTES = 0\n"
        "content.TICK_NS = content.COARSE_TICK_NS = -10**18\n"
        "from mpkgraph.cli.main import run\n"
        f"sys.exit(run(['show', {str(graph)!r}, *sys.argv[1:]]))"
    )
    environment = {**os.environ, "MPKGRAPH_CACHE_DIR": str(tmp_path / "cache")}
    environment.pop("MIRAGE_HOME", None)
    for form in ((), ("--json",)):
        done = subprocess.run(
            [sys.executable, "-c", code, *form],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
            cwd=ROOT,
        )
        assert done.stdout == mpkgraph("show", graph, *form).out
