"""What a rule is: a stable code, what it finds, why that matters and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

from mpkgraph.frozen import dataclass

if TYPE_CHECKING:
    from mpkgraph.analysis.verify.context import VerifyContext
    from mpkgraph.analysis.verify.finding import Finding

Severity = Literal["error", "warning", "advice"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "advice")
"""From worst to least.

An error is wrong for some schedule that the events allow, or some legal input: a wrong result, a
hang or a crash. A warning is suspicious, or certain only with facts that the graph lacks. Advice is
correct and costly.
"""

FAMILIES = {
    "1": "splits",
    "2": "hazards",
    "3": "structure",
    "4": "resources",
    "5": "advice",
    "6": "ranks",
}
"""By the first digit of a code."""

_CODE = re.compile(r"MPK[1-6]\d\d")
_NAME = re.compile(r"[a-z]+(-[a-z]+)*")


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that can be wrong. Codes and names never change their meaning.

    `why` and `remedy` are for `--explain` and the rule's page; a finding has its own, with numbers.
    """

    code: str
    """`MPK201`."""
    name: str
    """`unordered-read`."""
    severity: Severity
    """Of its findings, unless one says otherwise."""
    summary: str
    """One line: what is found."""
    why: str
    remedy: str
    needs_record: bool = False
    """Only a pipeline record (or the pipeline itself) tells; without one the rule is skipped."""
    is_default: bool = True
    """Whether it runs when nothing is selected."""

    def __post_init__(self) -> None:
        if not _CODE.fullmatch(self.code) or not _NAME.fullmatch(self.name):
            raise ValueError(f"bad code or name: {self.code} {self.name}")

    @property
    def family(self) -> str:
        return FAMILIES[self.code[3]]


Check = Callable[["VerifyContext"], Iterator["Finding"]]
"""Finds what one or a few rules look for in one rank's graph; order and repetition are free."""


@dataclass(frozen=True, slots=True)
class CheckRow:
    """A check and the rules that its findings are of; it runs when one of them is wanted."""

    check: Check
    rules: tuple[Rule, ...]
