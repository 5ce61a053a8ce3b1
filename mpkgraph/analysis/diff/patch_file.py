"""The file of a patch: one JSON object with a patch for each rank."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from mpkgraph.analysis.diff.compare import Comparison
from mpkgraph.analysis.diff.patch import SCHEMA, apply_patch, make_patch
from mpkgraph.errors import GraphReadError
from mpkgraph.io.atomic import PathLike, atomic_file
from mpkgraph.model.graph import TaskGraph


def save_patches(comparisons: Sequence[Comparison], path: PathLike) -> None:
    """Write what turns the left graphs into the right ones.

    Raises GraphWriteError when the file can't be written.
    """
    patches = [make_patch(x.left.graph, x.right.graph, x.tasks, x.names) for x in comparisons]
    document = {"schema": SCHEMA, "patches": patches}
    try:
        data = orjson.dumps(document)
    except orjson.JSONEncodeError:
        # Fields that the format lacks can hold integers beyond 64 bits
        data = json.dumps(document, separators=(",", ":")).encode("ascii")
    with atomic_file(path) as stream:
        stream.write(data + b"\n")


def load_patches(path: PathLike) -> list[dict[str, Any]]:
    """The patches in a file. Raises GraphReadError when it is none."""
    name, remedy = str(path), "Make one with mpkgraph diff --patch"
    try:
        # orjson would make floats of integers beyond 64 bits
        document = json.loads(Path(path).read_bytes())
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise GraphReadError(f"can't be read: {reason}", where=name, remedy=remedy) from error
    except (ValueError, RecursionError) as error:
        raise GraphReadError(f"is no JSON: {error}", where=name, remedy=remedy) from error
    patches = document.get("patches") if isinstance(document, dict) else None
    if not isinstance(patches, list) or document.get("schema") != SCHEMA:
        raise GraphReadError(f"is no patch ({SCHEMA})", where=name, remedy=remedy)
    if not all(isinstance(x, dict) for x in patches):
        raise GraphReadError("holds what is no patch", where=name, remedy=remedy)
    return patches


def apply_patches(
    patches: Sequence[dict[str, Any]], graphs: Sequence[TaskGraph], where: str
) -> list[TaskGraph]:
    """The right graphs of the left ones, in order. Raises GraphReadError."""
    if len(patches) != len(graphs):
        raise GraphReadError(
            f"holds patches of {len(patches)} graphs, and {len(graphs)} are given",
            where=where,
            remedy="Give all ranks that were the left of the diff",
        )
    return [apply_patch(x, graph, where) for x, graph in zip(patches, graphs, strict=True)]
