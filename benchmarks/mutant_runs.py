"""Tests run on changed modules, in forked processes: what `benchmarks.mutants` times and counts."""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

ROOT = Path(__file__).parents[1]
MARGIN_SECONDS, MARGIN_FACTOR = 20.0, 6.0
"""A mutant with which the tests take this much longer hangs, and is seen to."""
OPTIONS = ("-q", "-x", "-p", "no:xdist", "-p", "no:cacheprovider", "-o", "addopts=", "--tb=no")
BROKEN = 70
"""Status of a process that ended in an exception."""


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


def path_of(module: str) -> Path:
    """The module's file."""
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def try_changes(
    tests: Sequence[str], changes: Sequence[Change], *, quick: bool = False
) -> Iterator[Run]:
    """The tests with each change; `quick` tries none again in a Python of its own.

    Raises SystemExit when they fail without one.
    """
    if not changes:
        return
    read_end, write_end = os.pipe()
    pid = _fork(lambda: _session(tests, changes, write_end, quick=quick))
    os.close(write_end)
    num_runs = 0
    with os.fdopen(read_end, encoding="utf-8") as answers:
        for line in answers:
            num_runs += 1
            yield Run(**json.loads(line))
    os.waitpid(pid, 0)
    if num_runs != len(changes):
        raise SystemExit(f"the tests fail as they are: {' '.join(tests)}")


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


def _timed(work: Callable[[], int], limit: float | None) -> Run:
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
        time.sleep(0.02)


def _session(tests: Sequence[str], changes: Sequence[Change], answers: int, *, quick: bool) -> int:
    import pytest

    session = _Session(tests, changes, answers, quick=quick)
    return int(pytest.main([*OPTIONS, *tests], plugins=[session]))


class _Session:
    """Collects once; then runs the tests in a process for each change."""

    def __init__(
        self, tests: Sequence[str], changes: Sequence[Change], answers: int, *, quick: bool
    ) -> None:
        self._tests, self._changes, self._answers = tests, changes, answers
        self._quick = quick
        self._order: list[int] = []

    def pytest_runtestloop(self, session: Any) -> bool:
        """In place of pytest's own loop."""
        self._order = list(range(len(session.items)))
        whole = _timed(lambda: self._run_items(session, None), None)
        if whole.status != 0:
            return True
        limit = MARGIN_SECONDS + MARGIN_FACTOR * whole.seconds
        with os.fdopen(self._answers, "w", encoding="utf-8") as answers:
            for change in self._changes:
                print(json.dumps(vars(self._try(session, change, limit))), file=answers, flush=True)
        return True

    def _try(self, session: Any, change: Change, limit: float) -> Run:
        codes = changed_functions(change)
        if codes:
            read_end, write_end = os.pipe()
            run = _timed(lambda: self._run_changed(session, codes, write_end), limit)
            os.close(write_end)
            with os.fdopen(read_end, encoding="utf-8") as told:
                failed = told.read()
            if failed:  # the next mutant may well fail at the same test
                self._order.remove(int(failed))
                self._order.insert(0, int(failed))
            if run.status != 0 or self._quick:
                return run
        return _timed(lambda: _fresh(self._tests, change), limit)

    def _run_changed(
        self, session: Any, codes: Sequence[tuple[FunctionType, CodeType]], told: int
    ) -> int:
        for function, code in codes:
            function.__code__ = code
        return self._run_items(session, told)

    def _run_items(self, session: Any, told: int | None) -> int:
        items = [session.items[index] for index in self._order]
        for index, item, following in zip(self._order, items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.testsfailed:
                if told is not None:
                    os.write(told, str(index).encode())
                return 1
        return 0


def changed_functions(change: Change) -> list[tuple[FunctionType, CodeType]]:
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
    for function in gc.get_objects():
        # By type: `isinstance` asks other packages' lazy objects for their class, which may warn
        if type(function) is not FunctionType or function.__code__.co_filename != path:
            continue
        old = function.__code__
        new = wanted.get((old.co_name, old.co_firstlineno))
        if new is not None and new != old and new.co_freevars == old.co_freevars:
            changed.append((function, new))
    return changed


def _fresh(tests: Sequence[str], change: Change) -> int:
    """The tests in a Python that imports the changed text."""
    code = (
        "import json, sys\n"
        "from benchmarks.mutant_runs import Change, run_fresh\n"
        "sys.exit(run_fresh(*json.load(sys.stdin)))"
    )
    import subprocess

    given = json.dumps([list(tests), change.module, change.text])
    done = subprocess.run([sys.executable, "-c", code], input=given, text=True, check=False)
    return done.returncode


def run_fresh(tests: Sequence[str], module: str, text: str) -> int:
    """The tests in this process, which has imported nothing yet."""
    import pytest

    sys.meta_path.insert(0, _InPlace(module, path_of(module), text))
    return int(pytest.main([*OPTIONS, *tests]))


class _InPlace(MetaPathFinder):
    """Gives one module another text."""

    def __init__(self, module: str, path: Path, text: str) -> None:
        self._module, self._path, self._text = module, path, text

    def find_spec(self, name: str, *_: Any) -> ModuleSpec | None:
        """The spec of the module that is changed; None for all others."""
        if name != self._module:
            return None
        loader = _Loader(name, self._path, self._text)
        return spec_from_file_location(name, self._path, loader=loader)


class _Loader(SourceFileLoader):
    def __init__(self, name: str, path: Path, text: str) -> None:
        super().__init__(name, str(path))
        self._text = text

    def get_code(self, *_: Any) -> Any:
        """Compiled from the text: neither read from a cache of bytecode nor written to one."""
        return compile(self._text, self.path, "exec", dont_inherit=True)
