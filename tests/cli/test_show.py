"""`mpkgraph show` from the outside: every view in every form, and every wrong question."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import subprocess
import sys
from importlib.metadata import version

import orjson
import pytest

from mpkgraph.analysis import task_detail
from mpkgraph.cli import output
from mpkgraph.errors import GraphReadError
from mpkgraph.io.reader import read_graph
from tests import goldens
from tests.cli.conftest import EXAMPLE, ROOT

HELP_CLICK = "8.5"
VIEWS = {
    "summary": (),
    "task": ("--task", "20"),
    "tasks": ("--task", "2,40-41"),
    "event": ("--event", "5"),
    "operator": ("--operator", "5"),
    "operator-name": ("--operator", "reduce"),
    "tensor": ("--tensor", "all_reduce_buf"),
    "list-tasks": ("--list", "tasks", "--operator", "2"),
    "list-slots": ("--list", "slots", "--operator", "5-6"),
    "list-events": ("--list", "events"),
    "list-operators": ("--list", "operators"),
    "list-tensors": ("--list", "tensors", "--tensor", "layer_0_*"),
    "hops": ("--task", "40", "--hops", "1", "--direction", "up"),
    "path": ("--path", "3", "40"),
    "paths": ("--path", "3", "40", "--all-paths", "--limit", "2"),
    "type": ("--type", "silu_mul"),
    "waits-on": ("--waits-on", "5"),
}


@pytest.mark.parametrize("name", VIEWS)
def test_text(name, mpkgraph, example, golden):
    result = mpkgraph("show", example, *VIEWS[name])
    assert result.code == 0
    assert result.err == ""
    golden(f"show/{name}.txt", result.out.replace(str(ROOT), ""))


@pytest.mark.parametrize("name", VIEWS)
def test_json(name, mpkgraph, example, golden):
    result = mpkgraph("show", example, *VIEWS[name], "--json")
    assert result.code == 0
    document = result.json
    assert document["schema"] == "mpkgraph-show/1"
    golden(f"show/{name}.json", result.out.replace(str(ROOT), ""))


@pytest.mark.parametrize(
    "name", ["summary", "list-tasks", "list-slots", "list-events", "list-operators", "list-tensors"]
)
def test_csv(name, mpkgraph, example, golden):
    result = mpkgraph("show", example, *VIEWS[name], "--csv")
    assert result.code == 0
    golden(f"show/{name}.csv", result.out)


@pytest.mark.parametrize("arguments", [("--help",), ("show", "--help")])
def test_help(arguments, mpkgraph, golden, monkeypatch):
    if not version("click").startswith(HELP_CLICK):
        pytest.skip(f"the help was recorded with click {HELP_CLICK}, which lays it out its own way")
    monkeypatch.setenv("COLUMNS", "100")
    result = mpkgraph(*arguments)
    assert result.code == 0
    golden(f"help/{'-'.join(arguments[:-1]) or 'mpkgraph'}.txt", result.out)


def test_json_keeps_64_bit_ids(mpkgraph, example):
    task = mpkgraph("show", example, "--task", "2", "--json").json["tasks"][0]
    assert task["dependent_event"] == "9223372036854775806"
    assert task["trigger_event"] == int(read_graph(example).tasks.trigger_events[2])


def test_csv_and_parquet_agree_with_json(mpkgraph, example, tmp_path):
    import pyarrow.parquet as pq

    asked = ("show", example, "--list", "tasks")
    rows = mpkgraph(*asked, "--json").json["rows"]
    table = list(csv.DictReader(io.StringIO(mpkgraph(*asked, "--csv").out)))
    assert [row["task_type_name"] for row in table] == [row["task_type_name"] for row in rows]
    assert [int(row["trigger_event"]) for row in table] == [
        int(row["trigger_event"]) for row in rows
    ]
    path = tmp_path / "tasks.parquet"
    assert mpkgraph(*asked, "--parquet", "-o", path).code == 0
    parquet = pq.read_table(path).to_pylist()
    assert [row["trigger_event"] for row in parquet] == [int(row["trigger_event"]) for row in rows]


def test_output_file_is_what_is_printed(mpkgraph, example, tmp_path):
    printed = mpkgraph("show", example, "--task", "20").out
    path = tmp_path / "task.txt"
    result = mpkgraph("show", example, "--task", "20", "-o", path)
    assert (result.code, result.out, path.read_text()) == (0, "", printed)


def test_ranks_of_a_directory(mpkgraph):
    both = mpkgraph("show", EXAMPLE, "--json").json["ranks"]
    assert [item["rank"] for item in both] == [0, 1]
    one = mpkgraph("show", EXAMPLE, "--rank", "1", "--json").json
    assert {key: value for key, value in both[1].items() if key != "path"} == {
        key: one[key] for key in both[1] if key != "path"
    }
    result = mpkgraph("show", EXAMPLE, "--task", "20")
    assert result.code == 2
    assert "--rank" in result.err
    assert mpkgraph("show", EXAMPLE, "--rank", "7").code == 2


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_compressed_and_standard_input(mpkgraph, example, tmp_path, suffix, monkeypatch):
    import gzip

    import zstandard

    data = example.read_bytes()
    packed = {"": data, ".gz": gzip.compress(data), ".zst": zstandard.compress(data)}[suffix]
    path = tmp_path / f"task_graph_rank0.json{suffix}"
    path.write_bytes(packed)
    wanted = mpkgraph("show", example, "--list", "operators", "--csv").out
    assert mpkgraph("show", path, "--list", "operators", "--csv").out == wanted
    done = subprocess.run(
        [sys.executable, "-m", "mpkgraph", "show", "-", "--list", "operators", "--csv"],
        input=packed,
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode() == wanted


def test_mirage_home_renames_numbers(mpkgraph, example, tmp_path):
    header = tmp_path / "include/mirage/persistent_kernel/runtime_header.h"
    header.parent.mkdir(parents=True)
    header.write_text("enum TaskType { TASK_MINE = 101 }; enum EventType { EVENT_OURS = 903 };")
    asked = ("show", example, "--json", "--mirage-home", tmp_path)
    types = mpkgraph(*asked).json["task_types"]
    assert types["TASK_MINE"] == 1
    assert types["TASK_118"] == 128
    result = mpkgraph("show", example, "--mirage-home", tmp_path / "nowhere")
    assert result.code == 3
    assert "runtime_header.h" in result.err


def test_extract_is_a_graph(mpkgraph, example, tmp_path):
    path = tmp_path / "task_graph_rank0.json"
    result = mpkgraph("show", example, "--operator", "5-7", "--extract", path)
    assert result.code == 0
    graph = read_graph(path)
    assert graph.num_tasks == 2 + 2 + 2 + 8
    again = mpkgraph("show", path, "--json").json
    assert again["num_tasks"] == graph.num_tasks


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--task", "364"), 2, "364"),
        (("--task", "x"), 2, "x"),
        (("--event", "99999"), 2, "99999"),
        (("--operator", "atention"), 2, "attention"),
        (("--tensor", "embed_tokenz"), 2, "embed_tokens"),
        (("--type", "rmsnrm"), 2, "rmsnrm"),
        (("--hops", "1"), 2, "selection"),
        (("--all-paths",), 2, "--path"),
        (("--list", "tasks", "--path", "2", "3"), 2, "together"),
        (("--json", "--csv"), 2, "together"),
        (("--csv", "--task", "3"), 2, "--list tasks"),
        (("--schedulers", "2"), 2, "--workers"),
        (("--extract", "x.json"), 2, "selection"),
        (("--draw", "x.gif"), 2, ".svg"),
        (("--record", "r.json", "--no-record"), 2, "together"),
        (("--record", "no_such_record.json"), 3, "no_such_record.json"),
        (("--path", "2", "364"), 2, "364"),
        (("--nonsense",), 2, "--nonsense"),
        (("--json", "-o", "no/such/folder/x.json"), 3, "no/such/folder"),
    ],
)
def test_wrong_questions_end_in_one_message(mpkgraph, example, arguments, code, message):
    result = mpkgraph("show", example, *arguments)
    assert (result.code, result.out) == (code, "")
    assert message in result.err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"{", "byte"),
        (b"\x00\x01\x02", "JSON"),
        (b'{"schema": "mpk-pipeline-1"}', "record"),
        (b"[]", "task graph"),
    ],
)
def test_unreadable_files_end_in_one_message(mpkgraph, tmp_path, content, message):
    path = tmp_path / "task_graph_rank0.json"
    path.write_bytes(content)
    result = mpkgraph("show", path)
    assert (result.code, result.out) == (3, "")
    assert message in result.err
    assert "task_graph_rank0.json" in result.err
    assert len(result.err.strip().splitlines()) == 1


def test_no_graphs_in_a_directory(mpkgraph, tmp_path):
    result = mpkgraph("show", tmp_path)
    assert result.code == 3
    assert "task_graph_rank" in result.err


def test_failed_output_leaves_nothing(mpkgraph, example, tmp_path):
    target = tmp_path / "out.csv"
    assert mpkgraph("show", example, "--task", "999", "--json", "-o", target).code == 2
    assert list(tmp_path.iterdir()) in ([], [tmp_path / "cache"])


def test_closed_pipe_is_quiet():
    done = subprocess.run(
        f"{sys.executable} -m mpkgraph show {EXAMPLE} --rank 0 --task all | head -1",
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("task 0")
    assert done.stderr == ""


def test_color_only_when_asked(mpkgraph, example, monkeypatch):
    assert "\x1b[" not in mpkgraph("show", example, "--task", "20").out
    assert "\x1b[" in mpkgraph("show", example, "--task", "20", "--color").out
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in mpkgraph("show", example, "--task", "20").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in mpkgraph("show", example, "--task", "20").out


def test_hostile_names_reach_no_terminal(mpkgraph, example, tmp_path):
    document = orjson.loads(example.read_bytes())
    for task in document["all_tasks"]:
        for slot in task["inputs"] or []:
            if slot["base_ptr"] == "embed_tokens":
                slot["base_ptr"] = "\x1b]0;owned\x07[red]x\u202e\n"
    path = tmp_path / "task_graph_rank0.json"
    path.write_bytes(orjson.dumps(document))
    for view in ((), ("--task", "2"), ("--list", "tensors"), ("--operator", "0")):
        out = mpkgraph("show", path, *view).out
        assert "\x1b" not in out
        assert "\u202e" not in out
        assert "[red]" in out or view == ()


def test_help_is_fast_and_needs_no_numpy():
    code = (
        "import sys; from mpkgraph.cli.main import run; run(['--help']);"
        "print('numpy' in sys.modules, 'rich' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False False"


def test_show_needs_neither_torch_nor_mirage(example):
    code = (
        "import sys\n"
        "sys.modules['torch'] = sys.modules['mirage'] = None\n"
        "from mpkgraph.cli.main import run\n"
        f"sys.exit(run(['show', {str(example)!r}, '--no-cache', '--json']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["num_tasks"] == 364


def test_version_and_module(mpkgraph):
    from mpkgraph import __version__

    assert __version__ in mpkgraph("--version").out


def shell(command, **environment):
    return subprocess.run(
        f"{sys.executable} -m mpkgraph show {command}",
        shell=True,
        capture_output=True,
        check=False,
        timeout=60,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_output_that_cannot_be_encoded_is_escaped(example, encoding):
    done = shell(f"{example} --no-cache", PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"\u2192" in done.stdout


def test_closed_streams(example, tmp_path):
    done = shell(f"{example} --no-cache >&-")
    assert (done.returncode, done.stderr) == (0, b"")
    done = shell(f"{example} --no-cache 2>&-")
    assert done.returncode == 0
    assert b"tasks" in done.stdout
    assert shell(f"{tmp_path}/nothing.json 2>&-").returncode == 3


def test_head_is_no_finding(example):
    script = f"{sys.executable} -m mpkgraph show {example} --task all --no-cache | head -1"
    code = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {script}"], capture_output=True, check=False
    )
    assert (code.returncode, code.stderr) == (0, b"")


def test_a_named_pipe_is_read_once(example, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(f"exec timeout 50 cat {example} > {pipe}", shell=True) as writer:
        done = shell(f"{pipe} --list operators --csv")
        writer.kill()
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 36


@pytest.mark.parametrize("option", ["-o", "--extract"])
def test_the_graph_is_not_overwritten(mpkgraph, example, tmp_path, option):
    path = tmp_path / "task_graph_rank0.json"
    path.write_bytes(example.read_bytes())
    result = mpkgraph("show", path, "--operator", "5", option, path)
    assert result.code == 2
    assert "overwrite" in result.err
    assert path.read_bytes() == example.read_bytes()


@pytest.mark.parametrize("event", [2**64, 2**63 + 3, 0x1F00000000000003])
def test_what_is_no_event_id_is_refused(mpkgraph, example, event):
    result = mpkgraph("show", example, "--event", event)
    assert (result.code, result.out) == (2, "")
    assert str(event) in result.err


def test_branches_of_a_fork_are_not_folded(mpkgraph, tmp_path):
    golden = goldens.get("tests/test_fork_point-cc90")
    text = mpkgraph("show", golden.write_graph(tmp_path)).out
    assert text.count("rmsnorm") + text.count("rms_norm") >= 3


def test_unknown_fields_are_shown_as_json(mpkgraph, example, tmp_path):
    document = orjson.loads(example.read_bytes())
    document["all_tasks"][20]["prio"] = {"a": [1, None]}
    path = tmp_path / "task_graph_rank0.json"
    path.write_bytes(orjson.dumps(document))
    assert '{"a":[1,null]}' in mpkgraph("show", path, "--task", "20").out


@pytest.mark.parametrize(
    "options",
    [
        ("--direction", "up"),
        ("--task", "2", "--direction", "both"),
        ("--limit", "3"),
        ("--path", "2", "40", "--limit", "3"),
        ("--reduce",),
        ("--force", "--list", "tasks"),
        ("--level", "tasks"),
        ("--draw-timeout", "5"),
    ],
)
def test_option_without_its_partner(options, mpkgraph, example):
    result = mpkgraph("show", example, *options)
    assert result.code == 2
    assert "does nothing here. Add --" in result.err
    assert not result.out


def test_large_integers_are_text_wherever_they_are(mpkgraph, example, tmp_path):
    document = orjson.loads(example.read_bytes())
    document["new"] = {"deep": [2**53, 2**53 + 1]}
    document["all_tasks"][2]["new"] = -(2**60)
    document["all_tasks"][2]["inputs"][0]["dims"][0] = 2**61
    path = tmp_path / "task_graph_rank0.json"
    path.write_bytes(orjson.dumps(document))
    summary = mpkgraph("show", path, "--json", "--no-record").json
    assert summary["extras"] == {"new": {"deep": [2**53, str(2**53 + 1)]}}
    (task,) = mpkgraph("show", path, "--task", "2", "--json", "--no-record").json["tasks"]
    assert task["extras"] == {"new": str(-(2**60))}
    assert task["inputs"][0]["dims"][0] == str(2**61)


@pytest.mark.parametrize("name", ["x.png", "x.SVG", "x.pdf", "x.dot", "x.jpg"])
def test_text_under_the_name_of_a_picture(name, example, mpkgraph, tmp_path):
    for options in ((), ("--task", "20"), ("--list", "tasks", "--csv")):
        result = mpkgraph("show", example, *options, "-o", tmp_path / name)
        assert result.code == 2
        assert f"--draw {tmp_path / name}" in result.err
        assert not (tmp_path / name).exists()


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
@pytest.mark.parametrize("held", [output.HELD_SIZE, 100], ids=["short", "long"])
def test_an_error_midway_leaves_no_part_of_a_short_result(
    form, held, mpkgraph, example, tmp_path, monkeypatch
):
    made = task_detail.task_detail

    def fail_at_last(context, task):
        if task == 4:
            raise GraphReadError("the cache is damaged")
        return made(context, task)

    monkeypatch.setattr(task_detail, "task_detail", fail_at_last)
    monkeypatch.setattr(output, "HELD_SIZE", held)
    result = mpkgraph("show", example, "--task", "2-4", *form)
    assert (result.code, "the cache is damaged" in result.err) == (3, True)
    assert bool(result.out) == (held == 100)
    target = tmp_path / "result"
    assert mpkgraph("show", example, "--task", "2-4", *form, "-o", target).code == 3
    assert list(tmp_path.glob("*result*")) == []


@pytest.mark.parametrize("form", ["--json", "--csv"])
def test_text_for_programs_moves_no_terminals_cursor(form, example, tmp_path):
    name = "a\x1b]0;title\x07\x9b31m\u202e\U000e0001"
    document = json.loads(example.read_text(encoding="utf-8"))
    document["all_tasks"][5]["inputs"][0]["base_ptr"] = name
    path = tmp_path / "task_graph_rank0.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    command = [sys.executable, "-m", "mpkgraph", "show", path, "--list", "tensors", form]
    leader, follower = os.openpty()
    with subprocess.Popen(command, stdout=follower, cwd=ROOT) as process:
        os.close(follower)
        parts = []
        with contextlib.suppress(OSError):  # the end of a terminal whose other side is closed
            while part := os.read(leader, 1 << 16):
                parts.append(part)
    os.close(leader)
    seen = b"".join(parts).decode()
    assert process.returncode == 0
    assert seen.replace("\r\n", "").isprintable()
    if form == "--json":
        assert name in {row["tensor"] for row in json.loads(seen)["rows"]}
    piped = subprocess.run(command, stdout=subprocess.PIPE, cwd=ROOT, check=True).stdout.decode()
    assert "\u202e" in piped
    assert form == "--json" or "\x1b" in piped
