"""A decoder in parts that models share: embedding, attention, MLP, next token.

One iteration takes `batch` tokens of `requests` requests through all layers. Buffers between
layers are made once and used by every layer in turn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mirage as mi
from common import is_planning, new_kernel, tensor, threads

MAX_POSITIONS = 4096
"""Rows of the tables for rotary position embedding."""
CHUNK_TOKENS = 256
"""Tokens of the cache that one task of split attention reads."""


@dataclass(frozen=True)
class Model:
    """Sizes of a decoder, in elements."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    vocab: int
    padded_vocab: int
    """Rows of the output projection: filled up so that they can be split evenly."""
    head_dim: int = 128
    qk_norm: bool = True
    """Whether queries and keys are normalised by head, as in Qwen3."""


@dataclass(frozen=True)
class Split:
    """How many tasks a layer becomes."""

    linear: Callable[[int], int]
    """Of a linear layer, by its number of outputs."""
    residual_tile: int = 64
    """Outputs that one task of a linear layer with residual makes."""
    head_by_worker: bool = True
    """Whether the output projection is one task a worker, else as any linear layer."""


def first_that_divides(size: int, *choices: int) -> int:
    """The first of some numbers of tasks that splits `size` outputs evenly."""
    for tasks in choices:
        if size % tasks == 0:
            return tasks
    raise ValueError(f"{size} outputs can't be split into {' or '.join(map(str, choices))} tasks")


def decoder_kernel(
    batch: int,
    requests: int | None,
    *,
    max_seq_length: int = 512,
    max_num_pages: int = 16,
    page_size: int = 4096,
    **others: Any,
) -> Any:
    """A kernel for `batch` tokens at a time; by default each is of a request of its own."""
    requests = batch if requests is None else requests
    return new_kernel(
        max_num_batched_tokens=batch,
        max_num_batched_requests=requests,
        max_seq_length=max_seq_length,
        max_num_pages=max_num_pages,
        page_size=page_size,
        meta_tensors=_meta_tensors(batch, requests, max_seq_length, max_num_pages),
        **others,
    )


def _meta_tensors(batch: int, requests: int, max_seq_length: int, pages: int) -> dict[str, Any]:
    """What attention reads of the batch: which tokens and which cache pages are whose."""
    made = {
        "step": tensor(requests, dtype="int32"),
        "tokens": tensor(requests, max_seq_length, dtype="int64"),
        "input_tokens": tensor(batch, 1, dtype="int64"),
        "output_tokens": tensor(batch, 1, dtype="int64"),
        "num_new_tokens": tensor(requests, dtype="int32"),
        "prompt_lengths": tensor(requests, dtype="int32"),
        "qo_indptr_buffer": tensor(requests + 1, dtype="int32"),
        "paged_kv_indptr_buffer": tensor(requests + 1, dtype="int32"),
        "paged_kv_indices_buffer": tensor(pages, dtype="int32"),
        "paged_kv_last_page_len_buffer": tensor(requests, dtype="int32"),
    }
    if not is_planning():
        # The first step of fresh requests: an equal share of the tokens, and one page, for each.
        share = batch // requests
        steps = range(requests + 1)
        for name, values in (
            ("qo_indptr_buffer", [share * x for x in steps]),
            ("paged_kv_indptr_buffer", list(steps)),
            ("paged_kv_indices_buffer", list(range(pages))),
            ("paged_kv_last_page_len_buffer", [share] * requests),
            ("num_new_tokens", [share] * requests),
            ("prompt_lengths", [share] * requests),
        ):
            made[name].copy_(made[name].new_tensor(values))
    return made


class Decoder:
    """Describes a decoder's layers to a kernel, in the order of their calls."""

    sum_memory = "cuda_tensor"
    """Memory of what a linear layer with residual makes."""

    def __init__(self, kernel: Any, model: Model, split: Split) -> None:
        self.kernel, self.model, self.split = kernel, model, split
        self.batch = kernel.max_num_batched_tokens
        self.block = threads(kernel)
        self.heads, self.kv_heads = self.share(model.heads), self.share(model.kv_heads)
        self.intermediate = self.share(model.intermediate)
        self.cos, self.sin = (
            self.weight(f"{name}_position_embedding", MAX_POSITIONS, model.head_dim)
            for name in ("cos", "sin")
        )
        qkv = (self.heads + 2 * self.kv_heads) * model.head_dim
        self.embed_out = self.buffer("embed_out", model.hidden)
        self.rmsnorm_out = self.buffer("rmsnorm_out", model.hidden)
        self.attn_in = self.buffer("attn_in", qkv)
        self.attn_out = self.buffer("attn_out", self.heads * model.head_dim)
        self.attn_proj_out = self.buffer("attn_proj_out", model.hidden, memory=self.sum_memory)

    def share(self, size: int) -> int:
        """One GPU's part of something that a model has `size` of."""
        return size

    def total(self, partial: Any, name: str) -> Any:
        """The sum over GPUs of what each of them has made a part of."""
        del name
        return partial

    def weight(self, name: str, *shape: int) -> Any:
        return self.kernel.attach_input(tensor(*shape), name=name)

    def buffer(
        self, name: str, *columns: int, dtype: Any = mi.bfloat16, memory: str = "cuda_tensor"
    ) -> Any:
        """A row a token, in memory that the generated code allocates."""
        return self.kernel.new_tensor(
            dims=(self.batch, *columns), dtype=dtype, name=name, io_category=memory
        )

    def embed(self) -> Any:
        """Look the tokens up; `input_source=1` takes them from the input tensor."""
        tokens = self.kernel.meta_tensors["input_tokens"]
        self.kernel.embed_layer(
            input=self.kernel.attach_input(tokens, name="input_token"),
            weight=self.weight("embed_tokens", self.model.vocab, self.model.hidden),
            output=self.embed_out,
            grid_dim=(1, 1, 1),
            block_dim=self.block,
            input_source=1,
        )
        return self.embed_out

    def norm(self, x: Any, weight: str, output: Any | None = None) -> Any:
        """RMS normalisation, a task a token."""
        output = self.rmsnorm_out if output is None else output
        self.kernel.rmsnorm_layer(
            input=x,
            weight=self.weight(weight, self.model.hidden),
            output=output,
            grid_dim=(self.batch, 1, 1),
            block_dim=self.block,
        )
        return output

    def linear(self, x: Any, weight: Any, output: Any, tasks: int | None = None) -> Any:
        self.kernel.linear_layer(
            input=x,
            weight=weight,
            output=output,
            grid_dim=(tasks or self.split.linear(weight.dim(0)), 1, 1),
            block_dim=self.block,
        )
        return output

    def linear_with_residual(self, x: Any, weight: Any, residual: Any, output: Any) -> Any:
        self.kernel.linear_with_residual_layer(
            input=x,
            weight=weight,
            residual=residual,
            output=output,
            grid_dim=(weight.dim(0) // self.split.residual_tile, 1, 1),
            block_dim=self.block,
        )
        return output

    def attention(self, layer: int, x: Any, norm_out: Any | None = None) -> Any:
        """Normalise, make queries, keys and values, attend, project; plus x."""
        hidden, head_dim = self.model.hidden, self.model.head_dim
        normed = self.norm(x, f"layer_{layer}_input_layernorm", norm_out)
        # One linear layer for all three. Rows are shuffled by head of keys and values, so that
        # what a task of attention needs is one run of columns: its queries, key and value.
        parts = [
            self.weight(f"layer_{layer}_{name}_proj", heads * head_dim, hidden)
            for name, heads in (("q", self.heads), ("k", self.kv_heads), ("v", self.kv_heads))
        ]
        qkv = self.kernel.shuffle_tensors(
            inputs=parts, shuffled_dim=0, num_groups=self.kv_heads, name=f"layer_{layer}_qkv_proj"
        )
        self.linear(normed, qkv, self.attn_in)
        self.attend(layer)
        o_proj = self.weight(f"layer_{layer}_o_proj", hidden, self.heads * head_dim)
        out = self.linear_with_residual(self.attn_out, o_proj, x, self.attn_proj_out)
        return self.total(out, "attn_allreduce_out")

    def attend(self, layer: int) -> None:
        """attn_in -> attn_out: a task for each request and head of keys and values."""
        self.kernel.paged_attention_layer(
            **self.attention_inputs(layer),
            output=self.attn_out,
            grid_dim=(self.kernel.max_num_batched_requests, self.kv_heads, 1),
            block_dim=self.block,
        )

    def attention_inputs(self, layer: int) -> dict[str, Any]:
        """New queries, keys and values, the cache (by pages of tokens), and what is per head."""
        kernel, head_dim = self.kernel, self.model.head_dim
        cache = (kernel.max_num_pages, kernel.page_size, self.kv_heads, head_dim)
        names = ("q_norm", "k_norm") if self.model.qk_norm else ()
        norms = {name: self.weight(f"layer_{layer}_{name}", head_dim) for name in names}
        return {
            "input": self.attn_in,
            "k_cache": self.weight(f"layer_{layer}_k_cache", *cache),
            "v_cache": self.weight(f"layer_{layer}_v_cache", *cache),
            "q_norm": norms.get("q_norm"),
            "k_norm": norms.get("k_norm"),
            "cos_pos_embed": self.cos,
            "sin_pos_embed": self.sin,
        }

    def next_token(self, x: Any) -> None:
        """Normalise, project to the vocabulary, and take the largest in two steps."""
        kernel, workers = self.kernel, self.kernel.num_workers
        normed = self.norm(x, "model_norm_weight")
        lm_head = self.weight("lm_head", self.model.padded_vocab, self.model.hidden)
        logits = self.buffer("argmax_in", self.model.padded_vocab)
        self.linear(normed, lm_head, logits, workers if self.split.head_by_worker else None)
        largest = (
            self.buffer("argmax_part_value", workers),
            self.buffer("argmax_part_index", workers, dtype=mi.int64),
        )
        tokens = kernel.attach_input(kernel.meta_tensors["output_tokens"], name="output_token")
        kernel.argmax_partial_layer(
            input=logits, output=largest, grid_dim=(workers, 1, 1), block_dim=self.block
        )
        kernel.argmax_reduce_layer(
            input=largest, output=tokens, grid_dim=(1, 1, 1), block_dim=self.block
        )


class DenseDecoder(Decoder):
    """A decoder whose MLP every token goes through."""

    def __init__(self, kernel: Any, model: Model, split: Split) -> None:
        super().__init__(kernel, model, split)
        self.mlp_mid = self.buffer("mlp_mid", 2 * self.intermediate)
        self.silu_mul_out = self.buffer("silu_mul_out", self.intermediate)
        self.mlp_out = self.buffer("mlp_out", model.hidden, memory=self.sum_memory)

    def mlp(self, layer: int, x: Any) -> Any:
        """Normalise, gate and up, SiLU times, down; plus x. qwen3_mlp.py explains the shuffle."""
        hidden = self.model.hidden
        gate, up = (
            self.weight(f"layer_{layer}_{name}_proj", self.intermediate, hidden)
            for name in ("gate", "up")
        )
        tasks = self.split.linear(2 * self.intermediate)
        gate_and_up = self.kernel.shuffle_tensors(
            inputs=[gate, up],
            shuffled_dim=0,
            num_groups=tasks // 2,
            name=f"layer_{layer}_gatedup_proj",
        )
        normed = self.norm(x, f"layer_{layer}_post_attn_layernorm")
        self.linear(normed, gate_and_up, self.mlp_mid)
        self.kernel.silu_mul_layer(
            input=self.mlp_mid,
            output=self.silu_mul_out,
            grid_dim=(tasks // 2, 1, 1),
            block_dim=self.block,
        )
        down = self.weight(f"layer_{layer}_down_proj", hidden, self.intermediate)
        out = self.linear_with_residual(self.silu_mul_out, down, x, self.mlp_out)
        return self.total(out, "mlp_final")

    def all_layers(self, layers: int | None) -> None:
        """The whole decoder, or its first `layers` layers between embedding and next token."""
        x = self.embed()
        for layer in range(self.model.layers if layers is None else layers):
            x = self.mlp(layer, self.attention(layer, x))
        self.next_token(x)
