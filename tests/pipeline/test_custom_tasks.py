"""Tasks that `--register` names, and block graphs that lack a size."""

from __future__ import annotations

import pytest

from mpkgraph.errors import UsageError
from mpkgraph.pipeline import CyTBGraph
from mpkgraph.pipeline.custom_tasks import custom_task

LAST = (1 << 31) - 1


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("own:2:1:4242", ("own", 2, 1, "TASK_4242")),
        ("own_2:0:0:task_own", ("own_2", 0, 0, "TASK_OWN")),
        (f"own:7:3:{LAST}", ("own", 7, 3, f"TASK_{LAST}")),
    ],
)
def test_rows(text, row):
    made = custom_task(text)
    assert (made.name, made.num_inputs, made.num_outputs, made.task_type) == row


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (":2:1:4242", "is not NAME:INPUTS:OUTPUTS:TASK_TYPE"),
        ("own:2:1", "is not NAME:"),
        ("own:2:1:4242:5", "is not NAME:"),
        ("own:two:1:4242", "is not NAME:"),
        ("own:2:one:4242", "is not NAME:"),
        ("own:2:-1:4242", "is not NAME:"),
        ("own:2:1:", "is not NAME:"),
        ("own-norm:2:1:4242", "'own-norm' is no name"),
        ("own:2:1:4.2", "'4.2' is no task type"),
        ("own:8:1:4242", "at most 7 inputs, 3 outputs"),
        ("own:2:4:4242", "at most 7 inputs, 3 outputs"),
        (f"own:2:1:{LAST + 1}", f"numbers up to {LAST}"),
    ],
)
def test_what_is_no_row(text, says):
    with pytest.raises(UsageError) as caught:
        custom_task(text)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "sizes",
    [((), (128, 1, 1), 1, 64), ((8, 1, 1), (), 1, 64), ((8, 1, 1), (128, 1, 1), -1, 64)],
)
def test_all_sizes_of_a_block_graph_are_needed(sizes):
    with pytest.raises(AssertionError, match="all four are needed"):
        CyTBGraph(*sizes)
    with pytest.raises(AssertionError, match="all four are needed"):
        CyTBGraph((8, 1, 1), (128, 1, 1), 1)
    assert CyTBGraph((8, 1, 1), (128, 1, 1), 0, 0).forloop_range == 0
