"""What commands print is as the JSON Schemas say, and has no key that they don't know."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from mpkgraph.cli.main import run
from mpkgraph.errors import UsageError
from mpkgraph.schemas import NAMES, file_of, json_schema

jsonschema = pytest.importorskip("jsonschema")

ROOT = Path(__file__).parents[1]
GRAPH = "examples/decoder/task_graph_rank0.json"
NOT_PRINTED = {
    "baseline",
    "cost",
    "kernel",
    "overlay",
    "page",
    "patch",
    "sweep-point",
    "tensors",
} | {"verify-result"}
"""Schemas of files and of the cache, without `mpkgraph-` and version."""

COMMANDS = f"""
show {GRAPH}
show examples/decoder --workers 16
show {GRAPH} --task 0,1,41,363
show {GRAPH} --event 0-6
show {GRAPH} --operator 0-5
show {GRAPH} --tensor rmsnorm_out
show {GRAPH} --list tasks --operator 0-4
show {GRAPH} --list slots --operator 0-2
show {GRAPH} --list events
show {GRAPH} --list operators
show {GRAPH} --list tensors
show {GRAPH} --path 3 41 --all-paths --limit 3
show {GRAPH} --task 41 --hops 2
show examples/decoder --schedule --what-if events=split
show {GRAPH} --schedule --workers 4 --schedulers 1
verify examples/decoder --select all
verify examples/tensor_parallel.py:build --set layers=1 --rank 1 --world-size 2 --select all
verify broken.py:build --select all
verify --list-rules
verify --explain MPK101
verify --list-tasks
compile examples/rmsnorm.py:build --dry-run
compile broken.py:build --dry-run --check
compile --doctor
diff examples/decoder --ranks 0 1 --findings
diff broken.py:build broken.py:build --left-set blocks=6 --right-set blocks=8 --findings --makespan
diff examples/fork.py:build examples/join.py:build
diff examples/fork.py:build examples/fork.py:build
"""
BROKEN = """
from mpkgraph.pipeline import TensorSpec


def build(pk, blocks: int = 6):
    x, w, out = (
        pk.attach_input(TensorSpec((n, 512), "bfloat16"), name=name)
        for n, name in ((8, "x"), (512, "w"), (8, "out"))
    )
    block = (256, 1, 1)
    pk.linear_layer(input=x, weight=w, output=out, grid_dim=(blocks, 1, 1), block_dim=block)
"""


def strict(schema):
    """The same schema, where an object has no keys but those that are named."""
    if isinstance(schema, list):
        return [strict(x) for x in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: strict(value) for key, value in schema.items()}
    if "properties" in schema and isinstance(schema["properties"], dict):
        inner.setdefault("additionalProperties", False)
    return inner


VALIDATORS = {name: jsonschema.Draft202012Validator(strict(json_schema(name))) for name in NAMES}


def check(document):
    """Raises AssertionError with the place that is not as the schema says."""
    validator = VALIDATORS[document["schema"]]
    if "oneOf" in validator.schema:  # Say what is wrong in the view, not that no view fits
        several = "ranks" in document and document["view"] == "summary"
        (view,) = [
            x
            for x in validator.schema["oneOf"]
            if x["properties"]["view"]["const"] == document["view"]
            and (document["view"] != "summary" or several == ("ranks" in x["properties"]))
        ]
        validator = validator.evolve(schema={**view, "$defs": validator.schema["$defs"]})
    errors = [f"{x.json_path}: {x.message[:300]}" for x in validator.iter_errors(document)]
    assert not errors, "\n".join(errors[:5])


@pytest.mark.parametrize("name", NAMES)
def test_schemas_are_json_schemas(name):
    schema = json.loads(file_of(name).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    assert name in json.dumps(schema)


def test_every_printed_form_has_a_schema():
    source = "".join(x.read_text(encoding="utf-8") for x in (ROOT / "mpkgraph").rglob("*.py"))
    named = set(re.findall(r'SCHEMA(?:: Final)? = "(mpkgraph-[a-z-]+/\d+)"', source))
    printed = {x for x in named if x.split("/")[0][9:] not in NOT_PRINTED}
    assert set(NAMES) == printed, "--json of a new form needs a schema in mpkgraph/schemas"


def test_an_unknown_name_is_told():
    with pytest.raises(UsageError, match="mpkgraph-verify/1"):
        json_schema("mpkgraph-verify/99")


@pytest.mark.parametrize("command", COMMANDS.strip().splitlines())
def test_what_commands_print(command, tmp_path, monkeypatch, capfd):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "broken.py").write_text(BROKEN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MIRAGE_HOME", raising=False)
    monkeypatch.setenv("MPKGRAPH_CACHE_DIR", str(tmp_path / "cache"))
    run([*shlex.split(command), "--json"])
    check(json.loads(capfd.readouterr().out))


GOLDEN = sorted((ROOT / "tests" / "golden").rglob("*.json"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_golden_outputs(path):
    check(json.loads(path.read_text(encoding="utf-8")))


def test_a_wrong_object_is_told():
    document = json.loads((ROOT / "tests/golden/verify/ordinary.json").read_text(encoding="utf-8"))
    finding = document["pipelines"][0]["findings"][0]
    for key, value in (("severity", "bad"), ("count", None), ("another", 1)):
        before = dict(finding)
        finding[key] = value
        with pytest.raises(AssertionError, match="pipelines"):
            check(document)
        finding.clear()
        finding.update(before)
    del finding["code"]
    with pytest.raises(AssertionError, match="'code' is a required property"):
        check(document)
