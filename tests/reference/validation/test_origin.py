"""Where a wrong run began, in pipelines whose tensors are used again."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from mpkgraph.analysis.verify.report import Pipeline  # noqa: E402
from mpkgraph.pipeline import TensorSpec  # noqa: E402
from mpkgraph.pipeline.kernel import PersistentKernel  # noqa: E402
from mpkgraph.reference.validation.reduce import reduce_pipeline  # noqa: E402
from mpkgraph.reference.validation.validate import RunOptions, validate  # noqa: E402
from tests.reference.running import contexts, planned  # noqa: E402

SHAPE = (8, 512)
BLOCK = (128, 1, 1)
LAYERS = 4


def _stack(wrong_layer):
    """Norm and linear layer in turns on two buffers; the grid of one linear layer is wrong."""
    parameters = PersistentKernel.get_default_init_parameters() | {"test_mode": True}
    kernel = PersistentKernel(**parameters)
    spec = TensorSpec(SHAPE, "bfloat16")
    x, out = (kernel.attach_input(spec, name=name) for name in ("x", "out"))
    hidden, normed = (kernel.new_tensor(dims=SHAPE, name=name) for name in ("hidden", "normed"))
    current = x
    for layer in range(LAYERS):
        g = kernel.attach_input(TensorSpec((512,), "bfloat16"), name=f"g{layer}")
        w = kernel.attach_input(TensorSpec((512, 512), "bfloat16"), name=f"w{layer}")
        kernel.rmsnorm_layer(
            input=current, weight=g, output=normed, grid_dim=(8, 1, 1), block_dim=BLOCK
        )
        kernel.linear_layer(
            input=normed,
            weight=w,
            output=out if layer == LAYERS - 1 else hidden,
            grid_dim=(12 if layer == wrong_layer else 8, 1, 1),
            block_dim=BLOCK,
        )
        current = hidden
    return planned(kernel.record())


def _failing(subjects, schedule, **options):
    report = validate(subjects, RunOptions(schedules=[schedule], **options))
    return report.failing


@pytest.mark.parametrize("layer", range(LAYERS - 1))
@pytest.mark.parametrize("schedule", ["batched", "random"])
def test_the_first_layer_that_is_wrong_is_named(layer, schedule):
    outcome = _failing([_stack(layer)], schedule)
    # In the end all that is wrong was written by the last layers
    assert outcome.blame.operator != 2 * layer + 1
    assert (outcome.origin.operator, outcome.origin.tensor) == (2 * layer + 1, "hidden")
    assert outcome.origin.is_unwritten or outcome.origin.inputs == ()
    codes = {x.rule.code for x in (*outcome.blame.findings, *outcome.findings)}
    assert "MPK101" in codes


def test_who_read_too_late_and_who_had_overwritten():
    outcome = _failing(contexts("bad/war_buffer_reuse-cc90"), "reversed")
    (read,) = outcome.origin.inputs
    assert (outcome.origin.operator, outcome.origin.tensor) == (1, "x_b")
    assert (read.tensor, read.meant_index, read.found_index) == ("x_a", 0, 3)


def test_what_reads_a_wrong_writers_result_is_not_to_blame():
    outcome = _failing(contexts("bad/waw_two_writers-cc90"), "fifo")
    assert outcome.blame.tensor == "x_a"
    assert outcome.origin.tensor == "x_c"
    assert outcome.origin.follows(outcome.blame)


def test_who_read_too_early():
    outcome = _failing(contexts("bad/hidden_output-cc90"), "reversed", supply_meta=True)
    read = outcome.origin.inputs[0]
    assert outcome.origin.operator == 1
    assert (read.meant_index, read.found_index) == (0, None)
    assert read.num_wrong


def test_a_right_run_has_no_origin():
    report = validate(contexts("bad/war_buffer_reuse-cc90"), RunOptions(schedules=["batched"]))
    assert report.outcomes[0].origin is None


def test_layers_before_the_wrong_one_are_reduced_away(tmp_path):
    """What they wrote for it is given instead."""
    pipeline = Pipeline("stack", (_stack(1),))
    reduced = reduce_pipeline(pipeline, tmp_path / "small.py")
    assert reduced.after.layers == 1
    assert reduced.script.count("_layer(") == 1
