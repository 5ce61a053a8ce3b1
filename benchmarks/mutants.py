"""`python -m benchmarks.mutants`: does a test fail when a line of the checks or planner is wrong?

cosmic-ray's operators change one place of a module at a time (`a < b` to `a <= b`, `and` to `or`,
a number by one, a loop to none); a test must then fail. Which tests run a line was noted once
(`mutant_map.py`); a mutant gets those of its line, in a forked process (`mutant_runs.py`), so the
checkout stays as it is. Outcomes are kept as they come: a run that was stopped goes on where it
was. Survivors that change nothing are in `mutant_equivalents.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.mutant_draws import ROOT, Drawn, Mutant, changed_text, draw, find_again, text_of
from benchmarks.mutant_equivalents import EQUIVALENTS
from benchmarks.mutant_map import LineTests, line_tests
from benchmarks.mutant_runs import Change, Collected, Run, import_others, run_imported
from benchmarks.mutant_subjects import TESTS, modules_by_group

PAGE = ROOT / "docs" / "testing.md"
KEPT = ROOT / "build" / "mutants"
SEED, COUNT = 9, 10
BUDGET_SECONDS = 10.0
"""Of tests for one mutant: they take that long when it survives."""


@dataclass(frozen=True)
class Outcome:
    """What the tests made of a mutant."""

    mutant: Mutant
    verdict: str
    """`killed`, `hung` or `survived`."""
    seconds: float
    num_tests: int
    """How many were chosen."""
    failed: str
    """The test that failed."""

    @property
    def is_noticed(self) -> bool:
        return self.verdict != "survived"


class Trials:
    """Runs the tests of one mutant after the other."""

    def __init__(self, notes: LineTests, tests: Sequence[str], budget: float) -> None:
        self._notes, self._budget = notes, budget
        import_others()
        self._collected = Collected(tests)
        self._killers: dict[str, list[str]] = {}
        self._trusted: set[str] = set()

    def look(self, mutant: Mutant) -> Outcome:
        """Try the tests of a mutant's line on it."""
        killers = self._killers.setdefault(mutant.module, [])
        chosen = self._notes.choose(mutant.module, mutant.line, self._budget, killers)
        changed = changed_text(text_of(mutant.module), mutant.operator, mutant.occurrence)
        change = Change(mutant.module, changed or "")
        run, seconds = Run(0, 0.0), 0.0
        while chosen.tests:
            run = Run(0, 0.0, fits=False)
            if not chosen.imported:
                run = self._collected.run(change, chosen.tests, chosen.seconds)
            if not run.fits:
                run = run_imported(change, chosen.tests, chosen.seconds)
            seconds += run.seconds
            if not run.failed or self._is_trusted(run.failed):
                break
            chosen = self._notes.choose(mutant.module, mutant.line, self._budget, killers)
        if run.failed:
            killers[:] = [run.failed, *(x for x in killers if x != run.failed)][:3]
        verdict = "hung" if run.status is None else "killed" if run.status else "survived"
        return Outcome(mutant, verdict, round(seconds, 2), len(chosen.tests), run.failed)

    def close(self) -> None:
        """End what runs the tests."""
        self._collected.close()

    def _is_trusted(self, test: str) -> bool:
        """Whether a test that failed passes without a change; otherwise it is left out from now."""
        if test not in self._trusted and test in self._notes.seconds:
            if self._collected.run(None, [test], self._notes.seconds[test]).status != 0:
                print(f"fails as it is: {test}", flush=True)
                self._notes.left_out.add(test)
                return False
            self._trusted.add(test)
        return True


class Journal:
    """Outcomes in a file, one a line, in the order in which they came."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.first: dict[tuple[str, ...], Outcome] = {}
        """What became of a mutant when it was tried first."""
        self.last: dict[tuple[str, ...], Outcome] = {}
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                kept = json.loads(line)
                self._take(Outcome(**kept | {"mutant": Mutant(**kept["mutant"])}))

    def add(self, outcome: Outcome) -> None:
        """Keep an outcome."""
        self._take(outcome)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as out:
            print(json.dumps(asdict(outcome)), file=out)

    def _take(self, outcome: Outcome) -> None:
        self.first.setdefault(outcome.mutant.key, outcome)
        self.last[outcome.mutant.key] = outcome

    def history(self) -> Iterator[tuple[Outcome, Outcome]]:
        """Each mutant's first and last outcome."""
        for key, outcome in self.first.items():
            yield outcome, self.last[key]


def is_equivalent(mutant: Mutant) -> bool:
    """Whether a mutant is known to change nothing."""
    return (mutant.module, mutant.before, mutant.after) in EQUIVALENTS


def is_there(mutant: Mutant) -> bool:
    """Whether the module still has the line."""
    return mutant.before in [x.strip() for x in text_of(mutant.module).splitlines()]


def rows_of(journal: Journal, drawn: Sequence[Drawn]) -> Iterator[tuple[str, ...]]:
    """What the table says: one row a group, then their sum."""
    sizes = {x.module: x.num_mutants for x in drawn}
    groups = {module: group for group, modules in modules_by_group().items() for module in modules}
    columns = ("tried", "noticed", "survived", "equivalent", "new", "changed", "left")
    sums: dict[str, dict[str, int]] = {}
    for first, last in journal.history():
        group = groups.get(first.mutant.module)
        if group is None:
            continue
        known = is_equivalent(first.mutant)
        is_gone = not last.is_noticed and not known and not is_there(first.mutant)
        facts = {
            "tried": True,
            "noticed": first.is_noticed,
            "survived": not first.is_noticed,
            "equivalent": not first.is_noticed and known,
            "new": not first.is_noticed and last.is_noticed and not known,
            "changed": is_gone,
            "left": not last.is_noticed and not known and not is_gone,
        }
        for name in (group, "all"):
            counts = sums.setdefault(name, dict.fromkeys(columns, 0))
            for column, fact in facts.items():
                counts[column] += fact
    tried = {first.mutant.module for first, _ in journal.history()}
    for name in [*(x for x in modules_by_group() if x in sums), "all"]:
        if name in sums:
            of_group = {x for x in tried if name in {groups.get(x), "all"} and x in groups}
            size = sum(sizes.get(x, 0) for x in of_group)
            yield name, str(len(of_group)), str(size), *(str(sums[name][x]) for x in columns)


def main(arguments: Sequence[str] | None = None) -> None:
    """Mutate, test, and print what was not noticed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", help="only modules whose name contains one of these")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--count", type=int, default=COUNT, help="mutants of each module")
    parser.add_argument("--budget", type=float, default=BUDGET_SECONDS, help="seconds of tests")
    parser.add_argument("--tests", nargs="*", default=TESTS, help="what pytest collects")
    parser.add_argument("--folder", type=Path, default=KEPT, help="where outcomes are kept")
    parser.add_argument("--again", action="store_true", help="try what survived once more")
    parser.add_argument("--list", action="store_true", help="print what survived, and stop")
    parser.add_argument("--table", action="store_true", help="try nothing, only make the table")
    parser.add_argument("--write-docs", action="store_true", help=f"write the table in {PAGE.name}")
    given = parser.parse_args(arguments)
    folder = given.folder.resolve()
    os.chdir(ROOT)
    journal = Journal(folder / "outcomes.jsonl")
    modules = [
        module
        for found in modules_by_group().values()
        for module in found
        if not given.modules or any(x in module for x in given.modules)
    ]
    if given.list:
        for _, last in journal.history():
            if last.mutant.module in modules:
                _tell(last)
        return
    trials: Trials | None = None
    drawn = []
    try:
        for module in modules:
            is_drawn = not (given.again or given.table)
            drawn.append(draw(module, given.count if is_drawn else 0, given.seed))
            wanted = _survivors(journal, module) if given.again else drawn[-1].mutants
            for mutant in wanted:
                if not given.again and mutant.key in journal.last:
                    continue
                if trials is None:
                    notes = line_tests(folder / "lines.json", modules, given.tests)
                    trials = Trials(notes, given.tests, given.budget)
                journal.add(trials.look(mutant))
                _tell(journal.last[mutant.key])
    finally:
        if trials is not None:
            trials.close()
    _publish(journal, drawn, given)


def _survivors(journal: Journal, module: str) -> list[Mutant]:
    """What survived in a module, as it is now."""
    survived = [last.mutant for _, last in journal.history() if not last.is_noticed]
    found = [find_again(x) for x in survived if x.module == module and not is_equivalent(x)]
    return [x for x in found if x is not None]


def _tell(outcome: Outcome) -> None:
    mutant = outcome.mutant
    if outcome.verdict == "survived" and not is_equivalent(mutant):
        where = f"{mutant.module.removeprefix('mpkgraph.')}:{mutant.line}"
        print(f"{where} ({outcome.num_tests} tests): {mutant.before}", flush=True)
        print(f"    -> {mutant.after}", flush=True)


def _publish(journal: Journal, drawn: Sequence[Drawn], given: argparse.Namespace) -> None:
    from benchmarks.report import Table, markdown, print_table, write_between_marks

    columns = ("group", "modules", "mutants", "tried", "killed at first", "survived")
    columns += ("of them equivalent", "killed later", "line is gone", "left")
    table = Table("By group", columns, tuple(rows_of(journal, drawn)))
    print_table(table)
    if given.write_docs:
        tried = Counter(first.mutant.module for first, _ in journal.history())
        most = max(tried.values(), default=0)
        facts = (f"seed {given.seed}", f"at most {most} mutants of a module")
        known = Table("Equivalent mutants", ("why", "module", "line", "changed to"), _equivalents())
        text = (
            markdown([table, known], facts).replace("Machine: ", "Run: ", 1).replace("## ", "#### ")
        )
        write_between_marks(PAGE, text)


def _equivalents() -> tuple[tuple[str, ...], ...]:
    return tuple(
        (reason, f"`{module.removeprefix('mpkgraph.')}`", f"`{before}`", f"`{after}`")
        for (module, before, after), reason in EQUIVALENTS.items()
    )


if __name__ == "__main__":
    sys.exit(main())
