"""A decoder as a chain of layers, shaped and named as Mirage's own demos shape and name them."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from benchmarks.chain import Chain, Layer, Split, Tensor
from benchmarks.decoder import DecoderSpec

BF16, FP32, INT32, INT64 = 941, 950, 955, 965
"""Mirage's numbers of the element types used here."""

Blocks = Generator[Layer, None, Tensor]
"""Layers, then the tensor that they leave for the next block."""

WHOLE = (-1, -1, -1)
"""input_map of a slot that every task sees whole."""
MAX_SEQUENCE = 4096
PAGE_TOKENS = 4096
NUM_PAGES = 16
W13_STRIPES = 10
W2_STRIPES = 8
"""Expert stripes (grid.x) of the two expert layers in Mirage's Qwen3-30B-A3B demo."""


def build_chain(spec: DecoderSpec) -> Chain:
    """The chain of a decoder's layers."""
    return Chain(list(_Builder(spec).layers()), rank=spec.rank, num_ranks=spec.num_ranks)


class _Builder:
    """Names and shapes of one model's tensors, and the layers between them."""

    def __init__(self, spec: DecoderSpec) -> None:
        self.spec = spec
        self.qkv = spec.kv_heads * (spec.q_heads_per_kv + 2) * spec.head_dim
        self.attention = spec.kv_heads * spec.q_heads_per_kv * spec.head_dim
        self.cos = self.weight("cos_position_embedding", MAX_SEQUENCE, spec.head_dim)
        self.sin = self.weight("sin_position_embedding", MAX_SEQUENCE, spec.head_dim)
        self.normed = self.activation("rmsnorm_out", spec.hidden)

    def weight(self, name: str, *dims: int) -> Tensor:
        return Tensor.row_major(name, dims, BF16)

    def activation(self, name: str, *dims: int, data_type: int = BF16) -> Tensor:
        return Tensor.row_major(name, (self.spec.batch, *dims), data_type)

    def layers(self) -> Iterator[Layer]:
        spec = self.spec
        tokens = self.activation("input_token", 1, data_type=INT64)
        embedding = self.weight("embed_tokens", spec.vocabulary, spec.hidden)
        x = self.activation("embed_out", spec.hidden)
        yield Layer(
            "embedding",
            (1, 1, 1),
            (Split(tokens, (-1, 1, -1)), Split(embedding, (1, -1, -1))),
            (Split(x, (1, 0, -1)),),
        )
        for index in range(spec.num_layers):
            prefix = f"layer_{index}_"
            x = yield from self.attention_block(prefix, x)
            block = self.expert_block if spec.experts else self.dense_block
            x = yield from block(prefix, x)
        yield self.norm(x, "model_norm_weight")
        yield from self.head()

    def norm(self, source: Tensor, weight: str) -> Layer:
        rows = (0, -1, -1)
        return Layer(
            "rmsnorm_hopper",
            (self.spec.batch, 1, 1),
            (Split(source, rows), Split(self.weight(weight, self.spec.hidden), WHOLE)),
            (Split(self.normed, rows),),
        )

    def linear(
        self,
        source: Tensor,
        weight: str,
        target: Tensor,
        num_tasks: int,
        residual: Tensor | None = None,
    ) -> Layer:
        """Columns of the target shared among the tasks."""
        columns = (1, -1, -1)
        matrix = self.weight(weight, target.dims[1], source.dims[1])
        inputs = [Split(source, WHOLE), Split(matrix, (0, -1, -1))]
        kernels = self.spec.kernels
        if residual is not None:
            inputs.append(Split(residual, columns))
        return Layer(
            kernels.linear if residual is None else kernels.linear_with_residual,
            (num_tasks, 1, 1),
            tuple(inputs),
            (Split(target, columns),),
        )

    def attention_block(self, prefix: str, x: Tensor) -> Blocks:
        spec = self.spec
        qkv = self.activation("attn_in", self.qkv)
        attended = self.activation("attn_out", self.attention)
        projected = self.activation("attn_proj_out", spec.hidden)
        cache_dims = (NUM_PAGES, PAGE_TOKENS, spec.kv_heads, spec.head_dim)
        heads = (-1, 1, -1)
        cache_heads = (-1, 2, -1)
        yield self.norm(x, f"{prefix}input_layernorm")
        yield self.linear(self.normed, f"{prefix}qkv_proj", qkv, spec.qkv_tasks)
        yield Layer(
            spec.kernels.attention,
            (spec.requests, spec.kv_heads, 1),
            (
                Split(qkv, heads),
                Split(self.weight(f"{prefix}k_cache", *cache_dims), cache_heads),
                Split(self.weight(f"{prefix}v_cache", *cache_dims), cache_heads),
                Split(self.weight(f"{prefix}q_norm", spec.head_dim), WHOLE),
                Split(self.weight(f"{prefix}k_norm", spec.head_dim), WHOLE),
                Split(self.cos, WHOLE),
                Split(self.sin, WHOLE),
            ),
            (Split(attended, heads),),
        )
        yield self.linear(attended, f"{prefix}o_proj", projected, spec.o_proj_tasks, residual=x)
        x = yield from self.all_reduce(projected, "attn_allreduce_out")
        yield self.norm(x, f"{prefix}post_attn_layernorm")
        return x

    def all_reduce(self, source: Tensor, target_name: str) -> Blocks:
        """Put to every peer, then sum; nothing on a single rank."""
        spec = self.spec
        if spec.num_ranks == 1:
            return source
        grid = (spec.o_proj_tasks, 1, 1)
        columns = (1, -1, -1)
        buffer = Tensor.row_major("all_reduce_buf", (spec.num_ranks, spec.batch, spec.hidden), BF16)
        gathered = Split(buffer, (2, -1, -1))
        target = self.activation(target_name, spec.hidden)
        yield Layer("nvshmem_allgather_strided_put", grid, (Split(source, columns),), (gathered,))
        yield Layer(
            "reduction", grid, (Split(source, columns), gathered), (Split(target, columns),)
        )
        return target

    def dense_block(self, prefix: str, x: Tensor) -> Blocks:
        spec = self.spec
        columns = (1, -1, -1)
        gate_up = self.activation("mlp_mid", 2 * spec.intermediate)
        activated = self.activation("silu_mul_out", spec.intermediate)
        down = self.activation("mlp_out", spec.hidden)
        yield self.linear(self.normed, f"{prefix}gatedup_proj", gate_up, spec.up_tasks)
        yield Layer(
            "silu_mul",
            (spec.silu_tasks, 1, 1),
            (Split(gate_up, columns),),
            (Split(activated, columns),),
        )
        yield self.linear(activated, f"{prefix}down_proj", down, spec.down_tasks, residual=x)
        return (yield from self.all_reduce(down, "mlp_final"))

    def expert_block(self, prefix: str, x: Tensor) -> Blocks:
        spec = self.spec
        chosen = spec.experts_per_token
        logits = self.activation("moe_gate_out", spec.experts)
        weights = self.activation("moe_topk_weight", chosen, data_type=FP32)
        routing = Tensor.row_major("moe_routing_indices", (spec.experts, spec.batch), INT32)
        mask = Tensor.row_major("moe_mask", (spec.experts + 1,), INT32)
        gate_up = self.activation("mlp_mid", chosen, 2 * spec.intermediate)
        activated = self.activation("silu_mul_out", chosen, spec.intermediate)
        down = self.activation("mlp_out", chosen, spec.hidden)
        summed = self.activation("mlp_weighted_sum_out", spec.hidden)
        w13 = self.weight(f"{prefix}gateup_proj", spec.experts, 2 * spec.intermediate, spec.hidden)
        w2 = self.weight(f"{prefix}down_proj", spec.experts, spec.hidden, spec.intermediate)
        rows = (0, -1, -1)
        rows_columns = (0, 1, -1)
        routed = (Split(routing, WHOLE), Split(mask, WHOLE))
        yield self.linear(self.normed, f"{prefix}moe_gate", logits, 1)
        yield Layer(
            "moe_topk_softmax_sm100",
            (1, 1, 1),
            (Split(logits, rows),),
            (Split(weights, rows), *routed),
        )
        yield Layer(
            spec.kernels.moe_w13,
            (W13_STRIPES, spec.up_tasks, 1),
            (Split(self.normed, WHOLE), Split(w13, (-1, 1, -1)), *routed),
            (Split(gate_up, (-1, 2, -1)),),
        )
        cut = (0, 1, 2 if spec.silu_tasks > 1 else -1)
        yield Layer(
            "moe_silu_mul",
            (spec.batch, chosen, spec.silu_tasks),
            (Split(gate_up, cut),),
            (Split(activated, cut),),
        )
        yield Layer(
            spec.kernels.moe_w2,
            (W2_STRIPES, spec.down_tasks, 1),
            (Split(activated, WHOLE), Split(w2, (-1, 1, -1)), *routed),
            (Split(down, (-1, 2, -1)),),
        )
        yield Layer(
            "moe_mul_sum_add_sm100",
            (spec.batch, spec.sum_tasks, 1),
            (Split(down, (0, 2, -1)), Split(weights, rows), Split(x, rows_columns)),
            (Split(summed, rows_columns),),
        )
        return (yield from self.all_reduce(summed, "mlp_final"))

    def head(self) -> Iterator[Layer]:
        spec = self.spec
        num_tasks = spec.vocabulary_tasks
        columns = (1, 0, -1)
        logits = self.activation("argmax_in", spec.padded_vocabulary)
        values = self.activation("argmax_part_value", num_tasks)
        indices = self.activation("argmax_part_index", num_tasks, data_type=INT64)
        token = self.activation("output_token", 1, data_type=INT64)
        yield self.linear(self.normed, "lm_head", logits, num_tasks)
        yield Layer(
            "argmax_partial_sm100",
            (num_tasks, 1, 1),
            (Split(logits, columns),),
            (Split(values, columns), Split(indices, columns)),
        )
        yield Layer(
            spec.kernels.argmax_reduce,
            (1, 1, 1),
            (Split(values, columns), Split(indices, columns)),
            (Split(token, (0, 1, -1)),),
        )
