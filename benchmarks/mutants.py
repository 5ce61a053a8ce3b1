"""`python -m benchmarks.mutants`: does a test fail when a line of the checks or planner is wrong?

cosmic-ray's operators change one place of a module at a time (`a < b` to `a <= b`, `and` to `or`,
a number by one, a loop to none); the module's tests must then fail. The tests are collected once;
each mutant runs them in a forked process, where the changed functions get their new code, so the
checkout stays as it is. What no test notices there, or is no function, is tried again in a process
that imports the changed text. Which tests watch which module is in `mutant_subjects.py`, survivors
that change nothing are in `mutant_equivalents.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.mutant_equivalents import EQUIVALENTS
from benchmarks.mutant_runs import Change, Run, path_of, try_changes
from benchmarks.mutant_subjects import SUBJECTS, Subject
from benchmarks.report import Table, markdown, print_table, write_between_marks

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "testing.md"
SEED, COUNT = 9, 20

NOT_USED = {"RemoveDecorator", "VariableReplacer", "VariableInserter"}
"""Nothing is left of a frozen dataclass without its decorator; the others want names."""
NO_MEANING = {"strict", "frozen", "repr"}
"""Arguments that assert (of `zip`, of a dataclass) or only print: nothing else is different."""


@dataclass(frozen=True)
class Mutant:
    """One change of one place."""

    module: str
    line: int
    operator: str
    occurrence: int
    before: str
    after: str
    """The changed line, without what is around it."""


@dataclass(frozen=True)
class Outcome:
    """What the tests made of a mutant."""

    mutant: Mutant
    verdict: str
    """`killed`, `hung`, `equivalent` or `survived`."""
    seconds: float


def mutants_of(module: str, count: int, seed: int) -> list[Mutant]:
    """At most `count` of a module's mutants: places at random, one change at each."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.operators.provider import OperatorProvider

    text = path_of(module).read_text(encoding="utf-8")
    provider = OperatorProvider()
    operators = {name: provider[name]() for name in provider if name not in NOT_USED}
    places: dict[tuple[int, int], list[tuple[str, int]]] = {}
    numbers = dict.fromkeys(operators, 0)
    for node in ast_nodes(get_ast(text)):
        for name, operator in operators.items():
            for start, _ in operator.mutation_positions(node):
                if not _is_left_alone(node):
                    places.setdefault(start, []).append((name, numbers[name]))
                numbers[name] += 1
    random = Random(f"{seed} {module}")
    found: list[Mutant] = []
    for place in random.sample(sorted(places), len(places)):
        name, occurrence = random.choice(places[place])
        changed = changed_text(text, name, occurrence)
        if changed is None or changed == text:
            continue
        found.append(Mutant(module, place[0], name, occurrence, *_difference(text, changed)))
        if len(found) == count:
            break
    return sorted(found, key=lambda x: (x.line, x.operator, x.occurrence))


def changed_text(text: str, operator: str, occurrence: int) -> str | None:
    """The module with the change; None when it would not be Python."""
    import warnings

    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.operators.provider import OperatorProvider

    changed: str | None = mutate_code(text, OperatorProvider()[operator](), occurrence)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            compile(changed or "?", "mutant", "exec")
    except SyntaxError:
        return None
    return changed


def _is_left_alone(node: Any) -> bool:
    """Annotations, which are not evaluated, and arguments without a meaning."""
    child, parent = node, node.parent
    if parent.type == "argument" and getattr(parent.children[0], "value", "") in NO_MEANING:
        return True
    while parent is not None:
        if parent.type == "tfpdef" and child is parent.children[-1]:
            return True
        if parent.type == "annassign" and child is parent.children[1]:
            return True
        if parent.type == "funcdef" and child is parent.annotation:
            return True
        child, parent = parent, parent.parent
    return False


def _difference(before: str, after: str) -> tuple[str, str]:
    for left, right in zip(before.split("\n"), after.split("\n"), strict=False):
        if left != right:
            return left.strip(), right.strip()
    raise ValueError("a mutant without a change")


def look(tests: tuple[str, ...], mutants: Sequence[Mutant], *, quick: bool) -> list[Outcome]:
    """Run tests on each of these mutants."""
    changes = []
    for mutant in mutants:
        text = path_of(mutant.module).read_text(encoding="utf-8")
        changed = changed_text(text, mutant.operator, mutant.occurrence)
        changes.append(Change(mutant.module, changed or ""))
    outcomes = []
    for mutant, run in zip(mutants, try_changes(tests, changes, quick=quick), strict=False):
        outcomes.append(Outcome(mutant, _verdict(mutant, run), run.seconds))
        if outcomes[-1].verdict == "survived":
            print(
                f"{mutant.module}:{mutant.line}: {mutant.before}\n    -> {mutant.after}", flush=True
            )
    return outcomes


def _verdict(mutant: Mutant, run: Run) -> str:
    if run.status is None:
        return "hung"
    if run.status:
        return "killed"
    known = (mutant.module, mutant.before, mutant.after) in EQUIVALENTS
    return "equivalent" if known else "survived"


def summary(outcomes: Sequence[Outcome]) -> Table:
    """One row a module, and their sum."""
    verdicts = ("killed", "hung", "equivalent", "survived")
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.mutant.module.removeprefix("mpkgraph."), []).append(outcome)
    rows = [
        (name, str(len(group)), *(str(sum(x.verdict == v for x in group)) for v in verdicts))
        for name, group in [*sorted(groups.items()), ("all", list(outcomes))]
    ]
    return Table("Mutants", ("module", "tried", *verdicts), tuple(rows))


def main(arguments: Sequence[str] | None = None) -> None:
    """Mutate, test, and print what was not noticed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", help="only modules whose name contains one of these")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--count", type=int, default=COUNT, help="mutants of each module")
    parser.add_argument("--quick", action="store_true", help="survivors get no second try")
    parser.add_argument("--json", type=Path, help="keep the outcomes here, after each group")
    parser.add_argument("--again", type=Path, help="try only what survived in such a file")
    parser.add_argument("--write-docs", action="store_true", help=f"write the table in {PAGE.name}")
    given = parser.parse_args(arguments)
    os.chdir(ROOT)
    outcomes: list[Outcome] = []
    chosen = [x for x in SUBJECTS if not given.modules or any(y in x.module for y in given.modules)]
    for tests, group in groupby(chosen, key=lambda subject: subject.tests):
        outcomes += look(tests, _mutants(list(group), given), quick=given.quick)
        if given.json:
            text = json.dumps([asdict(x) for x in outcomes], indent=1)
            given.json.write_text(text, encoding="utf-8")
    table = summary(outcomes)
    print_table(table)
    if given.write_docs:
        facts = (f"seed {given.seed}", f"at most {given.count} mutants of a module")
        text = markdown([table], facts).replace("Machine: ", "Run: ", 1)
        write_between_marks(PAGE, text)


def _mutants(subjects: Sequence[Subject], given: argparse.Namespace) -> list[Mutant]:
    if given.again is None:
        return [m for x in subjects for m in mutants_of(x.module, given.count, given.seed)]
    modules = {x.module for x in subjects}
    known = json.loads(given.again.read_text(encoding="utf-8"))
    survived = [Mutant(**x["mutant"]) for x in known if x["verdict"] == "survived"]
    return [x for x in survived if x.module in modules]


if __name__ == "__main__":
    sys.exit(main())
