"""`mpkgraph diff`: sources, levels, forms, patches, exit codes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from mpkgraph.io.reader import read_graph
from mpkgraph.io.writer import save_graph
from tests.cli.conftest import EXAMPLE, ROOT
from tests.cli.test_show import HELP_CLICK

BUILD = f"{ROOT / 'examples' / 'qwen3.py'}:build"
PIPES = """
from mpkgraph.pipeline import TensorSpec


def build(pk, blocks: int = 64, extra: int = 0):
    x = pk.attach_input(TensorSpec((8, 4096), "bfloat16"), name="x")
    w = pk.attach_input(TensorSpec((4096, 4096), "bfloat16"), name="layer_3_o_proj")
    g = pk.attach_input(TensorSpec((4096,), "bfloat16"), name="layer_3_norm")
    out = pk.attach_input(TensorSpec((8, 4096), "bfloat16"), name="out")
    last = pk.attach_input(TensorSpec((8, 4096), "bfloat16"), name="last")
    pk.linear_layer(
        input=x, weight=w, output=out, grid_dim=(blocks, 1, 1), block_dim=(128, 1, 1)
    )
    pk.rmsnorm_layer(
        input=out, weight=g, output=last, grid_dim=(8, 1, 1), block_dim=(128, 1, 1)
    )
    if extra:
        more = pk.attach_input(TensorSpec((8, 4096), "bfloat16"), name="more")
        pk.rmsnorm_layer(
            input=last, weight=g, output=more, grid_dim=(8, 1, 1), block_dim=(128, 1, 1)
        )
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with `pipes.py` and what was compiled from it: `before`, `after`."""
    monkeypatch.chdir(tmp_path)
    Path("pipes.py").write_text(PIPES)
    return tmp_path


@pytest.fixture
def compiled(folder, mpkgraph):
    assert mpkgraph("compile", "pipes.py:build", "-o", "before", "-q").code == 0
    assert (
        mpkgraph("compile", "pipes.py:build", "--set", "blocks=32", "-o", "after", "-q").code == 0
    )
    return folder


def test_one_grid(mpkgraph, compiled, golden):
    result = mpkgraph("diff", "before", "after")
    assert result.code == 1
    golden("diff/grid.txt", result.out)
    assert mpkgraph("diff", "before", "after", "--stat").out.count("\n") == 1
    golden("diff/grid-full.txt", mpkgraph("diff", "before", "after", "--full").out)


def test_json(mpkgraph, compiled, golden):
    result = mpkgraph("diff", "before", "after", "--json")
    assert result.code == 1
    golden("diff/grid.json", result.out)
    (change,) = result.json["ranks"][0]["operators"]
    assert [x["what"] for x in change["changes"]] == ["grid"]
    assert change["tiles"][-1]["moved"] == 8 * 4096 // 2
    assert mpkgraph("diff", "before", "after", "-f", "json").out == result.out


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("before", "pipes.py:build"),
        ("before/task_graph_rank0.json", "before/pipeline_rank0.json"),
        ("pipes.py:build", "before"),
        ("before/pipeline_rank0.json", "pipes.py:build"),
    ],
)
def test_sources_of_any_kind(mpkgraph, compiled, left, right):
    result = mpkgraph("diff", left, right, "--stat")
    assert (result.code, result.out) == (0, "no difference\n")
    assert mpkgraph("diff", left, right, "--no-record").code == 0


def test_without_records(mpkgraph, compiled):
    found = mpkgraph("diff", "before", "after", "--no-record", "--json").json["ranks"][0]
    assert found["left"]["origin"] == "recovered"
    assert [x["what"] for y in found["operators"] for x in y["changes"]] == ["grid"]


def test_planned_twice(mpkgraph, folder):
    arguments = ("diff", "pipes.py:build", "--left-set", "extra=0", "--right-set", "extra=1")
    found = mpkgraph(*arguments, "--json")
    assert found.code == 1
    (change,) = found.json["ranks"][0]["operators"]
    assert (change["kind"], change["right"][0]["site"]) == ("added", "pipes.py:19")
    other = mpkgraph("diff", "pipes.py:build", "--left-target", "80", "--right-target", "90")
    assert other.code == 1
    assert "TASK_LINEAR -> TASK_LINEAR_SWAPAB_HOPPER" in other.out


def test_identical_files_are_not_read(mpkgraph, compiled):
    for name in ("before", "copy"):
        Path(name).mkdir(exist_ok=True)
        Path(name, "task_graph_rank0.json").write_text("no graph at all")
    result = mpkgraph("diff", "before", "copy")
    assert result.code == 0
    assert "identical" in result.out
    assert mpkgraph("diff", "before", "copy", "--stat").out.startswith("identical (sha256 ")
    assert mpkgraph("diff", "before", "copy", "--json").json["sha256"]
    Path("copy", "task_graph_rank0.json").write_text("no graph at ALL")
    assert mpkgraph("diff", "before", "copy").code == 3


def test_ranks(mpkgraph, folder):
    arguments = ("--set", "layers=1", "--world-size", "2", "--all-ranks", "-q")
    tensor_parallel = f"{ROOT / 'examples' / 'tensor_parallel.py'}:build"
    assert mpkgraph("compile", tensor_parallel, *arguments, "-o", "two").code == 0
    shutil.copytree("two", "one")
    Path("one", "task_graph_rank1.json").unlink()
    result = mpkgraph("diff", "two", "one")
    assert result.code == 1
    assert "- rank 1 only on the left" in result.out
    assert mpkgraph("diff", "two", "one", "--ignore", "ranks").code == 0
    across = mpkgraph("diff", "two", "--ranks", "0", "1", "--json").json
    assert [x["right"]["rank"] for x in across["ranks"]] == [1]
    files = [f"two/task_graph_rank{x}.json" for x in (0, 1)]
    assert (
        mpkgraph("diff", *files, "--json").json["ranks"][0]["operators"]
        == (across["ranks"][0]["operators"])
    )


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--ignore", "grid,events,tiles"), 0),
        (("--ignore", "grid"), 1),
        (("--only", "tensors"), 0),
        (("--only", "operators"), 1),
        (("--only", "grid"), 1),
        (("--only", "events"), 1),
        (("--ignore", "variant,names"), 1),
    ],
)
def test_levels(mpkgraph, compiled, options, code):
    result = mpkgraph("diff", "before", "after", *options)
    assert result.code == code, result.out


def test_findings(mpkgraph, folder):
    arguments = ("diff", "pipes.py:build", "--left-set", "blocks=64", "--right-set", "blocks=60")
    result = mpkgraph(*arguments, "--findings", "--json")
    found = result.json["ranks"][0]["findings"]
    assert ("MPK101", True) in {(x["code"], x["is_gained"]) for x in found}
    assert mpkgraph(*arguments, "--json").json["ranks"][0]["findings"] is None
    assert "findings" in mpkgraph(*arguments, "--findings").out


def test_makespan(mpkgraph, compiled):
    found = mpkgraph("diff", "before", "after", "--makespan", "--json").json["ranks"][0]
    (cost,) = [x for x in found["costs"] if x["name"] == "makespan"]
    assert cost["unit"] == "us"
    assert cost["left"] > 0
    assert cost["right"] > 0
    assert cost["left"] != cost["right"]
    assert "makespan" in mpkgraph("diff", "before", "after", "--makespan", "--stat").out


def test_a_graph_that_hangs_has_no_makespan(mpkgraph, compiled):
    graph = json.loads(Path("after/task_graph_rank0.json").read_text())
    graph["all_events"][2]["num_triggers"] += 1
    Path("hangs.json").write_text(json.dumps(graph))
    result = mpkgraph("diff", "before/task_graph_rank0.json", "hangs.json", "--makespan")
    assert result.code == 1
    assert "no makespan of the right: it hangs" in result.out


@pytest.mark.parametrize("form", ["html", "dot"])
def test_forms(mpkgraph, compiled, form):
    result = mpkgraph("diff", "before", "after", "-f", form)
    assert result.code == 1
    assert "64x1x1 -&gt; 32x1x1" in result.out or "64x1x1 -> 32x1x1" in result.out
    assert mpkgraph("diff", "before", "after", "-f", form, "-o", "diff.out").code == 1
    assert Path("diff.out").read_text() == result.out
    assert mpkgraph("diff", "before", "before", "-f", form).code == 0


@pytest.mark.parametrize("ending", ["dot", "svg"])
def test_draw(mpkgraph, compiled, ending):
    if ending == "svg" and shutil.which("dot") is None:
        pytest.skip("Graphviz is not installed")
    result = mpkgraph("diff", "before", "after", "--draw", f"diff.{ending}")
    assert (result.code, result.err) == (1, "")
    assert "linear_swapAB_hopper" in Path(f"diff.{ending}").read_text()


def test_draw_one_rank(mpkgraph, compiled):
    result = mpkgraph("diff", EXAMPLE, EXAMPLE, "--draw", "diff.dot")
    assert result.code == 2
    assert "a picture is of one rank, and there are 0, 1" in result.err
    assert mpkgraph("diff", EXAMPLE, EXAMPLE, "--rank", "1", "--draw", "diff.dot").code == 0


def test_patch(mpkgraph, compiled):
    assert mpkgraph("diff", "before", "after", "--patch", "p.json").code == 1
    assert mpkgraph("diff", "--apply", "p.json", "before", "-o", "again.json").code == 0
    after = Path("after/task_graph_rank0.json").read_bytes()
    assert Path("again.json").read_bytes() == after
    wrong = mpkgraph("diff", "--apply", "p.json", "after", "-o", "wrong.json")
    assert wrong.code == 3
    assert "another graph" in wrong.err
    assert not Path("wrong.json").exists()


@pytest.mark.parametrize("text", ["", "{}", '{"schema": "mpkgraph-patch/1"}', "[1]"])
def test_what_is_no_patch(mpkgraph, compiled, text):
    Path("p.json").write_text(text)
    assert mpkgraph("diff", "--apply", "p.json", "before", "-o", "out.json").code == 3
    assert mpkgraph("diff", "--apply", "none.json", "before", "-o", "out.json").code == 3


def test_hostile_names(mpkgraph, folder):
    """Names are text of others: none of it reaches a terminal as it is."""
    graph = read_graph(EXAMPLE / "task_graph_rank0.json")
    name = json.dumps("\x1b[31m<script>\n\u202ename")[1:-1]
    for side, tensor in (("a", "rmsnorm_out"), ("b", "attn_out")):
        save_graph(graph, f"{side}.json")
        text = Path(f"{side}.json").read_text()
        Path(f"{side}.json").write_text(text.replace(f'"{tensor}"', f'"{name}"'))
    for options in ((), ("--full",), ("--stat",)):
        result = mpkgraph("diff", "a.json", "b.json", *options)
        assert result.code == 1
        assert "\x1b" not in result.out
        assert "\u202e" not in result.out


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("before",),
        ("before", "after", "before"),
        ("before", "after", "--only", "nonsense"),
        ("before", "after", "--ignore", "nonsense"),
        ("before", "after", "--stat", "--full"),
        ("before", "after", "--stat", "-f", "html"),
        ("before", "after", "--draw", "diff.txt"),
        ("before", "after", "--json", "-f", "text"),
        ("before", "after", "--strict-names", "--ignore-names"),
        ("-", "-"),
        ("--apply", "p.json", "before"),
        ("before/task_graph_rank0.json", "after", "-o", "before/task_graph_rank0.json"),
    ],
)
def test_wrong_usage(mpkgraph, compiled, arguments):
    result = mpkgraph("diff", *arguments)
    assert result.code == 2, result.err
    assert result.out == ""


@pytest.mark.parametrize("source", ["none.json", "none", "pipes.py:missing"])
def test_what_cannot_be_read(mpkgraph, compiled, source):
    result = mpkgraph("diff", "before", source, "-o", "report.txt")
    assert result.code in {2, 3}
    assert result.err.startswith("mpkgraph: error: ")
    assert not Path("report.txt").exists()


def test_help(mpkgraph, golden, monkeypatch):
    if not version("click").startswith(HELP_CLICK):
        pytest.skip(f"the help was recorded with click {HELP_CLICK}")
    monkeypatch.setenv("COLUMNS", "100")
    golden("help/diff.txt", mpkgraph("diff", "--help").out)


def test_it_needs_neither_torch_nor_mirage():
    code = (
        "import sys\n"
        "sys.modules['torch'] = sys.modules['mirage'] = None\n"
        "from mpkgraph.cli.main import run\n"
        f"sys.exit(run(['diff', {str(EXAMPLE)!r}, '--ranks', '0', '1']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode in {0, 1}, done.stderr
    assert not done.stderr
