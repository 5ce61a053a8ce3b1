"""For each code of a warning the smallest pipeline that gives it and no other, and a clean twin.

A function `code(kernel, clean)` builds the one or the other; the line that is warned of ends with
`# warned` (there is none where the pipeline as a whole is).
"""

from __future__ import annotations

from mpkgraph.pipeline import CyTBGraph, TBGraph, TensorSpec

ROWS, WHOLE, COLUMNS = (0, -1, -1), (-1, -1, -1), (1, -1, -1)
BLOCK = (128, 1, 1)


def attach(kernel, name, *dims, dtype="bfloat16"):
    return kernel.attach_input(TensorSpec(dims, dtype), name=name)


def norm_of(kernel, rows=8, name="x"):
    x, w = attach(kernel, name, rows, 64), attach(kernel, "w", 64)
    return x, w, attach(kernel, "out", rows, 64)


def blocks(grid, *slots):
    graph = TBGraph(CyTBGraph(grid, BLOCK, 1, 64))
    for tensor, axis_map in slots:
        graph.new_input(tensor, axis_map, -1)
    return graph


def remainder(kernel, clean=False):
    x, w, out = norm_of(kernel)
    grid = (2 if clean else 3, 1, 1)
    kernel.rmsnorm_layer(x, w, out, grid, BLOCK)  # warned


def empty_tiles(kernel, clean=False):
    x, w, out = norm_of(kernel)
    grid = (8 if clean else 16, 1, 1)
    kernel.rmsnorm_layer(x, w, out, grid, BLOCK)  # warned


def mapped_twice(kernel, clean=False):
    x, w, out = norm_of(kernel)
    axes = (0, -1 if clean else 0, -1)
    graph = blocks((2, 1 if clean else 2, 1), (x, axes), (w, WHOLE), (out, axes))
    kernel.kn_graph.customized([x, w, out], graph)  # warned
    kernel.kn_graph.register_task(graph, "rmsnorm")


def map_past_rank(kernel, clean=False):
    x, w, out = norm_of(kernel)
    graph = blocks((2, 1, 1), (x, ROWS if clean else (3, -1, -1)), (w, WHOLE), (out, ROWS))
    kernel.kn_graph.customized([x, w, out], graph)  # warned
    kernel.kn_graph.register_task(graph, "rmsnorm")


def replicated(kernel, clean=False):
    x, w, out = norm_of(kernel)
    grid = (8, 1 if clean else 4, 1)
    kernel.rmsnorm_layer(x, w, out, grid, BLOCK)  # warned


def overwritten(kernel, clean=False):
    x, w, out = norm_of(kernel)
    graph = blocks((2, 1, 1), (x, ROWS), (w, WHOLE), (out, ROWS if clean else WHOLE))
    kernel.kn_graph.customized([x, w, out], graph)  # warned
    kernel.kn_graph.register_task(graph, "rmsnorm")


def read_before_write(kernel, clean=False):
    x, w, out = norm_of(kernel)
    mid = kernel.new_tensor(dims=(8, 64), name="mid")
    if clean:
        kernel.rmsnorm_layer(x, w, mid, (8, 1, 1), BLOCK)
    kernel.rmsnorm_layer(mid, w, out, (8, 1, 1), BLOCK)  # warned
    if not clean:
        kernel.rmsnorm_layer(x, w, mid, (8, 1, 1), BLOCK)


def stuck_event(kernel, clean=False):
    """A join of one producer through both its outputs, and of another."""
    logits, x, w = (
        attach(kernel, "logits", 8, 64),
        attach(kernel, "x", 8, 8),
        attach(kernel, "w", 8),
    )
    value, index = attach(kernel, "value", 8, 8), attach(kernel, "index", 8, 8)
    other, out = attach(kernel, "other", 8, 8), attach(kernel, "out", 8, 8)
    graph = blocks((8, 1, 1), (logits, ROWS), (value, ROWS), (index, ROWS))
    kernel.kn_graph.customized([logits, value, index], graph)
    kernel.kn_graph.register_task(graph, "argmax_partial", [1])
    kernel.rmsnorm_layer(x, w, other, (8, 1, 1), BLOCK)
    second = attach(kernel, "residual", 8, 8) if clean else index
    graph = blocks((8, 1, 1), (value, ROWS), (second, ROWS), (other, ROWS), (out, ROWS))
    kernel.kn_graph.customized([value, second, other, out], graph)  # warned
    kernel.kn_graph.register_task(graph, "linear_with_residual")


def null_tasks(kernel, clean=False):
    logits, value = attach(kernel, "logits", 1, 64), attach(kernel, "value", 1, 8)
    index, out = attach(kernel, "index", 1, 8, dtype="int64"), attach(kernel, "out", 1, 1)
    kernel.argmax_partial_layer(logits, (value, index), (8, 1, 1), BLOCK)
    if not clean:
        kernel.identity_layer(value, attach(kernel, "copy", 1, 8), (1, 1, 1), BLOCK)
    kernel.argmax_reduce_layer((value, index), out, (1, 1, 1), BLOCK)  # warned


def undefined_variant(kernel, clean=False):
    x, w = attach(kernel, "x", 8, 64), attach(kernel, "w", 64, 64)
    out = attach(kernel, "out", *((8, 64) if clean else ()))
    graph = blocks((1, 1, 1), (x, WHOLE), (w, WHOLE), (out, WHOLE))
    kernel.kn_graph.customized([x, w, out], graph)  # warned
    kernel.kn_graph.register_task(graph, "linear")


def no_blocks(kernel, clean=False):
    x, w, out = norm_of(kernel)
    graph = blocks((1 if clean else 0, 1, 1), (x, WHOLE), (w, WHOLE), (out, WHOLE))
    kernel.kn_graph.customized([x, w, out], graph)  # warned
    kernel.kn_graph.register_task(graph, "rmsnorm")


def blocks_(kernel, clean=False):
    x, w, out = norm_of(kernel, rows=8192)
    grid = (4096 if clean else 8192, 1, 1)
    kernel.rmsnorm_layer(x, w, out, grid, BLOCK)  # warned


def name(kernel, clean=False):
    x, w, out = norm_of(kernel, name="x" if clean else "model.x")
    kernel.rmsnorm_layer(x, w, out, (8, 1, 1), BLOCK)


def duplicate_name(kernel, clean=False):
    x, w, out = norm_of(kernel, name="x" if clean else "out")
    kernel.rmsnorm_layer(x, w, out, (8, 1, 1), BLOCK)


def empty(kernel, clean=False):
    x, w, out = norm_of(kernel)
    if clean:
        kernel.rmsnorm_layer(x, w, out, (8, 1, 1), BLOCK)


BUILDERS = {
    "remainder": remainder,
    "empty-tiles": empty_tiles,
    "mapped-twice": mapped_twice,
    "map-past-rank": map_past_rank,
    "replicated": replicated,
    "overwritten": overwritten,
    "read-before-write": read_before_write,
    "stuck-event": stuck_event,
    "null-tasks": null_tasks,
    "undefined-variant": undefined_variant,
    "no-blocks": no_blocks,
    "blocks": blocks_,
    "name": name,
    "duplicate-name": duplicate_name,
    "empty": empty,
}
"""By code."""
