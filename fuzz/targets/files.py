"""Other files: patches, overlays, costs, baselines, profiles; edited, or any bytes."""

from __future__ import annotations

import io
import json
from functools import cache
from typing import Any

import numpy as np

from fuzz import edits, seeds
from fuzz.command import ask, scratch
from mpkgraph.analysis.cost.model import CostModel

KINDS = ("patch", "overlay", "cost", "baseline", "profile")


def SEEDS() -> list[bytes]:
    raw = [bytes([2 * k]) + _text(kind) for k, kind in enumerate(KINDS)]
    return [*raw, *seeds.random_bytes()]


@cache
def _good(kind: str) -> Any:
    if kind == "patch":
        return seeds.patch_document()
    if kind == "overlay":
        values = list(range(len(seeds.graph_document("diamond")["all_tasks"])))
        overlay = {"name": "a", "kind": "value", "values": values}
        return {"schema": "mpkgraph-overlay/1", "overlays": [overlay]}
    if kind == "cost":
        return CostModel.of_gpu("h100").to_json()
    path = scratch() / "seeds" / "baseline.json"
    graph = seeds.write("task_graph_rank0.json", seeds.graph_document("diamond"))
    answer = ask("verify", graph, "-s", "all", "--no-cache", "--write-baseline", path)
    assert answer.code == 0, answer.err
    return json.loads(path.read_bytes())


@cache
def _text(kind: str) -> bytes:
    if kind == "profile":
        stream = io.BytesIO()
        np.save(stream, np.arange(64, dtype=np.uint64))
        return stream.getvalue()
    return json.dumps(_good(kind)).encode()


def try_input(data: bytes) -> None:
    choices = edits.Bytes(data)
    kind, is_edited = divmod(choices.below(2 * len(KINDS)), 2)
    name = KINDS[kind]
    path = scratch() / ("x.npy" if name == "profile" else "x.json")
    if is_edited and name != "profile":
        path.write_text(json.dumps(edits.apply(_good(name), choices)))
    else:
        path.write_bytes(choices.rest())
    graph = seeds.write("task_graph_rank0.json", seeds.graph_document("diamond"))
    made = scratch() / "made.out"
    made.unlink(missing_ok=True)
    command = {
        "patch": ("diff", graph, "--apply", path, "-o", made),
        "overlay": ("show", graph, "--html", made, "--overlay", path),
        "cost": ("show", graph, "--schedule", "--cost", path, "-o", made),
        "baseline": ("verify", graph, "-s", "all", "--baseline", path, "-o", made),
        "profile": ("show", graph, "--schedule", "--profile", path, "-o", made),
    }[name]
    answer = ask(*command, "--no-cache")
    assert made.exists() != answer.is_refusal, answer
    if name == "patch" and not answer.is_refusal:
        wanted = seeds.graph_text("other tiles")
        assert made.read_bytes() == wanted, "a damaged patch gave another graph"
