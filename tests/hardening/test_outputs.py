"""Output to where nothing can be written, to pipes that close, and runs that are interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

WRITERS = {
    "text": (".txt", lambda s, o: ["show", s.graph, "-o", o]),
    "csv": (".csv", lambda s, o: ["show", s.graph, "-l", "slots", "--csv", "-o", o]),
    "dot": (".dot", lambda s, o: ["show", s.graph, "-d", o]),
    "html": (".html", lambda s, o: ["show", s.graph, "--html", o]),
    "extract": (".json", lambda s, o: ["show", s.graph, "-t", "3", "-x", o]),
    "gantt": (".svg", lambda s, o: ["show", s.graph, "--schedule", "--gantt", o]),
    "diff": (".html", lambda s, o: ["diff", s.graph, s.other, "-f", "html", "-o", o]),
    "patch": (".json", lambda s, o: ["diff", s.graph, s.other, "--patch", o]),
    "verify": (".sarif", lambda s, o: ["verify", s.graph, "-f", "sarif", "-o", o]),
    "baseline": (".json", lambda s, o: ["verify", s.graph, "--write-baseline", o]),
}


@pytest.mark.parametrize("place", ["missing folder", "folder", "full", "loop", "long", "empty"])
@pytest.mark.parametrize("writer", WRITERS)
def test_nowhere(writer, place, small, refuse, tmp_path):
    suffix, command = WRITERS[writer]
    path = tmp_path / f"x{suffix}"
    if place == "missing folder":
        path = tmp_path / "no" / path.name
    elif place == "folder":
        path.mkdir()
    elif place == "full":
        if not os.path.exists("/dev/full"):  # noqa: PTH110
            pytest.skip("no /dev/full here")
        path.symlink_to("/dev/full")
    elif place == "loop":
        path.symlink_to(path)
    elif place == "long":
        path = tmp_path / ("a" * 300 + suffix)
    refuse(*command(small, "" if place == "empty" else path))


@pytest.mark.parametrize("option", ["--draw", "--tiles", "--html", "--extract", "--record"])
def test_an_empty_path_is_no_missing_option(option, small, refuse):
    assert option in refuse("show", small.graph, option, "", codes=(2,))


@pytest.mark.parametrize("seconds", ["nan", "inf", "1e300", "0", "-1"])
def test_no_time_to_wait(seconds, small, refuse, tmp_path):
    draw = ["--draw-timeout", seconds, "-d", tmp_path / "x.svg"]
    assert "--draw-timeout" in refuse("show", small.graph, *draw, codes=(2,))
    sweep = ["--sweep", "workers=8", "--point-timeout", seconds]
    assert "--point-timeout" in refuse("verify", small.record, *sweep, codes=(2,))


def _command(*arguments):
    return [sys.executable, "-m", "mpkgraph", *map(str, arguments)]


@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="no /dev/stdout")  # noqa: PTH110
def test_standard_output_by_name_in_a_pipeline(small):
    done = subprocess.run(
        _command("show", small.graph, "--html", "/dev/stdout"), capture_output=True, check=False
    )
    assert done.returncode == 0
    assert done.stdout.startswith(b"<!DOCTYPE html>") or done.stdout.startswith(b"<!doctype html>")


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_interrupted_before_anything_is_imported(small):
    """A Ctrl-C while the command starts is no traceback."""
    script = (
        "import sys, os, signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell may ignore it
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'click': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from mpkgraph.cli.start import main\n"
        f"main(['show', {str(small.graph)!r}])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (128 + signal.SIGINT, "")
