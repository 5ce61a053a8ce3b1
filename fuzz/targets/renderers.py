"""Every form of `show` for an edited graph; each is read again as what it says it is."""

from __future__ import annotations

import csv
import io
import json
import re
from xml.etree import ElementTree as ET

from fuzz import edits, seeds
from fuzz.command import ask, scratch

NAMES = ("diamond", "fork", "two ranks")
LISTS = ("tasks", "slots", "events", "operators", "tensors")
TEXTS: tuple[tuple[str, ...], ...] = (
    (),
    ("--full",),
    ("-t", "all"),
    ("-e", "all"),
    ("-p", "0-"),
    ("-n", "*"),
    ("--schedule",),
    ("--schedule", "--cost", "b200", "--what-if", "events=split"),
    ("--path", "2", "5"),
    ("--path", "2", "5", "--all-paths"),
    ("-t", "3", "--hops", "2"),
    ("--workers", "4"),
    *(("-l", x) for x in LISTS),
)
FILES = ("x.dot", "x.html", "x.svg", "x.perfetto-trace", "x.json")
FORMULA = re.compile(r"[=+\-@\t\r]")


def SEEDS() -> list[bytes]:
    return seeds.random_bytes(96)


def try_input(data: bytes) -> None:
    choices = edits.Bytes(data)
    way = choices.below(8)
    asked = choices.choice(TEXTS)
    some = choices.choice(LISTS)
    file = choices.choice(FILES)
    document = edits.apply(seeds.graph_document(choices.choice(NAMES)), choices)
    graph = seeds.write("task_graph_rank0.json", document)
    common = ("show", graph, "--no-cache", "--no-record")
    if way < 2:
        ask(*common, *asked, text=True)
    elif way < 4:
        answer = ask(*common, *asked, "--json")
        if not answer.is_refusal:
            assert json.loads(answer.out)["schema"]
    elif way < 6:
        _csv(ask(*common, "-l", some, "--csv").out)
    else:
        _file(common, file)


def _csv(out: bytes) -> None:
    rows = list(csv.reader(io.StringIO(out.decode("utf-8"), newline="")))
    assert len({len(row) for row in rows}) <= 1
    for row in rows:
        for cell in row:
            assert not FORMULA.match(cell) or re.fullmatch(r"-\d+(\.\d+)?", cell), cell


def _file(common: tuple[object, ...], name: str) -> None:
    path = scratch() / name
    path.unlink(missing_ok=True)
    option = {
        "x.dot": ("--draw",),
        "x.html": ("--html",),
        "x.svg": ("--schedule", "--gantt"),
        "x.perfetto-trace": ("--schedule", "--trace"),
        "x.json": ("-t", "2-4", "--extract"),
    }[name]
    answer = ask(*common, *option, path)
    assert path.exists() != answer.is_refusal, answer
    if answer.is_refusal:
        return
    written = path.read_bytes()
    if name == "x.svg":
        ET.fromstring(written)
    elif name == "x.html":
        assert b"<script>alert" not in written
        assert written.count(b"</script>") == written.count(b"<script")
    elif name == "x.json":
        again = ask("show", path, "--no-cache", "--no-record")
        assert again.code == 0, again.err
