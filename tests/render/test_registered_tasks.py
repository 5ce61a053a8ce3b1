"""The page that lists the registered task names."""

import re

from mpkgraph.catalog.registered import FAMILIES, REGISTERED_TASKS, RegisteredTaskRow
from mpkgraph.render.registered_tasks import registered_tasks_page

PAGE = "../../docs/reference/registered-tasks.md"
"""From the folder of golden files, so that `--update-golden` writes the page."""


def test_the_page_is_current(golden):
    golden(PAGE, registered_tasks_page(FAMILIES))


def test_every_name_has_one_line():
    names = re.findall(r"^\| `(\w+)` \|", registered_tasks_page(FAMILIES), re.MULTILINE)
    assert names == list(REGISTERED_TASKS)


def test_what_a_line_says():
    row = RegisteredTaskRow(
        "add",
        "TASK_ADD",
        num_inputs=2,
        num_outputs=0,
        params=("count", "scale"),
        variant_key=None,
        compiled_for=("hopper",),
        num_optional_params=1,
        needs_nvshmem=True,
    )
    bare = RegisteredTaskRow(
        "bare", "TASK_BARE", 0, 1, (), variant_key=None, compiled_for=("blackwell", "ampere")
    )
    lines = registered_tasks_page({"Two": [row, bare]}).splitlines()
    assert lines[-6:] == [
        "## Two",
        "",
        "| name | task type | inputs | outputs | params | kernels |",
        "| --- | --- | --- | --- | --- | --- |",
        "| `add` | `TASK_ADD` | 2 | 0 | `count`, [`scale`] | Hopper (several GPUs only) |",
        "| `bare` | `TASK_BARE` | 0 | 1 | none | Ampere, Blackwell |",
    ]
