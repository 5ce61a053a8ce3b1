"""Requests of a batch with their pages, scattered over the cache."""

import torch


class Batch:
    """`new[r]` tokens of request r are new, at the end of `lengths[r]` positions."""

    def __init__(self, new, lengths, page_size, num_pages=None, seed=0):
        self.new, self.lengths, self.page_size = new, lengths, page_size
        pages = [-(-n // page_size) if t else 0 for n, t in zip(lengths, new, strict=True)]
        self.num_pages = num_pages or sum(pages)
        order = torch.randperm(self.num_pages, generator=torch.Generator().manual_seed(seed))
        self.page_starts = [sum(pages[:r]) for r in range(len(new) + 1)]
        self.indices = order[: sum(pages)].int()
        self.starts = [sum(new[:r]) for r in range(len(new) + 1)]
        last = [n - (p - 1) * page_size if p else 0 for n, p in zip(lengths, pages, strict=True)]
        self.meta = {
            "qo_indptr_buffer": torch.tensor(self.starts, dtype=torch.int32),
            "paged_kv_indptr_buffer": torch.tensor(self.page_starts, dtype=torch.int32),
            "paged_kv_indices_buffer": self.indices,
            "paged_kv_last_page_len_buffer": torch.tensor(last, dtype=torch.int32),
        }

    @property
    def sizes(self):
        """Parameters of a PersistentKernel."""
        return {
            "max_num_batched_requests": len(self.new),
            "max_num_batched_tokens": self.num_tokens,
            "max_num_pages": self.num_pages,
            "page_size": self.page_size,
            "max_seq_length": self.max_seq_length,
        }

    @property
    def max_seq_length(self):
        return 1024

    @property
    def num_tokens(self):
        return self.starts[-1]

    def rows(self, request):
        return range(self.starts[request], self.starts[request + 1])

    def place(self, request, position):
        """(page, place in it), a position at a time."""
        slot = self.page_starts[request] + position // self.page_size
        return int(self.indices[slot]), position % self.page_size

    def gathered(self, cache, request, length):
        """The first positions of a request, one after the other."""
        return torch.stack([cache[self.place(request, p)] for p in range(length)])
