"""Advice: what is correct and costs time. None of it runs unless it is selected."""

from __future__ import annotations

from mpkgraph.analysis.verify.rule import CheckRow
from mpkgraph.analysis.verify.rules.advice import synchronisation, work

CHECKS: tuple[CheckRow, ...] = (*work.CHECKS, *synchronisation.CHECKS)
