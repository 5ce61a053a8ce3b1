"""What examples do on a GPU and nowhere else, as far as that needs no GPU: torch lends the CPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpkgraph.pipeline.compile import CompileOptions, compile_pipelines

pytest.importorskip("torch")

EXAMPLES = Path(__file__).parents[1] / "examples"

ON_A_GPU = f"""
import sys
sys.path.insert(0, {str(EXAMPLES)!r})
import common
common.is_planning = lambda: False
"""
"""A script in which examples take their GPU's part; the session lends them the CPU."""


def run_on_a_gpu(folder, text):
    script = folder / "on_a_gpu.py"
    script.write_text(ON_A_GPU + text, encoding="utf-8")
    return compile_pipelines([str(script)], CompileOptions(emit=frozenset(), cc=90))


def test_tensors_of_a_gpu_have_the_shapes_that_are_planned(tmp_path):
    text = """
import torch
kinds = ("bfloat16", "float32", "float8_e4m3fn", "int32", "int64", "uint32")
for kind in kinds:
    for column_major in (False, True):
        made = common.tensor(6, 4, dtype=kind, column_major=column_major)
        assert (made.shape, made.dtype) == ((6, 4), getattr(torch, kind))
        assert made.stride() == ((1, 6) if column_major else (4, 1))
        assert made.device.type == "cuda"
        assert bool(made.float().any()) == made.dtype.is_floating_point
import decoder_parts
meta = decoder_parts.decoder_kernel(8, 2).meta_tensors
assert meta["qo_indptr_buffer"].tolist() == [0, 4, 8]
assert meta["paged_kv_indptr_buffer"].tolist() == [0, 1, 2]
assert meta["paged_kv_last_page_len_buffer"].tolist() == [4, 4]
assert meta["paged_kv_indices_buffer"].tolist() == list(range(16))
kernel = common.new_kernel(max_num_batched_requests=2)
common.use_rows(kernel, 8)
assert kernel.meta_tensors["qo_indptr_buffer"].tolist() == [0, 8, 8]
assert kernel.meta_tensors["qo_indptr_buffer"].dtype == torch.int32
sys.argv = ["fork.py", "--rows", "2", "--hidden", "256"]
import fork
common.main(fork.build)
"""
    result = run_on_a_gpu(tmp_path, text)
    assert [len(x.record.layers) for x in result.compiled] == [3]
    assert not result.notes


def test_rmsnorm_compares_with_torch(tmp_path, capfd):
    """What nothing has executed differs: outputs keep what they hold."""
    result = run_on_a_gpu(tmp_path, "import rmsnorm\nrmsnorm.main()\n")
    assert len(result.compiled) == 1
    assert not result.notes
    difference = float(capfd.readouterr().out.split(": ")[1])
    assert difference > 0.01
