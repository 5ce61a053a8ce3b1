"""Buffers with guard zones, poison, and the batches that are made up."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mpkgraph.reference.call import Settings  # noqa: E402
from mpkgraph.reference.interpreter.buffer import Buffer, OutsideError  # noqa: E402
from mpkgraph.reference.interpreter.requests import Batch  # noqa: E402

TYPES = ["DT_BFLOAT16", "DT_FLOAT32", "DT_INT64", "DT_FLOAT8", "DT_UINT8", "float8_e8m0fnu"]


@pytest.mark.parametrize("name", TYPES)
def test_new_memory_is_unwritten_until_it_is_written(name):
    buffer = Buffer.new("x", name, 24)
    assert buffer.unwritten().all()
    assert not buffer.guards_broken()
    buffer.elements.view(torch.uint8).fill_(0)
    assert not buffer.unwritten().any()
    assert not buffer.guards_broken()


@pytest.mark.parametrize("name", ["DT_BFLOAT16", "DT_FLOAT32", "DT_DOUBLE", "DT_FLOAT16"])
def test_poison_of_floats_is_not_a_number(name):
    assert torch.isnan(Buffer.new("x", name, 64).elements.double()).all()


def test_a_computed_nan_counts_as_written():
    buffer = Buffer.new("x", "DT_BFLOAT16", 8)
    buffer.elements[:2] = float("nan")
    assert buffer.unwritten().tolist() == [False, False, True, True]


@pytest.mark.parametrize("place", [-1, 4])
def test_guards_tell_of_writes_beside_the_tensor(place):
    buffer = Buffer.new("x", "DT_BFLOAT16", 8)
    buffer.view((1,), (1,), 2 * place).fill_(1.0)
    assert buffer.guards_broken()
    assert not buffer.guards_broken()  # mended


def test_views_end_at_the_guards():
    buffer = Buffer.new("x", "DT_FLOAT32", 64)
    buffer.view((4, 4), (4, 1), 4)  # reaches into the guard
    with pytest.raises(OutsideError, match="too far"):
        buffer.view((4, 4), (1 << 20, 1), 0)
    with pytest.raises(OutsideError, match="multiple"):
        buffer.view((1,), (1,), 2)


def test_borrowed_memory_is_the_callers():
    tensor = torch.arange(12, dtype=torch.float32).reshape(3, 4)[1:, 1:]
    buffer = Buffer.borrowed("x", "DT_FLOAT32", tensor)
    view = buffer.view(tensor.shape, tensor.stride(), 0)
    assert torch.equal(view, tensor)
    view[0, 0] = -1.0
    assert tensor[0, 0] == -1.0
    copy = buffer.clone()
    copy.elements[0] = 7.0
    assert tensor[0, 0] == -1.0


@pytest.mark.parametrize("requests", [1, 3, 8])
@pytest.mark.parametrize("tokens", [1, 8, 13])
@pytest.mark.parametrize("size", [4, 64])
def test_a_batch_fits_its_pages(requests, tokens, size):
    settings = Settings(
        max_num_batched_requests=requests,
        max_num_batched_tokens=tokens,
        max_num_pages=16 * requests,
        page_size=size,
        max_seq_length=512,
    )
    batch = Batch(settings, 100, seed=3)
    values = batch.values()
    assert values["qo_indptr_buffer"][-1] == tokens
    assert np.diff(values["qo_indptr_buffer"]).tolist() == batch.new_tokens
    pages = values["paged_kv_indices_buffer"]
    assert len(set(pages)) == len(pages)
    assert max(pages, default=0) < settings.max_num_pages
    starts = values["paged_kv_indptr_buffer"]
    last = values["paged_kv_last_page_len_buffer"]
    for i, length in enumerate(batch.lengths):
        count = starts[i + 1] - starts[i]
        assert length >= batch.new_tokens[i]
        assert (count - 1) * size + last[i] == length if length else count == 0
    assert batch.values() == Batch(settings, 100, seed=3).values()
