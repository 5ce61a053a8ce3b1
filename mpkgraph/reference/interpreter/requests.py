"""Meta tensors of a batch that could be: who has which tokens, and which pages of the cache."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mpkgraph.reference.call import Settings

OLD_TOKENS = 5
"""So many tokens each request has in the cache already, where there is room."""


@dataclass(frozen=True)
class Batch:
    """Requests of one iteration: all slots in use, tokens dealt out evenly."""

    settings: Settings
    vocabulary: int
    seed: int

    @cached_property
    def new_tokens(self) -> list[int]:
        """By request."""
        requests = max(self.settings.max_num_batched_requests, 1)
        tokens = max(self.settings.max_num_batched_tokens, 1)
        ends = [tokens * (i + 1) // requests for i in range(requests)]
        return [b - a for a, b in zip([0, *ends], ends, strict=False)]

    @cached_property
    def lengths(self) -> list[int]:
        """By request tokens in the cache, the new ones included."""
        settings = self.settings
        share = settings.max_num_pages // len(self.new_tokens)
        room = min(max(share, 1) * max(settings.page_size, 1), max(settings.max_seq_length, 1))
        return [min(max(room, n), n + OLD_TOKENS) if n else 0 for n in self.new_tokens]

    @cached_property
    def pages(self) -> list[list[int]]:
        """By request its pages, in no order that would hide a mistake."""
        size = max(self.settings.page_size, 1)
        counts = [-(-n // size) for n in self.lengths]
        total = max(self.settings.max_num_pages, sum(counts))
        order = np.random.default_rng(self.seed).permutation(total).tolist()
        found, start = [], 0
        for count in counts:
            found.append(order[start : start + count])
            start += count
        return found

    def values(self) -> Mapping[str, list[int]]:
        """By name what each meta tensor begins with; the rest of it is 0."""
        rng = np.random.default_rng(self.seed + 1)
        size = max(self.settings.page_size, 1)
        used = [page for pages in self.pages for page in pages]
        counts = [len(pages) for pages in self.pages]
        tokens = sum(self.new_tokens)
        return {
            "step": [n - new for n, new in zip(self.lengths, self.new_tokens, strict=True)],
            "num_new_tokens": self.new_tokens,
            "prompt_lengths": self.lengths,
            "input_tokens": rng.integers(0, self.vocabulary, tokens).tolist(),
            "output_tokens": [],
            "qo_indptr_buffer": np.cumsum([0, *self.new_tokens]).tolist(),
            "paged_kv_indptr_buffer": np.cumsum([0, *counts]).tolist(),
            "paged_kv_indices_buffer": used,
            "paged_kv_last_page_len_buffer": [(n - 1) % size + 1 if n else 0 for n in self.lengths],
        }

    def shapes(self, names: Iterable[str]) -> dict[str, Any]:
        """Shapes of meta tensors that nobody gave, by name, as a record has them."""
        settings = self.settings
        requests = max(settings.max_num_batched_requests, 1)
        tokens = max(settings.max_num_batched_tokens, 1)
        dims: dict[str, tuple[list[int], str]] = {
            "step": ([requests], "int32"),
            "tokens": ([requests, max(settings.max_seq_length, 1)], "int64"),
            "input_tokens": ([tokens, 1], "int64"),
            "output_tokens": ([tokens, 1], "int64"),
            "num_new_tokens": ([requests], "int32"),
            "prompt_lengths": ([requests], "int32"),
            "qo_indptr_buffer": ([requests + 1], "int32"),
            "paged_kv_indptr_buffer": ([requests + 1], "int32"),
            "paged_kv_indices_buffer": ([max(settings.max_num_pages, 1)], "int32"),
            "paged_kv_last_page_len_buffer": ([requests], "int32"),
        }
        return {
            name: {"torch": dims[name][0], "dtype": dims[name][1]}
            for name in sorted(names)
            if name in dims
        }

    def meta_tensors(self, shapes: Mapping[str, Any]) -> dict[str, Any]:
        """Tensors of the shapes that a record holds: `{"torch": [9], "dtype": "int32"}` by name."""
        import torch

        values = self.values()
        found: dict[str, Any] = {}
        for name, shape in shapes.items():
            if not isinstance(shape, dict) or "torch" not in shape:
                continue
            tensor = torch.zeros(tuple(shape["torch"]), dtype=getattr(torch, shape["dtype"]))
            flat = tensor.view(-1)
            if name == "tokens":
                rng = np.random.default_rng(self.seed + 2)
                flat.copy_(torch.from_numpy(rng.integers(0, self.vocabulary, len(flat))))
            else:
                first = values.get(name, [])[: len(flat)]
                flat[: len(first)] = torch.tensor(first, dtype=tensor.dtype)
            found[name] = tensor
        return found
