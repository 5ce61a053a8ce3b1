"""What a user suppresses: a comment on a layer's line, or a rule at a place on the command line."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from functools import cached_property

from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.rule import Rule
from mpkgraph.analysis.verify.run import find_rules
from mpkgraph.errors import UsageError

COMMENT = "comment"
OPTION = "option"
"""How such findings are said to be suppressed."""

_COMMENT = re.compile(r"#\s*mpkgraph:\s*ignore(-file)?\b\s*(?:\[([^\]]*)\])?")


class InlineComments:
    """`# mpkgraph: ignore[MPK101, remainder]` in the user's scripts.

    A comment holds for the layers of the statement that it stands in, or above which it stands
    with nothing but comments between; `ignore-file[...]` for the whole file. Without brackets it
    means every rule.
    """

    def __init__(self) -> None:
        self._files: dict[str, _CommentedFile] = {}

    def __call__(self, finding: Finding) -> str | None:
        site = finding.location.site
        if site is None:
            return None
        if site.file not in self._files:
            self._files[site.file] = _CommentedFile(site.file)
        is_meant = finding.rule in self._files[site.file].rules_at(site.line)
        return COMMENT if is_meant else None

    @property
    def notes(self) -> tuple[str, ...]:
        """Comments that name no rule."""
        return tuple(note for file in self._files.values() for note in file.notes)


class _CommentedFile:
    """The comments of one file, read when a finding points there."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.notes: list[str] = []
        self.everywhere: set[Rule] = set()
        self._by_line: dict[int, set[Rule]] = {}
        self._alone: set[int] = set()
        """Lines that hold a comment and nothing else."""
        self._source = self._read()

    def _read(self) -> str:
        try:
            with tokenize.open(self.path) as stream:
                source = stream.read()
            if "mpkgraph" in source:
                tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
                self._add([x for x in tokens if x.type == tokenize.COMMENT])
        except (OSError, SyntaxError, UnicodeDecodeError, tokenize.TokenError):
            return ""
        return source

    def _add(self, comments: Sequence[tokenize.TokenInfo]) -> None:
        for token in comments:
            line = token.start[0]
            if not token.line[: token.start[1]].strip():
                self._alone.add(line)
            match = _COMMENT.search(token.string)
            if match is None:
                continue
            words = ["all"] if match[2] is None else [x for x in match[2].split(",") if x.strip()]
            rules = {rule for word in words for rule in self._meant(word, line)}
            if match[1]:
                self.everywhere |= rules
            else:
                self._by_line.setdefault(line, set()).update(rules)

    def _meant(self, word: str, line: int) -> list[Rule]:
        try:
            return find_rules(word)
        except UsageError as error:
            self.notes.append(f"{self.path}:{line}: {error}")
            return []

    def rules_at(self, line: int) -> set[Rule]:
        """The rules that are suppressed for a layer of this line."""
        if not self._by_line:
            return self.everywhere
        first, last = self._statement(line)
        rules = set(self.everywhere)
        for number in range(first, last + 1):
            rules |= self._by_line.get(number, set())
        above = first - 1
        while above in self._alone:
            rules |= self._by_line.get(above, set())
            above -= 1
        return rules

    def _statement(self, line: int) -> tuple[int, int]:
        """First and last line of the innermost statement that a line is in."""
        around = [x for x in self._statements if x[0] <= line <= x[1]]
        return around[-1] if around else (line, line)

    @cached_property
    def _statements(self) -> Sequence[tuple[int, int]]:
        return tuple(_lines_of_statements(self._source))


def _lines_of_statements(source: str) -> Iterator[tuple[int, int]]:
    """(First, last) line of each statement, outer ones first; of one with a body, of its head."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if not isinstance(node, ast.stmt):
            continue
        body = getattr(node, "body", None) or getattr(node, "cases", None)
        last = node.end_lineno or node.lineno
        if body:
            first_inside = body[0]
            inside = getattr(first_inside, "lineno", None) or first_inside.pattern.lineno
            last = max(node.lineno, inside - 1)
        yield node.lineno, last


class SuppressedAt:
    """`RULE@WHERE` of the command line: a rule at an operator or a tensor."""

    def __init__(self, text: str) -> None:
        """Raises UsageError for what is not of that form, or names no rule."""
        rules, at, where = text.partition("@")
        if not at or not where.strip():
            raise UsageError(
                f"{text!r} does not say where",
                remedy="Give RULE@OPERATOR or RULE@TENSOR, such as remainder@linear_hopper",
            )
        if "@" in where or not rules.strip():
            raise UsageError(
                f"{text!r} is not RULE@WHERE", remedy="Such as remainder@linear_hopper"
            )
        self.text = text
        self.is_used = False
        """Whether some finding was suppressed by it."""
        self._rules = {rule for word in rules.split(",") for rule in find_rules(word)}
        self._where = where.strip()

    def __call__(self, finding: Finding) -> str | None:
        if finding.rule not in self._rules:
            return None
        place = finding.location
        if self._where.isdecimal():
            is_there = place.operator == int(self._where)
        else:
            names = (place.operator_name, place.tensor)
            is_there = any(x is not None and fnmatchcase(x, self._where) for x in names)
        self.is_used |= is_there
        return OPTION if is_there else None
