"""Graphs under regression test, as a user's own tests hold them."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

import pytest
import zstandard

pytest_plugins = ["pytester"]

PLUGIN = (
    []
    if entry_points(group="pytest11", name="mpkgraph")
    else ["-p", "mpkgraph.pytest_plugin"]  # a checkout that was installed before there was one
)
PIPELINE = """
from mpkgraph.pipeline.tensors import TensorSpec


def build(pk):
    w = pk.attach_input(TensorSpec((4096,), "bfloat16"), name="w")
    x, y, z = (pk.attach_input(TensorSpec((8, 4096), "bfloat16"), name=n) for n in "xyz")
    for source, out in ((x, y), (y, z)):
        pk.rmsnorm_layer(
            input=source, weight=w, output=out, grid_dim=(8, 1, 1), block_dim=(128, 1, 1)
        )
"""
TEST = """
def test_graph(mpk_pipeline):
    mpk_pipeline("pipeline.py:build", target="h100").assert_graph_matches("golden/graph.json.zst")
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(pipeline=PIPELINE, test_pipeline=TEST)
    return pytester


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return project.runpytest_subprocess(*PLUGIN, "-p", "no:cacheprovider", *arguments)


def test_without_a_golden_it_says_how_to_write_one(project):
    result = run(project)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*graph.json.zst is not there: run pytest with --mpkgraph-update*"]
    )


def test_update_writes_what_the_next_run_compares_with(project):
    result = run(project, "--mpkgraph-update")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*golden task graphs written*", "*graph.json.zst"])
    written = project.path / "golden" / "graph.json.zst"
    text = zstandard.ZstdDecompressor().decompress(written.read_bytes())
    assert text.startswith(b'{\n  "all_events": [')
    run(project).assert_outcomes(passed=1)
    again = run(project, "--mpkgraph-update")
    assert "written" not in again.stdout.str()  # what is the same is left as it is


def test_a_change_fails_with_the_operator_that_changed(project):
    run(project, "--mpkgraph-update")
    file = project.path / "pipeline.py"
    file.write_text(file.read_text().replace("(y, z)", "(x, z)"), encoding="utf-8")
    result = run(project)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*the graph of pipeline.py:build is not that of*"])
    assert "rms_norm_hopper" in result.stdout.str()
    assert "Traceback" not in result.stdout.str()


def test_other_numbers_are_no_change_unless_exact(project):
    """Two layers that do not hang on each other, in the other order."""
    file = project.path / "pipeline.py"
    text = PIPELINE.replace("((x, y), (y, z))", "((x, y), (x, z))")
    file.write_text(text, encoding="utf-8")
    run(project, "--mpkgraph-update").assert_outcomes(passed=1)
    file.write_text(text.replace("((x, y), (x, z))", "((x, z), (x, y))"), encoding="utf-8")
    run(project).assert_outcomes(passed=1)
    test = project.path / "test_pipeline.py"
    test.write_text(
        TEST.replace(".zst)", ".zst, exact=True)").replace('zst")', 'zst", exact=True)')
    )
    result = run(project)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*only the numbers of tasks and events*"])


def test_findings_fail_a_test(project):
    project.makepyfile(
        test_pipeline="""
        import pytest

        def test_clean(mpk_pipeline):
            mpk_pipeline("pipeline.py:build", target="h100").assert_no_findings()

        def test_found(mpk_pipeline):
            text = open("pipeline.py").read().replace("(y, z)", "(z, y)")  # y again
            open("broken.py", "w").write(text)
            mpk_pipeline("broken.py:build", target="h100").assert_no_findings()

        def test_wrong_word(mpk_pipeline):
            with pytest.raises(ValueError, match="none of error"):
                mpk_pipeline("pipeline.py:build").assert_no_findings("fatal")
        """
    )
    result = run(project)
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.re_match_lines([r".*error MPK203 .*"])


def test_a_pipeline_that_is_refused_names_the_line(project):
    file = project.path / "pipeline.py"
    file.write_text(PIPELINE.replace("rmsnorm_layer", "no_such_layer"), encoding="utf-8")
    result = run(project)
    result.assert_outcomes(failed=1)
    assert "no_such_layer" in result.stdout.str()


def test_several_graphs_are_asked_for_by_rank(project):
    project.makepyfile(
        test_pipeline="""
        import pytest

        def test_ranks(mpk_pipeline):
            both = mpk_pipeline("pipeline.py:build", world_size=2, all_ranks=True)
            assert [x.rank for x in both.graphs] == [0, 1]
            with pytest.raises(ValueError, match="made 2 graphs"):
                both.graph
        """
    )
    run(project).assert_outcomes(passed=1)


def test_the_plugin_costs_nothing_until_it_is_used(pytester):
    pytester.makepyfile(
        """
        import sys

        def test_nothing_is_imported():
            assert "numpy" not in sys.modules
            assert "mpkgraph.api" not in sys.modules
        """
    )
    run(pytester).assert_outcomes(passed=1)


def test_the_documented_project_is_this_one():
    """The how-to shows these files."""
    page = (Path(__file__).parents[1] / "docs/how-to/regression-tests.md").read_text("utf-8")
    assert "--mpkgraph-update" in page
    assert "mpk_pipeline" in page
