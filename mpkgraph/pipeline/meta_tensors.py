"""What Mirage asks of the meta tensors outside test mode (`persistent_kernel.py:421-453`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mpkgraph.pipeline.dtypes import torch_name
from mpkgraph.pipeline.refusal import refuse

TYPES = (
    ("tokens", "int64"),
    ("input_tokens", "int64"),
    ("output_tokens", "int64"),
    ("num_new_tokens", "int32"),
    ("prompt_lengths", "int32"),
    ("qo_indptr_buffer", "int32"),
    ("paged_kv_indptr_buffer", "int32"),
    ("paged_kv_indices_buffer", "int32"),
    ("paged_kv_last_page_len_buffer", "int32"),
)
"""(meta tensor, type) in the order checked."""


def check_meta_tensors(
    meta_tensors: Mapping[str, Any],
    *,
    max_seq_length: int,
    max_num_batched_requests: int,
    max_num_pages: int,
) -> int:
    """Refuse as Mirage does; the number of requests, which is the rows of `tokens`."""
    tokens = _need(meta_tensors, "tokens")
    if max_seq_length != tokens.shape[1]:
        refuse(
            AssertionError,
            f"max_seq_length is {max_seq_length}, but tokens holds {tokens.shape[1]} a request: "
            f"{list(tokens.shape)}",
            remedy=f"Make tokens [{tokens.shape[0]}, {max_seq_length}]",
        )
    requests = ("max_num_batched_requests", max_num_batched_requests)
    for name, (limit_name, limit), extra in (
        ("qo_indptr_buffer", requests, 1),
        ("paged_kv_indptr_buffer", requests, 1),
        ("paged_kv_indices_buffer", ("max_num_pages", max_num_pages), 0),
        ("paged_kv_last_page_len_buffer", requests, 0),
    ):
        shape = _need(meta_tensors, name).shape
        if shape[0] > limit + extra:
            refuse(
                AssertionError,
                f"{name} holds {shape[0]} elements, but {limit_name} is {limit}",
                remedy=f"Make it at most {limit + extra} long",
                upstream=f"{name}.shape: {shape}, {limit_name}: {limit}",
            )
    for name, wanted in TYPES:
        data_type = _need(meta_tensors, name).dtype
        if torch_name(data_type) != wanted:
            refuse(
                AssertionError,
                f"{name} is of type {data_type}",
                remedy=f"Make it {wanted}",
                upstream=f"{name}.dtype: {data_type}",
            )
    return int(tokens.shape[0])


def _need(meta_tensors: Mapping[str, Any], name: str) -> Any:
    if name not in meta_tensors:
        refuse(
            KeyError,
            f"meta_tensors has no {name!r}",
            remedy="Give it, or make the kernel with test_mode=True",
            upstream=repr(name),
        )
    return meta_tensors[name]
