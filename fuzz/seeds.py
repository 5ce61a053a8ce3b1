"""Small good inputs, planned here from the examples: what is edited, and where a corpus starts."""

from __future__ import annotations

import json
import random
from functools import cache
from pathlib import Path
from typing import Any

from fuzz.command import ask, scratch
from mpkgraph.pipeline.compile import CompileOptions, compile_pipelines

ROOT = Path(__file__).parents[1]
DIAMOND = str(ROOT / "examples" / "diamond.py:build")
PIPELINES: dict[str, tuple[str, dict[str, str], int]] = {
    "diamond": (DIAMOND, {"rows": "2", "hidden": "128"}, 1),
    "other tiles": (DIAMOND, {"rows": "2", "hidden": "256"}, 1),
    "fork": (str(ROOT / "examples" / "fork.py:build"), {"rows": "3", "hidden": "512"}, 1),
    "two ranks": (str(ROOT / "fuzz" / "two_ranks.py:build"), {}, 2),
}
"""Function, parameters and ranks."""


@cache
def _compiled(name: str) -> Path:
    function, settings, ranks = PIPELINES[name]
    folder = scratch() / "seeds" / name.replace(" ", "_")
    options = CompileOptions(output=folder, settings=settings, world_size=ranks)
    compile_pipelines([function], options)
    return folder


def graph_text(name: str) -> bytes:
    return (_compiled(name) / "task_graph_rank0.json").read_bytes()


@cache
def _document(name: str, file: str) -> Any:
    return json.loads((_compiled(name) / file).read_bytes())


def graph_document(name: str) -> Any:
    """What `json.loads` makes of a seed; not to be changed."""
    return _document(name, "task_graph_rank0.json")


def record_document(name: str) -> Any:
    return _document(name, "pipeline_rank0.json")


@cache
def patch_document() -> Any:
    left, right = (_compiled(x) / "task_graph_rank0.json" for x in ("diamond", "other tiles"))
    path = scratch() / "seeds" / "patch.json"
    answer = ask("diff", left, right, "--no-cache", "--patch", path)
    assert answer.code == 1, answer.err
    return json.loads(path.read_bytes())


def write(name: str, document: Any) -> Path:
    """A file of this process with a document's JSON."""
    path = scratch() / name
    path.write_text(json.dumps(document))
    return path


def random_bytes(count: int = 48, length: int = 40) -> list[bytes]:
    """Where a corpus of edits starts: the same bytes each time."""
    draw = random.Random(9)
    return [b"", *(draw.randbytes(length) for _ in range(count))]
