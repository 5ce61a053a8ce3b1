"""Progress on standard error: drawn on a terminal alone, late, and removed at the end."""

from __future__ import annotations

import io
import sys

import pytest

from mpkgraph.cli import loading, sweep_run


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch):
    """A function that puts one in place of the stream that pytest captures in a test."""

    def put() -> Terminal:
        stream = Terminal()
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("TERM", "xterm")
        return stream

    return put


def test_no_bar_without_a_terminal(monkeypatch, capsys):
    with loading.progress_bar(enabled=True) as update:
        assert update is None
    with sweep_run._progress() as tell:
        tell(1, 4, 0)
    assert not capsys.readouterr().err


def test_a_bar_that_is_not_wanted(terminal):
    stream = terminal()
    with loading.progress_bar(enabled=False) as update:
        assert update is None
    assert not stream.getvalue()


def test_a_quick_reading_shows_no_bar(terminal):
    stream = terminal()
    with loading.progress_bar(enabled=True) as update:
        update(1 << 20, 2 << 20)
    assert not stream.getvalue()


@pytest.mark.parametrize("total", [4 << 20, None])
def test_a_bar_that_is_drawn_and_removed(terminal, monkeypatch, total):
    stream = terminal()
    monkeypatch.setattr(loading, "PROGRESS_DELAY_S", 0.0)
    with loading.progress_bar(enabled=True) as update:
        update(1 << 20, total)
        drawn = stream.getvalue()
        assert "reading" in drawn
        update(4 << 20, total)
        assert len(stream.getvalue()) > len(drawn)
    assert stream.getvalue().endswith("\x1b[2K") or "\x1b[?25h" in stream.getvalue()


def test_points_of_a_sweep_are_counted_in_one_line(terminal):
    stream = terminal()
    with sweep_run._progress() as tell:
        tell(1, 4, 0)
        tell(4, 4, 2)
    assert stream.getvalue() == (
        "\r1 of 4 points\x1b[K\r4 of 4 points, 2 not planned\x1b[K\r\x1b[K"
    )
