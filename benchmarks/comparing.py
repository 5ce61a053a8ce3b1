"""Ways to the same answer side by side: who can be measured here, in turns, and the table of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import Series, Spread, Subject, measure_in_turns
from benchmarks.report import Table, spread_text
from benchmarks.subjects import MB, missing_requirement
from benchmarks.ways import WAYS

NOT_MEASURED = "not measured"


class AnswersDifferError(Exception):
    """Two ways to the same question: one of them is wrong, and no time of it means anything."""


@dataclass(frozen=True)
class Entry:
    """A subject in a comparison, under a title; `missing` says why it can't be measured here."""

    title: str
    subject: Subject
    missing: str | None = None


def way(name: str, *more: Path) -> Entry:
    """One of `ways.WAYS` on the measured file, and on `more`."""
    named = WAYS[name]

    def command(path: Path) -> list[str]:
        return [sys.executable, "-m", "benchmarks.ways", name, str(path), *map(str, more)]

    subject = Subject(name, command, times_itself=True, requires=named.requires)
    return Entry(named.title, subject, missing_requirement(subject))


def process(
    title: str,
    command: Callable[[Path], Sequence[str]],
    *,
    missing: str | None = None,
    environment: dict[str, str] | None = None,
) -> Entry:
    """A whole process, from its start to its end."""
    subject = Subject(title, command, environment={"NO_COLOR": "1", **(environment or {})})
    return Entry(title, subject, missing)


def compare(
    title: str,
    entries: Sequence[Entry],
    path: Path,
    rounds: int,
    *,
    tolerance: float | None = None,
    notes: Sequence[str] = (),
) -> Table:
    """A table in which the first entry is 1: how many times the others' seconds, round by round.

    Raises AnswersDifferError when ways answer differently; numbers within a relative `tolerance`
    are the same.
    """
    present = [x for x in entries if x.missing is None]
    series = measure_in_turns([x.subject for x in present], path, rounds)
    _check(title, series, tolerance)
    measured = {x.title: one for x, one in zip(present, series, strict=True)}
    first = measured.get(entries[0].title)
    rows = []
    for entry in entries:
        one = measured.get(entry.title)
        if one is None or one.failure is not None or not one.samples:
            reason = entry.missing if one is None else one.failure
            rows.append((entry.title, f"{NOT_MEASURED}: {reason}", "", "", "", ""))
            continue
        rows.append(
            (
                entry.title,
                spread_text(one.seconds),
                spread_text(one.cpu_seconds),
                f"{one.peak_bytes / MB:.0f}",
                _ratios(one.seconds, first, "seconds"),
                _ratios(one.cpu_seconds, first, "cpu_seconds"),
            )
        )
    columns = ("", "seconds", "CPU s", "peak MB", "times the first, seconds", "CPU s")
    return Table(title, columns, tuple(rows), tuple(notes))


def _ratios(values: Sequence[float], first: Series | None, name: str) -> str:
    if first is None or len(first.samples) != len(values):
        return ""
    base = getattr(first, name)
    if base is values or base == values:
        return "1"
    ratios = [a / max(b, 1e-9) for a, b in zip(values, base, strict=True)]
    return spread_text(ratios)


def _check(title: str, series: Sequence[Series], tolerance: float | None) -> None:
    answers = {
        one.subject.name: sample.result["answer"]
        for one in series
        for sample in one.samples
        if "answer" in sample.result
    }
    known = list(answers.values())
    for name, answer in answers.items():
        if answer == known[0]:
            continue
        if tolerance is not None and _close(answer, known[0], tolerance):
            continue
        raise AnswersDifferError(
            f"{title}: {name} answers {answer}, {next(iter(answers))} {known[0]}"
        )


def _close(one: object, other: object, tolerance: float) -> bool:
    numbers = isinstance(one, float) and isinstance(other, float)
    return numbers and abs(one - other) <= tolerance * abs(other)  # type: ignore[operator]


__all__ = ["NOT_MEASURED", "AnswersDifferError", "Entry", "Spread", "compare", "process", "way"]
