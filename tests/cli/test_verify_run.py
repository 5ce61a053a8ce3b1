"""`mpkgraph verify --run`: from the command line to exit codes, files and pictures."""

from __future__ import annotations

import json
import sys

import pytest

torch = pytest.importorskip("torch")

from mpkgraph.cli.main import run  # noqa: E402
from tests import goldens  # noqa: E402
from tests.render.html.decoded import decode  # noqa: E402

SCRIPT = """
import torch
from mirage.mpk.persistent_kernel import PersistentKernel

ROWS, HIDDEN = 4, 512


def expected(tensors):
    return {"out": tensors["x"].float().matmul(tensors["w"].float().t()).to(torch.bfloat16)}


def main(grid=GRID):
    params = PersistentKernel.get_default_init_parameters()
    params.update(test_mode=True, num_workers=8, num_local_schedulers=4)
    pk = PersistentKernel(**params)
    x = torch.randn(ROWS, HIDDEN, device="cuda").to(torch.bfloat16)
    w = torch.randn(HIDDEN, HIDDEN, device="cuda").to(torch.bfloat16) / 16
    out = torch.zeros(ROWS, HIDDEN, dtype=torch.bfloat16, device="cuda")
    pk.linear_layer(
        input=pk.attach_input(x, name="x"),
        weight=pk.attach_input(w, name="w"),
        output=pk.attach_input(out, name="out"),
        grid_dim=(grid, 1, 1),
        block_dim=(256, 1, 1),
    )
    pk.compile()
    pk.run_test_mode()
    torch.cuda.synchronize()
    right = x.float() @ w.float().t()
    assert (out.float() - right).abs().max() < 0.1, "the layer is wrong"


if __name__ == "__main__":
    main()
"""


@pytest.fixture
def script(tmp_path):
    def write(grid=8, name="mlp.py"):
        path = tmp_path / name
        path.write_text(SCRIPT.replace("GRID", str(grid)), encoding="utf-8")
        return str(path)

    return write


def _json(capsys, *arguments):
    code = run(["verify", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def _case(name):
    path = goldens.FOLDER / name
    if not path.is_dir():
        pytest.skip(goldens.ABSENT)
    return str(path)


def test_a_script_is_executed_and_checked(script, capsys):
    code, report = _json(capsys, script(), "--run")
    assert code == 0
    assert report["schema"] == "mpkgraph-run/1"
    assert report["inputs"] == "the script"
    assert [x["schedule"] for x in report["runs"]] == ["batched", "adversarial", "reversed"]
    (tensor,) = report["runs"][0]["tensors"]
    assert (tensor["name"], tensor["passes"], tensor["dtype"]) == ("out", True, "bf16")
    assert not report["notes"]  # its own assertion held


def test_a_scripts_own_assertion_counts(script, capsys):
    code, report = _json(capsys, script(grid=6), "--run")
    assert code == 1
    assert "the layer is wrong" in " ".join(report["notes"])
    blame = report["runs"][0]["blame"]
    assert blame["elements"] == "columns from 510 on"
    assert blame["site"].endswith(f"mlp.py:{_line('pk.linear_layer')}")
    assert "MPK101" in [x["code"] for x in blame["findings"]]


def _line(text):
    return next(i for i, x in enumerate(SCRIPT.splitlines(), 1) if text in x)


def test_a_reference_of_ones_own(script, capsys, tmp_path):
    path = script()
    for text in ("expected", f"{path}:expected"):
        code, report = _json(capsys, path, "--run", "--reference", text)
        assert code == 0
        assert report["against"].endswith("expected")
    wrong = tmp_path / "wrong.pt"
    torch.save({"out": torch.ones(4, 512, dtype=torch.bfloat16)}, wrong)
    code, report = _json(capsys, path, "--run", "--reference", str(wrong))
    assert code == 1
    needed = report["runs"][0]["tensors"][0]["needed_atol"]
    options = ["--rtol", "0", "--atol", f"out={needed * 1.01}"]
    assert run(["verify", path, "--run", "--reference", str(wrong), *options]) == 0
    assert run(["verify", path, "--run", "--rtol", "nothing=1"]) == 2
    assert "no tensor is called 'nothing'" in capsys.readouterr().err


def test_a_script_is_not_run_again_for_its_reference(tmp_path, capsys):
    """Its check needs what was executed, and it may ask for no `if __name__`."""
    path = tmp_path / "flat.py"
    text = SCRIPT.replace("GRID", "8").replace('if __name__ == "__main__":\n    main()', "main()")
    path.write_text(text, encoding="utf-8")
    code, report = _json(capsys, str(path), "--run", "--reference", "expected")
    assert (code, report["against"], report["notes"]) == (0, "expected", [])
    assert run(["verify", str(path), "--run", "--reference", "expect"]) == 2
    assert "It has expected, main" in capsys.readouterr().err
    # As another pipeline's it has to be loaded, and its check fails
    other = tmp_path / "other.py"
    other.write_text(text, encoding="utf-8")
    assert run(["verify", str(path), "--run", "--reference", f"{other}:expected"]) == 2
    assert "AssertionError: the layer is wrong" in capsys.readouterr().err


def test_columns_that_no_task_has_are_drawn(script, capsys):
    _, report = _json(capsys, script(grid=6), "--run", "--schedule", "batched")
    drawn = report["runs"][0]["blame"]["heat_map"]
    assert drawn["column_starts"] == [0, 85, 170, 255, 340, 425, 510]
    assert drawn["error"] == [[0.0] * 6 + ["Infinity"]]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not what torch.save writes"),
        (b"hello", "not what torch.save writes"),
        (None, "run code"),
    ],
)
def test_why_a_file_is_no_tensors(content, said, script, tmp_path, capsys):
    path = tmp_path / "odd.pt"
    if content is None:
        torch.save({"x": print}, path)
    else:
        path.write_bytes(content)
    assert run(["verify", script(), "--run", "--inputs", str(path)]) == 3
    error = capsys.readouterr().err
    assert said in error
    assert "weights_only" not in error


def test_tensors_are_saved_and_compared(script, capsys, tmp_path):
    pytest.importorskip("safetensors")
    path, one, other = script(), str(tmp_path / "one"), str(tmp_path / "other")
    assert run(["verify", path, "--run", "--schedule", "program", "--save", one]) == 0
    manifest = json.loads((tmp_path / "one" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["schema"] == "mpkgraph-tensors/1"
    assert set(manifest["ranks"][0]["tensors"]) == {"x", "w", "out"}
    assert manifest["schedule"] == "program"
    capsys.readouterr()
    # The same inputs give the same outputs in another order
    options = ["--inputs", one, "--schedule", "reversed", "--save", other]
    assert run(["verify", path, "--run", *options]) == 0
    assert run(["verify", one, "--against", other]) == 0
    assert run(["verify", path, "--inputs", one, "--against", one]) == 0
    assert "another graph" not in capsys.readouterr().out
    _, report = _json(capsys, script(grid=4, name="four.py"), "--run", "--inputs", one)
    assert any("saved of another graph" in x for x in report["notes"])
    from safetensors.torch import load_file, save_file

    file = tmp_path / "other" / "tensors_rank0.safetensors"
    tensors = load_file(file)
    tensors["out"][1, 7] += 1
    save_file(tensors, file)
    capsys.readouterr()
    code, report = _json(capsys, one, "--against", other)
    assert code == 1
    wrong = [x for x in report["runs"][0]["tensors"] if not x["passes"]]
    assert [(x["name"], x["first"], x["num_mismatches"]) for x in wrong] == [("out", [1, 7], 1)]
    manifest["ranks"][0]["graph_sha256"] = "0" * 64
    (tmp_path / "other" / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    _, report = _json(capsys, one, "--against", other)
    assert "another graph" in report["notes"][0]


@pytest.mark.parametrize("suffix", ["png", "svg", "html"])
def test_a_heat_map_is_drawn(suffix, tmp_path, capsys):
    if suffix != "html":
        pytest.importorskip("matplotlib")
    path = tmp_path / f"map.{suffix}"
    case = _case("bad/map_swap_weight-cc90")
    assert run(["verify", case, "--run", "--heat-map", str(path)]) == 1
    data = path.read_bytes()
    assert data.startswith({"png": b"\x89PNG", "svg": b"<?xml", "html": b"<!doctype"}[suffix])
    again = tmp_path / f"again.{suffix}"
    run(["verify", case, "--run", "--heat-map", str(again)])
    assert again.read_bytes() == data
    capsys.readouterr()
    assert run(["verify", case, "--run", "--heat-map", str(tmp_path / "map.bmp")]) == 2


def test_replay_and_text(capsys):
    case = _case("bad/residual_map_mismatch-cc90")
    assert run(["verify", case, "--replay", "MPK206"]) == 1
    text = capsys.readouterr().out
    assert "shown  MPK206 stripped-edge" in text
    assert "first wrong: x_c" in text
    assert "1 of 1 finding shown by a run" in text


def test_a_wrong_pipeline_is_reduced(tmp_path, capsys):
    path = tmp_path / "small.py"
    case = _case("bad/waw_two_writers-cc90")
    code, report = _json(capsys, case, "--reduce", str(path))
    assert code == 1
    assert report["is_complete"]
    assert report["after"]["layers"] == 2
    assert report["after"]["tasks"] <= 6
    assert run(["verify", str(path), "--replay", "MPK203"]) == 1
    capsys.readouterr()
    # A finding instead of a wrong value
    assert run(["verify", case, "--reduce", str(path), "--select", "MPK203"]) == 1
    assert run(["verify", _case("gpu/small_rmsnorm-cc90"), "--reduce", str(path)]) == 2
    assert "nothing to reduce" in capsys.readouterr().err


def test_a_hang_is_told(capsys, tmp_path):
    """A queue of one worker, with a task that waits for one behind it."""
    from mpkgraph.io.writer import save_graph
    from tests.analysis.graphs import graph_of

    path = tmp_path / "task_graph_rank0.json"
    save_graph(graph_of([(3, None), (None, None), (None, 3)], 5), path)
    code = run(["verify", str(path), "--run", "--schedule", "fifo", "--workers", "2"])
    text = capsys.readouterr().out
    assert code == 1
    assert "worker 0 is blocked by task 2 of rank 0: it waits for event 3" in text
    assert "behind task 2 in the queue of worker 0" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--seed", "3"], "--seed does nothing without --run"),
        (["--run", "--format", "sarif"], "told as text or json"),
        (["--run", "--alias", "x"], "--alias takes NAME=OTHER"),
        (["--run", "--inputs", "nothing.safetensors"], "no such file"),
        (["--run", "--reference", "nothing"], "neither a file nor a function"),
        (["--replay", "MPK101", "--reduce", "a.py"], "can't go together"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, said, capsys):
    case = _case("gpu/small_rmsnorm-cc90")
    assert run(["verify", case, *arguments]) == 2
    assert said in capsys.readouterr().err


def test_real_runs_of_an_h100_agree(capsys):
    """Tensors that an H100 left, within the default tolerances."""
    pytest.importorskip("safetensors")
    folder = goldens.FOLDER / "gpu_runs"
    if not folder.is_dir():
        pytest.skip(goldens.ABSENT)
    for path in sorted(folder.glob("*.safetensors")):
        case = _case(f"gpu/{path.stem}-cc90")
        options = ["--inputs", str(path), "--against", str(path)]
        code, report = _json(capsys, case, "--run", *options)
        assert code == 0, path.stem
        names = {x["name"] for x in report["runs"][0]["tensors"]}
        assert "out" in names
        assert run(["verify", case, "--run", "--inputs", str(path)]) == 0
        capsys.readouterr()


RANKS = """
import torch


def build(pk):
    torch.manual_seed(pk.mpi_rank)

    def attached(name, *shape):
        return pk.attach_input(torch.randn(*shape).to(torch.bfloat16), name=name)

    symmetric = {"io_category": "nvshmem_tensor"}
    x = pk.new_tensor(dims=(8, 512), name="x", **symmetric)
    buffer = pk.new_tensor(dims=(pk.world_size, 8, 512), name="buffer", **symmetric)
    out = attached("out", 8, 512)
    block = (256, 1, 1)
    pk.linear_layer(
        input=attached("a", 8, 512), weight=attached("w", 512, 512), output=x,
        grid_dim=(8, 1, 1), block_dim=block,
    )
    pk.allreduce_layer(input=x, buffer=buffer, output=out, grid_dim=(8, 1, 1), block_dim=block)
"""


LOST = "grid_dim=(7, 1, 1), block_dim=block,\n"


@pytest.mark.parametrize("world_size", [2, 3])
@pytest.mark.parametrize("multicast", ["--multicast", "--no-multicast"])
def test_ranks_add_up_what_they_have(world_size, multicast, tmp_path, capsys):
    pytest.importorskip("safetensors")
    from safetensors.torch import load_file

    path, saved = tmp_path / "ranks.py", tmp_path / "saved"
    path.write_text(RANKS, encoding="utf-8")
    options = ["--world-size", str(world_size), multicast, "--supply-meta"]
    options += ["--init", "max_num_batched_tokens=8", "--seed", "3"]
    orders = ["--schedule", "batched", "--schedule", "fifo"]
    if multicast == "--multicast":
        orders += ["--schedule", "random"]
    code, report = _json(capsys, f"{path}:build", "--run", *options, *orders, "--save", str(saved))
    assert code == 0, report["runs"]
    assert len(report["graphs"]) == world_size
    ranks = [load_file(saved / f"tensors_rank{rank}.safetensors") for rank in range(world_size)]
    total = sum(x["x"].double() for x in ranks).float().to(torch.bfloat16)
    assert not torch.equal(ranks[0]["x"], ranks[1]["x"])
    for tensors in ranks:
        assert torch.equal(tensors["out"], total)
    # One rank's result against another's
    other = str(saved / "tensors_rank1.safetensors")
    code, report = _json(capsys, str(saved), "--against", other)
    assert code == 1
    first = [x for x in report["runs"][0]["tensors"] if x["rank"] == 0]
    assert {x["name"]: x["passes"] for x in first}["out"]
    assert not {x["name"]: x["passes"] for x in first}["x"]
    if multicast == "--no-multicast":
        # A rank that is ahead puts before the other has made its own part
        assert run(["verify", f"{path}:build", *options, "--replay", "MPK206"]) == 1


@pytest.mark.parametrize("fault", ["of one rank", "between ranks"])
def test_several_ranks_are_reduced(fault, tmp_path, capsys):
    source, path = tmp_path / "ranks.py", tmp_path / "small.py"
    text, select = RANKS, ["--select", "MPK206"]
    if fault == "of one rank":  # 7 does not divide 512 columns: nobody writes the last one
        text, select = RANKS.replace("grid_dim=(8, 1, 1), block_dim=block,\n", LOST), []
        assert text != RANKS
    source.write_text(text, encoding="utf-8")
    options = ["--world-size", "2", "--no-multicast", "--supply-meta"]
    options += ["--init", "max_num_batched_tokens=8"]
    code, report = _json(capsys, f"{source}:build", *options, *select, "--reduce", str(path))
    assert code == 1, report
    assert report["after"]["elements"] < report["before"]["elements"] / 8
    script = path.read_text(encoding="utf-8")
    ranks = 2 if fault == "between ranks" else 1
    assert ("mpi_rank=MPI.COMM_WORLD.Get_rank()" in script) == (ranks == 2)
    assert report["after"]["layers"] <= report["before"]["layers"]
    if fault == "between ranks":
        code, found = _json(capsys, str(path), "--world-size", "2", "--no-multicast", *select)
        assert [x["code"] for y in found["pipelines"] for x in y["findings"]]
    else:
        assert run(["verify", str(path), "--run", "--supply-meta"]) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--run", "--heat-map", "x.jpg"], ".png or .svg or .html"),
        (["--run", "--heat-map", "none/x.png"], "is not there"),
        (["--reduce", "small.txt"], "--reduce writes .py"),
        (["--reduce", "-"], "--reduce writes .py"),
        (["--reduce", "none/small.py"], "is not there"),
        (["--register", "a b:1:1:5"], "'a b' is no name"),
        (["--register", "a:8:1:5"], "at most 7 inputs"),
        (["--register", "a:1:1:-4"], "'-4' is no task type"),
        (["--register", "a:1:1:99999999999"], "numbers up to"),
        (["--suppress", "MPK203@@x"], "is not RULE@WHERE"),
        (["--suppress", "@x"], "is not RULE@WHERE"),
    ],
)
def test_odd_values_are_refused_before_anything_runs(options, message, capsys, monkeypatch):
    record = f"{_case('bad/waw_two_writers-cc90')}/pipeline_rank0.json.zst"
    monkeypatch.setattr("mpkgraph.reference.validation.validate.Validation.report", None)
    assert run(["verify", record, *options]) == 2
    assert message in capsys.readouterr().err


def test_no_folder_is_made_for_pictures_that_cant_be_drawn(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    folder = tmp_path / "tiles"
    assert run(["verify", _case("bad/grid_nondiv_linear-cc90"), "--tiles", str(folder)]) > 1
    assert "need the package matplotlib" in capsys.readouterr().err
    assert not folder.exists()


def test_a_place_that_suppresses_nothing_is_noted(capsys):
    case = _case("bad/waw_two_writers-cc90")
    run(["verify", case, "--suppress", "MPK203@nosuch", "--suppress", "MPK203@x_a"])
    said = "".join(capsys.readouterr())
    assert "--suppress MPK203@nosuch suppresses nothing" in said
    assert "MPK203@x_a suppresses nothing" not in said


def test_task_types_are_listed(capsys):
    assert run(["verify", "--list-tasks"]) == 0
    assert "TASK_RMS_NORM_HOPPER" in capsys.readouterr().out
    code, listed = _json(capsys, "--list-tasks")
    assert code == 0
    assert "TASK_LINEAR_SM100" in {x["task_type"] for x in listed["executable"]}
    assert run(["verify", "x.json", "--list-tasks"]) == 2


def test_errors_colour_a_page_now_and_from_the_saved_run(script, tmp_path, capsys):
    page, saved, later = (tmp_path / x for x in ("page.html", "run.json", "later.html"))
    out = tmp_path / "out"
    source = script(grid=6)
    assert run(["verify", source, "--run", "--html", str(page), "--json", "-o", str(saved)]) == 1
    assert f"wrote {page}" in capsys.readouterr().err
    assert run(["compile", source, "-o", str(out)]) == 0
    assert run(["show", str(out), "--html", str(later), "--overlay", str(saved)]) == 0
    now, then = decode(page.read_bytes()), decode(later.read_bytes())
    assert now.header["overlays"] == then.header["overlays"]
    assert [x["name"] for x in now.header["overlays"]] == ["run", "error", "wrong"]
    assert now.header["title"] == source
    (item,) = now.header["overlays"][0]["items"]
    assert item["title"] == "first wrong: out · linear_swapAB_hopper"
    assert "MPK101" in item["text"]
    other = tmp_path / "other"
    assert run(["compile", script(grid=8, name="other.py"), "-o", str(other)]) == 0
    assert run(["show", str(other), "--html", str(later), "--overlay", str(saved)]) == 2
    assert "the run was of another graph" in capsys.readouterr().err


def test_a_page_does_not_fit_everything(script, tmp_path, capsys):
    source, page = script(), str(tmp_path / "page.html")
    several = ["verify", source, script(name="b.py"), "--run", "--html", page]
    assert run(several) == 2
    assert "a page is of one pipeline" in capsys.readouterr().err
    assert run(["verify", source, "--html", source]) == 2
    assert "would overwrite a source" in capsys.readouterr().err
    assert run(["verify", source, "--html", page, "-o", page]) == 2
    assert "name one file" in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()
