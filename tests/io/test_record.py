"""Records: what is read is what was written, and what is wrong is named by place."""

import contextlib
import copy
import gzip
import io
import sys

import orjson
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from mpkgraph.errors import GraphReadError
from mpkgraph.io.record import (
    find_record,
    parse_record,
    read_record,
    save_record,
    write_record,
)
from mpkgraph.model.record import BlockGraph, LayerCall, OtherCall, TensorCall
from tests import goldens
from tests.amount import examples

DOCUMENT = {
    "schema": "mpk-pipeline-1",
    "case": "a name of the recorder's own",
    "mirage_commit": "de8745d9",
    "target_cc": 90,
    "init": {"world_size": 2, "mpi_rank": 1, "meta_tensors": {"step": [[1], "int32"]}},
    "tensors": [
        {
            "id": 0,
            "name": "x",
            "kind": "attach_input",
            "strides": [64, 1],
            "torch_dtype": "bfloat16",
            "dims": [8, 64],
            "dtype": "bf16",
        },
        {
            "id": 1,
            "name": "w",
            "kind": "attach_input",
            "dims": [64],
            "strides": [1],
            "dtype": "bf16",
        },
        {
            "id": 7,
            "name": "a.b",
            "kind": "new_tensor",
            "dims": [8, 64],
            "strides": [64, 1],
            "dtype": "bf16",
            "io_category": "cuda_tensor",
        },
        {
            "id": 8,
            "name": "both",
            "kind": "shuffle_tensors",
            "dims": [16, 64],
            "strides": [64, 1],
            "dtype": "bf16",
        },
    ],
    "log": [
        {
            "op": "attach_input",
            "tensor": 0,
            "name": "x",
            "dims": [8, 64],
            "strides": [64, 1],
            "dtype": "bf16",
        },
        {
            "op": "shuffle_tensors",
            "tensor": 8,
            "name": "both",
            "inputs": [{"tensor": 0, "name": "x"}, {"tensor": 7, "name": "a.b"}],
            "dim": 0,
            "num_groups": 2,
            "dims": [16, 64],
            "strides": [64, 1],
            "dtype": "bf16",
        },
        {
            "op": "layer",
            "method": "rmsnorm_layer",
            "args": {"input": {"tensor": 0, "name": "x"}, "output": [{"tensor": 7, "name": "a.b"}]},
            "lowlevel": [
                {
                    "op": "layer",
                    "method": "_rmsnorm",
                    "args": {},
                    "lowlevel": [
                        {
                            "op": "tbgraph",
                            "grid_dim": [8, 1, 1],
                            "inputs": [
                                {
                                    "tensor": 0,
                                    "name": "x",
                                    "input_map": [0, -1, -1],
                                    "forloop_dim": 1,
                                    "store_in_dmem": True,
                                },
                                {
                                    "tensor": None,
                                    "name": None,
                                    "input_map": [-1, -1, -1],
                                    "forloop_dim": -1,
                                    "store_in_dmem": False,
                                },
                            ],
                            "customized": [{"tensor": 0, "name": "x"}, None],
                            "register_task": {"name": "rmsnorm", "params": [4.0, 128]},
                        }
                    ],
                }
            ],
            "exception": "AssertionError: ",
        },
        {"op": "from_the_future", "tensor": 99, "what": {"is": ["this"]}},
        {"op": "tbgraph", "grid_dim": [1, 2, 3], "inputs": [], "customized": []},
    ],
    "generate": {"num_gpus": 2, "my_gpu_id": 1, "seconds": 0.0129, "json_bytes": 17050},
    "origin": {"script": "demo.py"},
}

BLOCK = ("log", 2, "lowlevel", 0, "lowlevel", 0)
BLOCK_PATH = "log[2].lowlevel[0].lowlevel[0]"


def parse(document):
    return parse_record(orjson.dumps(document), file="p.json")


def changed(path, value):
    """DOCUMENT with another value at `path`; a key that is not there is added."""
    document = copy.deepcopy(DOCUMENT)
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return document


def without(*path):
    document = copy.deepcopy(DOCUMENT)
    place = document
    for step in path[:-1]:
        place = place[step]
    del place[path[-1]]
    return document


@pytest.mark.parametrize("path", goldens.record_params())
def test_golden_records_come_back_as_they_were(path):
    record = read_record(path)
    assert record.to_json() == orjson.loads(goldens.unpack(path))
    assert record.path == str(path)


def test_content_and_unknown_fields_come_back():
    assert parse(DOCUMENT).to_json() == DOCUMENT


@pytest.mark.parametrize(
    "path",
    [
        ("generate",),
        ("origin",),
        ("tensors", 0, "torch_dtype"),
        ("tensors", 1, "io_category"),
        ("log", 0, "io_category"),
        (*BLOCK, "register_task"),
    ],
)
def test_null_and_absent_stay_apart(path):
    null = changed(path, None)
    absent = copy.deepcopy(null)
    place = absent
    for step in path[:-1]:
        place = place[step]
    del place[path[-1]]
    for document in (null, absent):
        assert parse(document).to_json() == document


@pytest.mark.parametrize(
    "path",
    [
        ("new",),
        ("init", "new"),
        ("generate", "new"),
        ("tensors", 2, "new"),
        ("log", 0, "new"),
        ("log", 1, "inputs", 0, "new"),
        ("log", 2, "new"),
        ("log", 2, "args", "new"),
        ("log", 3, "new"),
        (*BLOCK, "new"),
        (*BLOCK, "inputs", 0, "new"),
        (*BLOCK, "customized", 0, "new"),
        (*BLOCK, "register_task", "new"),
    ],
)
def test_new_fields_are_kept_everywhere(path):
    document = changed(path, {"any": [1, 2.5, None, "\N{SNOWMAN}"]})
    assert parse(document).to_json() == document


def test_parts_of_a_record():
    record = parse(DOCUMENT)
    assert (record.num_gpus, record.my_gpu_id) == (2, 1)
    assert [type(x) for x in record.log] == [
        TensorCall,
        TensorCall,
        LayerCall,
        OtherCall,
        BlockGraph,
    ]
    assert [x.base_ptr for x in record.tensors] == ["x", "w", "a_b", "both"]
    assert record.tensor_by_id[7].name == "a.b"
    call = record.calls[8]
    assert (call.num_groups, [x.tensor for x in call.inputs]) == (2, [0, 7])
    first, second = record.layers
    assert (first.index, first.where, first.grid_dim) == (0, BLOCK_PATH, (8, 1, 1))
    assert (first.methods, first.method) == (("rmsnorm_layer", "_rmsnorm"), "rmsnorm_layer")
    assert (first.register_name, first.params) == ("rmsnorm", (4.0, 128))
    assert [(x.tensor, x.input_map) for x in first.slots] == [(0, (0, -1, -1)), (None, (-1,) * 3)]
    assert (second.where, second.methods, second.method) == ("log[4]", (), None)
    assert (second.register_name, second.params) == (None, None)


def test_rank_of_a_refused_pipeline_is_that_of_init():
    record = parse(without("generate"))
    assert (record.num_gpus, record.my_gpu_id) == (2, 1)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.ZstdCompressor().compress])
def test_compression_is_told_by_content(tmp_path, monkeypatch, pack):
    data = pack(orjson.dumps(DOCUMENT))
    path = tmp_path / "any.name"
    path.write_bytes(data)
    assert read_record(path) == read_record(str(path)) == parse(DOCUMENT)

    class Stdin:
        buffer = io.BytesIO(data)

    monkeypatch.setattr(sys, "stdin", Stdin())
    record = read_record("-")
    assert record == parse(DOCUMENT)
    assert record.path is None


def test_written_records_read_back(tmp_path):
    record = parse(DOCUMENT)
    stream = io.BytesIO()
    write_record(record, stream)
    assert orjson.loads(stream.getvalue()) == DOCUMENT
    path = tmp_path / "pipeline_rank0.json"
    save_record(record, path)
    assert read_record(path) == record
    assert [x.name for x in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", ["", ".zst", ".gz"])
def test_find_record_takes_the_one_compressed_alike(tmp_path, suffix):
    graph = tmp_path / f"task_graph_rank3.json{suffix}"
    assert find_record(graph) is None
    (tmp_path / "pipeline_rank0.json").touch()
    (tmp_path / f"pipeline_rank3.json{suffix}x").touch()
    (tmp_path / "pipeline_rank3.json.gz").mkdir()
    assert find_record(graph) is None
    (tmp_path / "pipeline_rank3.json.gz").rmdir()
    for other in ("", ".zst", ".gz"):
        (tmp_path / f"pipeline_rank3.json{other}").touch()
    assert find_record(str(graph)) == tmp_path / f"pipeline_rank3.json{suffix}"
    (tmp_path / f"pipeline_rank3.json{suffix}").unlink()
    found = find_record(graph)
    assert found is not None
    assert found.name.startswith("pipeline_rank3.json")


@pytest.mark.parametrize(
    "name", ["-", "graph.json", "task_graph_rankX.json", "task_graph_rank0.txt"]
)
def test_find_record_of_other_names(tmp_path, name):
    (tmp_path / "pipeline_rank0.json").touch()
    assert find_record(tmp_path / name) is None


FAULTS = [
    (changed(("schema",), "mpk-pipeline-2"), "schema", "mpk-pipeline-2"),
    (without("schema"), "", "'schema' is missing"),
    (without("tensors"), "", "'tensors' is missing"),
    (changed(("tensors",), {}), "tensors", "expected an array, found {}"),
    (changed(("target_cc",), "90"), "target_cc", 'expected an integer, found "90"'),
    (changed(("target_cc",), bool(1)), "target_cc", "expected an integer, found true"),
    (changed(("mirage_commit",), None), "mirage_commit", "expected a string, found null"),
    (changed(("init",), []), "init", "expected an object, found []"),
    (changed(("init", "mpi_rank"), -1), "init.mpi_rank", "expected an integer from 0 up"),
    (changed(("generate", "num_gpus"), 2.0), "generate.num_gpus", "found 2.0"),
    (changed(("generate",), 3), "generate", "expected an object"),
    (changed(("origin",), "me"), "origin", "expected an object"),
    (changed(("tensors", 1, "id"), 0), "tensors[1].id", "two tensors have the id 0"),
    (changed(("tensors", 1, "kind"), "magic"), "tensors[1].kind", "attach_input"),
    (changed(("tensors", 1, "dims"), [64, 1]), "tensors[1]", "2 dims but 1 strides"),
    (changed(("tensors", 1, "dims"), [-64]), "tensors[1].dims", "integers from 0 up"),
    (changed(("tensors", 1, "dims"), [2**31]), "tensors[1].dims", "found [2147483648]"),
    (changed(("tensors", 1, "strides"), [1.0]), "tensors[1].strides", "found [1.0]"),
    (without("tensors", 2, "dtype"), "tensors[2]", "'dtype' is missing"),
    (changed(("log", 0), 1), "log[0]", "expected an object, found 1"),
    (without("log", 0, "op"), "log[0]", "'op' is missing"),
    (changed(("log", 0, "tensor"), 5), "log[0].tensor", "no tensor has the id 5"),
    (changed(("log", 0, "tensor"), None), "log[0].tensor", "expected an integer, found null"),
    (changed(("log", 1, "num_groups"), 0), "log[1].num_groups", "at least one group"),
    (changed(("log", 1, "inputs"), []), "log[1].inputs", "no tensors"),
    (without("log", 1, "dim"), "log[1]", "'dim' is missing"),
    (
        changed(("log", 1, "inputs", 1, "tensor"), 5),
        "log[1].inputs[1].tensor",
        "no tensor has the id 5",
    ),
    (changed(("log", 1, "inputs", 1, "name"), []), "log[1].inputs[1].name", "expected a string"),
    (changed(("log", 2, "args"), None), "log[2].args", "expected an object"),
    (
        changed(("log", 2, "args", "output", 0, "tensor"), 12),
        "log[2].args.output[0].tensor",
        "no tensor has the id 12",
    ),
    (changed(("log", 2, "lowlevel"), None), "log[2].lowlevel", "expected an array, found null"),
    (changed((*BLOCK, "grid_dim"), [8, 1]), f"{BLOCK_PATH}.grid_dim", "three integers from 0 up"),
    (changed((*BLOCK, "grid_dim"), [8, -1, 1]), f"{BLOCK_PATH}.grid_dim", "found [8,-1,1]"),
    (changed((*BLOCK, "grid_dim"), [8, 1, 2**31]), f"{BLOCK_PATH}.grid_dim", "three integers"),
    (changed((*BLOCK, "grid_dim"), [8, True, 1]), f"{BLOCK_PATH}.grid_dim", "found [8,true,1]"),
    (
        changed((*BLOCK, "inputs", 0, "input_map"), [0, -1]),
        f"{BLOCK_PATH}.inputs[0].input_map",
        "expected three 32-bit integers, found [0,-1]",
    ),
    (
        changed((*BLOCK, "inputs", 0, "input_map"), [2**31, -1, -1]),
        f"{BLOCK_PATH}.inputs[0].input_map",
        "three 32-bit integers",
    ),
    (
        changed((*BLOCK, "inputs", 0, "tensor"), 3),
        f"{BLOCK_PATH}.inputs[0].tensor",
        "no tensor has the id 3",
    ),
    (
        changed((*BLOCK, "inputs", 0, "store_in_dmem"), 1),
        f"{BLOCK_PATH}.inputs[0].store_in_dmem",
        "true or false",
    ),
    (
        changed((*BLOCK, "customized", 0), 3),
        f"{BLOCK_PATH}.customized[0]",
        "expected an object, found 3",
    ),
    (
        changed((*BLOCK, "register_task", "params"), ["a"]),
        f"{BLOCK_PATH}.register_task.params[0]",
        'expected a number, found "a"',
    ),
    (
        changed((*BLOCK, "register_task", "params"), [False]),
        f"{BLOCK_PATH}.register_task.params[0]",
        "expected a number",
    ),
    ([], "", "expected an object, found []"),
    ({"all_tasks": [], "all_events": []}, "", "this is a task graph"),
    (changed(("tensors",), [{"a": "b" * 100}]), "tensors[0]", "'kind' is missing"),
    (changed(("log", 2, "method"), ["c" * 100]), "log[2].method", "found an array of 1"),
    (changed(("target_cc",), {"d" * 100: 1}), "target_cc", "found an object"),
    (changed(("target_cc",), "e" * 100), "target_cc", "eee..."),
]


@pytest.mark.parametrize(("document", "path", "what"), FAULTS)
def test_faults_are_named_by_place(document, path, what):
    with pytest.raises(GraphReadError) as caught:
        parse(document)
    assert caught.value.where == ("p.json, " + path if path else "p.json")
    assert what in caught.value.what
    assert caught.value.remedy


def test_layers_nested_without_end():
    entry = {"op": "layer", "method": "m", "args": {}, "lowlevel": []}
    for _ in range(100):
        entry = {"op": "layer", "method": "m", "args": {}, "lowlevel": [entry]}
    with pytest.raises(GraphReadError, match="layers nest more than 64 deep"):
        parse(changed(("log",), [entry]))


@pytest.mark.parametrize(
    ("data", "what", "where"),
    [
        (b"", "empty", "p.json"),
        (b" \n ", "empty", "p.json"),
        (orjson.dumps(DOCUMENT)[:500], "ends before it is complete", "p.json, byte 500"),
        (b'{"\xc3\xa4": x}', "not JSON", "p.json, byte 7"),
        (b'{"a": 1} {"b": 2}', "not JSON", "p.json, byte 9"),
        (b'{"a": "\xff"}', "not JSON", "p.json, byte 7"),
        (b"\x7fELF\x00\x01", "not JSON", "p.json, byte 0"),
    ],
)
def test_what_is_not_json(data, what, where):
    with pytest.raises(GraphReadError) as caught:
        parse_record(data, file="p.json")
    assert what in caught.value.what
    assert caught.value.where == where


def test_files_that_can_not_be_read(tmp_path, monkeypatch):
    with pytest.raises(GraphReadError, match="no such file"):
        read_record(tmp_path / "none.json")
    with pytest.raises(GraphReadError, match="is a directory, not a record"):
        read_record(tmp_path)
    cut = tmp_path / "cut.json.zst"
    cut.write_bytes(zstandard.ZstdCompressor().compress(orjson.dumps(DOCUMENT))[:-20])
    with pytest.raises(GraphReadError, match=r"cut\.json\.zst"):
        read_record(cut)
    large = tmp_path / "large.json"
    large.write_bytes(orjson.dumps(DOCUMENT))
    monkeypatch.setattr("mpkgraph.io.record_file.MAX_RECORD_BYTES", 100)
    with pytest.raises(GraphReadError, match="is no recorded pipeline"):
        read_record(large)


def every_place(value, path=()):
    yield path
    if isinstance(value, (dict, list)):
        for step, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield from every_place(child, (*path, step))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 10)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3),
    lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=4), x, max_size=3),
    max_leaves=6,
)


@settings(max_examples=examples(400), deadline=None)
@given(st.sampled_from([x for x in every_place(DOCUMENT) if x]), JSON)
def test_any_other_value_reads_as_it_is_or_is_refused(path, value):
    document = changed(path, value)
    with contextlib.suppress(GraphReadError):
        assert parse(document).to_json() == document


@settings(max_examples=examples(100), deadline=None)
@given(st.integers(0, len(orjson.dumps(DOCUMENT)) - 1))
def test_any_beginning_of_a_record_is_refused(length):
    with pytest.raises(GraphReadError):
        parse_record(orjson.dumps(DOCUMENT)[:length], file="p.json")
