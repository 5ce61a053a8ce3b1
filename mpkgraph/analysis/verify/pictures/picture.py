"""A pair of drawings: a rule's finding, and how it should be."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent

MAX_WIDTH = 76
"""Characters of a line: it is shown indented, in terminals of 80."""


@dataclass(frozen=True, slots=True)
class Picture:
    """Two drawings in plain text."""

    bad: str
    good: str

    def __post_init__(self) -> None:
        for drawing in (self.bad, self.good):
            lines = drawing.splitlines()
            if not lines or max(map(len, lines)) > MAX_WIDTH or "\t" in drawing:
                raise ValueError(f"a drawing is empty or too wide:\n{drawing}")


def picture(bad: str, good: str) -> Picture:
    """A picture of drawings as they are indented in the source."""
    return Picture(dedent(bad).strip("\n"), dedent(good).strip("\n"))
