"""Ctrl-C at any time, readers that go, disks that are full, folders that can't be written to."""

from __future__ import annotations

import contextlib
import io
import os
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from mpkgraph.cli.main import run
from mpkgraph.cli.start import EXIT_INTERRUPTED
from mpkgraph.io.atomic import TEMPORARY_PREFIX
from tests.hardening.test_outputs import WRITERS

NUM_POINTS = 3
NUM_WRITING_POINTS = 4
NOBODY = 65534
FORMS = {
    "summary": ["show", None],
    "tasks": ["show", None, "-t", "all"],
    "json": ["show", None, "--json"],
    "schedule": ["show", None, "--schedule"],
    "diff": ["diff", None, "other", "--full"],
    "diff page": ["diff", None, "other", "-f", "html"],
    "verify": ["verify", None, "-s", "all"],
    "sarif": ["verify", None, "-s", "all", "-f", "sarif"],
    "rules": ["verify", "--list-rules"],
    "compile": ["compile", "record", "--dry-run", "--json"],
}


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("MPKGRAPH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("MIRAGE_HOME", raising=False)


class _Interrupt:
    """Raises KeyboardInterrupt in the Nth call of a Python function, as a signal would."""

    def __init__(self, at: int | None, folder: Path) -> None:
        self.at = at
        self.folder = folder
        self.num_calls = 0
        self.writing: list[int] = []

    def __call__(self, frame, event, arg):
        if event != "call":
            return
        self.num_calls += 1
        if self.at is None:
            # While a temporary file is there: the calls in which something could be left
            module = frame.f_globals.get("__name__", "")
            is_near = module.startswith("mpkgraph.render") or module == "mpkgraph.io.atomic"
            if is_near and any(self.folder.glob(f"{TEMPORARY_PREFIX}*")):
                self.writing.append(self.num_calls)
        elif self.num_calls == self.at:
            sys.setprofile(None)
            raise KeyboardInterrupt


def _run(arguments, at, folder):
    hook = _Interrupt(at, folder)
    sys.setprofile(hook)
    try:
        code = run(arguments)
    except KeyboardInterrupt:  # as `start.main` does, for what comes before `run` can
        code = EXIT_INTERRUPTED
    finally:
        sys.setprofile(None)
    return code, hook


def _spread(values, count):
    values = list(values)
    return values[:: max(1, len(values) // count)]


@pytest.mark.parametrize("writer", WRITERS)
def test_interrupts_leave_nothing(writer, small, tmp_path, capfd):
    suffix, command = WRITERS[writer]
    folder = tmp_path / "out"
    folder.mkdir()
    path = folder / f"x{suffix}"
    arguments = [*map(str, command(small, path)), "--no-cache"]
    assert run(arguments) in (0, 1)  # imports are done, and what is kept for later
    complete = path.read_bytes()
    path.unlink()
    code, counted = _run(arguments, None, folder)
    assert code in (0, 1)
    path.unlink()
    points = range(3, counted.num_calls, max(1, counted.num_calls // NUM_POINTS))
    for point in (*points, *_spread(counted.writing, NUM_WRITING_POINTS)):
        capfd.readouterr()
        code, hook = _run(arguments, point, folder)
        assert hook.num_calls == point
        assert code == EXIT_INTERRUPTED
        err = capfd.readouterr().err
        assert "Traceback" not in err
        assert "rror: " not in err
        left = list(folder.iterdir())
        # Interrupted after the rename, the file is complete
        assert left in ([], [path]), left
        if left:
            assert path.read_bytes() == complete
            path.unlink()


@pytest.mark.parametrize("form", FORMS)
def test_readers_that_go_are_no_error(form, small, monkeypatch):
    read_end, write_end = os.pipe()
    os.close(read_end)
    places = {None: str(small.graph), "other": str(small.other), "record": str(small.record)}
    arguments = [places.get(x, x) for x in FORMS[form]]
    errors = io.StringIO()
    with os.fdopen(write_end, "w") as stream, Path(os.devnull).open("w") as nowhere:
        monkeypatch.setattr(sys, "stdout", stream)
        with contextlib.redirect_stderr(errors):
            code = run(arguments)
        monkeypatch.undo()
        # What is left in the buffer: a process ends without it
        os.dup2(nowhere.fileno(), stream.fileno())
    assert code == 0
    assert errors.getvalue() == ""


@pytest.mark.parametrize("options", [["--help"], ["GRAPH", "-l", "slots", "--csv"]])
def test_the_first_line_only(options, small):
    """`| head -1`, in a process of its own, whose end writes what is left."""
    given = [str(small.graph) if x == "GRAPH" else x for x in options]
    command = [sys.executable, "-m", "mpkgraph", "show", *given]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        if options != ["--help"]:
            process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


@pytest.mark.parametrize("writer", WRITERS)
def test_a_disk_that_fills_up(writer, small, tmp_path, capfd):
    """No file may grow beyond some bytes: writing starts, and fails then."""
    suffix, command = WRITERS[writer]
    folder = tmp_path / "out"
    folder.mkdir()
    path = folder / f"x{suffix}"
    arguments = [*map(str, command(small, path)), "--no-cache"]
    assert run(arguments) in (0, 1)
    size = path.stat().st_size
    before = path.read_bytes()
    capfd.readouterr()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, hard))
        code = run(arguments)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    # What pytest captures is a file too, so that the message itself may not fit: not read here
    assert code in (2, 3)
    assert list(folder.iterdir()) == [path]
    assert path.read_bytes() == before, "what was there is kept"


@contextlib.contextmanager
def _without_rights():
    """As somebody who may not write everywhere: root may."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(os.name != "posix", reason="rights of POSIX")
@pytest.mark.parametrize("writer", WRITERS)
def test_folders_that_are_only_read(writer, small, capfd):
    suffix, command = WRITERS[writer]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        graph, other, record = (folder / x for x in ("a.json", "b.json", "record.json"))
        graph.write_bytes(small.graph.read_bytes())
        other.write_bytes(small.other.read_bytes())
        record.write_bytes(small.record.read_bytes())
        inputs = type(small)(graph, record, other)
        path = folder / f"x{suffix}"
        assert run([*map(str, command(inputs, path)), "--no-cache"]) in (0, 1)
        path.unlink()
        folder.chmod(0o555)
        capfd.readouterr()
        try:
            with _without_rights():
                code = run([str(x) for x in command(inputs, path)])
        finally:
            folder.chmod(0o755)
        err = capfd.readouterr().err
        assert code in (2, 3)
        assert path.name in err
        assert "Traceback" not in err
        assert sorted(folder.iterdir()) == sorted([graph, other, record])


def test_two_processes_that_write_the_same_file(small, tmp_path):
    """One of both results, whole, and nothing beside it."""
    whole = []
    for graph in (small.graph, small.other):
        path = tmp_path / "alone.html"
        assert run(["show", str(graph), "--html", str(path), "--no-cache"]) == 0
        whole.append(path.read_bytes())
        path.unlink()
    folder = tmp_path / "out"
    folder.mkdir()
    path = folder / "x.html"
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "mpkgraph", "show", graph, "--html", path, "--no-cache"],
            stderr=subprocess.PIPE,
        )
        for graph in (small.graph, small.other)
    ]
    for process in running:
        _, err = process.communicate()
        assert process.returncode == 0, err
    assert list(folder.iterdir()) == [path]
    assert path.read_bytes() in whole
