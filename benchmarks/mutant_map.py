"""Which tests run which line of which module, and for how long: a mutant gets those of its line."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.mutant_draws import ROOT, body_lines, path_of, statement_lines, text_of
from benchmarks.mutant_runs import OPTIONS, run_forked

LONGEST_SECONDS = 8.0
"""A test that takes longer is left out, as is one that fails."""
REAL_GRAPHS = 12
"""So many of a test that takes real graphs are tried, evenly spread: there are hundreds."""


@dataclass(frozen=True)
class Chosen:
    """The tests of a mutant."""

    tests: tuple[str, ...]
    imported: bool
    """Whether its line runs when the module is imported: it must be imported with the change."""
    seconds: float


@dataclass
class LineTests:
    """Tests by line of a module."""

    seconds: dict[str, float]
    """What each test took while its lines were noted."""
    lines: dict[str, dict[int, list[str]]]
    """By module and line."""
    imported: dict[str, set[int]]
    """Lines that ran outside of tests."""
    left_out: set[str] = field(default_factory=set)
    """Tests that were seen to fail without a change."""

    def choose(self, module: str, line: int, budget: float, first: Sequence[str]) -> Chosen:
        """Tests of a line that take up to so many seconds together.

        Test functions take turns; those in `first`, which have just killed mutants of the module,
        come before all.
        """
        text = text_of(module)
        of_line = self.lines.get(module, {})
        changed = statement_lines(text, line)
        imported = any(x in self.imported.get(module, ()) for x in changed)
        order = self._in_turns(of_line, changed)
        if imported:
            # Of a signature its body; those that look at tables; of a constant lines that
            # mention it; then the whole module, those beside it, and whatever there is
            order += self._in_turns(of_line, body_lines(text, line))
            order += self._that_import(module)
            order += self._in_turns(of_line, _mentions(text, line))
            order += self._in_turns(of_line, of_line)
            order += self._of_package(module)
            order += self._in_turns({0: list(self.seconds)}, [0])
        order = [x for x in dict.fromkeys(order) if x not in self.left_out]
        known = set(order)
        order = list(dict.fromkeys([*(x for x in first if x in known), *order]))
        chosen, total = [], 0.0
        for test in order:
            if total > budget:
                break
            chosen.append(test)
            total += self.seconds[test]
        return Chosen(tuple(chosen), imported, total)

    def _that_import(self, module: str) -> list[str]:
        """Tests of files that name a module: reading a table runs none of its lines."""
        package, _, name = module.rpartition(".")
        naming = re.compile(
            rf"\b{re.escape(module)}\b|from {re.escape(package)} import .*\b{name}\b"
        )
        files = {x.partition("::")[0] for x in self.seconds}
        found = {x for x in files if naming.search((ROOT / x).read_text(encoding="utf-8"))}
        return self._in_turns({0: [x for x in self.seconds if x.partition("::")[0] in found]}, [0])

    def _of_package(self, module: str) -> list[str]:
        """Tests of the modules beside one that has nothing but tables."""
        package = module.rpartition(".")[0]
        beside = [x for name, x in self.lines.items() if name.rpartition(".")[0] == package]
        tests = [test for lines in beside for of_line in lines.values() for test in of_line]
        return self._in_turns({0: tests}, [0])

    def _in_turns(self, of_line: dict[int, list[str]], lines: Iterable[int]) -> list[str]:
        """Tests of lines: each function gets as much time, so that short ones run more often."""
        functions: dict[str, float] = {}
        places = {}
        tests = {test for line in lines for test in of_line.get(line, ())}
        for test in sorted(tests, key=lambda x: (self.seconds[x], x)):
            function = test.partition("[")[0]
            functions[function] = functions.get(function, 0.0) + self.seconds[test]
            places[test] = functions[function]
        return sorted(places, key=lambda x: (places[x], x))


def line_tests(path: Path, modules: Sequence[str], tests: Sequence[str]) -> LineTests:
    """The map kept in a file, noted anew when a module or a test has changed since."""
    texts = _digest(modules, tests)
    if path.exists():
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["texts"] == texts:
            return _read(kept)
    path.parent.mkdir(parents=True, exist_ok=True)
    if run_forked(lambda: _note(path, modules, tests, texts)).status is None or not path.exists():
        raise SystemExit(f"the tests can't be run: {' '.join(tests)}")
    return _read(json.loads(path.read_text(encoding="utf-8")))


def _mentions(text: str, line: int) -> Iterator[int]:
    """Lines with the name that the line gives something to."""
    lines = text.splitlines()
    found = re.match(r"\s*(?:class |def )?(\w+)", lines[statement_lines(text, line)[0] - 1])
    if found:
        name = re.compile(rf"\b{found[1]}\b")
        yield from (at for at, x in enumerate(lines, 1) if name.search(x))


def _read(kept: Any) -> LineTests:
    names = [name for name, _ in kept["tests"]]
    fit = {name for name, seconds in kept["tests"] if 0 <= seconds <= LONGEST_SECONDS}
    return LineTests(
        {name: seconds for name, seconds in kept["tests"] if name in fit},
        {
            module: {
                int(line): [names[x] for x in tests if names[x] in fit]
                for line, tests in lines.items()
            }
            for module, lines in kept["lines"].items()
        },
        {module: set(lines) for module, lines in kept["imported"].items()},
    )


def _digest(modules: Sequence[str], tests: Sequence[str]) -> str:
    digest = hashlib.sha256()
    files = [path_of(x) for x in modules]
    for test in tests:
        path = ROOT / test
        files += sorted(path.rglob("*.py")) if path.is_dir() else [path]
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _note(path: Path, modules: Sequence[str], tests: Sequence[str], texts: str) -> int:
    """Run the tests and write the map: failed ones with a time below zero."""
    import coverage
    import pytest

    files = {str(path_of(x)): x for x in modules}
    watch = coverage.Coverage(data_file=None, config_file=False, include=list(files))
    watch.set_option("run:core", "ctrace")
    watch.start()
    notes = _Notes(watch)
    pytest.main([*OPTIONS, "--maxfail=1000", *tests], plugins=[notes])
    watch.stop()
    data = watch.get_data()
    numbers = {name: at for at, name in enumerate(notes.seconds)}
    lines: dict[str, dict[int, list[int]]] = {}
    imported: dict[str, list[int]] = {}
    for file, module in files.items():
        of_module = data.contexts_by_lineno(file)
        lines[module] = {
            line: sorted(numbers[x] for x in contexts if x in numbers)
            for line, contexts in sorted(of_module.items())
        }
        imported[module] = sorted(line for line, contexts in of_module.items() if "" in contexts)
    kept = {
        "texts": texts,
        "tests": list(notes.seconds.items()),
        "lines": lines,
        "imported": imported,
    }
    path.write_text(json.dumps(kept), encoding="utf-8")
    return 0


def _spread(items: list[Any]) -> list[Any]:
    is_real = "golden" in getattr(getattr(items[0], "callspec", None), "params", ())
    if not is_real or len(items) <= REAL_GRAPHS:
        return items
    return [items[at * len(items) // REAL_GRAPHS] for at in range(REAL_GRAPHS)]


class _Notes:
    """Tells coverage which test runs, and takes its time."""

    def __init__(self, watch: Any) -> None:
        self._watch = watch
        self.seconds: dict[str, float] = {}

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Leave out most parameters of tests that take real graphs."""
        functions: dict[str, list[Any]] = {}
        for item in items:
            functions.setdefault(item.nodeid.partition("[")[0], []).append(item)
        items[:] = [item for same in functions.values() for item in _spread(same)]

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """A test begins."""
        self._watch.switch_context(nodeid)
        self.seconds[nodeid] = -time.process_time()

    def pytest_runtest_logreport(self, report: Any) -> None:
        """A part of a test failed."""
        if report.failed:
            self.seconds[report.nodeid] = -float("inf")

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """A test has ended."""
        self.seconds[nodeid] += time.process_time()
        self._watch.switch_context("")
