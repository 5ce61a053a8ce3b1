"""docs/reference/layers.md, made from the layer table and from what the goldens exercise."""

import json
from collections import Counter
from pathlib import Path

from mpkgraph.io.record import read_record
from mpkgraph.model.record import LayerCall, walk
from mpkgraph.pipeline.layers import LAYERS
from tests import goldens

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "layers.md"
GOLDEN_CALLS = Path(__file__).with_name("golden_layers.json")
COLUMNS = ((80, 86, 89), (90,), (100,), (103, 110), (120,))

HEAD = """# Layers

Every layer method of Mirage's `PersistentKernel` (branch `mpk`, commit `de8745d`), and the task
that it registers by compute capability. `refused` is where Mirage raises, and so do we, with an
error of the same Python type. `help(PersistentKernel.rmsnorm_layer)` shows a layer's shapes.

Grid axis x, y or z splits the dimension of a tensor that the slots below give for it; `-` is none.

This page is generated from the table in `mpkgraph/pipeline/layers`: a test fails when it is not
current, `pytest --update-golden tests/pipeline/test_layers_page.py` writes it.

## What proves it

- Every row on every target: `tests/pipeline/recorded_layers.json` holds what the real Mirage did
  with arguments that a method takes and with arguments that it refuses, for one GPU and for one
  of two. These tests run in every clone.
- Every row on every target, on random arguments: `tests/pipeline/test_differential.py` compares
  with Mirage's own methods, where `MIRAGE_HOME` is a source tree of it.
- Goldens: pipelines of Mirage's tests, demos and model builders, replayed call by call. The last
  column says how many of their calls are to the layer, by compute capability; `-` where none is.
"""


def page(calls):
    """The whole page; `calls` is what `golden_calls` gives."""
    lines = [HEAD]
    for family in dict.fromkeys(spec.family for spec in LAYERS):
        lines += [f"## {family.capitalize() if family not in UPPER else family.upper()}", ""]
        titles = ["/".join(map(str, ccs)) for ccs in COLUMNS]
        lines += _table(
            ["layer", *titles, "goldens"],
            [_row(spec, calls) for spec in LAYERS if spec.family == family],
        )
        lines.append("")
        for spec in LAYERS:
            if spec.family == family:
                lines += _details(spec)
    return "\n".join(lines).rstrip() + "\n"


UPPER = ("mla", "moe", "fp8", "mtp")


def _row(spec, calls):
    tasks = [_tasks(spec, ccs) for ccs in COLUMNS]
    counts = calls.get(spec.method, {})
    proof = ", ".join(f"{cc}: {n}" for cc, n in counts.items())
    return [f"`{spec.method}`", *tasks, proof or "-"]


def _tasks(spec, ccs):
    (tasks,) = {spec.tasks_on(cc) for cc in ccs}
    if not tasks:
        return "calls others" if spec.expand else "refused"
    return ", ".join("its `task_name`" if x == "(task_name)" else f"`{x}`" for x in tasks)


def _details(spec):
    names = [x.name if x.default is x.empty else str(x) for x in _parameters(spec)]
    lines = [f"### {spec.method}", "", spec.doc, "", f"`({', '.join(names)})`", ""]
    for block in spec.all_blocks:
        task = "" if spec.block else f"`{block.dispatch[0].task}`: "
        slots = ", ".join(f"`{slot.name}` {_axes(slot)}" for slot in block.slots)
        lines += [f"{task}Slots: {slots}".replace(": Slots", ", slots"), ""]
    if spec.calls:
        lines += [f"Calls {', '.join(f'`{x}`' for x in spec.calls)}.", ""]
    if spec.notes:
        lines += [spec.notes, ""]
    return lines


def _parameters(spec):
    return [x.replace(annotation=x.empty) for x in list(spec.signature.parameters.values())[1:]]


def _axes(slot):
    if callable(slot.input_map):
        return {"partial_map": "(0,-,-) or none", "last_dim_by_x": "(last,-,-)"}[
            slot.input_map.__name__
        ]
    return f"({','.join('-' if x < 0 else str(x) for x in slot.input_map)})"


def _table(titles, rows):
    return [
        f"| {' | '.join(titles)} |",
        f"|{' --- |' * len(titles)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def golden_calls():
    """{method: {cc: calls}} over the goldens' records."""
    found = Counter()
    for path in goldens.records():
        record = read_record(path)
        for _, entry, _ in walk(record.log):
            if isinstance(entry, LayerCall):
                found[entry.method, record.target_cc] += 1
    by_method = {}
    for (method, cc), count in sorted(found.items()):
        by_method.setdefault(method, {})[str(cc)] = count
    return by_method


def kept_calls():
    """The same, as the repository keeps it."""
    return json.loads(GOLDEN_CALLS.read_text(encoding="utf-8"))
