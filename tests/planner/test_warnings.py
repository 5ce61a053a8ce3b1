"""Each code of a warning: given by its smallest pipeline alone, not by a clean twin."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mpkgraph.planner import warnings
from mpkgraph.planner.plan import plan
from tests.pipelines.kit import attach, record_of
from tests.pipelines.warned import BUILDERS, norm_of

SAYS = {
    "remainder": (
        "layer 0 (rmsnorm_layer, rmsnorm_hopper, grid 3x1x1) reads 'x' without the last 2 of dim 0",
        "3 blocks of grid axis x do not divide 8",
        "nearest to 3: 2 or 4",
    ),
    "empty-tiles": ("reads 'x' in tiles of no elements", "16 blocks, dim 0 has 8", "16: 8"),
    "mapped-twice": ("splits dim 0 of 'x' along grid axes x and y", "a dim of its own"),
    "map-past-rank": ("grid axis x to dim 3 of 'x', which has 2 dims", "dims 0 to 1, or to -1"),
    "replicated": ("nothing along grid axis y", "computed and written 4 times", "Set y to 1"),
    "overwritten": ("splits 'x' along grid axis x and no output", "2 tasks write the same tile"),
    "read-before-write": (
        "layer 0 ",
        "reads 'mid' before layer 1 (rmsnorm_layer, rmsnorm_hopper, grid 8x1x1) writes it",
        "uninitialised memory",
        "Register the writer first",
    ),
    "stuck-event": (
        "layer 2 (linear_with_residual, grid 8x1x1) waits for 8 events that never complete",
        "event 2 needs 3 triggers and gets 2",
    ),
    "null-tasks": (
        "layer 2 (argmax_reduce_layer",
        "reads a fork, layer 0 (argmax_partial_layer",
        "2 slots ('value', 'index')",
        "emits 2 tasks for its 1",
        "1 of the graph's 13 tasks are null",
        "through one slot",
    ),
    "undefined-variant": ("another rank than linear needs", "stride 0 of a tensor of rank 0"),
    "no-blocks": ("a grid without blocks", "at least 1"),
    "blocks": ("has 8192 blocks", "at most 4096", "larger"),
    "name": ("tensor 'model.x'", "nvcc rejects", "Use letters"),
    "duplicate-name": ("2 tensors are named 'out'", "nvcc rejects"),
    "empty": ("no layer", "Add a layer"),
}
OF_THE_PIPELINE = {"name", "duplicate-name", "empty"}


def warnings_of(code, *, clean):
    return plan(record_of(lambda kernel: BUILDERS[code](kernel, clean))).warnings


@pytest.mark.parametrize("code", BUILDERS)
def test_the_smallest_pipeline_gives_it(code):
    found = warnings_of(code, clean=False)
    assert {x.code for x in found} == {code}
    text, at = str(found[0]), 0
    for part in SAYS[code]:
        assert part in text[at:]
        at = text.index(part, at) + len(part)
    for warning in found:
        assert warning.num_layers == 1
        assert warning.remedy
        assert (warning.where is None) == (warning.layer is None) == (code in OF_THE_PIPELINE)


@pytest.mark.parametrize("code", BUILDERS)
def test_a_clean_twin_gives_none(code):
    assert warnings_of(code, clean=True) == ()


def test_every_code_has_its_pipeline_and_stands_in_the_docs():
    source = Path(warnings.__file__).read_text(encoding="utf-8")
    codes = set(re.findall(r'PlanWarning\(\s*"([a-z-]+)"', source))
    assert codes == set(BUILDERS) == set(SAYS)
    page = Path(__file__).parents[2] / "docs" / "reference" / "compile.md"
    listed = re.findall(
        r"^\| (`[a-z-]+`(?:, `[a-z-]+`)*) \|", page.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert codes <= {x.strip("` ") for row in listed for x in row.split(",")}


def norms(kernel, grids, columns=64):
    for index, grid in enumerate(grids):
        x, w = attach(kernel, f"x{index}", 8, columns), attach(kernel, f"w{index}", columns)
        out = attach(kernel, f"out{index}", 8, columns)
        kernel.rmsnorm_layer(x, w, out, grid, (128, 1, 1))


@pytest.mark.parametrize(
    ("count", "tail"),
    [
        (1, ""),
        (2, " (and 1 more layer like it)"),
        (3, " (and 2 more layers like it)"),
        (5, " (and 4 more layers like it)"),
    ],
)
def test_layers_that_say_the_same_are_told_once(count, tail):
    found = plan(record_of(lambda kernel: norms(kernel, [(3, 1, 1)] * count))).warnings
    assert [(x.code, x.num_layers, x.where) for x in found] == [
        ("remainder", count, "log[3].lowlevel[0]"),
        ("remainder", count, "log[3].lowlevel[0]"),
    ]
    assert str(found[0]).startswith(
        "layer 0 (rmsnorm_layer, rmsnorm_hopper, grid 3x1x1) reads 'x0' without the last 2 of dim "
        f"0: 3 blocks of grid axis x do not divide 8{tail}. Valid"
    )


def test_layers_with_other_grids_are_told_apart():
    grids = [(3, 1, 1), (5, 1, 1), (3, 1, 1)]
    found = plan(record_of(lambda kernel: norms(kernel, grids))).warnings
    assert [x.num_layers for x in found] == [2, 2, 1, 1]


def test_what_a_pipeline_says_comes_before_what_layers_say():
    def build(kernel):
        x, w, out = norm_of(kernel, name="model.x")
        kernel.rmsnorm_layer(x, w, out, (3, 1, 1), (128, 1, 1))

    assert [x.code for x in plan(record_of(build)).warnings] == ["name", "remainder", "remainder"]


def test_what_the_caller_wrote_is_not_uninitialised():
    def build(kernel):
        x, w, out = norm_of(kernel)
        kernel.rmsnorm_layer(out, w, attach(kernel, "o2", 8, 64), (8, 1, 1), (128, 1, 1))
        kernel.rmsnorm_layer(x, w, out, (8, 1, 1), (128, 1, 1))

    (warning,) = plan(record_of(build)).warnings
    assert "it sees what the caller put there" in str(warning)


def test_a_split_reduction_adds_up_what_blocks_compute():
    from tests.pipelines.corners import task

    def build(kernel, name):
        x, w, out = (
            attach(kernel, "x", 8, 64),
            attach(kernel, "w", 64, 64),
            attach(kernel, "o", 8, 64),
        )
        slots = [(x, (-1, 1, -1)), (w, (0, 1, -1)), (out, (1, -1, -1))]
        task(kernel, name, (2, 4, 1), slots)

    from mpkgraph.catalog.registered import REGISTERED_TASKS

    split = next(
        x for x in REGISTERED_TASKS if "splitk" in x and len(REGISTERED_TASKS[x].params) == 0
    )
    assert plan(record_of(lambda kernel: build(kernel, split))).warnings == ()
    codes = {x.code for x in plan(record_of(lambda kernel: build(kernel, "linear"))).warnings}
    assert codes == {"overwritten"}


@pytest.mark.parametrize("extent", [1, 2, 7, 12, 97, 4096, 5120, 151936])
def test_valid_sizes_are_the_nearest_divisors(extent):
    for size in (1, 2, 3, 5, 60, 64, 96, 4096, 10_000):
        below = max(n for n in range(1, min(size, extent) + 1) if extent % n == 0)
        above = next((n for n in range(size + 1, extent + 1) if extent % n == 0), None)
        wanted = f"{below} or {above}" if above else f"{below}"
        found = warnings._valid_sizes(extent, size, "x")
        assert found == f"Valid sizes of grid axis x nearest to {size}: {wanted}"


def test_events_before_null_tasks_belong_to_no_layer():
    """Events 2 and 3 get one trigger of two; task 4, which event 3 gates, is null."""
    order = SimpleNamespace(
        trigger_events=np.array([-1, -1, 2, 3, -1]),
        num_events=5,
        event_triggers=np.array([2, 2]),
        event_is_remote=np.array([False, False]),
        num_tasks=5,
        task_ids=[np.array([2, 3])],
        event_first_tasks=np.array([2, 4]),
    )
    ((layer, _, warning),) = warnings._stuck_events(["first", "second"], order)
    assert layer == "first"
    assert "waits for 1 events that never complete: event 2 needs 2 triggers" in warning.what


@pytest.mark.parametrize(
    ("op", "codes"),
    [("shuffle_tensors", {"empty"}), ("fuse_tensors", {"empty", "name", "duplicate-name"})],
)
def test_parts_of_a_shuffled_tensor_need_no_name(op, codes):
    """The generated code looks them up without a variable; those of a fused one have theirs."""

    def build(kernel):
        parts = [attach(kernel, "one-half", 64, 512) for _ in range(2)]
        getattr(kernel, op)(parts, 0, 4, "both")

    assert {x.code for x in plan(record_of(build)).warnings} == codes
