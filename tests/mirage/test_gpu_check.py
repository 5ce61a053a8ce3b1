"""What a GPU left behind is judged like a run without one: values made here stand for its own."""

from __future__ import annotations

import dataclasses

import pytest

torch = pytest.importorskip("torch")
save_file = pytest.importorskip("safetensors.torch").save_file

from mpkgraph.analysis.verify.subjects import context_of  # noqa: E402
from mpkgraph.mirage.gpu_check import check_gpu_run, save_gpu_run  # noqa: E402
from mpkgraph.mirage.gpu_run import Difference, GpuRun, GraphRun, HungGraph  # noqa: E402
from mpkgraph.mirage.hang import diagnose_hang  # noqa: E402
from mpkgraph.pipeline import TensorSpec  # noqa: E402
from mpkgraph.planner.plan import plan  # noqa: E402
from mpkgraph.reference.validation.validate import Validation  # noqa: E402
from tests import goldens  # noqa: E402
from tests.pipelines import warned  # noqa: E402
from tests.pipelines.kit import record_of  # noqa: E402

ROWS, NAME = 8, "norms"


def ran(record, folder, change=lambda _tensors: None, **fields):
    """A run on a GPU that does what the interpreter does, but for a change."""
    graph = plan(record).graph
    validation = Validation(NAME, [context_of(graph, record)])
    validation.report()
    program, initial = validation.program, validation.checker.initial
    before = dict(initial.memories()[0].tensors())
    after = {k: v.clone() for k, v in validation.memories[0].tensors()}
    written = program.ranks[0].written
    attached = {x.base_ptr for x in record.tensors if x.kind == "attach_input"}
    inputs = {k: v.clone().contiguous() for k, v in before.items() if k in attached}
    meta = {f"meta:{k}": v for k, v in initial.memories()[0].meta.items()}
    outputs = {k: v.contiguous() for k, v in after.items() if k in attached or k in written}
    change(outputs)
    save_file({**inputs, **meta}, str(folder / "inputs.safetensors"))
    save_file(outputs, str(folder / "outputs.safetensors"))
    run = GraphRun(
        graph=graph,
        record=record,
        rank=0,
        index=0,
        folder=folder,
        inputs=folder / "inputs.safetensors",
        outputs=folder / "outputs.safetensors",
        poisoned=tuple(sorted(written & attached)),
        buffers=(),
        milliseconds=(0.2, 0.1, 0.3),
        differences=(),
        device="a GPU of tests",
    )
    return dataclasses.replace(run, **fields)


def checked(run):
    (report,) = check_gpu_run(GpuRun((run,), (), run.folder), NAME)
    return report


def attach(kernel, name, *dims):
    return kernel.attach_input(TensorSpec(dims, "bfloat16"), name=name)


def norms(kernel):
    """Two layers, one after the other."""
    w = attach(kernel, "w", 64)
    x, mid, out = (attach(kernel, name, ROWS, 64) for name in ("x", "mid", "out"))
    for source, target in ((x, mid), (mid, out)):
        kernel.rmsnorm_layer(source, w, target, (ROWS, 1, 1), (128, 1, 1))


@pytest.fixture
def chain():
    return record_of(norms)


def last_output(record):
    return record.tensor_by_id[record.layers[-1].slots[-1].tensor].base_ptr


def test_right(chain, tmp_path):
    report = checked(ran(chain, tmp_path))
    assert not report.fails
    assert [x.schedule for x in report.outcomes] == ["interpreter", "GPU, run 1"]
    assert report.outcomes[1].verdicts
    assert any("0.100 ms at best, 0.200 ms in the middle of 3" in x for x in report.notes)
    assert any("tensors are the interpreter's to the bit" in x for x in report.notes)


def test_a_wrong_row_is_blamed(chain, tmp_path):
    name = last_output(chain)

    def spoil(tensors):
        tensors[name][3] += 7

    report = checked(ran(chain, tmp_path, spoil))
    assert report.outcomes[0].passes
    assert report.fails
    found = report.outcomes[1].blame
    assert found.tensor == name
    assert "3" in str(found.to_json())


def test_what_nobody_wrote(chain, tmp_path):
    name = last_output(chain)

    def leave(tensors):
        tensors[name][5:] = torch.tensor([-1], dtype=torch.int16).view(torch.bfloat16)

    report = checked(ran(chain, tmp_path, leave))
    verdict = next(x for x in report.outcomes[1].verdicts if x.name == name)
    rows, columns = verdict.shape
    assert verdict.difference.num_unwritten == (rows - 5) * columns
    assert report.outcomes[0].passes


def test_runs_that_differ(chain, tmp_path):
    name = last_output(chain)
    run = ran(chain, tmp_path)
    from safetensors.torch import load_file

    other = load_file(str(run.outputs))[name].clone()
    other[0, 0] += 100
    save_file({name: other}, str(tmp_path / "outputs_run2.safetensors"))
    run = dataclasses.replace(run, differences=(Difference(2, name, 1, (0,)),))
    report = checked(run)
    assert [x.schedule for x in report.outcomes] == ["interpreter", "GPU, run 1", "GPU, run 3"]
    assert report.fails
    assert report.outcomes[1].passes
    assert not report.outcomes[2].passes
    text = f"{name!r} is another in 1 of 2 further runs, in up to 1 element: "
    assert any(x.startswith(text) and "knows no reason" in x for x in report.notes)


def two_writers(kernel):
    w, out = attach(kernel, "w", 64), attach(kernel, "out", ROWS, 64)
    for name in ("a", "b"):
        x = attach(kernel, name, ROWS, 64)
        kernel.rmsnorm_layer(x, w, out, (ROWS, 1, 1), (128, 1, 1))


def test_a_race_is_explained(tmp_path):
    run = ran(record_of(two_writers), tmp_path)
    from safetensors.torch import load_file

    save_file(
        {"out": load_file(str(run.outputs))["out"]}, str(tmp_path / "outputs_run1.safetensors")
    )
    run = dataclasses.replace(run, differences=(Difference(1, "out", 9, (0,)),))
    assert any("MPK203 may be why" in x for x in checked(run).notes)


def test_a_hang(tmp_path):
    record = record_of(warned.stuck_event)
    graph = plan(record).graph
    hung = HungGraph(graph, record, diagnose_hang(graph, record, None))
    (report,) = check_gpu_run(GpuRun((), ("a note",), tmp_path, hung), NAME)
    assert report.fails
    assert report.outcomes[0].hang is not None
    assert report.outcomes[0].findings
    assert "The graph hangs by itself" in report.notes[0]
    assert "a note" in report.notes


def test_saved_like_other_runs(chain, tmp_path):
    from mpkgraph.reference.validation.stored import is_saved, load_ranks

    run = ran(chain, tmp_path)
    gpu = GpuRun((run,), (), tmp_path)
    save_gpu_run(tmp_path / "saved", gpu, check_gpu_run(gpu, NAME))
    assert is_saved(str(tmp_path / "saved"))
    (tensors,) = load_ranks(str(tmp_path / "saved"), [0])
    assert last_output(chain) in tensors


def test_sanitizer_is_told(chain, tmp_path):
    run = ran(chain, tmp_path)
    gpu = GpuRun(
        (run,), (), tmp_path, num_sanitizer_errors=2, sanitizer_lines=("Invalid read", "at x")
    )
    (report,) = check_gpu_run(gpu, NAME)
    assert "compute-sanitizer found 2 errors: Invalid read; at x" in report.notes


def test_a_layer_is_held_against_its_own_inputs(chain, tmp_path):
    """What came wrong into a layer is not its fault."""

    def spoil(tensors):
        tensors["mid"][2] *= 2
        w, mid = tensors["w"].float(), tensors["mid"].float()
        right = mid * torch.rsqrt(mid.square().mean(-1, keepdim=True) + 1e-6) * w
        tensors["out"].copy_(right.to(torch.bfloat16))

    report = checked(ran(chain, tmp_path, spoil))
    assert {x.name: x.passes for x in report.outcomes[1].verdicts} == {"mid": False, "out": True}


@pytest.mark.skipif(not goldens.FOLDER.is_dir(), reason=goldens.ABSENT)
@pytest.mark.parametrize("case", ["small_rmsnorm", "small_linear_residual", "small_newtensor"])
def test_what_an_h100_made(case, tmp_path):
    """Real values pass, and no longer when they are moved."""
    from safetensors.torch import load_file

    from mpkgraph.io.record import read_record

    values = load_file(str(goldens.FOLDER / "gpu_runs" / f"{case}.safetensors"))
    record = read_record(next((goldens.FOLDER / "gpu" / f"{case}-cc90").glob("pipeline*")))
    for kind, file in (("in.", "inputs"), ("out.", "outputs")):
        chosen = {k.removeprefix(kind): v for k, v in values.items() if k.startswith(kind)}
        save_file(chosen, str(tmp_path / f"{file}.safetensors"))
    run = GraphRun(
        graph=plan(record).graph,
        record=record,
        rank=0,
        index=0,
        folder=tmp_path,
        inputs=tmp_path / "inputs.safetensors",
        outputs=tmp_path / "outputs.safetensors",
        poisoned=(),
        buffers=(),
        milliseconds=(1.0,),
        differences=(),
        device="an H100",
    )
    assert checked(run).outcomes[1].passes
    moved = load_file(str(run.outputs))
    moved["out"][0, 0] += 1
    save_file(moved, str(run.outputs))
    assert not checked(run).outcomes[1].passes
