"""Mirage's kernels as a GPU ran them, one at a time, against the functions of the table."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
load_file = pytest.importorskip("safetensors.torch").load_file

from mpkgraph.reference import TASK_FUNCTIONS  # noqa: E402
from mpkgraph.reference.gpu_checked import AGREES_IN_PART, GPU_CHECKED  # noqa: E402
from tests.reference.bench import same_bits  # noqa: E402
from tests.reference.gpu.cases import all_cases  # noqa: E402
from tests.reference.gpu.changes import unpacked  # noqa: E402

RECORDED = Path(__file__).with_name("gpu") / "h100.safetensors"
NAMES = {torch.bfloat16: "bf16", torch.float32: "fp32", torch.float8_e4m3fn: "fp8"}


@pytest.fixture(scope="module")
def recorded():
    return load_file(RECORDED)


def after(case):
    """The case's tensors after the function, in memory of their own."""
    tensors = {}
    for name, tensor in case.tensors.items():
        span = 1 + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True))
        memory = tensor.as_strided((span,), (1,)).clone()
        tensors[name] = memory.as_strided(tensor.shape, tensor.stride())
    TASK_FUNCTIONS[case.task_type].run(case.call(tensors))
    return tensors


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: case.name)
def test_kernel_agrees(case, recorded):
    for name, found in after(case).items():
        kept = unpacked(f"{case.name}/{name}", case.tensors[name], recorded)
        is_list = name in case.unordered
        ours, theirs = (_sorted(x) if is_list else x for x in (found, kept))
        assert (ours.float().isnan() == theirs.float().isnan()).all(), name
        tolerance = TASK_FUNCTIONS[case.task_type].tolerance_of(NAMES.get(ours.dtype, ""))
        if tolerance.is_exact:
            assert same_bits(ours, theirs), name
            continue
        ours, theirs = (x.double().nan_to_num() for x in (ours, theirs))
        beyond = (ours - theirs).abs() > tolerance.atol + tolerance.rtol * theirs.abs()
        assert beyond.sum() <= case.may_differ.get(name, 0) * beyond.numel(), name


def test_blackwells_split_keeps_the_sum_of_one_warp(recorded):
    """What the table says of it: each sum is smaller than that of all four."""
    case = next(case for case in all_cases() if case.name == "split_sm100")
    theirs = unpacked("split_sm100/lse", case.tensors["lse"], recorded)[0, :6]
    ours = after(case)["lse"][0, :6]
    assert (theirs < ours - 1).all()


def test_table_says_which_kernels_ran():
    """Those here, and those of the whole graphs in `test_gpu_runs`."""
    whole = {"TASK_LINEAR_SWAPAB_HOPPER", "TASK_LINEAR_SWAPAB_WITH_RESIDUAL_HOPPER"}
    assert {case.task_type for case in all_cases()} | whole == GPU_CHECKED
    assert {case.task_type for case in all_cases() if case.may_differ} == AGREES_IN_PART


def _sorted(mask):
    """The experts of a list in order, and how many."""
    count = int(mask[-1])
    return torch.cat((mask[:count].sort().values, mask[-1:]))
