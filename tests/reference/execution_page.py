"""docs/reference/task-execution.md, made from the table of task functions."""

import inspect
from pathlib import Path

from mpkgraph.reference import unexecutable_types
from mpkgraph.reference.families import FAMILIES
from mpkgraph.reference.gpu_checked import AGREES_IN_PART

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "task-execution.md"

HEAD = """# Task execution

<!-- Made from mpkgraph/reference/rows: change the rows there; `pytest --update-golden
tests/reference/test_execution_page.py` writes this page. -->

What a task computes, when tasks are executed without a GPU: one torch function for each task type,
with the semantics of Mirage's kernel (branch `mpk`, commit `de8745d`). A task is one call on its
tiles. One call on the whole tensors is the layer's reference: so a difference between the two is
the split's fault, and a difference from the GPU is the kernel's.

- Products are added in float64, rounded to float32 and then to the output's type, where the kernel
  rounds it. Tensor cores add in float32, in an order of their own. Weights of attention are rounded
  to bfloat16 before they meet the values, as the kernels do it.
- Rows that are not in use (`qo_indptr_buffer`), choices that routing does not make, pages of other
  requests keep what they hold. Caches are changed in place.
- Joined tasks give the same bits as the same tasks one by one. Which may be joined is in the rows.
- Where a kernel does something else than what it is for, the function does what it is for, and the
  tables say what the kernel does ("Kernels deviate").

`mpkgraph.reference` holds the table; nothing there imports torch before a function is run.

```python
from mpkgraph.reference import TASK_FUNCTIONS, executable_types

assert "TASK_RMS_NORM_HOPPER" in executable_types()
row = TASK_FUNCTIONS["TASK_RMS_NORM_HOPPER"]
assert row.tolerance_of("bf16").rtol == 2**-7
```

## What proves it

`tests/reference` runs layers of Mirage's API, planned with their real grids and input maps, over
tensors with guards around them: the whole layer at once, its tasks in order, backwards, and joined
must give the same bits, and agree with the formulation in "checked against" within the tolerance
(`|value - expected| <= absolute + relative * |expected|`).

"H100" says whose kernels an H100 ran, in whole graphs or one at a time (`tests/reference/gpu`), so
that its results agree within the tolerance: norms, embeddings, argmax with ties, sampling, routing
and all that counts tokens to the bit; of the elements of linear layers all but one in a thousand.
Two kernels get something wrong there, which the tables say. Of the other types (`-`) it is known
from reading the source alone what their kernels compute: those for Blackwell's tensor cores, those
that need several GPUs, and those that no build of Mirage includes.

"Joined" gives a string for each slot and a letter for each of its dims: tasks along a grid axis can
be one call when the axis splits equal letters in all slots that have them. Axes that are done "one
by one" need not split anything: metadata tells their tasks apart, and one call does all of them.
"""


def page():
    lines = [HEAD]
    for heading, rows in FAMILIES.items():
        lines += [
            f"## {heading}",
            "",
            "| task type | computes | checked against | H100 | tolerance | joined |",
            "| --- | --- | --- | --- | --- | --- |",
            *(_row(row) for row in rows),
            "",
        ]
        types = {}
        for row in rows:
            for deviation in row.deviations:
                types.setdefault(deviation, []).append(f"`{row.task_type}`")
        if types:
            lines += ["Kernels deviate:", ""]
            lines += [f"- {', '.join(names)}: {text}" for text, names in types.items()]
            lines.append("")
    lines += ["## Not executed", "", "| task type | why |", "| --- | --- |"]
    lines += [f"| `{name}` | {why} |" for name, why in unexecutable_types().items()]
    return "\n".join(lines) + "\n"


def _row(row):
    summary = inspect.getdoc(row.run).split("\n\n")[0].replace("\n", " ").replace("|", "\\|")
    gpu = "in part" if row.task_type in AGREES_IN_PART else "agrees"
    gpu = gpu if row.is_gpu_checked else "-"
    name = f"`{row.task_type}`"
    cells = [name, summary, row.checked_against, gpu, _tolerance(row), _joined(row)]
    return f"| {' | '.join(cells)} |"


def _tolerance(row):
    parts = [
        f"{name} {_number(x.rtol)} relative + {_number(x.atol)} absolute"
        for name, x in row.tolerance.items()
        if not x.is_exact
    ]
    return "; ".join([*parts, "others equal"]) if parts else "equal"


def _number(value):
    power = 0
    while value < 1 and value * 2**power != 1 and power < 30:
        power += 1
    return f"2^-{power}" if value * 2**power == 1 else f"{value:g}"


def _joined(row):
    if row.joins is None:
        return "no"
    letters = sorted({x for dims in row.joins.dims for x in dims} - {"."})
    slots = ", ".join(dims or "-" for dims in row.joins.dims)
    walked = f"; {', '.join(row.joins.walked)} one by one" if row.joins.walked else ""
    return (f"`{slots}`" if letters else "whole tensors") + walked
