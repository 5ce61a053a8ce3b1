"""What compiling gives: ranks and world sizes, places of files, and results in a line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mpkgraph.errors import UsageError
from mpkgraph.io.record import save_record
from mpkgraph.pipeline.compile import CompileOptions, compile_pipelines
from mpkgraph.pipeline.compiled import CompileResult, make_folder
from tests.pipelines import own
from tests.pipelines.kit import record_of

ROOT = Path(__file__).parents[2]
DIAMOND = f"{ROOT / 'examples' / 'diamond.py'}:build"
NOTHING = frozenset()


@pytest.mark.parametrize(
    ("rank", "world_size", "wanted"),
    [(None, None, (0, 1)), (1, None, (1, 2)), (2, None, (2, 3)), (3, None, (3, 4)), (1, 4, (1, 4))],
)
def test_a_rank_is_one_of_as_many_as_it_needs(rank, world_size, wanted):
    options = CompileOptions(rank=rank, world_size=world_size, emit=NOTHING)
    (made,) = compile_pipelines([DIAMOND], options).compiled
    assert (made.record.my_gpu_id, made.record.num_gpus) == wanted


@pytest.mark.parametrize("option", ["settings", "init"])
def test_a_script_takes_arguments_of_its_own(option, tmp_path):
    script = tmp_path / "script.py"
    script.write_text("")
    with pytest.raises(UsageError, match="is for functions"):
        compile_pipelines([str(script)], replace(CompileOptions(), **{option: {"rows": 8}}))


def test_records_of_one_rank_are_graphs_of_one_process(tmp_path, monkeypatch):
    names = []
    for number in range(3):
        names.append(str(tmp_path / f"record{number}.json"))
        save_record(record_of(own.small_argmax), names[-1])
    result = compile_pipelines(names, CompileOptions(emit=NOTHING))
    assert [(x.rank, x.index, x.files) for x in result.compiled] == [(0, n, ()) for n in range(3)]
    monkeypatch.chdir(tmp_path)
    for output in (None, Path("deep/er")):
        made = compile_pipelines(names, CompileOptions(output=output))
        folders = [output or Path(), *((output or Path()) / f"compile{n}" for n in (2, 3))]
        assert [x.files[0].parent for x in made.compiled] == folders
        assert all(x.files[0].exists() for x in made.compiled)
    with pytest.raises(UsageError, match="3 graphs were compiled"):
        _ = made.graph
    with pytest.raises(UsageError, match="0 graphs were compiled"):
        _ = CompileResult(()).graph


def test_results_print_in_a_line():
    result = compile_pipelines([DIAMOND], CompileOptions(emit=NOTHING))
    (made,) = result.compiled
    assert result.graph is made.graph
    where = f"{made.site.file}:{made.site.line}"
    assert repr(result) == f"<CompileResult: {made!r}>"
    assert repr(made) == f"<Compiled at {where}: {made.graph!r}>"
    unplanned = replace(made, plan=None, site=None)
    assert repr(unplanned) == f"<Compiled: {made.record!r}>"
    assert repr(CompileResult(())) == "<CompileResult: nothing compiled>"
    assert CompileResult((unplanned,)).graphs == ()


def test_folders_are_made_with_those_above(tmp_path):
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
