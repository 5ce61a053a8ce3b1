"""Low-level pipelines at the corners of what Mirage's generator takes; wild ones, on purpose.

Each function tells a kernel of ours; the tests know what the real generator did with the same
calls.
"""

from __future__ import annotations

from mpkgraph.pipeline import dtype
from tests.pipelines.kit import COLUMNS, ROWS, WHOLE, attach, attach_all, block_graph

BLOCK = (128, 1, 1)
BOTH = (0, 0, -1)
"""Two grid axes on one dim."""
ADD = "elementwise_add_sm100"


def task(kernel, name, grid, slots, params=None, *, customized=None):
    """A thread-block graph registered as a task."""
    graph = block_graph(grid, slots)
    tensors = [tensor for tensor, _ in slots] if customized is None else customized
    kernel.kn_graph.customized(tensors, graph)
    kernel.kn_graph.register_task(graph, name, params)


def norm(kernel, x, out, grid, reads=ROWS, writes=ROWS, **given):
    w = attach(kernel, f"w_{out.name}", 64)
    task(kernel, "rmsnorm_hopper", grid, [(x, reads), (w, WHOLE), (out, writes)], **given)


def tensors(kernel, names, rows=24):
    return attach_all(kernel, *names, dims=(rows, 64))


# Roles and groups of events


def chain_of_two_axes(kernel):
    x, a, b = tensors(kernel, "xab")
    norm(kernel, x, a, (4, 2, 1), BOTH, BOTH)
    norm(kernel, a, b, (4, 1, 1))


def chain_into_two_axes(kernel):
    x, a, b = tensors(kernel, "xab")
    norm(kernel, x, a, (4, 1, 1))
    norm(kernel, a, b, (2, 2, 1), BOTH, BOTH)


def fork_of_two_axes(kernel, grid=(2, 2, 1)):
    x, a, b, c = tensors(kernel, "xabc")
    norm(kernel, x, a, grid, BOTH, BOTH)
    norm(kernel, a, b, (4, 1, 1))
    norm(kernel, a, c, (2, 1, 1))


def fork_of_two_axes_beyond_the_grid(kernel):
    fork_of_two_axes(kernel, (3, 2, 1))


def fork_of_two_axes_by_zero(kernel):
    fork_of_two_axes(kernel, (2, 4, 1))


def fork_without_blocks(kernel):
    x, a, b, c = tensors(kernel, "xabc")
    norm(kernel, x, a, (4, 0, 1))
    norm(kernel, a, b, (4, 1, 1))
    norm(kernel, a, c, (4, 1, 1))


def fork_of_groups_that_do_not_divide(kernel):
    x, a, b, c = tensors(kernel, "xabc")
    norm(kernel, x, a, (5, 1, 2), (0, 1, -1), (0, 1, 0))
    norm(kernel, a, b, (3, 2, 2), (2, 1, 0), (-1, 1, 0))
    norm(kernel, a, c, (1, 3, 1), (0, 1, 0), (0, 1, -1))


def join_into_two_axes(kernel, grid=(2, 2, 1)):
    x, y, a, b, c = tensors(kernel, "xyabc")
    norm(kernel, x, a, (4, 1, 1))
    norm(kernel, y, b, (2, 1, 1))
    task(kernel, ADD, grid, [(a, BOTH), (b, BOTH), (c, BOTH)])


def join_into_two_axes_beyond_the_grid(kernel):
    join_into_two_axes(kernel, (3, 2, 1))


def join_into_two_axes_by_zero(kernel):
    join_into_two_axes(kernel, (2, 4, 1))


def join_of_events_that_do_not_merge(kernel):
    x, y, a, b, c = tensors(kernel, "xyabc")
    norm(kernel, x, a, (1, 2, 1), (1, 0, -1), (1, 0, 1))
    norm(kernel, y, b, (1, 1, 2), (-1, -1, 0), (0, 0, 2))
    task(kernel, ADD, (1, 3, 2), [(a, (-1, 0, 0)), (b, (-1, 1, -1)), (c, (-1, 0, 1))])


def fork_into_rows_and_columns(kernel):
    x, a, b, c = tensors(kernel, "xabc")
    norm(kernel, x, a, (4, 6, 1), (0, 1, -1), (0, 1, -1))
    norm(kernel, a, b, (8, 4, 1), (0, 1, -1), (0, 1, -1))
    norm(kernel, a, c, (3, 8, 1), (0, 1, -1), (0, 1, -1))


def fork_of_12_into_3_and_4(kernel):
    x, a, b, c = tensors(kernel, "xabc")
    norm(kernel, x, a, (12, 1, 1))
    norm(kernel, a, b, (3, 1, 1))
    norm(kernel, a, c, (4, 1, 1))


def both_outputs_are_one_tensor(kernel):
    x, a, b = tensors(kernel, "xab")
    task(kernel, "argmax_partial", (8, 1, 1), [(x, ROWS), (a, ROWS), (a, ROWS)], [1])
    norm(kernel, a, b, (8, 1, 1))


# Slots and tensors


def axis_of_one_block_past_the_rank(kernel):
    x, a = tensors(kernel, "xa", rows=8)
    norm(kernel, x, a, (8, 1, 1), (0, 3, -1), (0, 2, 9))


def axis_past_four_dims(kernel):
    x, a = tensors(kernel, "xa", rows=8)
    norm(kernel, x, a, (8, 1, 1), (4, -1, -1))


def too_few_tensors(kernel):
    x, w = attach(kernel, "x", 8, 64), attach(kernel, "w", 64)
    task(kernel, "rmsnorm_hopper", (8, 1, 1), [(x, ROWS), (w, WHOLE)])


def customized_with_fewer(kernel):
    x, a = tensors(kernel, "xa", rows=8)
    norm(kernel, x, a, (8, 1, 1), customized=[x, a])


def customized_with_more(kernel):
    x, a = tensors(kernel, "xa", rows=8)
    w = attach(kernel, "w", 64)
    slots = [(x, ROWS), (w, WHOLE), (a, ROWS)]
    task(kernel, "rmsnorm_hopper", (8, 1, 1), slots, customized=[x, w, a, x])


def customized_with_others(kernel):
    x, a = tensors(kernel, "xa", rows=8)
    w, y = attach(kernel, "w", 64), attach(kernel, "y", 8, 4, 16, dtype="float32")
    slots = [(x, ROWS), (w, WHOLE), (a, ROWS)]
    task(kernel, "rmsnorm_hopper", (8, 1, 1), slots, customized=[y, None, a])


def never_registered(kernel):
    x, a = tensors(kernel, "xa", rows=8)
    kernel.kn_graph.customized([x, a], block_graph((8, 1, 1), [(x, ROWS), (a, ROWS)]))


def none_as_an_input(kernel):
    x, a = tensors(kernel, "xa", rows=8)
    task(kernel, "rmsnorm_hopper", (8, 1, 1), [(x, ROWS), (None, WHOLE), (a, ROWS)])


def none_as_an_output(kernel):
    (x,) = tensors(kernel, "x", rows=8)
    task(kernel, "rmsnorm_hopper", (8, 1, 1), [(x, ROWS), (x, WHOLE), (None, ROWS)])


def none_whose_stride_is_read(kernel):
    x, w = attach(kernel, "x", 8, 64), attach(kernel, "w", 64, 64)
    task(kernel, "linear_swapAB_hopper", (8, 1, 1), [(x, WHOLE), (w, ROWS), (None, COLUMNS)])


def too_few_params(kernel):
    x, a, b = tensors(kernel, "xab", rows=8)
    task(kernel, "argmax_partial", (8, 1, 1), [(x, ROWS), (a, ROWS), (b, ROWS)], [])


def more_params_than_are_read(kernel):
    x, a, b = tensors(kernel, "xab", rows=8)
    task(kernel, "argmax_partial", (8, 1, 1), [(x, ROWS), (a, ROWS), (b, ROWS)], [1, 2, 3])


# Tensors put together


def parts(kernel, *rows, columns=64):
    return [attach(kernel, f"part{i}", n, columns) for i, n in enumerate(rows)]


def linear(kernel, weight, out, grid):
    x = attach(kernel, "x", 8, weight.dims[1])
    kernel.linear_layer(x, weight, attach(kernel, out, 8, weight.dims[0]), grid, BLOCK)


def part_of_a_shuffle(kernel):
    first, second = parts(kernel, 32, 32)
    linear(kernel, kernel.shuffle_tensors([first, second], 0, 4, "both"), "out", (1, 1, 1))
    linear(kernel, first, "other", (1, 1, 1))


def part_of_a_fuse_before_it(kernel):
    first, second = parts(kernel, 32, 32)
    linear(kernel, first, "other", (1, 1, 1))
    linear(kernel, kernel.fuse_tensors([first, second], 0, 4, "both"), "out", (1, 1, 1))


def one_part_twice(kernel):
    (part,) = parts(kernel, 32)
    linear(kernel, kernel.shuffle_tensors([part, part], 0, 4, "both"), "out", (1, 1, 1))


def fuse_of_a_shuffle(kernel):
    a, b, c = parts(kernel, 32, 32, 32)
    shuffled = kernel.shuffle_tensors([a, b], 0, 4, "shuffled")
    linear(kernel, kernel.fuse_tensors([shuffled, c], 0, 4, "fused"), "out", (4, 1, 1))


def shuffle_of_a_fuse(kernel):
    a, b, c = parts(kernel, 32, 32, 32)
    fused = kernel.fuse_tensors([a, b], 0, 4, "fused")
    linear(kernel, kernel.shuffle_tensors([fused, c], 0, 4, "shuffled"), "out", (4, 1, 1))


def fused_output(kernel):
    both = kernel.fuse_tensors(parts(kernel, 4, 4), 0, 1, "both")
    x, a = tensors(kernel, "xa", rows=8)
    norm(kernel, x, both, (8, 1, 1))
    norm(kernel, both, a, (8, 1, 1))


def empty_groups(kernel):
    linear(kernel, kernel.fuse_tensors(parts(kernel, 4, 4), 0, 8, "both"), "out", (1, 1, 1))


def empty_groups_of_one_part(kernel):
    linear(kernel, kernel.fuse_tensors(parts(kernel, 4, 8), 0, 8, "both"), "out", (4, 1, 1))


def groups_that_do_not_divide(kernel):
    linear(kernel, kernel.fuse_tensors(parts(kernel, 10, 10), 0, 4, "both"), "out", (10, 1, 1))


def fused_parts_of_another_shape(kernel):
    first, second = attach(kernel, "first", 10, 64), attach(kernel, "second", 10, 8, 8)
    linear(kernel, kernel.fuse_tensors([first, second], 0, 5, "both"), "out", (10, 1, 1))


def fused_part_of_lower_rank(kernel):
    first, second = attach(kernel, "first", 10, 8, 8), attach(kernel, "second", 10, 64)
    both = kernel.fuse_tensors([first, second], 0, 5, "both")
    x, out = attach(kernel, "x", 8, 64), attach(kernel, "out", 8, 20)
    slots = [(x, WHOLE), (both, ROWS), (out, COLUMNS)]
    task(kernel, "linear_swapAB_hopper", (10, 1, 1), slots)


# Names and sizes


def named(kernel, name):
    x, out = attach(kernel, name, 8, 64), kernel.new_tensor((8, 64), name=f"{name}.out")
    kernel.rmsnorm_layer(x, attach(kernel, "w", 64), out, (8, 1, 1), BLOCK)


def control_characters(kernel):
    named(kernel, "".join(map(chr, range(1, 33))) + '"\\/\x7f\x80')


def name_that_ends_at_nul(kernel):
    named(kernel, "head\0tail")


def names_beyond_ascii(kernel):
    named(kernel, "gewicht_\u00e9_\u65e5\u672c_\U0001f600_\u2028_\ufeff_\uffff")


def name_of_10000(kernel):
    named(kernel, "\x01" * 5000 + "n" * 5000)


def empty_name(kernel):
    named(kernel, "")


def no_elements(kernel):
    x, out = attach(kernel, "x", 0, 64), attach(kernel, "out", 0, 64)
    kernel.rmsnorm_layer(x, attach(kernel, "w", 64), out, (1, 1, 1), BLOCK)


def two_billion_rows(kernel):
    x, out = attach(kernel, "x", 2**31 - 1, 2), attach(kernel, "out", 2**31 - 1, 2)
    kernel.rmsnorm_layer(x, attach(kernel, "w", 2), out, (8, 1, 1), BLOCK)


# Several GPUs


def put(kernel, x, ranks=3):
    buffer = kernel.new_tensor(
        dims=(ranks, 8, 64), name="buffer", dtype=dtype("bf16"), io_category="nvshmem_tensor"
    )
    slots = [(x, COLUMNS), (buffer, (2, -1, -1))]
    task(kernel, "nvshmem_allgather_strided_put", (4, 1, 1), slots, [])
    return buffer


def put_that_nothing_reads(kernel):
    put(kernel, *tensors(kernel, "x", rows=8))


def put_and_reduce(kernel):
    x, h, out = tensors(kernel, "xho", rows=8)
    norm(kernel, x, h, (8, 1, 1))
    buffer = put(kernel, h)
    slots = [(h, COLUMNS), (buffer, (2, -1, -1)), (out, COLUMNS)]
    task(kernel, "reduction", (4, 1, 1), slots, [kernel.world_size, kernel.mpi_rank])


# What a registrar computes


def kernel_that_divides_by_zero(kernel):
    x, w = attach(kernel, "x", 8, 64), attach(kernel, "w", 64, 64)
    slots = [(x, WHOLE), (w, ROWS), (attach(kernel, "out", 8, 64), COLUMNS)]
    task(kernel, "linear_hopper", (128, 1, 1), slots)


def heads_that_are_zero(kernel):
    slots = [(attach(kernel, f"t{i}", 8, 64), WHOLE) for i in range(8)]
    task(kernel, "attention", (1, 1, 1), slots, [0, 0, 0, 0])


def rank_that_reads_past_its_strides(kernel):
    x, w = attach(kernel, "x", 8, 64), attach(kernel, "w", 64, 64)
    # A linear layer's output stride is that of its first dim: there is none.
    out = attach(kernel, "out")
    task(kernel, "linear_swapAB_hopper", (1, 1, 1), [(x, WHOLE), (w, WHOLE), (out, WHOLE)])
