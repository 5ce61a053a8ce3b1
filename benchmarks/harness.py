"""Run readers in turns, each time in a fresh process, and compare them pairwise.

Peers are measured in one alternating run (A B C, A B C, ...), so that a slow minute of the machine
falls on all of them, and a ratio is that of two neighbours. A fresh process makes the peak of
memory that of one reading.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

# Runs a command, waits for it, and reports wall and CPU seconds and peak memory. It stands between
# because a child's peak starts at that of the process it was forked from, and this one is bare.
_LAUNCHER = """
import json, os, sys, time
report, *command = sys.argv[1:]
start = time.perf_counter()
pid = os.posix_spawn(command[0], command, os.environ)
_, status, usage = os.wait4(pid, 0)
seconds = time.perf_counter() - start
unit = 1 if sys.platform == "darwin" else 1024
with open(report, "w") as stream:
    json.dump(
        [seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit,
         os.waitstatus_to_exitcode(status)], stream)
"""

ROOT = Path(__file__).resolve().parent.parent
"""Where measured processes start, so that `-m benchmarks...` is found."""


class MeasurementError(Exception):
    """A measured process failed; the message is the end of what it wrote to its error stream."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One measured run."""

    seconds: float
    cpu_seconds: float
    """User and system time: what a busy machine does not stretch."""
    peak_bytes: int
    """Of all processes together; pages that they share counted more than once."""
    largest_process_bytes: int
    result: Mapping[str, object]
    """What the process reported of its work."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Something to measure on a file: how to start it, and what it needs.

    A subject that times itself prints one JSON object with `seconds` and `cpu_seconds`; the time of
    any other is that of its whole process.
    """

    name: str
    command: Callable[[Path], Sequence[str]]
    times_itself: bool = False
    requires: tuple[str, ...] = ()
    """Python packages."""
    before: Callable[[Path], None] | None = None
    """Run untimed before each measurement."""
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Series:
    """The samples of one subject on one file, in the order of the rounds."""

    subject: Subject
    samples: list[Sample] = field(default_factory=list)
    failure: str | None = None

    @property
    def seconds(self) -> list[float]:
        return [sample.seconds for sample in self.samples]

    @property
    def cpu_seconds(self) -> list[float]:
        return [sample.cpu_seconds for sample in self.samples]

    @property
    def peak_bytes(self) -> int:
        return max(sample.peak_bytes for sample in self.samples)

    @property
    def largest_process_bytes(self) -> int:
        return max(sample.largest_process_bytes for sample in self.samples)


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, least and greatest of some numbers."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))


def measure(subject: Subject, path: Path) -> Sample:
    """Run a subject on a file once, in a process of its own.

    Raises MeasurementError when the process fails.
    """
    if subject.before is not None:
        subject.before(path)
    with tempfile.NamedTemporaryFile("r", suffix=".json") as report:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _LAUNCHER, report.name, *subject.command(path)],
            capture_output=True,
            check=False,
            cwd=ROOT,
            env={**_environment(), **subject.environment},
        )
        text = report.read()
    if done.returncode or not text:
        raise MeasurementError(_last_line(done.stderr))
    seconds, cpu_seconds, peak_bytes, exit_code = json.loads(text)
    if exit_code:
        raise MeasurementError(f"exit {exit_code}: {_last_line(done.stderr)}")
    if not subject.times_itself:
        return Sample(seconds, cpu_seconds, peak_bytes, peak_bytes, {})
    result = json.loads(done.stdout.splitlines()[-1])
    return Sample(
        result["seconds"],
        result["cpu_seconds"],
        max(peak_bytes, result.get("peak_bytes", 0)),
        peak_bytes,
        result,
    )


def measure_in_turns(
    subjects: Sequence[Subject],
    path: Path,
    rounds: int,
    announce: Callable[[str], None] = lambda _: None,
) -> list[Series]:
    """Measure all subjects in alternating rounds; one that fails is left out of later rounds."""
    series = [Series(subject) for subject in subjects]
    for number in range(1, rounds + 1):
        for one in series:
            if one.failure is not None:
                continue
            announce(f"{path.name}: round {number} of {rounds}, {one.subject.name}")
            try:
                one.samples.append(measure(one.subject, path))
            except MeasurementError as error:
                one.failure = str(error)
    return series


def measure_warm(subjects: Sequence[Subject], path: Path, rounds: int) -> list[Series]:
    """As `measure_in_turns`, with the file in the page cache, saying what is under way."""
    _warm(path)
    return measure_in_turns(subjects, path, rounds, _announce)


def _warm(path: Path) -> None:
    """Read the file once, so that every measurement finds it in the page cache."""
    with path.open("rb", buffering=0) as stream:
        while stream.read(1 << 20):
            pass


def _announce(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="\r", file=sys.stderr, flush=True)


def pairwise_ratios(slow: Series, fast: Series) -> Spread:
    """How many times longer `slow` took, round by round."""
    return Spread.of([a / b for a, b in zip(slow.seconds, fast.seconds, strict=True)])


def machine_facts(packages: Sequence[str]) -> Iterator[str]:
    """What a reader of the figures needs to know of the machine, a phrase each."""
    yield f"{_cpu_model()}, {num_usable_cores()} cores"
    yield f"{platform.system()} {platform.machine()}"
    yield f"{platform.python_implementation()} {platform.python_version()}"
    if packages:
        yield ", ".join(f"{name} {package_version(name)}" for name in packages)
    if is_busy():
        yield "other programs were running"


def is_busy() -> bool:
    """Whether so much else runs that times by the clock say little."""
    return os.getloadavg()[0] > num_usable_cores() + 1


def num_usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def package_version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown CPU"
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _environment() -> dict[str, str]:
    """That of this process, but modules are compiled once, as they are after an installation."""
    return {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _last_line(stderr: bytes) -> str:
    lines = stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no message"
