"""A drawing of a bad and of a good case for each rule, for `--explain` and the rules' pages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Picture:
    """Two drawings in plain text, at most `MAX_WIDTH` characters wide."""

    bad: str
    good: str


MAX_WIDTH = 76

PICTURES: dict[str, Picture] = {}
"""By the code of the rule."""
