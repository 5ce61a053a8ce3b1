"""What is measured on each file, and the goals that the figures are held against."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmarks.harness import Series, Spread, Subject, num_usable_cores, pairwise_ratios
from benchmarks.peers import PEERS, Peer

MB = 1_000_000
LARGE_BYTES = 290 * MB
"""From here on ("300 MB", generated ones may be a little smaller) the ratios are goals."""
TWO_PROCESS_BYTES = 95 * MB
"""From here on ("100 MB") two processes are used without being asked."""
HUGE_BYTES = 950 * MB
BASE_PEAK_MB = 60
PEAK_SHARE = 0.1
SUMMARY_PEAK_MB = 40
CACHED_SECONDS = 0.3
OTHER_LAYOUT_MB_PER_S = 150

LATE = "LATE"
"""In place of the number of a task in the second half of a file's."""
LATE_TASK_BYTES = 2000
"""More text than the tasks of real and generated graphs have each, less than twice as much."""

SECOND_COMMANDS = {
    "show-task": ("--task", "500"),
    "show-event": ("--event", "300"),
    "show-operator": ("--operator", "10"),
    "show-tensor": ("--tensor", "rmsnorm_out"),
    "show-operators": ("--list", "operators"),
    "show-tensors": ("--list", "tensors"),
    "show-path": ("--path", "100", LATE),
    "show-some-tasks": ("--list", "tasks", "--task", "5-10"),
    "show-some-events": ("--list", "events", "--event", "5-10"),
    "show-hops": ("--task", "500", "--hops", "2"),
}
"""Questions asked of a file after another: a small part of the graph, but for the tensor, which
every layer uses, and the path, which leads through most of the graph."""

OURS = "mpkgraph"
"""Name of the subject that the others are compared with."""
NO_MIRAGE = "MIRAGE_HOME names no Mirage source tree"
IMPORT_NAMES = {"pysimdjson": "simdjson"}
"""Packages whose module is called otherwise."""

Run = Mapping[str, Series]
"""The series of one file by the name of the subject."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A goal held against the figures of one file; `met` is None where it does not apply."""

    goal: str
    figure: str
    met: bool | None


def reading_subjects(cache_folder: Path) -> list[Subject]:
    """Readers and commands for Mirage's layout."""
    return [
        *(_reader(peer) for peer in PEERS),
        Subject("jq", lambda path: [_program("jq"), ".all_tasks|length", str(path)]),
        Subject("mirage", lambda path: [sys.executable, str(mirage_script()), str(path)]),
        *_commands(cache_folder),
    ]


def layout_subjects() -> list[Subject]:
    """Readers for other layouts."""
    wanted = (OURS, "mpkgraph-2", "json", "orjson-nogc", "simdjson")
    return [_reader(peer) for peer in PEERS if peer.name in wanted]


def title_of(subject: Subject) -> str:
    return _TITLES.get(subject.name, subject.name)


def missing_requirement(subject: Subject) -> str | None:
    """What keeps a subject from being measured here, with what to install; None for nothing."""
    for package in subject.requires:
        if importlib.util.find_spec(IMPORT_NAMES.get(package, package)) is None:
            return f"{package} is not installed (pip install {package})"
    if subject.name == "jq" and shutil.which("jq") is None:
        return "jq is not installed"
    if subject.name == "mirage" and mirage_script() is None:
        return NO_MIRAGE
    return None


def available(
    subjects: Sequence[Subject], only: Sequence[str] | None
) -> tuple[list[Subject], list[str]]:
    """Those asked for that can run here, and a line for each that can't."""
    chosen, absent = [], []
    for subject in subjects:
        if only and subject.name not in only:
            continue
        missing = missing_requirement(subject)
        if missing is None:
            chosen.append(subject)
        else:
            absent.append(f"{title_of(subject)}: not measured: {missing}.")
    return chosen, absent


def mirage_script() -> Path | None:
    """Mirage's own reader of graphs, in the source tree that MIRAGE_HOME names."""
    home = os.environ.get("MIRAGE_HOME")
    script = Path(home or "") / "scripts" / "parse_task_graph.py"
    return script if home and script.exists() else None


def verdicts(subject: Subject, run: Run, file_bytes: int) -> list[Verdict]:
    """The goals for one subject on one file."""
    series = run[subject.name]
    if not series.samples:
        return []
    return [goal(series, run, file_bytes) for goal in _GOALS.get(subject.name, ())]


_Goal = Callable[[Series, Run, int], Verdict]


def _faster_than(wanted: float) -> _Goal:
    def verdict(series: Series, run: Run, file_bytes: int) -> Verdict:
        goal = f"{wanted:g} x from 300 MB"
        ours = run.get(OURS)
        if ours is None or len(ours.samples) != len(series.samples):
            return Verdict(goal, "", None)
        ratio = pairwise_ratios(series, ours).median
        met = ratio >= wanted if file_bytes >= LARGE_BYTES else None
        return Verdict(goal, f"{ratio:.1f} x", met)

    return verdict


def _two_processes(series: Series, run: Run, file_bytes: int) -> Verdict:
    goal = "1.5 x one process from 100 MB"
    ours = run.get(OURS)
    if ours is None or len(ours.samples) != len(series.samples):
        return Verdict(goal, "", None)
    ratio = pairwise_ratios(ours, series).median
    applies = file_bytes >= TWO_PROCESS_BYTES and num_usable_cores() > 1
    return Verdict(goal, f"{ratio:.2f} x", ratio >= 1.5 if applies else None)


def _peak(series: Series, _run: Run, file_bytes: int) -> Verdict:
    limit = BASE_PEAK_MB + PEAK_SHARE * file_bytes / MB
    peak = series.peak_bytes / MB
    met: bool | None = peak <= limit
    if not met and series.largest_process_bytes / MB <= limit:
        met = None  # the sum over processes counts shared pages twice: it proves nothing
    return Verdict(f"peak {limit:.0f} MB", f"{peak:.0f} MB", met)


def _summary_peak(series: Series, _run: Run, file_bytes: int) -> Verdict:
    peak = series.peak_bytes / MB
    met = peak <= SUMMARY_PEAK_MB if file_bytes >= HUGE_BYTES else None
    return Verdict(f"peak {SUMMARY_PEAK_MB} MB at 1 GB", f"{peak:.0f} MB", met)


def _within(series: Series, _run: Run, _file_bytes: int) -> Verdict:
    seconds = Spread.of(series.seconds).median
    return Verdict(f"{CACHED_SECONDS} s", f"{seconds:.2f} s", seconds <= CACHED_SECONDS)


_GOALS: Mapping[str, Sequence[_Goal]] = {
    OURS: (_peak,),
    "mpkgraph-2": (_two_processes, _peak),
    "json": (_faster_than(8),),
    "orjson-nogc": (_faster_than(2.5),),
    "ijson": (_faster_than(5),),
    "ijson-columns": (_faster_than(5),),
    "simdjson": (_faster_than(1),),
    "show": (_summary_peak,),
    **dict.fromkeys(("show-again", *SECOND_COMMANDS), (_within,)),
}
_TITLES = {
    **{peer.name: peer.title for peer in PEERS},
    "jq": "`jq`, number of tasks, whole process",
    "mirage": "Mirage's `parse_task_graph.py`, whole process",
    "show": "`mpkgraph show --no-cache`",
    "show-first": "`mpkgraph show`, first time",
    "show-again": "`mpkgraph show`, second time",
    **{
        name: f"`mpkgraph show {' '.join(options)}` as second command"
        for name, options in SECOND_COMMANDS.items()
    },
}


def _reader(peer: Peer) -> Subject:
    return Subject(
        peer.name,
        lambda path: [sys.executable, "-m", "benchmarks.peers", peer.name, str(path)],
        times_itself=True,
        requires=peer.requires,
    )


def _commands(cache_folder: Path) -> list[Subject]:
    """The summary without a cache, with an empty one, and with the one that this has filled."""

    def empty_cache(_path: Path) -> None:
        shutil.rmtree(cache_folder, ignore_errors=True)
        cache_folder.mkdir(parents=True)

    again = Subject(
        "show-again",
        lambda path: [sys.executable, "-m", "mpkgraph", "show", str(path)],
        environment={"MPKGRAPH_CACHE_DIR": str(cache_folder), "NO_COLOR": "1"},
    )
    return [
        Subject(
            "show",
            lambda path: [sys.executable, "-m", "mpkgraph", "show", "--no-cache", str(path)],
            environment={"NO_COLOR": "1"},
        ),
        replace(again, name="show-first", before=empty_cache),
        again,
        *(
            replace(again, name=name, command=partial(_second_command, options))
            for name, options in SECOND_COMMANDS.items()
        ),
    ]


def _second_command(options: Sequence[str], path: Path) -> list[str]:
    late = str(path.stat().st_size // LATE_TASK_BYTES)
    given = [late if option == LATE else option for option in options]
    return [sys.executable, "-m", "mpkgraph", "show", *given, str(path)]


def _program(name: str) -> str:
    return shutil.which(name) or name
