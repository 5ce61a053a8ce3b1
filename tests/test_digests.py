"""What must hold in every clone: graphs of the real Mirage, known here by digest and counts.

The generator of `benchmarks/` writes three of them byte for byte, so reading, summarising and
writing real graphs is tested without the graphs themselves.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import mpkgraph
from benchmarks.decoder import QWEN3_8B_TWO_RANKS, QWEN3_30B_A3B, DecoderSpec
from benchmarks.generate import generate, spec_for_size
from mpkgraph.io.writer import write_graph

EXAMPLE = Path(__file__).parents[1] / "examples" / "decoder"


@dataclass(frozen=True)
class Digest:
    """A graph that Mirage made at `de8745d`."""

    spec: DecoderSpec
    sha256: str
    num_tasks: int
    num_events: int
    num_operators: int


DIGESTS = {
    "Qwen3-30B-A3B, batch 8, cc 100": Digest(
        QWEN3_30B_A3B,
        "d2e981281ce9361c3ca921c7dbdbca11c65741725905f4a94829e0129cdbba5a",
        24556,
        1478,
        533,
    ),
    "Qwen3-8B, rank 0 of 2, cc 90": Digest(
        QWEN3_8B_TWO_RANKS,
        "76937cc934d7c62042418340b4357e03dfb88bdfbccb220487d501332c1d1471",
        23452,
        11438,
        437,
    ),
    "Qwen3-8B, 2 layers, rank 1 of 2, cc 90": Digest(
        replace(QWEN3_8B_TWO_RANKS, num_layers=2, rank=1),
        "90144dbff6301366af596cdc4a158b59310a6b4cf05e625dcf52d641e00f13d8",
        1556,
        762,
        29,
    ),
}


@pytest.mark.parametrize("name", DIGESTS)
def test_real_graph(name, tmp_path):
    digest = DIGESTS[name]
    path = tmp_path / f"task_graph_rank{digest.spec.rank}.json"
    with path.open("wb") as stream:
        generate(stream, digest.spec)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest.sha256
    graph = mpkgraph.read(path)
    summary = mpkgraph.summarise(graph)
    assert summary.rank == digest.spec.rank
    assert (summary.num_tasks, summary.num_events) == (digest.num_tasks, digest.num_events)
    assert len(summary.operators) == digest.num_operators
    assert sum(operator.num_tasks for operator in summary.operators) == digest.num_tasks - 2
    written = io.BytesIO()
    write_graph(graph, written)
    assert hashlib.sha256(written.getvalue()).hexdigest() == digest.sha256


@pytest.mark.parametrize("rank", [0, 1])
def test_the_example_is_the_generators(rank):
    stream = io.BytesIO()
    generate(stream, spec_for_size(0.3, num_layers=2, num_ranks=2, rank=rank))
    assert stream.getvalue() == (EXAMPLE / f"task_graph_rank{rank}.json").read_bytes()
