"""`verify` of an edited graph, with the good record, an edited one or none, in every form."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

from fuzz import edits, seeds
from fuzz.command import ask

NAMES = ("diamond", "fork", "two ranks")
FORMS = ("text", "json", "sarif", "github", "junit")
GRAPH, RECORDED, EDITED_RECORD, RECORD_ALONE = range(4)


def SEEDS() -> list[bytes]:
    return seeds.random_bytes()


def try_input(data: bytes) -> None:
    choices = edits.Bytes(data)
    form = choices.choice(FORMS)
    base = choices.choice(NAMES)
    way = choices.below(4)
    document, record = seeds.graph_document(base), seeds.record_document(base)
    if way in {GRAPH, RECORDED}:
        document = edits.apply(document, choices)
    else:
        record = edits.apply(record, choices)
    graph = seeds.write("task_graph_rank0.json", document)
    file = seeds.write("record.json", record)
    arguments = {
        GRAPH: (graph, "--no-record"),
        RECORDED: (graph, "--record", file),
        EDITED_RECORD: (graph, "--record", file),
        RECORD_ALONE: (file,),
    }[way]
    answer = ask(
        "verify", *arguments, "--no-cache", "-s", "all", "-f", form, text=form in {"text", "github"}
    )
    if answer.is_refusal:
        return
    if form in {"json", "sarif"}:
        found = json.loads(answer.out)
        assert found["version"] == "2.1.0" if form == "sarif" else found["schema"]
    elif form == "junit":
        ET.fromstring(answer.out)
    elif form == "github":
        # One annotation a line: what a name holds can't begin another
        lines = [x for x in answer.out.decode().split("\n") if x]
        told = ("::error ", "::warning ", "::notice ", "mpkgraph verify: ")
        assert all(x.startswith(told) for x in lines), lines
