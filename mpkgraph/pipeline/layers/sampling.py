"""From logits to a token (`persistent_kernel.py:1904-1986`)."""

from __future__ import annotations

from mpkgraph.pipeline.layers.call import Call
from mpkgraph.pipeline.layers.checks import element, ranks, tensors_in
from mpkgraph.pipeline.layers.spec import (
    LAUNCH,
    BlockSpec,
    Dispatch,
    LayerSpec,
    Param,
    SlotSpec,
    tensors,
)
from mpkgraph.pipeline.refusal import refuse

_PAIR = "tuple[DTensor, DTensor]"
_PARTIAL = "argmax_partial_output_size"


def chunk_for_reduce(call: Call) -> None:
    """Columns that one task scans; the next argmax_reduce_layer takes them from the kernel."""
    columns = call.tensor("input").dim(1)
    call["num_tasks"] = element(call, "grid_dim", 0)
    with call.arithmetic("grid_dim"):
        call.kernel.argmax_partial_output_size = columns // call["num_tasks"]


def chunk_of_partial(call: Call) -> None:
    """Columns that each task of the last argmax_partial_layer scanned."""
    if not hasattr(call.kernel, _PARTIAL):
        refuse(
            AttributeError,
            "no argmax_partial_layer came before it",
            remedy="Call argmax_partial_layer first: it says how many columns a task scanned",
            upstream=f"'PersistentKernel' object has no attribute '{_PARTIAL}'",
        )


ROWS = (
    LayerSpec(
        method="argmax_layer",
        family="sampling",
        doc="Index of the largest logit, in one task.",
        parameters=(*tensors("input output"), *LAUNCH),
        steps=(ranks(input=2, output=2),),
        block=BlockSpec(
            slots=(
                SlotSpec("input", shape="[batch, vocab]"),
                SlotSpec("output", shape="[batch, 1]"),
            ),
            dispatch=(Dispatch("argmax"),),
        ),
        notes="Mirage generates no code for its task: it only fires its event.",
    ),
    LayerSpec(
        method="argmax_partial_layer",
        family="sampling",
        doc="Largest logit of each task's columns, with its index.",
        parameters=(Param("input"), Param("output", _PAIR), *LAUNCH),
        steps=(
            ranks(input=2),
            tensors_in("output", "output_value", "output_index"),
            ranks(output_value=2, output_index=2),
            chunk_for_reduce,
        ),
        block=BlockSpec(
            slots=(
                SlotSpec("input", (1, 0, -1), shape="[batch, vocab]"),
                SlotSpec("output_value", (1, 0, -1), shape="[batch, num_tasks]"),
                SlotSpec("output_index", (1, 0, -1), shape="[batch, num_tasks] int64"),
            ),
            dispatch=(
                Dispatch("argmax_partial_sm100", (90, 100), ("num_tasks",)),
                Dispatch("argmax_partial", params=("num_tasks",)),
            ),
        ),
    ),
    LayerSpec(
        method="argmax_reduce_layer",
        family="sampling",
        doc="Index of the largest of argmax_partial_layer's values.",
        parameters=(Param("input", _PAIR), Param("output"), *LAUNCH),
        steps=(
            tensors_in("input", "input_value", "input_index"),
            ranks(input_value=2, input_index=2, output=2),
        ),
        block=BlockSpec(
            slots=(
                SlotSpec("input_value", (1, 0, -1), shape="[batch, num_tasks]"),
                SlotSpec("input_index", (1, 0, -1), shape="[batch, num_tasks] int64"),
                SlotSpec("output", (0, 1, -1), shape="[batch, 1] int64"),
            ),
            dispatch=(
                Dispatch("argmax_reduce_sm100", (100,), (f"kernel.{_PARTIAL}",)),
                Dispatch("argmax_reduce", params=(f"kernel.{_PARTIAL}",)),
            ),
            before_register=(chunk_of_partial,),
        ),
        notes="Takes the columns per task from the last argmax_partial_layer.",
    ),
    LayerSpec(
        method="sampling_sm100_layer",
        family="sampling",
        doc="A token drawn by the logits (Gumbel-max).",
        parameters=(*tensors("logits output"), *LAUNCH, Param("seed", "int", 42)),
        steps=(ranks(logits=2, output=2),),
        block=BlockSpec(
            slots=(
                SlotSpec("logits", (0, -1, -1), shape="[batch, vocab]"),
                SlotSpec("output", (0, -1, -1), shape="[batch, 1]"),
            ),
            dispatch=(Dispatch("sampling_sm100", params=("seed",)),),
        ),
    ),
    LayerSpec(
        method="softmax_gather_layer",
        family="sampling",
        doc="Probability of given tokens.",
        parameters=(*tensors("logits token_ids output_probs"), *LAUNCH),
        steps=(ranks(logits=2),),
        block=BlockSpec(
            slots=(
                SlotSpec("logits", shape="[batch, vocab]"),
                SlotSpec("token_ids", shape="[batch, 1] int64"),
                SlotSpec("output_probs", shape="[batch, 1] float32"),
            ),
            dispatch=(Dispatch("softmax_gather_sm100"),),
        ),
    ),
)
