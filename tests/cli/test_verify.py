"""`mpkgraph verify`: sources, choices of rules, suppression, baselines, forms, exit codes.

The rule is the tests' own: it finds each operator whose task type is an RMS norm.
"""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from importlib.metadata import version
from pathlib import Path

import pytest

from mpkgraph.analysis.verify import run
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.rule import CheckRow, Rule
from mpkgraph.analysis.verify.rules.kind import RankCheckRow
from tests.cli.conftest import EXAMPLE, ROOT
from tests.cli.test_show import HELP_CLICK
from tests.render.verify.sarif_schema import check, check_for_github

NORM = Rule(
    code="MPK198",
    name="has-norm",
    severity="error",
    summary="There is a norm",
    why="Tests look for it",
    remedy="Leave it out",
)
ADVICE = Rule("MPK598", "small-graph", "advice", "It is small", "It is", "Add", is_default=False)
WORLD = Rule("MPK698", "several-ranks", "warning", "Ranks", "They are", "Take one")
RECORD = Rule("MPK197", "has-record", "warning", "A record", "It is", "No", needs_record=True)
RULES = (RECORD, NORM, ADVICE, WORLD)


def find_norms(context):
    for operator in context.operators:
        if "norm" in context.name(operator):
            where = context.location(operator, operator.slots[-1])
            ref = context.task_ref(int(operator.task_ids[0]))
            yield Finding(NORM, f"a norm of {operator.num_tasks} tasks", where, "None", (ref,))
    if context.record is not None:
        yield Finding(RECORD, "there is a record", context.location(), "None")
    target = context.options.target_cc
    size = f"{context.graph.num_tasks} tasks, {context.options.num_workers} workers, cc {target}"
    yield Finding(ADVICE, size, context.location(), "None")


def find_ranks(ranks):
    if len(ranks) > 1:
        yield Finding(WORLD, f"{len(ranks)} ranks", ranks[0].location(), "None")


@pytest.fixture(autouse=True)
def _rules(monkeypatch):
    monkeypatch.setattr(run, "CHECKS", (CheckRow(find_norms, (NORM, RECORD, ADVICE)),))
    monkeypatch.setattr(run, "RANK_CHECKS", (RankCheckRow(find_ranks, (WORLD,)),))
    monkeypatch.setattr(run, "RULES", RULES)


PIPES = """\
import mirage as mi


def tensors(pk, rows, columns):
    x = pk.new_tensor(dims=(rows, columns), dtype=mi.bfloat16, name="x")
    w = pk.new_tensor(dims=(columns,), dtype=mi.bfloat16, name="w")
    y = pk.new_tensor(dims=(rows, columns), dtype=mi.bfloat16, name="y")
    return x, w, y


def norm(pk, rows: int = 8, columns: int = 512):
    x, w, y = tensors(pk, rows, columns)
    pk.rmsnorm_layer(input=x, weight=w, output=y, grid_dim=(rows, 1, 1), block_dim=(128, 1, 1))


def two(pk, rows: int = 8, columns: int = 512):
    x, w, y = tensors(pk, rows, columns)
    z = pk.new_tensor(dims=(rows, columns), dtype=mi.bfloat16, name="z")
    pk.rmsnorm_layer(input=x, weight=w, output=y, grid_dim=(rows, 1, 1), block_dim=(128, 1, 1))
    pk.rmsnorm_layer(
        input=y,
        weight=w,
        output=z,  # mpkgraph: ignore[has-norm]
        grid_dim=(rows, 1, 1),
        block_dim=(128, 1, 1),
    )


def refused(pk):
    x, w, y = tensors(pk, 8, 512)
    pk.rmsnorm_layer(input=x, weight=w, grid_dim=(8, 1, 1), block_dim=(128, 1, 1))
"""

SCRIPT = """\
import sys

import mirage
from mirage.mpk.persistent_kernel import PersistentKernel

from pipes import norm, two

print("the script prints", sys.argv[1:])
for build in (norm, two):
    parameters = PersistentKernel.get_default_init_parameters()
    parameters.update(test_mode=True, num_workers=128, num_local_schedulers=16)
    pk = PersistentKernel(**parameters)
    build(pk)
    pk.compile()
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    path = tmp_path / "work"
    path.mkdir()
    monkeypatch.chdir(path)
    Path("pipes.py").write_text(PIPES)
    Path("script.py").write_text(SCRIPT)
    return path


@pytest.fixture
def compiled(folder, mpkgraph):
    """`out` with two graphs and records."""
    assert mpkgraph("compile", "script.py", "-o", "out", "-q").code == 0
    return Path("out")


def names(result):
    return [x["name"] for x in result.json["pipelines"]]


def found(result):
    return [x["code"] for pipeline in result.json["pipelines"] for x in pipeline["findings"]]


def line_of(text, nth=0):
    lines = [i for i, x in enumerate(PIPES.splitlines(), 1) if text in x]
    return lines[nth]


# -- Sources --


def test_a_graph_file(mpkgraph, example):
    result = mpkgraph("verify", example, "--json")
    assert result.code == 1
    assert result.json["schema"] == "mpkgraph-verify/1"
    assert found(result) == ["MPK198"] * len(found(result))
    (rank,) = result.json["pipelines"][0]["ranks"]
    assert rank["graph_file"] == str(example)
    assert rank["has_record"] is False
    assert [x["code"] for x in result.json["skipped"]] == ["MPK197"]


def test_a_compressed_graph_and_standard_input(mpkgraph, example, tmp_path, monkeypatch):
    plain = mpkgraph("verify", example, "--json").json["pipelines"][0]["findings"]
    packed = tmp_path / "graph.gz"
    packed.write_bytes(gzip.compress(example.read_bytes()))
    assert mpkgraph("verify", packed, "--json").json["pipelines"][0]["findings"] == plain
    with packed.open("rb") as stream:
        monkeypatch.setattr("sys.stdin", type("Stdin", (), {"buffer": stream})())
        assert mpkgraph("verify", "-", "--json").json["pipelines"][0]["findings"] == plain


def test_a_directory_is_one_pipeline_of_all_ranks(mpkgraph):
    result = mpkgraph("verify", EXAMPLE, "--json")
    assert [x["rank"] for x in result.json["pipelines"][0]["ranks"]] == [0, 1]
    assert "MPK698" in found(result)
    one = mpkgraph("verify", EXAMPLE, "--rank", 1, "--json")
    assert [x["rank"] for x in one.json["pipelines"][0]["ranks"]] == [1]
    assert "MPK698" not in found(one)


def test_files_of_one_folder_are_one_pipeline(mpkgraph):
    result = mpkgraph("verify", *sorted(EXAMPLE.glob("task_graph*")), "--json")
    assert names(result) == [str(EXAMPLE)]
    assert "MPK698" in found(result)


def test_graphs_of_one_rank_are_pipelines_of_their_own(mpkgraph, example, tmp_path):
    paths = [shutil.copy(example, tmp_path / name) for name in ("a.json", "b.json")]
    result = mpkgraph("verify", *paths, "--json")
    assert names(result) == [str(x) for x in paths]


def test_a_compiled_folder_has_all_graphs_of_the_process(mpkgraph, compiled):
    result = mpkgraph("verify", compiled, "--json")
    assert names(result) == ["out", "out/compile2"]
    assert found(result) == ["MPK198", "MPK197", "MPK198", "MPK198", "MPK197"]


def test_a_record_beside_the_graph_is_used(mpkgraph, compiled):
    graph = compiled / "task_graph_rank0.json"
    assert found(mpkgraph("verify", graph, "--json")) == ["MPK198", "MPK197"]
    assert found(mpkgraph("verify", graph, "--no-record", "--json")) == ["MPK198"]
    moved = shutil.move(compiled / "pipeline_rank0.json", "elsewhere.json")
    assert found(mpkgraph("verify", graph, "--json")) == ["MPK198"]
    assert found(mpkgraph("verify", graph, "--record", moved, "--json")) == ["MPK198", "MPK197"]


def test_a_record_of_another_graph(mpkgraph, compiled):
    graph = compiled / "task_graph_rank0.json"
    other = compiled / "compile2" / "pipeline_rank0.json"
    named = mpkgraph("verify", graph, "--record", other)
    assert named.code == 3
    shutil.copy(other, compiled)
    beside = mpkgraph("verify", graph, "--json")
    assert "operators are recovered" in beside.err
    assert found(beside) == ["MPK198"]


def test_all_files_of_a_folder(mpkgraph, compiled):
    """As `out/*.json` gives them: a record whose graph is there is not planned again."""
    result = mpkgraph("verify", *sorted(compiled.glob("*.json")), "--json")
    assert names(result) == ["out/task_graph_rank0.json"]
    assert found(result) == ["MPK198", "MPK197"]


def test_records_are_planned(mpkgraph, compiled):
    for path in [*compiled.glob("**/task_graph*"), compiled / "compile2"]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for source in (compiled, compiled / "pipeline_rank0.json"):
        result = mpkgraph("verify", source, "--json")
        assert names(result) == [str(source)]
        assert found(result) == ["MPK198", "MPK197"]
        assert result.json["pipelines"][0]["ranks"][0]["graph_file"] is None


def test_a_record_under_any_name(mpkgraph, compiled):
    moved = shutil.move(compiled / "pipeline_rank0.json", "mine.json")
    result = mpkgraph("verify", moved, "--target", "b200", "--json")
    assert found(result) == ["MPK198", "MPK197"]


def test_a_function_names_the_users_line(mpkgraph, folder):
    result = mpkgraph("verify", "pipes.py:norm", "--set", "rows=4", "--json")
    finding = result.json["pipelines"][0]["findings"][0]
    assert finding["message"] == "a norm of 4 tasks"
    assert finding["location"]["site"] == {
        "file": str(folder / "pipes.py"),
        "line": line_of("pk.rmsnorm_layer"),
    }
    assert f"pipes.py:{line_of('pk.rmsnorm_layer')}" in mpkgraph("verify", "pipes.py:norm").out


def test_a_script(mpkgraph, folder):
    result = mpkgraph("verify", "script.py", "--json", "--", "an argument")
    assert names(result) == ["script.py, graph 1", "script.py, graph 2"]
    assert found(result) == ["MPK198", "MPK197", "MPK198", "MPK197"]
    assert result.json["suppressed"] == {"comment": 1}
    assert "the script prints ['an argument']" in result.err
    assert not list(folder.glob("**/*.json"))


def test_several_functions(mpkgraph, folder):
    result = mpkgraph("verify", "pipes.py:norm", "pipes.py:two", "--json")
    assert names(result) == ["pipes.py:norm", "pipes.py:two"]


def test_several_gpus_are_verified_together(mpkgraph, folder):
    result = mpkgraph("verify", "pipes.py:norm", "--world-size", 2, "--json")
    assert [x["rank"] for x in result.json["pipelines"][0]["ranks"]] == [0, 1]
    one = mpkgraph("verify", "pipes.py:norm", "--world-size", 2, "--rank", 1, "--json")
    assert [x["rank"] for x in one.json["pipelines"][0]["ranks"]] == [1]


def test_what_is_said_of_the_gpu_reaches_the_rules(mpkgraph, example):
    result = mpkgraph("verify", example, "-s", "advice", "-w", 96, "-t", "a100", "--json")
    (finding,) = result.json["pipelines"][0]["findings"]
    assert finding["message"] == "364 tasks, 96 workers, cc 80"


# -- Rules --


@pytest.mark.parametrize(
    ("options", "codes"),
    [
        ((), {"MPK198"}),
        (("--select", "advice"), {"MPK598"}),
        (("--select", "MPK1,small-graph"), {"MPK198", "MPK598"}),
        (("--select", "has-norm", "--select", "MPK598"), {"MPK198", "MPK598"}),
        (("--select", "all", "--ignore", "splits"), {"MPK598"}),
        (("--ignore", "mpk198"), set()),
    ],
)
def test_choices(mpkgraph, example, options, codes):
    assert set(found(mpkgraph("verify", example, *options, "--json"))) == codes


@pytest.mark.parametrize("option", ["--select", "--ignore", "--explain"])
def test_a_word_that_is_no_rule(mpkgraph, option, example):
    sources = () if option == "--explain" else (example,)
    result = mpkgraph("verify", *sources, option, "has-nrom")
    assert result.code == 2
    assert "Did you mean has-norm or" in result.err


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ((), 1),
        (("--select", "advice"), 0),
        (("--select", "advice", "--fail-on", "advice"), 1),
        (("--select", "advice", "--fail-on", "warning"), 0),
        (("--ignore", "has-norm"), 0),
    ],
)
def test_exit_codes(mpkgraph, example, options, code):
    assert mpkgraph("verify", example, *options).code == code


def test_list_of_rules(mpkgraph):
    result = mpkgraph("verify", "--list-rules")
    assert result.code == 0
    assert [x.split()[0] for x in result.out.splitlines()[1:]] == [x.code for x in RULES]
    rows = mpkgraph("verify", "--list-rules", "--select", "splits", "--json").json["rules"]
    assert [x["code"] for x in rows] == ["MPK197", "MPK198"]


def test_explain(mpkgraph):
    result = mpkgraph("verify", "--explain", "has-norm")
    assert result.code == 0
    assert result.out.startswith("MPK198 has-norm  error, splits\n")
    for text in ("There is a norm.", "Tests look for it.", "Leave it out.", "ignore[has-norm]"):
        assert text in result.out
    assert mpkgraph("verify", "--explain", "MPK198", "--json").json["rules"][0]["why"] == NORM.why


# -- What is left out --


def test_suppress(mpkgraph, example):
    every = len(found(mpkgraph("verify", example, "--json")))
    result = mpkgraph("verify", example, "--suppress", "has-norm@rmsnorm_out", "--json")
    assert result.json["suppressed"]["option"] + len(found(result)) == every
    assert mpkgraph("verify", example, "--suppress", "splits@*").code == 0
    assert mpkgraph("verify", example, "--suppress", "splits").code == 2


def test_a_baseline(mpkgraph, example, tmp_path):
    known = tmp_path / "known.json"
    every = len(found(mpkgraph("verify", example, "--json")))
    written = mpkgraph("verify", example, "--write-baseline", known)
    assert written.code == 0
    result = mpkgraph("verify", example, "--baseline", known)
    assert result.code == 0
    assert f"suppressed: {every} by baseline" in result.out
    # Both ranks together have twice as many
    both = mpkgraph("verify", EXAMPLE, "--baseline", known, "--json")
    assert both.code == 1
    assert both.json["suppressed"] == {"baseline": every}
    assert found(both).count("MPK198") == every


def test_a_baseline_that_is_out_of_date(mpkgraph, folder):
    assert mpkgraph("verify", "pipes.py:two", "--write-baseline", "known.json").code == 0
    assert len(json.loads(Path("known.json").read_text())["findings"]) == 2
    Path("pipes.py").write_text(PIPES.replace("  # mpkgraph: ignore[has-norm]", ""))
    more = mpkgraph("verify", "pipes.py:two", "--baseline", "known.json", "--json")
    assert (more.code, found(more)) == (1, ["MPK198"])
    fewer = mpkgraph("verify", "pipes.py:norm", "-i", "has-norm", "--baseline", "known.json")
    assert fewer.code == 0
    assert "1 finding of the baseline not found any more" in fewer.out


def test_a_baseline_that_is_written_anew_keeps_what_it_knew(mpkgraph, example, tmp_path):
    known = tmp_path / "known.json"
    mpkgraph("verify", example, "--write-baseline", known)
    before = known.read_bytes()
    mpkgraph("verify", example, "--baseline", known, "--write-baseline", known)
    assert known.read_bytes() == before


# -- Forms --


def test_sarif(mpkgraph, folder):
    result = mpkgraph("verify", "pipes.py:norm", "--format", "sarif", "-o", "out.sarif")
    assert (result.code, result.out) == (1, "")
    document = json.loads(Path("out.sarif").read_text())
    check(document)
    check_for_github(document)
    place = document["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "pipes.py"
    assert place["region"]["startLine"] == line_of("pk.rmsnorm_layer")


def test_annotations(mpkgraph, folder):
    lines = mpkgraph("verify", "pipes.py:norm", "--format", "github").out.splitlines()
    assert lines[0].startswith(f"::error file=pipes.py,line={line_of('pk.rmsnorm_layer')},title=")


def test_junit(mpkgraph, example):
    root = ET.fromstring(mpkgraph("verify", example, "--format", "junit").out)
    assert root.get("failures") == "1"


def test_color(mpkgraph, example):
    assert "\x1b[" in mpkgraph("verify", example, "--color").out
    assert "\x1b[" not in mpkgraph("verify", example).out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "nothing to verify"),
        (("examples", "--list-rules"), "takes no SOURCE"),
        (("--explain", "all", "--format", "sarif"), "as text or json"),
        (("{example}", "--json", "--format", "junit"), "can't go together"),
        (("{example}", "--record", "x", "--no-record"), "can't go together"),
        (("{folder}", "--record", "x"), "for one graph"),
        (("{example}", "--set", "a=1"), "--set does nothing here"),
        (("{example}", "--", "a"), "arguments after -- does nothing here"),
        (("{folder}", "--world-size", "2"), "--world-size does nothing for graphs"),
        (("{example}", "--schedulers", "4"), "Add --workers"),
        (("{example}", "-o", "{example}"), "overwrite"),
        (("{example}", "--write-baseline", "{example}"), "overwrite"),
        (("{example}", "--target", "9000"), "no GPU"),
        (("{example}", "--fail-on", "nothing"), "fail-on"),
    ],
)
def test_wrong_usage(mpkgraph, example, arguments, message):
    given = [x.format(example=example, folder=EXAMPLE) for x in arguments]
    result = mpkgraph("verify", *given)
    assert result.code == 2
    assert message in result.err
    assert result.out == ""


@pytest.mark.parametrize("source", ["no_such.json", "no_such.py", "pipes.py:refused", "empty"])
def test_what_cant_be_read_or_planned(mpkgraph, folder, source):
    Path("empty").mkdir()
    result = mpkgraph("verify", source)
    assert result.code in {2, 3} if source == "no_such.py" else result.code == 3
    assert result.err.startswith("mpkgraph: error: ")
    assert result.out == ""


def test_a_file_that_fails_leaves_no_output(mpkgraph, folder):
    assert mpkgraph("verify", "pipes.py:refused", "-o", "report.txt").code == 3
    assert not Path("report.txt").exists()


# -- The command itself --


def test_ranks_that_the_script_does_not_tell_apart(mpkgraph):
    source = str(ROOT / "examples" / "qwen3.py") + ":build"
    ranks = ("--world-size", "2", "--all-ranks", "--set", "layers=1")
    result = mpkgraph("verify", source, *ranks)
    assert result.code == 3
    assert "compiled for 2 ranks, and is rank 0 in all" in result.err
    assert "leave out --all-ranks" in result.err


def test_help(mpkgraph, golden, monkeypatch):
    if not version("click").startswith(HELP_CLICK):
        pytest.skip(f"the help was recorded with click {HELP_CLICK}")
    monkeypatch.setenv("COLUMNS", "100")
    golden("help/verify.txt", mpkgraph("verify", "--help").out)


def test_it_needs_neither_torch_nor_mirage():
    code = (
        "import sys\n"
        "sys.modules['torch'] = sys.modules['mirage'] = None\n"
        "from mpkgraph.cli.main import run\n"
        f"sys.exit(run(['verify', {str(EXAMPLE)!r}, '--no-cache', '--json']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert json.loads(done.stdout)["schema"] == "mpkgraph-verify/1"
