"""The harness measures what it says it does, and its tables say what was measured."""

import os
import sys

import pytest

from benchmarks import harness, layouts, peers, reading
from benchmarks.generate import generate, spec_for_size
from benchmarks.harness import (
    MeasurementError,
    Sample,
    Series,
    Spread,
    Subject,
    measure,
    measure_in_turns,
    pairwise_ratios,
)
from benchmarks.report import (
    BEGIN_MARK,
    END_MARK,
    layouts_table,
    markdown,
    reading_table,
    write_between_marks,
)
from benchmarks.subjects import MB, reading_subjects, verdicts

PYTHON = sys.executable


def python(code: str, **fields) -> Subject:
    return Subject("code", lambda path: [PYTHON, "-S", "-c", code, str(path)], **fields)


def series(name: str, *seconds: float, peak_mb: float = 10) -> Series:
    subject = Subject(name, lambda path: [str(path)])
    return Series(
        subject, [Sample(s, s / 2, int(peak_mb * MB), int(peak_mb * MB), {}) for s in seconds]
    )


@pytest.fixture
def graph(tmp_path):
    path = tmp_path / "graph.json"
    with path.open("wb") as stream:
        generate(stream, spec_for_size(0.5))
    return path


def test_peak_is_that_of_the_measured_process(graph):
    small = measure(python("pass"), graph)
    large = measure(python("x = b'1' * 64_000_000"), graph)
    assert small.peak_bytes < 40 * MB
    assert 60 * MB < large.peak_bytes - small.peak_bytes < 80 * MB


def test_peak_does_not_count_the_process_that_measures(graph):
    ballast = b"1" * (100 * MB)
    assert measure(python("pass"), graph).peak_bytes < len(ballast) / 2


def test_seconds_are_the_process_or_its_own(graph):
    code = 'import time; time.sleep(0.2); print(\'{"seconds": 0.125, "cpu_seconds": 0.1}\')'
    assert measure(python(code), graph).seconds >= 0.2
    own = measure(python(code, times_itself=True), graph)
    assert (own.seconds, own.cpu_seconds) == (0.125, 0.1)
    # Sleeping takes no CPU.
    assert measure(python(code), graph).cpu_seconds < 0.2


def test_failure_is_reported_and_left_out_of_later_rounds(graph):
    with pytest.raises(MeasurementError, match=r"exit 1: ValueError: no"):
        measure(python("raise ValueError('no')"), graph)
    calls = []
    bad = python("raise SystemExit('stop')", before=calls.append)
    good, failed = measure_in_turns([python("pass"), bad], graph, 2)
    assert len(good.samples) == 2
    assert failed.failure == "exit 1: stop"
    assert calls == [graph]


def test_rounds_alternate(graph):
    order = []
    subjects = [
        Subject(
            name, lambda path: [PYTHON, "-S", "-c", ""], before=lambda _, n=name: order.append(n)
        )
        for name in "ab"
    ]
    measure_in_turns(subjects, graph, 2)
    assert order == ["a", "b", "a", "b"]


def test_ratios_are_of_neighbours():
    ratios = pairwise_ratios(series("slow", 4, 30, 8), series("fast", 2, 3, 2))
    assert ratios == Spread(4, 2, 10)


@pytest.mark.parametrize(
    "peer", [p for p in peers.PEERS if not p.name.startswith("mpkgraph")], ids=lambda p: p.name
)
def test_peers_count_the_tasks(peer, graph):
    for package in peer.requires:
        pytest.importorskip({"pysimdjson": "simdjson"}.get(package, package))
    expected = peers.BY_NAME["json"].make()(graph)
    assert peer.make()(graph) == expected > 100


@pytest.mark.parametrize("name", ["mpkgraph", "mpkgraph-2", "mpkgraph-stream"])
def test_our_readers_count_the_tasks(name, graph):
    result = peers.run(name, graph)
    assert result["num_tasks"] == peers.BY_NAME["json"].make()(graph)
    assert result["seconds"] > 0


def test_goals_are_held_against_large_files_only():
    run = {
        "mpkgraph": series("mpkgraph", 1, 1, peak_mb=80),
        "mpkgraph-2": series("mpkgraph-2", 0.5, 0.5),
        "json": series("json", 7, 9),
        "orjson-nogc": series("orjson-nogc", 2, 2.2),
    }

    def met(name: str, size_mb: float) -> list[bool | None]:
        return [v.met for v in verdicts(run[name].subject, run, int(size_mb * MB))]

    assert met("json", 300) == [True]
    assert met("orjson-nogc", 300) == [False]
    assert met("orjson-nogc", 100) == [None]
    assert met("mpkgraph", 100) == [False]
    assert met("mpkgraph", 300) == [True]


def test_a_sum_over_processes_above_the_limit_proves_nothing():
    two = Series(
        Subject("mpkgraph-2", lambda path: [str(path)]),
        [Sample(1, 1, 100 * MB, 55 * MB, {})],
    )
    assert verdicts(two.subject, {"mpkgraph-2": two}, 100 * MB)[-1].met is None
    assert verdicts(two.subject, {"mpkgraph-2": two}, 500 * MB)[-1].met is True


def test_table_has_speed_peak_and_ratio():
    table = reading_table(
        "Generated", 300 * MB, [series("mpkgraph", 1, 1), series("json", 8, 12, 9, peak_mb=900)]
    )
    assert table.title == "Generated: 300 MB"
    assert table.rows[0][1:5] == ("1", "0.5", "300", "10")
    # A reader with another number of rounds can't be compared pairwise.
    assert table.rows[1][1:6] == ("9 (8 to 12)", "4.5", "33", "900", "")
    compared = reading_table("", 300 * MB, [series("mpkgraph", 1, 2), series("json", 9, 16)])
    assert compared.rows[1][5:] == ("8.50 (8.00 to 9.00)", "8 x from 300 MB", "met")


@pytest.mark.parametrize(("load", "missed"), [(0.5, "NOT met"), (9.0, "")])
def test_layouts_table_holds_the_goal(load, missed, monkeypatch):
    monkeypatch.setattr(os, "getloadavg", lambda: (load, load, load))
    monkeypatch.setattr(harness, "num_usable_cores", lambda: 2)
    table = layouts_table(
        [
            ("compact", 80 * MB, [series("mpkgraph", 0.5), series("orjson-nogc", 1)]),
            ("CRLF", 100 * MB, [series("mpkgraph", 1), series("orjson-nogc", 1)]),
        ]
    )
    assert table.rows == (
        ("compact", "80", "160", "80", "2.00", "10", "met"),
        ("CRLF", "100", "100", "100", "1.00", "10", missed),
    )


def test_markdown_goes_between_the_marks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"# Page\n{BEGIN_MARK}\nold\n{END_MARK}\nend\n")
    table = reading_table("Real", MB, [series("mpkgraph", 1)])
    write_between_marks(page, markdown([table], ["a CPU"]))
    text = page.read_text()
    assert "old" not in text
    assert "Machine: a CPU." in text
    assert "## Real: 1 MB" in text
    assert text.startswith("# Page\n")
    assert text.endswith(f"{END_MARK}\nend\n")
    page.write_text("no marks")
    with pytest.raises(ValueError, match="no '<!-- measured"):
        write_between_marks(page, "")


@pytest.mark.parametrize("benchmark", [reading, layouts])
def test_the_page_has_the_marks(benchmark):
    text = benchmark.DOCUMENT.read_text(encoding="utf-8")
    assert text.count(BEGIN_MARK) == text.count(END_MARK) == 1


def test_layouts_are_measured(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    layouts.main(["--size-mb", "0.3", "--rounds", "1", "--only", "mpkgraph", "--layouts", "tabs"])
    assert "tabs" in capsys.readouterr().out


def test_command_measures_and_says_what_it_skips(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    arguments = "--sizes-mb 0.3 --rounds 1 --only json orjson --real"
    reading.main([*arguments.split(), str(tmp_path / "none.json")])
    output = capsys.readouterr().out
    assert "json.load" in output
    assert "skipped: the real graph" in output
    assert "NOT met" not in output


def test_command_lists_every_subject(capsys, tmp_path):
    reading.main(["--list"])
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()[:-1]]
    assert listed == [subject.name for subject in reading_subjects(tmp_path)]
