"""Values of meta tensors in a script that is written from a record: a batch that fits its pages."""

from __future__ import annotations

import itertools

import pytest

from mpkgraph.model.record import PipelineRecord
from mpkgraph.pipeline.script_values import meta_values


@pytest.mark.parametrize("requests", [1, 2, 3, 8])
@pytest.mark.parametrize("tokens", [1, 2, 7, 8, 100])
@pytest.mark.parametrize("size", [1, 3, 64])
def test_a_batch(requests, tokens, size):
    """All tokens belong to a request each, and all pages but the last of a request are full."""
    init = {
        "max_num_batched_requests": requests,
        "max_num_batched_tokens": tokens,
        "page_size": size,
    }
    values = meta_values(PipelineRecord("de8745d", 90, init, (), ()))
    rows, pages = values["qo_indptr_buffer"], values["paged_kv_indptr_buffer"]
    assert (rows[0], rows[-1], pages[0]) == (0, tokens, 0)
    assert len(rows) == len(pages) == requests + 1
    lengths = [end - start for start, end in itertools.pairwise(rows)]
    assert max(lengths) - min(lengths) <= 1
    assert values["num_new_tokens"] == values["prompt_lengths"] == lengths
    last = values["paged_kv_last_page_len_buffer"]
    assert len(last) == requests
    for number, (first, stop) in enumerate(itertools.pairwise(pages)):
        full = max(stop - first - 1, 0)
        assert full * size + last[number] == lengths[number]
        assert 0 <= last[number] <= size
        assert (last[number] == 0) == (stop == first)
    assert values["paged_kv_indices_buffer"] == list(range(pages[-1]))


@pytest.mark.parametrize("value", [None, 0, -1, "8", 2.5])
def test_a_record_that_does_not_say_how_large_a_batch_is(value):
    init = {"max_num_batched_requests": value, "max_num_batched_tokens": 4, "page_size": value}
    values = meta_values(PipelineRecord("de8745d", 90, init, (), ()))
    assert values["qo_indptr_buffer"] == [0, 4]
    assert values["paged_kv_indptr_buffer"] == [0, 4]
    assert values["paged_kv_last_page_len_buffer"] == [1]
