"""Which line of the user's a call came from, and what errors call it."""

from __future__ import annotations

import _thread
import threading
from typing import Any

import pytest

from mpkgraph.model.record import CallSite
from mpkgraph.pipeline.call_site import doing, user_site, where

ASK = """
def ask():
    try:
        found.append(user_site())
    finally:
        done.set()
"""


def asked_below_all(file: str, module: str) -> Any:
    """The site as a function of a file sees it that no other one called."""
    found: list[CallSite | None] = []
    done = threading.Event()
    content = {"__name__": module, "found": found, "user_site": user_site, "done": done}
    exec(compile(ASK, file, "exec"), content)
    _thread.start_new_thread(content["ask"], ())
    assert done.wait(30)
    return found[0]


@pytest.mark.parametrize(
    ("file", "module", "site"),
    [
        ("script.py", "__main__", CallSite("script.py", 4)),
        ("/home/script.py", "__main__", CallSite("/home/script.py", 4)),
        ("<stdin>", "__main__", CallSite("<stdin>", 4)),
        ("<string>", "__main__", None),  # how a process of ours starts
        ("compile.py", "mpkgraph.cli.compile", None),  # a command's own line
        ("kernel.py", "mpkgraph.pipeline.kernel", None),  # nobody asked
    ],
)
def test_the_line_of_who_was_called_by_none(file, module, site):
    assert asked_below_all(file, module) == site
    here = user_site()
    assert here is not None
    assert here.file == __file__


@pytest.mark.parametrize(
    ("calls", "told"),
    [
        ([], []),
        (["linear_layer"], ["linear_layer"]),
        (["linear_layer", "register_task"], ["linear_layer", "register_task"]),
        # The first is in the user's line, the last is what fails
        (["linear_layer", "customized", "new_input"], ["linear_layer", "new_input"]),
        (["linear_layer", "new_input", "linear_layer"], ["linear_layer"]),
    ],
)
def test_calls_that_are_named(calls, told):
    def fail(rest: list[str]) -> str | None:
        if not rest:
            return where()
        with doing(rest[0]):
            return fail(rest[1:])

    site, *named = str(fail(calls)).split(": ")
    assert "test_call_site.py:" in site
    assert named == told
    assert str(where()).split(": ")[1:] == []
