"""Multi-head latent attention as in DeepSeek-V3: all heads read one small latent of each token.

    mpkgraph compile examples/deepseek_mla.py:build --target b200 -o out

The cache holds 512 numbers of latent and 64 of position a token, for all 128 heads together. The
weights that would unfold it are multiplied into those of the queries (`q_b_proj`) and of the
output (`o_proj`), so that attention works on the latent. A decode task does some heads and 128
tokens of the cache; a second layer merges what they found.
"""

from __future__ import annotations

from typing import Any

import mirage as mi
from common import main
from decoder_parts import decoder_kernel
from deepseek_parts import HIDDEN, Fp8Layers

HEADS, Q_RANK, LATENT, ROPE = 128, 1536, 512, 64
HEAD_DIM = LATENT + ROPE
"""Of a query, as of what the cache holds."""
PADDED_ROPE = 128
"""FP8 tasks make at least 128 outputs: those above ROPE are not used."""
TILE_TOKENS, TILE_ROWS = 128, 128
"""Tokens of the cache, and rows (heads times tokens), that one decode task works on."""
TOKENS_TOGETHER = {2: 2, 4: 4, 8: 2}
"""By number of ranks, how many new tokens a decode task takes with the heads of its rank."""


def decode_groups(batch: int, ranks: int) -> int:
    """Groups of heads (or, over several ranks, of tokens) that decode tasks are split into."""
    if ranks > 1:
        return -(-batch // min(TOKENS_TOGETHER[ranks], batch))
    heads = TILE_ROWS // batch
    while TILE_ROWS % heads:
        heads -= 1
    return HEADS // heads


class LatentAttention:
    """The attention of all layers, with buffers that they share."""

    def __init__(self, parts: Fp8Layers) -> None:
        self.parts = parts
        kernel = parts.kernel
        self.heads = HEADS // parts.ranks
        tiles = -(-kernel.max_seq_length // TILE_TOKENS)
        partial = kernel.max_num_batched_requests * decode_groups(parts.batch, parts.ranks) * tiles
        self.q_latent = parts.buffer("q_a_out", Q_RANK)
        self.queries = parts.buffer("q_nope_pe", self.heads * HEAD_DIM)
        self.latent = parts.buffer("c_latent_out", LATENT)
        self.position = parts.buffer("k_pe_out", PADDED_ROPE)
        self.gathered = parts.new(
            (kernel.max_num_batched_requests * kernel.max_seq_length, HEAD_DIM), "contiguous_kv"
        )
        self.partial = parts.new((partial, LATENT * TILE_ROWS), "mla_partial_o")
        self.partial_lse = parts.new((partial, TILE_ROWS), "mla_partial_lse", dtype=mi.float32)
        self.attn_out = parts.buffer("attn_out", self.heads * LATENT)

    def attention(self, layer: int, x: Any) -> Any:
        """Normalise, make queries and the latent, attend, project; plus x."""
        parts, prefix = self.parts, f"layer_{layer}"
        normed = parts.norm(x, f"{prefix}_input_layernorm", parts.rmsnorm_out)
        parts.linear_fp8(normed, f"{prefix}_q_a_proj", self.q_latent)
        parts.norm(self.q_latent, f"{prefix}_q_a_layernorm", self.q_latent)
        q_b_proj = parts.weight(f"{prefix}_q_b_proj", self.heads * HEAD_DIM, Q_RANK)
        parts.linear(self.q_latent, q_b_proj, self.queries)
        parts.linear_fp8(normed, f"{prefix}_kv_a_latent", self.latent)
        parts.linear_fp8(normed, f"{prefix}_kv_a_rope", self.position)
        parts.norm(self.latent, f"{prefix}_kv_a_layernorm", self.latent)
        self._attend(prefix)
        out = parts.buffer(f"{prefix}_attn_proj_fused", HIDDEN)
        return parts.linear_fp8(self.attn_out, f"{prefix}_o_proj", out, residual=x)

    def _attend(self, prefix: str) -> None:
        """queries, latent, position -> attn_out."""
        parts, kernel = self.parts, self.parts.kernel
        cache = (kernel.max_num_pages, kernel.page_size, HEAD_DIM)
        # Append the new tokens to the cache, and copy its pages to where they are contiguous.
        kernel.mla_kv_gather_layer(
            c_latent_new=self.latent,
            k_pe_new=self.position,
            paged_cache=parts.weight(f"{prefix}_kv_cache", *cache),
            contiguous_kv=self.gathered,
            mla_params=(HEAD_DIM, LATENT, kernel.page_size),
            grid_dim=(kernel.max_num_batched_requests, 1, 1),
            block_dim=parts.block,
        )
        lengths = (parts.batch, kernel.max_seq_length)
        # These layers choose their grids themselves: the kernels are for 128, 64, 32, 16 heads.
        decode, reduce = {
            1: (kernel.mla_mtp_decode_layer, kernel.mla_mtp_reduce_layer),
            2: (kernel.mla_mtp_decode_tp2_layer, kernel.mla_mtp_decode_tp2_reduce_layer),
            4: (kernel.mla_mtp_decode_tp4_layer, kernel.mla_mtp_decode_tp4_reduce_layer),
            8: (kernel.mla_mtp_decode_tp8_layer, kernel.mla_mtp_decode_tp8_reduce_layer),
        }[parts.ranks]
        decode(self.queries, self.gathered, self.partial, self.partial_lse, *lengths)
        reduce(self.partial, self.partial_lse, self.attn_out, *lengths)


def build(*, batch: int = 1, max_seq_length: int = 4096, output_dir: str | None = None) -> Any:
    """The attention of one layer, for one request with `batch` new tokens (at most 8)."""
    kernel = decoder_kernel(
        batch,
        requests=1,
        max_seq_length=max_seq_length,
        max_num_pages=64,
        page_size=128,
        use_cutlass_kernel=True,
    )
    parts = Fp8Layers(kernel)
    LatentAttention(parts).attention(0, parts.weight("x", batch, HIDDEN))
    kernel.compile(output_dir=output_dir)
    return kernel


if __name__ == "__main__":
    main(build)
