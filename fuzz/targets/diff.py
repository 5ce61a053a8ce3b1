"""Two graphs, edited ones: in every form; equal to itself; a patch gives back the right bytes."""

from __future__ import annotations

import json

from fuzz import edits, seeds
from fuzz.command import ask, scratch
from mpkgraph.errors import GraphReadError
from mpkgraph.io.reader import read_graph
from mpkgraph.io.writer import save_graph

NAMES = ("diamond", "other tiles", "fork", "two ranks")
FORMS = ("text", "json", "html", "dot", "stat", "full", "findings", "makespan", "patch", "self")
DIFFERENT = 1


def SEEDS() -> list[bytes]:
    return seeds.random_bytes()


def try_input(data: bytes) -> None:
    choices = edits.Bytes(data)
    form = choices.choice(FORMS)
    base = choices.choice(NAMES)
    other = choices.choice((base, base, *NAMES))
    left = seeds.write("left.json", edits.apply(seeds.graph_document(base), choices))
    right = seeds.write("right.json", edits.apply(seeds.graph_document(other), choices))
    common = ("diff", left, right, "--no-record", "--no-cache")
    if form == "patch":
        _patched(common, left, right)
        return
    if form == "self":
        # Twice, so that equal bytes are no short cut
        right.write_text(json.dumps(json.loads(left.read_text()), indent=1))
        assert ask(*common, text=True).code != DIFFERENT, "a graph differs from itself"
        return
    options = ("--format", form) if form in {"json", "html", "dot"} else (f"--{form}",)
    answer = ask(*common, *(() if form == "text" else options), text=form not in {"html", "json"})
    if answer.is_refusal:
        return
    if form == "json":
        json.loads(answer.out)
    elif form == "html":
        assert b"<script>alert" not in answer.out
        assert b"</style><b>" not in answer.out


def _patched(common, left, right) -> None:  # noqa: ANN001
    patch, made = scratch() / "patch.json", scratch() / "made.json"
    for path in (patch, made):
        path.unlink(missing_ok=True)
    answer = ask(*common, "--patch", patch)
    if answer.is_refusal:
        assert not patch.exists()
        return
    if answer.code == 0 and not patch.exists():
        return
    json.loads(patch.read_bytes())
    applied = ask("diff", left, "--apply", patch, "-o", made, "--no-cache", "--no-record")
    assert applied.code == 0, applied.err
    try:
        wanted = scratch() / "wanted.json"
        save_graph(read_graph(right, processes=1), wanted)
    except GraphReadError:
        return
    assert made.read_bytes() == wanted.read_bytes()
