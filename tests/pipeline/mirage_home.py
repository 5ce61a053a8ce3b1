"""A source tree of Mirage, where there is one, and records compared with those it gave."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

RECORDERS_OWN = ("case", "generate", "origin")
"""Keys of the recording session, not of the pipeline."""


def mirage_home(*, required=True):
    """The tree that MIRAGE_HOME names; skips the test when there is none."""
    path = os.environ.get("MIRAGE_HOME")
    if path and (Path(path) / "python/mirage/mpk").is_dir():
        return Path(path)
    if required:
        pytest.skip("MIRAGE_HOME does not name a source tree of Mirage")
    return None


def differences(found, expected):
    """Where two records differ, the first few places, in words."""
    left, right = (
        {k: v for k, v in x.to_json().items() if k not in RECORDERS_OWN} for x in (found, expected)
    )
    places = [
        f"{key}: {left.get(key)!r:.300} is not {right.get(key)!r:.300}"
        for key in sorted({*left, *right} - {"log", "tensors"})
        if left.get(key) != right.get(key)
    ]
    for key in ("tensors", "log"):
        if len(left[key]) != len(right[key]):
            places.append(f"{key}: {len(left[key])} entries, not {len(right[key])}")
        places += [
            f"{key}[{i}]: {json.dumps(a):.600} is not {json.dumps(b):.600}"
            for i, (a, b) in enumerate(zip(left[key], right[key], strict=False))
            if json.dumps(a, sort_keys=True) != json.dumps(b, sort_keys=True)
        ]
    return places[:3]
