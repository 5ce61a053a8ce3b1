"""Tests run on changed modules, in forked processes: what `benchmarks.mutants` times and counts.

A `Collected` process has imported the modules and collected the tests once. For each change it
forks, gives the changed functions their new code and runs the tests that it is told. What runs
when a module is imported is tried in a process forked before any of ours was imported.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, TextIO

from benchmarks.mutant_draws import path_of

MARGIN_SECONDS, MARGIN_FACTOR = 15.0, 6.0
"""A mutant with which the tests take this much longer hangs, and is seen to."""
MORE_BYTES = 4 << 30
"""A mutant that asks for so much more memory is refused it."""
OPTIONS = (
    *("-q", "-x", "-p", "no:xdist", "-p", "no:cacheprovider", "-o", "addopts=", "--tb=no"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # of plugins that are imported already
)
BROKEN = 70
"""Status of a process that ended in an exception."""
OTHERS = "pytest hypothesis numpy networkx orjson zstandard click rich.console graphviz"
"""What all tests import and no mutant changes: imported once."""


@dataclass(frozen=True)
class Change:
    """Another text of a module."""

    module: str
    text: str


@dataclass(frozen=True)
class Run:
    """How the tests ended: 0 when all passed, None when they took too long."""

    status: int | None
    seconds: float
    failed: str = ""
    """The test that failed."""
    fits: bool = True
    """False when no function has other code: the module must be imported with the change."""


def limit_of(seconds: float) -> float:
    """When tests that took this long hang."""
    return MARGIN_SECONDS + MARGIN_FACTOR * seconds


def import_others() -> None:
    """Make ready for `run_imported`."""
    for name in OTHERS.split():
        import_module(name)


def run_imported(change: Change, tests: Sequence[str], seconds: float) -> Run:
    """The tests in a process that imports the changed text."""

    def work(told: int) -> int:
        import pytest

        for name in [x for x in sys.modules if x.partition(".")[0] in {"mpkgraph", "tests"}]:
            del sys.modules[name]
        sys.meta_path.insert(0, _InPlace(change))
        return int(pytest.main([*OPTIONS, *tests], plugins=[_Failed(told)]))

    return _told(work, limit_of(seconds))


class Collected:
    """Tests in a process that has collected them."""

    def __init__(self, tests: Sequence[str]) -> None:
        ours, theirs = os.pipe(), os.pipe()

        def work() -> int:
            os.close(ours[1])
            os.close(theirs[0])
            import pytest

            with os.fdopen(ours[0]) as requests, os.fdopen(theirs[1], "w") as answers:
                loop = _Loop(requests, answers)
                return int(pytest.main([*OPTIONS, *tests], plugins=[loop]))

        self._pid = _fork(work)
        os.close(ours[0])
        os.close(theirs[1])
        self._requests = os.fdopen(ours[1], "w")
        self._answers = os.fdopen(theirs[0])

    def run(self, change: Change | None, tests: Sequence[str], seconds: float) -> Run:
        """The tests, which took so long without the change.

        Raises SystemExit when they can't be collected.
        """
        given = [change and [change.module, change.text], list(tests), limit_of(seconds)]
        try:
            print(json.dumps(given), file=self._requests, flush=True)
            answer = self._answers.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise SystemExit("the tests can't be collected; MUTANTS_OUT=FILE keeps what they print")
        return Run(**json.loads(answer))

    def close(self) -> None:
        """End the process."""
        self._requests.close()
        self._answers.close()
        os.waitpid(self._pid, 0)


class _Loop:
    """In place of pytest's own loop: answers requests."""

    def __init__(self, requests: TextIO, answers: TextIO) -> None:
        self._requests, self._answers = requests, answers

    def pytest_runtestloop(self, session: Any) -> bool:
        items = {item.nodeid: item for item in session.items}
        functions = all_functions()
        gc.freeze()
        for line in self._requests:
            given, tests, limit = json.loads(line)
            codes = changed_functions(Change(*given), functions) if given else []
            run = Run(0, 0.0, fits=False)
            if codes or not given:
                chosen = [items[x] for x in tests if x in items]
                run = _told(lambda told, c=codes, t=chosen: _run_items(session, c, t, told), limit)
            print(json.dumps(vars(run)), file=self._answers, flush=True)
        return True


def _run_items(
    session: Any,
    codes: Sequence[tuple[FunctionType, CodeType]],
    items: Sequence[Any],
    told: int,
) -> int:
    for function, code in codes:
        function.__code__ = code
    session.config.pluginmanager.register(_Failed(told))
    for item, following in zip(items, [*items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed:
            return 1
    return 0


class _Failed:
    """Tells which test failed first."""

    def __init__(self, told: int) -> None:
        self._told = told

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            os.write(self._told, f"{report.nodeid}\n".encode())


def all_functions() -> dict[str, list[FunctionType]]:
    """The functions that there are, by the file of their text."""
    functions: dict[str, list[FunctionType]] = {}
    for found in gc.get_objects():
        # By type: `isinstance` asks other packages' lazy objects for their class, which may warn
        if type(found) is FunctionType:
            functions.setdefault(found.__code__.co_filename, []).append(found)
    return functions


def changed_functions(
    change: Change, functions: Mapping[str, Sequence[FunctionType]]
) -> list[tuple[FunctionType, CodeType]]:
    """The module's functions that the change is in; none when it is outside of functions."""
    path = str(path_of(change.module))
    wanted: dict[tuple[str, int], CodeType | None] = {}
    pending = [compile(change.text, path, "exec", dont_inherit=True)]
    while pending:
        for found in pending.pop().co_consts:
            if isinstance(found, CodeType):
                key = found.co_name, found.co_firstlineno
                wanted[key] = None if key in wanted else found  # two lambdas of one line
                pending.append(found)
    changed = []
    for function in functions.get(path, ()):
        old = function.__code__
        new = wanted.get((old.co_name, old.co_firstlineno))
        if new is not None and new != old and new.co_freevars == old.co_freevars:
            changed.append((function, new))
    return changed


def run_forked(work: Callable[[], int], limit: float | None = None) -> Run:
    """A function in a process of its own; its status is what the function returns."""
    start = time.monotonic()

    def in_group() -> int:
        os.setpgid(0, 0)
        return work()

    pid = _fork(in_group)
    while True:
        found, status = os.waitpid(pid, 0 if limit is None else os.WNOHANG)
        if found:
            return Run(os.waitstatus_to_exitcode(status), time.monotonic() - start)
        if limit is not None and time.monotonic() - start > limit:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return Run(None, time.monotonic() - start)
        time.sleep(0.01)


def _told(work: Callable[[int], int], limit: float) -> Run:
    """`run_forked` of tests that write which of them failed."""
    read_end, write_end = os.pipe()

    def limited() -> int:
        _limit_memory()
        return work(write_end)

    run = run_forked(limited, limit)
    os.close(write_end)
    os.set_blocking(read_end, False)  # a process that the tests left behind may hold the other end
    with os.fdopen(read_end, "rb") as told:
        failed = (told.read() or b"").decode().partition("\n")[0]
    return Run(run.status, run.seconds, failed)


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * resource.getpagesize() + MORE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _fork(work: Callable[[], int]) -> int:
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    status = BROKEN
    try:
        out = os.open(
            os.environ.get("MUTANTS_OUT", os.devnull), os.O_WRONLY | os.O_CREAT | os.O_APPEND
        )
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.environ["MPKGRAPH_HYPOTHESIS"] = "mutants"  # the same examples for each mutant
        status = work()
    except BaseException:  # noqa: BLE001  nothing of a mutant gets out of its process
        traceback.print_exc()
    finally:
        os._exit(status)


class _InPlace(MetaPathFinder):
    """Gives one module another text."""

    def __init__(self, change: Change) -> None:
        self._change = change

    def find_spec(self, name: str, *_: Any) -> ModuleSpec | None:
        """The spec of the module that is changed; None for all others."""
        if name != self._change.module:
            return None
        path = path_of(name)
        loader = _Loader(name, path, self._change.text)
        return spec_from_file_location(name, path, loader=loader)


class _Loader(SourceFileLoader):
    def __init__(self, name: str, path: Path, text: str) -> None:
        super().__init__(name, str(path))
        self._text = text

    def get_code(self, *_: Any) -> Any:
        """Compiled from the text: neither read from a cache of bytecode nor written to one."""
        return compile(self._text, self.path, "exec", dont_inherit=True)
