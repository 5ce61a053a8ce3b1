"""The examples compile, without torch, to the graphs that the real Mirage makes of them.

`digests_examples.json` says which: for settings, target and each rank the SHA-256 of the JSON text
that Mirage's core gave when the same file ran on Mirage's own Python. `golden` names the case in
../shared/goldens that Mirage made of its own demo or test, where there is one: the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mpkgraph.cli.main import run
from mpkgraph.pipeline.compile import CompileOptions, compile_pipelines
from mpkgraph.pipeline.compiled import BOTH
from tests import goldens

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
SHARED = {"common", "decoder_parts", "deepseek_parts"}
"""What examples import; no pipelines."""
PIPELINES = sorted(x.stem for x in EXAMPLES.glob("*.py") if x.stem not in SHARED)
BLACKWELL = {"deepseek_v3", "deepseek_mla", "deepseek_moe"}
"""Examples whose layers are for compute capability 10.0 only."""


@dataclass(frozen=True)
class Case:
    """An example with settings, and what Mirage makes of it."""

    example: str
    settings: dict[str, str]
    target: int
    world_size: int
    multicast: bool | None
    golden: str | None
    warnings: list[str]
    ranks: list[dict[str, Any]]

    def __str__(self) -> str:
        settings = "-".join(f"{name}={value}" for name, value in self.settings.items())
        reduce = "multicast" if self.multicast else "gather"
        ranks = "" if self.world_size == 1 else f"-{self.world_size}-ranks-{reduce}"
        return f"{self.example}-{settings or 'default'}-cc{self.target}{ranks}"


CASES = [
    Case(**x)
    for x in json.loads((ROOT / "tests" / "digests_examples.json").read_text(encoding="utf-8"))
]


@pytest.fixture(autouse=True)
def no_torch(monkeypatch, tmp_path):
    """No example needs torch to be planned; and no file appears but where it was asked for."""
    for name in [x for x in sys.modules if x == "torch" or x.startswith("torch.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delenv("MIRAGE_HOME", raising=False)
    monkeypatch.chdir(tmp_path)


def compiled(source, output, **options):
    return compile_pipelines([str(EXAMPLES / source)], CompileOptions(output=output, **options))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_graph_is_mirages(case, tmp_path):
    result = compiled(
        f"{case.example}.py:build",
        tmp_path / "out",
        cc=case.target,
        settings=case.settings,
        world_size=case.world_size,
        all_ranks=True,
        multicast=case.multicast,
    )
    assert [x.rank for x in result.compiled] == list(range(case.world_size))
    for made, expected in zip(result.compiled, case.ranks, strict=True):
        graph, _record = made.files
        assert hashlib.sha256(graph.read_bytes()).hexdigest() == expected["sha256"]
        assert made.graph.num_tasks == expected["tasks"]
        assert made.graph.num_events == expected["events"]
        assert [x.code for x in made.warnings] == case.warnings
    assert not result.notes


@pytest.mark.parametrize("name", PIPELINES)
def test_runs_as_a_script_too(name, tmp_path):
    """With what `build` has for defaults, the script makes the function's bytes."""
    cc = 100 if name in BLACKWELL else 90
    arguments = ("--layers", "1") if name in {"qwen3", "qwen3_moe", "llama3"} else ()
    settings = dict([arguments]) if arguments else {}
    settings = {key.removeprefix("--"): value for key, value in settings.items()}
    script = compiled(f"{name}.py", tmp_path / "script", cc=cc, arguments=arguments)
    function = compiled(f"{name}.py:build", tmp_path / "function", cc=cc, settings=settings)
    texts = [x.compiled[0].files[0].read_bytes() for x in (script, function)]
    assert texts[0] == texts[1]
    assert not script.has_warnings
    assert not script.notes


def test_every_example_is_in_the_table_with_its_defaults_and_on_the_page():
    page = (ROOT / "docs" / "how-to" / "examples.md").read_text(encoding="utf-8")
    for name in PIPELINES:
        assert any(case.example == name for case in CASES), name
        assert f"examples/{name}.py" in page, name


@pytest.mark.parametrize("name", ["join", "diamond", "residual", "qwen3_mlp"])
@pytest.mark.parametrize("how", ["{}.py", "{}.py:build"])
def test_tasks_are_told_how_many_rows_they_work_on(name, how, tmp_path):
    """Linear layers on an A100, and SiLU times everywhere, crash without."""
    record = compiled(how.format(name), tmp_path / "out").compiled[0].record
    ends = record.init["meta_tensors"]["qo_indptr_buffer"]
    assert ends == {"torch": [2], "strides": [1], "dtype": "int32"}


def test_an_output_dir_of_the_script_is_written(tmp_path):
    options = {"arguments": ("--rows", "4", "--output-dir", "kept")}
    compile_pipelines([str(EXAMPLES / "fork.py")], CompileOptions(emit=BOTH, **options))
    names = sorted(x.name for x in (tmp_path / "kept").iterdir())
    assert names == ["pipeline_rank0.json", "task_graph_rank0.json"]


def test_a_size_that_is_not_there(capfd, tmp_path):
    source = f"{EXAMPLES / 'qwen3.py'}:build"
    assert run(["compile", source, "--set", "size=9B", "--dry-run"]) == 3
    assert "'9B' is none of 0.6B, 1.7B, 4B, 8B, 14B" in capfd.readouterr().err


def test_heads_that_ranks_cannot_share(capfd):
    source = f"{EXAMPLES / 'tensor_parallel.py'}:build"
    assert run(["compile", source, "--world-size", "3", "--dry-run"]) == 3
    assert "32 heads or columns can't be shared by 3 GPUs" in capfd.readouterr().err


def test_named_goldens_have_these_digests():
    goldens.require()
    for case in CASES:
        if case.golden is not None:
            found = {x["file"]: x["sha256"] for x in goldens.index()[case.golden]["graphs"]}
            for rank, expected in enumerate(case.ranks):
                assert found[f"task_graph_rank{rank}.json"] == expected["sha256"], case


def test_most_cases_are_mirages_own_models_and_tests():
    of_goldens = [case for case in CASES if case.golden is not None]
    assert len(of_goldens) > len(CASES) / 2
    assert {case.example for case in of_goldens} == set(PIPELINES) - {
        "deepseek_mla",
        "deepseek_moe",
    }
