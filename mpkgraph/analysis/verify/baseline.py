"""A baseline: the findings that a project lives with, so that only new ones are reported.

The file is JSON, sorted, with one line of meaning a finding: its fingerprint, what it is of, and
how many findings have that fingerprint.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson

from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.errors import GraphReadError
from mpkgraph.io.atomic import atomic_file

SCHEMA = "mpkgraph-baseline/1"
BASELINE = "baseline"
"""How such a finding is said to be suppressed."""

PathLike = str | os.PathLike[str]


class Baseline:
    """The known findings of one run: each is used up by a finding that has its fingerprint."""

    def __init__(self, known: Mapping[str, int]) -> None:
        self._left = Counter(known)

    @classmethod
    def load(cls, path: PathLike) -> Baseline:
        """From a file that `save_baseline` wrote. Raises GraphReadError when it is none."""
        name = os.fspath(path)
        remedy = "Write one with --write-baseline"
        try:
            content = orjson.loads(Path(path).read_bytes())
        except OSError as error:
            raise GraphReadError(
                f"can't be read: {(error.strerror or str(error)).lower()}",
                where=name,
                remedy=remedy,
            ) from error
        except orjson.JSONDecodeError as error:
            raise GraphReadError(f"is no JSON: {error}", where=name, remedy=remedy) from error
        if not isinstance(content, dict) or content.get("schema") != SCHEMA:
            raise GraphReadError(f"is no baseline ({SCHEMA})", where=name, remedy=remedy)
        rows = content.get("findings")
        known: Counter[str] = Counter()
        for number, row in enumerate(rows if isinstance(rows, list) else [None]):
            fields = row if isinstance(row, dict) else {}
            fingerprint, count = fields.get("fingerprint"), fields.get("count")
            if not isinstance(fingerprint, str) or type(count) is not int or count < 1:
                raise GraphReadError(
                    "needs a fingerprint and a count of at least 1",
                    where=f"{name}, findings[{number}]",
                    remedy=remedy,
                )
            known[fingerprint] += count
        return cls(known)

    def __call__(self, finding: Finding) -> str | None:
        """`baseline` when the finding is known; each call uses one up."""
        if self._left[finding.fingerprint] <= 0:
            return None
        self._left[finding.fingerprint] -= 1
        return BASELINE

    @property
    def num_left(self) -> int:
        """Known findings that were not found."""
        return self._left.total()


def baseline_json(findings: Iterable[Finding]) -> dict[str, Any]:
    """The content of a baseline that knows these findings."""
    found = list(findings)
    counts = Counter(x.fingerprint for x in found)
    rows = {x.fingerprint: _row(x, counts[x.fingerprint]) for x in found}
    return {
        "schema": SCHEMA,
        "findings": sorted(rows.values(), key=lambda row: [str(row[x] or "") for x in _SORTED_BY]),
    }


_SORTED_BY = ("code", "operator", "tensor", "fingerprint")


def _row(finding: Finding, count: int) -> dict[str, Any]:
    return {
        "code": finding.rule.code,
        "name": finding.rule.name,
        "operator": _printable(finding.location.operator_name),
        "tensor": _printable(finding.location.tensor),
        "fingerprint": finding.fingerprint,
        "count": count,
    }


def _printable(name: str | None) -> str | None:
    """A name for people who read the file; findings are known by their fingerprints."""
    return None if name is None else name.encode("utf-8", "backslashreplace").decode()


def save_baseline(findings: Iterable[Finding], path: PathLike) -> None:
    """Write a baseline that knows these findings. Raises GraphWriteError when that can't be."""
    text = orjson.dumps(baseline_json(findings), option=orjson.OPT_INDENT_2)
    with atomic_file(path) as stream:
        stream.write(text + b"\n")
