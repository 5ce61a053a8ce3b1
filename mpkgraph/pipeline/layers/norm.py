"""Embedding and normalisation (`persistent_kernel.py:586-646`)."""

from __future__ import annotations

from mpkgraph.pipeline.layers.checks import ranks
from mpkgraph.pipeline.layers.spec import (
    LAUNCH,
    BlockSpec,
    Dispatch,
    LayerSpec,
    Param,
    SlotSpec,
    tensors,
)

ROWS = (
    LayerSpec(
        method="embed_layer",
        family="embedding",
        doc="Rows of an embedding table by token id.",
        parameters=(*tensors("input weight output"), *LAUNCH, Param("input_source", "int", 0)),
        block=BlockSpec(
            slots=(
                SlotSpec("input", (-1, 1, -1), shape="[batch, num_tokens] int64 ids"),
                SlotSpec("weight", (1, -1, -1), shape="[vocab, hidden]"),
                SlotSpec("output", (1, 0, -1), shape="[batch, hidden]"),
            ),
            dispatch=(Dispatch("embedding", params=("input_source",)),),
        ),
        notes="input_source 0 takes the ids from the runtime's token buffer, 1 from `input`.",
    ),
    LayerSpec(
        method="rmsnorm_layer",
        family="norm",
        doc="Root mean square normalisation of each row, times a weight.",
        parameters=(*tensors("input weight output"), *LAUNCH),
        steps=(ranks(input=2, output=2),),
        block=BlockSpec(
            slots=(
                SlotSpec("input", (0, -1, -1), 1, shape="[batch, hidden]"),
                SlotSpec("weight", forloop_dim=0, shape="[hidden]"),
                SlotSpec("output", (0, -1, -1), 1, shape="[batch, hidden]"),
            ),
            dispatch=(
                Dispatch("rmsnorm_hopper", range(90, 1000)),
                Dispatch("rmsnorm", range(90)),
            ),
        ),
    ),
    LayerSpec(
        method="rmsnorm_linear_layer",
        family="norm",
        doc="Root mean square normalisation, then a matrix product.",
        parameters=(*tensors("input weight_norm weight_linear output"), *LAUNCH),
        steps=(ranks(input=2, weight_linear=2, output=2),),
        block=BlockSpec(
            slots=(
                SlotSpec("input", forloop_dim=1, shape="[batch, K]"),
                SlotSpec("weight_norm", forloop_dim=0, shape="[K]"),
                SlotSpec("weight_linear", (0, -1, -1), 1, shape="[N, K]"),
                SlotSpec("output", (1, -1, -1), shape="[batch, N]"),
            ),
            dispatch=(Dispatch("rmsnorm_linear"),),
        ),
        notes="Can be planned; its kernel is in no target's build of Mirage.",
    ),
)
