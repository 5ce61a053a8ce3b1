"""Pipelines of Mirage's own test-mode scripts, and of small runs on a GPU, in our own words."""

from __future__ import annotations

from mpkgraph.pipeline import dtype
from tests.pipelines.kit import attach, attach_all, block

HIDDEN = 4096
SMALL = 512


def test_rmsnorm(kernel):
    x, w = attach(kernel, "x", 16, HIDDEN), attach(kernel, "w", HIDDEN)
    out = attach(kernel, "out", 16, HIDDEN)
    kernel.rmsnorm_layer(x, w, out, (16, 1, 1), block(kernel))


def test_fork_point(kernel):
    x = attach(kernel, "x_input", 16, HIDDEN)
    w_a, w_b, w_c = attach_all(kernel, "w_a", "w_b", "w_c", dims=(HIDDEN,))
    a, b, c = attach_all(kernel, "x_a", "x_b", "x_c", dims=(16, HIDDEN))
    kernel.rmsnorm_layer(x, w_a, a, (16, 1, 1), block(kernel))
    kernel.rmsnorm_layer(a, w_b, b, (16, 1, 1), block(kernel))
    kernel.rmsnorm_layer(a, w_c, c, (16, 1, 1), block(kernel))


def test_join_point(kernel):
    x1, x2 = attach_all(kernel, "x1_input", "x2_input", dims=(8, HIDDEN))
    w_a, w_b = attach_all(kernel, "w_a", "w_b", dims=(HIDDEN,))
    w_c = attach(kernel, "w_c", HIDDEN, HIDDEN)
    a, b, c = attach_all(kernel, "x_a", "x_b", "x_c", dims=(8, HIDDEN))
    kernel.rmsnorm_layer(x1, w_a, a, (8, 1, 1), block(kernel))
    kernel.rmsnorm_layer(x2, w_b, b, (8, 1, 1), block(kernel))
    kernel.linear_with_residual_layer(a, w_c, b, c, (64, 8, 1), block(kernel))


def test_diamond_fork_join(kernel):
    x, w_a = attach(kernel, "x_input", 8, HIDDEN), attach(kernel, "w_a", HIDDEN)
    w_b, w_c, w_d = attach_all(kernel, "w_b", "w_c", "w_d", dims=(HIDDEN, HIDDEN))
    a, b, c, d = attach_all(kernel, "x_a", "x_b", "x_c", "x_d", dims=(8, HIDDEN))
    kernel.rmsnorm_layer(x, w_a, a, (8, 1, 1), block(kernel))
    kernel.linear_layer(a, w_b, b, (64, 8, 1), block(kernel))
    kernel.linear_layer(a, w_c, c, (64, 8, 1), block(kernel))
    kernel.linear_with_residual_layer(b, w_d, c, d, (64, 8, 1), block(kernel))


def test_residual_stripping(kernel):
    x = attach(kernel, "x_input", 8, HIDDEN)
    w_a, w_b = attach_all(kernel, "w_a", "w_b", dims=(HIDDEN,))
    w_c = attach(kernel, "w_c", HIDDEN, HIDDEN)
    a, b, c = attach_all(kernel, "x_a", "x_b", "x_c", dims=(8, HIDDEN))
    kernel.rmsnorm_layer(x, w_a, a, (8, 1, 1), block(kernel))
    kernel.rmsnorm_layer(a, w_b, b, (8, 1, 1), block(kernel))
    kernel.linear_with_residual_layer(b, w_c, a, c, (64, 8, 1), block(kernel))


def negative_case2(kernel):
    x = attach(kernel, "x_in", 8, HIDDEN)
    w_l1, w_m = attach_all(kernel, "w_l1", "w_m", dims=(HIDDEN,))
    w_b, w_c = attach(kernel, "w_b", HIDDEN, HIDDEN), attach(kernel, "w_c", HIDDEN)
    l1, m, b, c = attach_all(kernel, "x_l1", "x_m", "x_b", "x_c", dims=(8, HIDDEN))
    kernel.rmsnorm_layer(x, w_l1, l1, (8, 1, 1), block(kernel))  # refused
    kernel.rmsnorm_layer(x, w_m, m, (8, 1, 1), block(kernel))
    kernel.linear_with_residual_layer(l1, w_b, m, b, (64, 8, 1), block(kernel))
    kernel.rmsnorm_layer(l1, w_c, c, (8, 1, 1), block(kernel))


def negative_case3(kernel):
    x = attach(kernel, "x_in", 8, HIDDEN)
    w_l, w_z = attach_all(kernel, "w_l", "w_z", dims=(HIDDEN,))
    w_j, w_k = attach(kernel, "w_j", HIDDEN, HIDDEN), attach(kernel, "w_k", HIDDEN)
    left, z, j, k = attach_all(kernel, "x_l", "x_z", "x_j", "x_k", dims=(8, HIDDEN))
    kernel.rmsnorm_layer(x, w_l, left, (8, 1, 1), block(kernel))  # refused
    kernel.rmsnorm_layer(x, w_z, z, (8, 1, 1), block(kernel))
    kernel.linear_with_residual_layer(left, w_j, z, j, (64, 8, 1), block(kernel))
    kernel.rmsnorm_layer(left, w_k, k, (8, 1, 1), block(kernel))


def test_gateup_only(kernel):
    x = attach(kernel, "input", 8, HIDDEN)
    w, mid = attach(kernel, "w_gatedup", HIDDEN, HIDDEN), attach(kernel, "mlp_mid", 8, HIDDEN)
    kernel.linear_layer(x, w, mid, (64, 1, 1), block(kernel))


def test_gateup_silu(kernel):
    x = attach(kernel, "input", 8, HIDDEN)
    gate, up = attach_all(kernel, "w_gate", "w_up", dims=(2048, HIDDEN))
    mid, act = attach(kernel, "mlp_mid", 8, HIDDEN), attach(kernel, "silu_mul_out", 8, 2048)
    both = kernel.shuffle_tensors([gate, up], 0, 32, "w_gatedup")
    kernel.linear_layer(x, both, mid, (64, 1, 1), block(kernel))
    kernel.silu_mul_layer(mid, act, (32, 1, 1), block(kernel))


def test_gateup_silu_down(kernel):
    x = attach(kernel, "input", 8, HIDDEN)
    gate, up = attach_all(kernel, "w_gate", "w_up", dims=(2048, HIDDEN))
    down, residual = attach(kernel, "w_down", HIDDEN, 2048), attach(kernel, "residual", 8, HIDDEN)
    mid, act = attach(kernel, "mlp_mid", 8, HIDDEN), attach(kernel, "silu_mul_out", 8, 2048)
    out = attach(kernel, "mlp_out", 8, HIDDEN)
    both = kernel.shuffle_tensors([gate, up], 0, 32, "w_gatedup")
    kernel.linear_layer(x, both, mid, (64, 1, 1), block(kernel))
    kernel.silu_mul_layer(mid, act, (32, 1, 1), block(kernel))
    kernel.linear_with_residual_layer(act, down, residual, out, (64, 1, 1), block(kernel))


def test_moe_w13_linear(kernel):
    x, w = attach(kernel, "input", 1, HIDDEN), attach(kernel, "weight", 128, 5120, HIDDEN)
    routing = attach(kernel, "moe_routing_indices", 128, 1, dtype="int32")
    mask = attach(kernel, "moe_mask", 129, dtype="int32")
    out = attach(kernel, "output", 1, 8, 5120)
    kernel.moe_w13_linear_layer(x, w, routing, mask, out, (10, 12, 1), (256, 1, 1))  # refused


def _experts(kernel, w13, scale, *, output, w2=False):
    """Sixteen tokens, 64 experts in FP8, 8 of them a token."""
    x = attach(kernel, "input_fp8", 16, 7168, dtype="float8_e4m3fn")
    x_scale = attach(kernel, "input_scale", 16, 56, dtype="float32")
    weight = attach(kernel, w13, 64, 4096, 7168, dtype="float8_e4m3fn")
    w_scale = attach(kernel, scale, 64, 4096, 56, dtype="float32")
    second = attach(kernel, "w2", 64, 7168, 2048) if w2 else None
    routing = attach(kernel, "routing_indices", 64, 16, dtype="int32")
    mask = attach(kernel, "mask", 65, dtype="int32")
    return x, x_scale, weight, w_scale, routing, mask, attach(kernel, output, 16, 8, 4096), second


def test_moe_w13_fp8(kernel):
    *experts, _ = _experts(kernel, "weight_fp8", "weight_scale", output="output")
    kernel.moe_w13_fp8_layer(*experts, (8, 16, 1), (256, 1, 1))  # refused


def test_moe_w13_silu_mul(kernel):
    *experts, _ = _experts(kernel, "weight_fp8", "weight_scale", output="w13_out")
    act = attach(kernel, "silu_out", 16, 8, 2048)
    kernel.moe_w13_fp8_layer(*experts, (8, 16, 1), (256, 1, 1))  # refused
    kernel.moe_silu_mul_layer(experts[-1], act, (16, 8, 1), (256, 1, 1))


def test_moe_w13_silu_mul_w2(kernel):
    *experts, w2 = _experts(kernel, "w13_fp8", "w13_scale", output="w13_out", w2=True)
    act, out = attach(kernel, "silu_out", 16, 8, 2048), attach(kernel, "w2_out", 16, 8, 7168)
    kernel.moe_w13_fp8_layer(*experts, (8, 16, 1), (256, 1, 1))  # refused
    kernel.moe_silu_mul_layer(experts[-1], act, (16, 8, 1), (256, 1, 1))
    routing, mask = experts[4:6]
    kernel.moe_w2_linear_layer(act, w2, routing, mask, out, (8, 16, 1), (256, 1, 1))


def small_rmsnorm(kernel):
    x, w = attach(kernel, "x", 8, SMALL), attach(kernel, "w", SMALL)
    out = attach(kernel, "out", 8, SMALL)
    kernel.rmsnorm_layer(x, w, out, (8, 1, 1), block(kernel))


def small_linear(kernel):
    x, w = attach(kernel, "x", 8, SMALL), attach(kernel, "w", SMALL, SMALL)
    out = attach(kernel, "out", 8, SMALL)
    kernel.linear_layer(x, w, out, (8, 1, 1), block(kernel))


def small_linear_residual(kernel):
    x, w = attach(kernel, "x", 8, SMALL), attach(kernel, "w", SMALL, SMALL)
    r, out = attach_all(kernel, "r", "out", dims=(8, SMALL))
    kernel.linear_with_residual_layer(x, w, r, out, (8, 1, 1), block(kernel))


def small_newtensor(kernel):
    x, w = attach(kernel, "x", 8, SMALL), attach(kernel, "w", SMALL)
    w2, out = attach(kernel, "w2", SMALL, SMALL), attach(kernel, "out", 8, SMALL)
    mid = kernel.new_tensor(dims=(8, SMALL), dtype=dtype("bf16"), name="mid_buf")
    kernel.rmsnorm_layer(x, w, mid, (8, 1, 1), block(kernel))
    kernel.linear_layer(mid, w2, out, (8, 1, 1), block(kernel))


def small_embed(kernel):
    tokens = attach(kernel, "tok", 8, 1, dtype="int64")
    table, out = attach(kernel, "emb", 1000, SMALL), attach(kernel, "out", 8, SMALL)
    kernel.embed_layer(tokens, table, out, (1, 1, 1), block(kernel), input_source=1)


def small_argmax(kernel):
    logits, value = attach(kernel, "logits", 1, HIDDEN), attach(kernel, "value", 1, 8)
    index = attach(kernel, "index", 1, 8, dtype="int64")
    out = attach(kernel, "out", 1, 1, dtype="int64")
    kernel.argmax_partial_layer(logits, (value, index), (8, 1, 1), block(kernel))
    kernel.argmax_reduce_layer((value, index), out, (1, 1, 1), block(kernel))


def small_mlp_noqo(kernel):
    x = attach(kernel, "x", 8, SMALL)
    gate, up = attach_all(kernel, "w_gate", "w_up", dims=(SMALL, SMALL))
    mid, act = attach(kernel, "mid", 8, 2 * SMALL), attach(kernel, "act", 8, SMALL)
    both = kernel.shuffle_tensors([gate, up], 0, 8, "w_gatedup")
    kernel.linear_layer(x, both, mid, (16, 1, 1), block(kernel))
    kernel.silu_mul_layer(mid, act, (8, 1, 1), block(kernel))


def small_mlp(kernel):
    x = attach(kernel, "x", 8, SMALL)
    gate, up, down = attach_all(kernel, "w_gate", "w_up", "w_down", dims=(SMALL, SMALL))
    r, mid = attach(kernel, "r", 8, SMALL), attach(kernel, "mid", 8, 2 * SMALL)
    act, out = attach_all(kernel, "act", "out", dims=(8, SMALL))
    both = kernel.shuffle_tensors([gate, up], 0, 8, "w_gatedup")
    kernel.linear_layer(x, both, mid, (16, 1, 1), block(kernel))
    kernel.silu_mul_layer(mid, act, (8, 1, 1), block(kernel))
    kernel.linear_with_residual_layer(act, down, r, out, (8, 1, 1), block(kernel))
