"""The lines of a script that is written from a record; no torch needed."""

from __future__ import annotations

import ast
from dataclasses import replace

import pytest

from mpkgraph.pipeline import CyTBGraph, TBGraph, TensorSpec
from mpkgraph.pipeline.script_text import script_text
from tests.pipelines import own
from tests.pipelines.kit import WHOLE, attach, block, record_of


def text_of(record, title="What it is"):
    text = script_text(record, title)
    ast.parse(text)
    return text


def one_norm(kernel):
    x, w = attach(kernel, "x", 8, 512), attach(kernel, "w", 512)
    kernel.rmsnorm_layer(x, w, attach(kernel, "y", 8, 512), (8, 1, 1), block(kernel))


@pytest.mark.parametrize(
    ("title", "told"),
    [
        ("What it is", "What it is"),
        ('a "quoted" name', "a 'quoted' name"),
        ("C:\\graphs\\x", "C:/graphs/x"),
        ('"""', "'''"),
        ("two\nlines\x1b[31m", "two lines [31m"),
        ("übermäßig", "übermäßig"),
    ],
)
def test_a_title_is_a_line_of_a_docstring(title, told):
    assert ast.get_docstring(ast.parse(text_of(record_of(one_norm), title))) == told


def test_only_a_script_of_several_ranks_asks_mpi():
    alone = text_of(record_of(one_norm))
    assert "MPI" not in alone
    assert "mpi_rank" not in alone
    assert "world_size" not in alone
    ranks = text_of(record_of(one_norm, world_size=2, mpi_rank=1))
    assert "import torch\nfrom mpi4py import MPI\n" in ranks
    assert ranks.count("mpi_rank") == 1
    assert "    world_size=2,\n" in ranks
    assert "    mpi_rank=MPI.COMM_WORLD.Get_rank(),\n" in ranks


def test_parameters_of_the_kernel_are_written_as_they_are():
    record = record_of(one_norm, max_num_pages=7, trace_name="it's", use_cutlass_kernel=True)
    odd_one = replace(record, init={**record.init, "eos_token_id": None, "new": [1], "ratio": 0.5})
    text = text_of(odd_one)
    for line in ("max_num_pages=7", 'trace_name="it\'s"', "use_cutlass_kernel=True", "ratio=0.5"):
        assert f"    {line},\n" in text
    assert "    eos_token_id=None,\n" in text
    assert "new=" not in text


def test_tensors_are_made_as_they_lie():
    def build(kernel):
        layouts = {"rows": (512, 1), "columns": (1, 8), "padded": (1024, 1)}
        tensors = {
            name: kernel.attach_input(TensorSpec((8, 512), "bfloat16", strides), name=name)
            if name != "padded"
            else kernel.new_tensor(dims=(8, 512), strides=strides, name=name)
            for name, strides in layouts.items()
        }
        square = kernel.attach_input(TensorSpec((8, 8), "float8_e8m0fnu", (1, 8)), name="square")
        column = kernel.attach_input(TensorSpec((8, 1), "float32", (1, 1)), name="column")
        assert square.strides != column.strides
        w = attach(kernel, "w", 512)
        kernel.rmsnorm_layer(tensors["rows"], w, tensors["columns"], (8, 1, 1), block(kernel))

    text = text_of(record_of(build))
    made = 'torch.randn({}, device="cuda").to(torch.{})'
    assert f"rows = pk.attach_input({made.format('8, 512', 'bfloat16')}, name='rows')" in text
    assert f"columns = pk.attach_input({made.format('512, 8', 'bfloat16')}.t(), name=" in text
    assert 'torch.zeros(8, 8, dtype=torch.float8_e8m0fnu, device="cuda").t(), name=' in text
    assert f"column = pk.attach_input({made.format('8, 1', 'float32')}, name='column')" in text
    assert "padded = pk.new_tensor(dims=(8, 512), strides=(1024, 1), dtype=" in text


def test_meta_tensors_that_say_which_rows_are_used():
    meta = {
        "qo_indptr_buffer": {"torch": [4], "strides": [1], "dtype": "int32"},
        "paged_kv_indptr_buffer": {"torch": [2], "strides": [1], "dtype": "int32"},
        "tokens": {"torch": [1, 8], "strides": [8, 1], "dtype": "int64"},
    }
    sizes = {"max_num_batched_requests": 1, "max_num_batched_tokens": 8, "page_size": 4}
    record = record_of(one_norm, **sizes)
    text = text_of(replace(record, init={**record.init, "meta_tensors": meta}))
    assert "'qo_indptr_buffer': torch.tensor([0, 8, 0, 0], dtype=torch.int32, device=" in text
    assert "'paged_kv_indptr_buffer': torch.tensor([0, 2], dtype=torch.int32, device=" in text
    assert "'tokens': torch.zeros([1, 8], dtype=torch.int64, device=" in text


def test_what_is_imported_is_used():
    def core_graph(kernel):
        graph = TBGraph(CyTBGraph((1, 1, 1), (128, 1, 1), 4, 64))
        x = attach(kernel, "x", 8, 512)
        graph.new_input(x, WHOLE, 1, store_in_dmem=True)
        kernel.kn_graph.customized([x], graph)

    text = text_of(record_of(one_norm))
    assert "TBGraph" not in text
    assert "dtype\n" not in text
    blocks = text_of(record_of(core_graph))
    assert "from mirage.core import CyTBGraph\n" in blocks
    assert "graph = TBGraph(CyTBGraph((1, 1, 1), (128, 1, 1), 4, 64))\n" in blocks
    assert "from mirage.threadblock import TBGraph\n" in blocks
    both = text_of(record_of(own.test_gateup_silu_down))
    assert ("dtype(" in both.replace("torch.dtype(", "")) == ("import dtype" in both)
