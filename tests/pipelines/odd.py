"""Pipelines that are wrong, suspicious or just unusual, on purpose: `bad/` of the goldens."""

from __future__ import annotations

from mpkgraph.pipeline import CyTBGraph, TBGraph
from tests.pipelines.kit import COLUMNS, ROWS, WHOLE, attach, attach_all, block

HIDDEN = 4096


def _norm(kernel, rows=8, columns=HIDDEN, out_rows=None):
    """Tensors of one norm."""
    x, w = attach(kernel, "x", rows, columns), attach(kernel, "w", columns)
    return x, w, attach(kernel, "out", out_rows or rows, columns)


def _linear(kernel, rows=8, wide=HIDDEN):
    x, w = attach(kernel, "x", rows, HIDDEN), attach(kernel, "w", wide, HIDDEN)
    return x, w, attach(kernel, "out", rows, HIDDEN)


def _norms(kernel, *names, rows=8):
    """One input, one weight, and further activations by name."""
    x, w = attach(kernel, "x", rows, HIDDEN), attach(kernel, "w", HIDDEN)
    return x, w, *attach_all(kernel, *names, dims=(rows, HIDDEN))


def _with_linear(kernel, *names):
    x, w = attach(kernel, "x", 8, HIDDEN), attach(kernel, "w", HIDDEN)
    w_lin = attach(kernel, "w_lin", HIDDEN, HIDDEN)
    return x, w, w_lin, *attach_all(kernel, *names, dims=(8, HIDDEN))


def _blocks(kernel, grid, *slots):
    """A thread-block graph: (tensor, input_map, forloop_dim) a slot."""
    graph = TBGraph(CyTBGraph(grid, block(kernel), 1, 64))
    for tensor, axis_map, forloop_dim in slots:
        graph.new_input(tensor, axis_map, forloop_dim, store_in_dmem=True)
    return graph


def _own(kernel, ampere, hopper):
    """The name of the target's task."""
    return hopper if kernel.target_cc >= 90 else ampere


def alias_two_names(kernel):
    x, w, a, alias, c = _norms(kernel, "x_a", "x_a_alias", "x_c")
    kernel.rmsnorm_layer(x, w, a, (8, 1, 1), block(kernel))
    kernel.rmsnorm_layer(alias, w, c, (8, 1, 1), block(kernel))


def axis_unmapped(kernel):
    kernel.linear_layer(*_linear(kernel), (64, 8, 1), block(kernel))


def chain_same_tensor_twice(kernel):
    x, w, w_lin, a, b = _with_linear(kernel, "x_a", "x_b")
    kernel.rmsnorm_layer(x, w, a, (8, 1, 1), block(kernel))
    kernel.linear_with_residual_layer(a, w_lin, a, b, (64, 1, 1), block(kernel))


def consumer_before_producer(kernel):
    x, w, a, c = _norms(kernel, "x_a", "x_c")
    kernel.rmsnorm_layer(a, w, c, (8, 1, 1), block(kernel))
    kernel.rmsnorm_layer(x, w, a, (8, 1, 1), block(kernel))


def dotted_name(kernel):
    x, w = attach(kernel, "model.x", 8, HIDDEN), attach(kernel, "w", HIDDEN)
    kernel.rmsnorm_layer(x, w, attach(kernel, "out", 8, HIDDEN), (8, 1, 1), block(kernel))


def duplicate_name(kernel):
    x, w, again = _norms(kernel, "x")
    kernel.rmsnorm_layer(x, w, again, (8, 1, 1), block(kernel))


def empty_graph(kernel):
    attach(kernel, "x", 8, HIDDEN)


def _argmax(kernel):
    logits, value = attach(kernel, "logits", 1, HIDDEN), attach(kernel, "value", 1, 8)
    return logits, value, attach(kernel, "index", 1, 8, dtype="int64")


def fork_duplicate_edges(kernel):
    logits, value, index = _argmax(kernel)
    out, copy = attach(kernel, "out", 1, 1, dtype="int64"), attach(kernel, "value_copy", 1, 8)
    kernel.argmax_partial_layer(logits, (value, index), (8, 1, 1), block(kernel))
    kernel.argmax_reduce_layer((value, index), out, (1, 1, 1), block(kernel))  # refused
    kernel.identity_layer(value, copy, (1, 1, 1), block(kernel))


def fork_duplicate_edges_second(kernel):
    logits, value, index = _argmax(kernel)
    out, copy = attach(kernel, "out", 1, 1, dtype="int64"), attach(kernel, "value_copy", 1, 8)
    kernel.argmax_partial_layer(logits, (value, index), (8, 1, 1), block(kernel))
    kernel.identity_layer(value, copy, (1, 1, 1), block(kernel))
    kernel.argmax_reduce_layer((value, index), out, (1, 1, 1), block(kernel))


def two_outputs_diff_maps(kernel):
    logits, value, index = _argmax(kernel)
    out = attach(kernel, "out", 1, 8, dtype="int64")
    kernel.argmax_partial_layer(logits, (value, index), (8, 1, 1), block(kernel))
    slots = (value, COLUMNS, -1), (index, WHOLE, -1), (out, COLUMNS, -1)
    graph = _blocks(kernel, (8, 1, 1), *slots)
    kernel.kn_graph.customized([value, index, out], graph)
    kernel.kn_graph.register_task(graph, "argmax_reduce", [512])


def fork_join_uneven(kernel):
    x, w, w_lin, a, b, c, d, e = _with_linear(kernel, "x_a", "x_b", "x_c", "x_d", "x_e")
    for source, target in ((x, a), (a, b), (a, c), (b, d)):
        kernel.rmsnorm_layer(source, w, target, (8, 1, 1), block(kernel))
    kernel.linear_with_residual_layer(d, w_lin, c, e, (64, 1, 1), block(kernel))


def fork_lcm_12_4_6(kernel):
    x, w, a, b, c = _norms(kernel, "x_a", "x_b", "x_c", rows=12)
    kernel.rmsnorm_layer(x, w, a, (12, 1, 1), block(kernel))
    kernel.rmsnorm_layer(a, w, b, (4, 1, 1), block(kernel))
    kernel.rmsnorm_layer(a, w, c, (6, 1, 1), block(kernel))


def fork_same_tensor_twice(kernel):
    x, w = attach(kernel, "x", 8, HIDDEN), attach(kernel, "w", HIDDEN)
    w_lin, w_n = attach(kernel, "w_lin", HIDDEN, HIDDEN), attach(kernel, "w_n", HIDDEN)
    a, b, c = attach_all(kernel, "x_a", "x_b", "x_c", dims=(8, HIDDEN))
    kernel.rmsnorm_layer(x, w, a, (8, 1, 1), block(kernel))
    kernel.linear_with_residual_layer(a, w_lin, a, b, (64, 1, 1), block(kernel))  # refused
    kernel.rmsnorm_layer(a, w_n, c, (8, 1, 1), block(kernel))


def fork_three_way(kernel):
    x, w, w_lin, a, b, c, d = _with_linear(kernel, "x_a", "x_b", "x_c", "x_d")
    kernel.rmsnorm_layer(x, w, a, (8, 1, 1), block(kernel))
    kernel.linear_layer(a, w_lin, b, (64, 1, 1), block(kernel))
    kernel.rmsnorm_layer(a, w, c, (8, 1, 1), block(kernel))
    kernel.rmsnorm_layer(a, w, d, (4, 1, 1), block(kernel))


def fuse_ok(kernel):
    x, q = attach(kernel, "x", 8, HIDDEN), attach(kernel, "q", 2048, HIDDEN)
    k, v = attach_all(kernel, "k", "v", dims=(1024, HIDDEN))
    out = attach(kernel, "out", 8, HIDDEN)
    qkv = kernel.fuse_tensors([q, k, v], 0, 8, "qkv")
    kernel.linear_layer(x, qkv, out, (64, 1, 1), block(kernel))


def grid_larger_than_dim(kernel):
    kernel.rmsnorm_layer(*_norm(kernel), (16, 1, 1), block(kernel))


def grid_nondiv_linear(kernel):
    kernel.linear_layer(*_linear(kernel), (60, 1, 1), block(kernel))


def grid_nondiv_then_reader(kernel):
    x, w, mid, out = _norms(kernel, "mid", "out")
    kernel.rmsnorm_layer(x, w, mid, (3, 1, 1), block(kernel))
    kernel.rmsnorm_layer(mid, w, out, (8, 1, 1), block(kernel))


def grid_over_4096(kernel):
    kernel.rmsnorm_layer(*_norm(kernel, 5000, 128), (5000, 1, 1), block(kernel))


def hidden_output(kernel):
    latent, rope = attach(kernel, "c_latent", 1, 512), attach(kernel, "k_pe", 1, 64)
    paged, kv = attach(kernel, "paged", 4, 128, 576), attach(kernel, "kv", 512, 576)
    w, out = attach(kernel, "w", 576), attach(kernel, "out", 512, 576)
    kernel.mla_kv_gather_layer(latent, rope, paged, kv, (576, 512, 128), (1, 1, 1), block(kernel))
    kernel.rmsnorm_layer(kv, w, out, (8, 1, 1), block(kernel))


def in_place(kernel):
    x, w = _norms(kernel)
    kernel.rmsnorm_layer(x, w, x, (8, 1, 1), block(kernel))


def join_lcm_4_6_12(kernel):
    x1, x2 = attach_all(kernel, "x1", "x2", dims=(12, HIDDEN))
    w = attach(kernel, "w", HIDDEN)
    a, b, c = attach_all(kernel, "x_a", "x_b", "x_c", dims=(12, HIDDEN))
    kernel.rmsnorm_layer(x1, w, a, (4, 1, 1), block(kernel))
    kernel.rmsnorm_layer(x2, w, b, (6, 1, 1), block(kernel))
    graph = _blocks(kernel, (12, 1, 1), (a, ROWS, -1), (b, ROWS, -1), (c, ROWS, -1))
    kernel.kn_graph.customized([a, b, c], graph)
    kernel.kn_graph.register_task(graph, "elementwise_add_sm100")


def linear_batch32(kernel):
    kernel.linear_layer(*_linear(kernel, rows=32), (64, 1, 1), block(kernel))


def linear_n_mismatch(kernel):
    kernel.linear_layer(*_linear(kernel, wide=8192), (64, 1, 1), block(kernel))


def _mapped_norm(kernel, input_map, output_map):
    x, w, out = _norm(kernel)
    graph = _blocks(kernel, (8, 1, 1), (x, input_map, 1), (w, WHOLE, 0), (out, output_map, 1))
    kernel.kn_graph.customized([x, w, out], graph)
    kernel.kn_graph.register_task(graph, _own(kernel, "rmsnorm", "rmsnorm_hopper"))


def map_dim_out_of_range(kernel):
    _mapped_norm(kernel, (2, -1, -1), ROWS)


def map_output_replicated(kernel):
    _mapped_norm(kernel, ROWS, WHOLE)


def map_swap_output(kernel):
    _mapped_norm(kernel, ROWS, COLUMNS)


def map_swap_weight(kernel):
    x, w, out = _linear(kernel)
    graph = _blocks(kernel, (64, 1, 1), (x, WHOLE, 1), (w, COLUMNS, 1), (out, COLUMNS, -1))
    kernel.kn_graph.customized([x, w, out], graph)
    kernel.kn_graph.register_task(graph, _own(kernel, "linear", "linear_swapAB_hopper"))


def nested_fork(kernel):
    x, w, a, b, c, d, e = _norms(kernel, "x_a", "x_b", "x_c", "x_d", "x_e")
    for source, target in ((x, a), (a, b), (a, c), (b, d), (b, e)):
        kernel.rmsnorm_layer(source, w, target, (8, 1, 1), block(kernel))


def output_rows_smaller(kernel):
    kernel.rmsnorm_layer(*_norm(kernel, out_rows=4), (4, 1, 1), block(kernel))


def py_ndims(kernel):
    x, w = attach(kernel, "x", 2, 4, HIDDEN), attach(kernel, "w", HIDDEN)
    out = attach(kernel, "out", 2, 4, HIDDEN)
    kernel.rmsnorm_layer(x, w, out, (8, 1, 1), block(kernel))  # refused


def py_noncontig(kernel):
    from mpkgraph.pipeline import TensorSpec

    kernel.attach_input(TensorSpec((8, HIDDEN), "bfloat16", (2 * HIDDEN, 1)), name="x")  # refused


def residual_map_mismatch(kernel):
    x, w, a, b, c = _norms(kernel, "x_a", "x_b", "x_c")
    kernel.rmsnorm_layer(x, w, a, (8, 1, 1), block(kernel))
    kernel.rmsnorm_layer(a, w, b, (8, 1, 1), block(kernel))
    kernel.rmsnorm_layer(b, a, c, (8, 1, 1), block(kernel))


def shuffle_group_mismatch(kernel):
    x = attach(kernel, "x", 8, HIDDEN)
    gate, up = attach_all(kernel, "gate", "up", dims=(2048, HIDDEN))
    mid, out = attach(kernel, "mid", 8, HIDDEN), attach(kernel, "out", 8, 2048)
    both = kernel.shuffle_tensors([gate, up], 0, 16, "gateup")
    kernel.linear_layer(x, both, mid, (64, 1, 1), block(kernel))
    kernel.silu_mul_layer(mid, out, (32, 1, 1), block(kernel))


def strip_then_fork(kernel):
    x, w, w_lin, a, b, c, d = _with_linear(kernel, "x_a", "x_b", "x_c", "x_d")
    kernel.rmsnorm_layer(x, w, a, (8, 1, 1), block(kernel))
    kernel.rmsnorm_layer(a, w, b, (8, 1, 1), block(kernel))
    kernel.linear_with_residual_layer(b, w_lin, a, c, (64, 1, 1), block(kernel))
    kernel.rmsnorm_layer(a, w, d, (8, 1, 1), block(kernel))


def unknown_task(kernel):
    x, w, out = _norm(kernel)
    graph = _blocks(kernel, (8, 1, 1), (x, ROWS, 1), (w, WHOLE, 0), (out, ROWS, 1))
    kernel.kn_graph.customized([x, w, out], graph)  # refused
    kernel.kn_graph.register_task(graph, "no_such_task")


def war_buffer_reuse(kernel):
    x, w, w_lin, a, b, c = _with_linear(kernel, "x_a", "x_b", "x_c")
    kernel.rmsnorm_layer(x, w, a, (8, 1, 1), block(kernel))
    kernel.linear_layer(a, w_lin, b, (64, 1, 1), block(kernel))
    kernel.rmsnorm_layer(a, w, c, (8, 1, 1), block(kernel))
    kernel.rmsnorm_layer(c, w, a, (8, 1, 1), block(kernel))


def war_chain_barrier_ok(kernel):
    x, w, w_lin, a, b = _with_linear(kernel, "x_a", "x_b")
    kernel.rmsnorm_layer(x, w, a, (8, 1, 1), block(kernel))
    kernel.rmsnorm_layer(a, w, b, (8, 1, 1), block(kernel))
    kernel.linear_layer(b, w_lin, a, (64, 1, 1), block(kernel))


def waw_two_writers(kernel):
    x1, x2 = attach_all(kernel, "x1", "x2", dims=(8, HIDDEN))
    w = attach(kernel, "w", HIDDEN)
    a, c = attach_all(kernel, "x_a", "x_c", dims=(8, HIDDEN))
    for source, target in ((x1, a), (x2, a), (a, c)):
        kernel.rmsnorm_layer(source, w, target, (8, 1, 1), block(kernel))


def wrong_arity(kernel):
    x, w, out = _norm(kernel)
    slots = (x, ROWS, 1), (w, WHOLE, 0), (w, WHOLE, 0), (out, ROWS, 1)
    graph = _blocks(kernel, (8, 1, 1), *slots)
    kernel.kn_graph.customized([x, w, w, out], graph)  # refused
    kernel.kn_graph.register_task(graph, _own(kernel, "rmsnorm", "rmsnorm_hopper"))
