"""Checks that look at all ranks of a pipeline together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.rule import Rule
from mpkgraph.frozen import dataclass

RankCheck = Callable[[Sequence[VerifyContext]], Iterator[Finding]]


@dataclass(frozen=True, slots=True)
class RankCheckRow:
    """A check over ranks, given in order of rank, and its rules."""

    check: RankCheck
    rules: tuple[Rule, ...]
