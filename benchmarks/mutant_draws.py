"""Mutants of a module: cosmic-ray's operators, each at each place that it can change."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).parents[1]

NOT_USED = {"RemoveDecorator", "VariableReplacer", "VariableInserter"}
"""Nothing is left of a frozen dataclass without its decorator; the others want names."""
SAME = {f"ReplaceComparisonOperator_{x}" for x in ("Eq_Is", "Is_Eq", "NotEq_IsNot", "IsNot_NotEq")}
"""Of small numbers, names and None identity and equality are the same."""
NO_MEANING = {"strict", "frozen", "repr", "eq", "slots", "assume_unique"}
"""Arguments that assert, or only make things faster or print them: nothing else is different."""


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

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What is the same when other lines of the module have changed."""
        return self.module, self.operator, self.before, self.after


@dataclass(frozen=True)
class Drawn:
    """A sample of a module's mutants."""

    module: str
    num_mutants: int
    """All of them."""
    mutants: tuple[Mutant, ...]


def path_of(module: str) -> Path:
    """The module's file."""
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def text_of(module: str) -> str:
    """The module as it is."""
    return path_of(module).read_text(encoding="utf-8")


def draw(module: str, count: int, seed: int) -> Drawn:
    """At most `count` of a module's mutants: places at random, one change at each."""
    text = text_of(module)
    places = _places(text)
    random = Random(f"{seed} {module}")
    found: list[Mutant] = []
    for place in random.sample(sorted(places), len(places)):
        if len(found) == count:
            break
        name, occurrence = random.choice(places[place])
        mutant = _mutant(module, text, place[0], name, occurrence)
        if mutant is not None:
            found.append(mutant)
    found.sort(key=lambda x: (x.line, x.operator, x.occurrence))
    return Drawn(module, sum(map(len, places.values())), tuple(found))


def find_again(mutant: Mutant) -> Mutant | None:
    """The same change of the module as it is now; None when its line is no longer there."""
    text = text_of(mutant.module)
    if mutant.before not in [x.strip() for x in text.splitlines()]:
        return None
    numbers = [
        (line, occurrence)
        for (line, _), changes in _places(text).items()
        for name, occurrence in changes
        if name == mutant.operator
    ]
    for line, occurrence in sorted(numbers, key=lambda x: abs(x[1] - mutant.occurrence)):
        now = _mutant(mutant.module, text, line, mutant.operator, occurrence)
        if now is not None and now.key == mutant.key:
            return now
    return None


def changed_text(text: str, operator: str, occurrence: int) -> str | None:
    """The module with the change; None when it would not be Python, or the same program."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.operators.provider import OperatorProvider

    try:
        changed: str | None = mutate_code(text, OperatorProvider()[operator](), occurrence)
    except AttributeError:  # in cosmic-ray, at `except module.Error:`
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", SyntaxWarning)  # `is` with a literal
            if compile(changed or "?", "mutant", "exec") == compile(text, "mutant", "exec"):
                return None
    except (SyntaxError, SyntaxWarning):
        return None
    return changed


def statement_lines(text: str, line: int) -> range:
    """The lines of the innermost statement at a line; of `if`, `def` and the like its head."""
    found = range(line, line + 1)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.stmt | ast.excepthandler):
            start = min([node.lineno, *(x.lineno for x in getattr(node, "decorator_list", ()))])
            body = getattr(node, "body", None)
            end = body[0].lineno if body else (node.end_lineno or start) + 1
            # ast.walk goes inwards: the last that fits is the innermost
            if start <= line < max(end, start + 1):
                found = range(start, max(end, start + 1))
    return found


def body_lines(text: str, line: int) -> range:
    """The lines of the function or class whose head is at a line; none elsewhere."""
    head = statement_lines(text, line)
    for node in ast.walk(ast.parse(text)):
        is_named = isinstance(node, ast.FunctionDef | ast.ClassDef)
        if is_named and node.lineno in head:
            return range(node.body[0].lineno, (node.end_lineno or node.lineno) + 1)
    return range(0)


def _places(text: str) -> dict[tuple[int, int], list[tuple[str, int]]]:
    """Line and column to the changes there: an operator's name and its number of the change."""
    from cosmic_ray.ast import ast_nodes, get_ast

    operators = dict(_operators())
    places: dict[tuple[int, int], list[tuple[str, int]]] = {}
    numbers = dict.fromkeys(operators, 0)
    for node in ast_nodes(get_ast(text)):
        for name, operator in operators.items():
            for start, _ in operator.mutation_positions(node):
                if not _is_left_alone(node):
                    places.setdefault(start, []).append((name, numbers[name]))
                numbers[name] += 1
    return places


def _operators() -> Iterator[tuple[str, Any]]:
    from cosmic_ray.operators.provider import OperatorProvider

    provider = OperatorProvider()
    for name in provider:
        if name not in NOT_USED | SAME:
            yield name, provider[name]()


def _mutant(module: str, text: str, line: int, operator: str, occurrence: int) -> Mutant | None:
    changed = changed_text(text, operator, occurrence)
    if changed is None:
        return None
    for left, right in zip(text.split("\n"), changed.split("\n"), strict=False):
        if left != right:
            return Mutant(module, line, operator, occurrence, left.strip(), right.strip())
    return None


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
