"""The command line in this process, on any input: its code and what it said, held to the rules."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mpkgraph.cli.main import run
from mpkgraph.io.atomic import TEMPORARY_PREFIX

CODES = {0, 1, 2, 3}
MAX_MESSAGE_CHARACTERS = 4000
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Answer:
    code: int
    out: bytes
    err: str

    @property
    def is_refusal(self) -> bool:
        return self.code > 1


@cache
def scratch() -> Path:
    """A folder for the inputs of this process, in memory where there is such a place."""
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    return Path(tempfile.mkdtemp(prefix="mpkgraph-fuzz-", dir=base))


def be_a_new_user() -> None:
    """Caches are empty, and the tables of Mirage are the built-in ones."""
    os.environ["MPKGRAPH_CACHE_DIR"] = str(scratch() / "cache")
    os.environ.pop("MIRAGE_HOME", None)


def ask(*arguments: object, text: bool = False) -> Answer:
    """Run a command that may refuse, and must do so as a message; `text` is for a terminal.

    Raises AssertionError for what a user must never see.
    """
    with _captured() as (out, err):
        code = run([str(x) for x in arguments])
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        answer = Answer(code, out.getvalue(), err.getvalue().decode("utf-8"))
    assert code in CODES, code
    assert "Traceback" not in answer.err
    assert "out of memory" not in answer.err, answer.err
    assert not _CONTROLS.search(answer.err), answer.err
    if text:
        shown = answer.out.decode("utf-8")
        assert not _CONTROLS.search(shown), shown
    if answer.is_refusal:
        complaints = [x for x in answer.err.splitlines() if "rror: " in x]
        assert len(complaints) == 1, answer.err
        assert len(answer.err) < MAX_MESSAGE_CHARACTERS, len(answer.err)
    left = [x.name for x in scratch().iterdir() if x.name.startswith(TEMPORARY_PREFIX)]
    assert not left, left
    return answer


@contextlib.contextmanager
def _captured() -> Iterator[tuple[io.BytesIO, io.BytesIO]]:
    before = sys.stdout, sys.stderr
    out, err = io.BytesIO(), io.BytesIO()
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(x, encoding="utf-8", errors="backslashreplace") for x in (out, err)
    )
    try:
        yield out, err
    finally:
        sys.stdout, sys.stderr = before
