"""Element by element, and copies (`persistent_kernel.py:1351-1370`, `1826-1881`)."""

from __future__ import annotations

from mpkgraph.model.operator import InputMap
from mpkgraph.pipeline.layers.call import Call
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


def same_dims(call: Call) -> None:
    """Input and output have the same dimensions, two or three of them."""
    given, wanted = call.tensor("output"), call.tensor("input")
    if given.dims != wanted.dims:
        call.fail(
            f"{call.show('output')} is not of the shape of {call.show('input')}",
            remedy=f"Make it {list(wanted.dims)}",
        )
    if wanted.num_dims not in {2, 3}:
        call.fail(
            f"{call.show('input')} has {wanted.num_dims} dimensions, 2 or 3 are needed",
        )


def last_dim_by_x(call: Call) -> InputMap:
    """Grid axis x splits the last dimension."""
    return (call.tensor("input").num_dims - 1, -1, -1)


ROWS = (
    LayerSpec(
        method="silu_mul_layer",
        family="elementwise",
        doc="SiLU of the gate times up; each tile's first half is gate, its second up.",
        parameters=(*tensors("input output"), *LAUNCH),
        steps=(ranks(input=2, output=2),),
        block=BlockSpec(
            slots=(
                SlotSpec("input", (1, -1, -1), 1, shape="[batch, 2 * intermediate]"),
                SlotSpec("output", (1, -1, -1), 1, shape="[batch, intermediate]"),
            ),
            dispatch=(Dispatch("silu_mul"),),
        ),
    ),
    LayerSpec(
        method="identity_layer",
        family="elementwise",
        doc="A copy.",
        parameters=(*tensors("input output"), *LAUNCH, Param("dependent_tensor", default=None)),
        steps=(same_dims,),
        block=BlockSpec(
            slots=(
                SlotSpec("input", last_dim_by_x, 1, shape="two or three dimensions"),
                SlotSpec("output", last_dim_by_x, 1, shape="as the input"),
            ),
            dispatch=(Dispatch("identity"),),
        ),
        notes="dependent_tensor makes no dependency: Mirage ignores it.",
    ),
    LayerSpec(
        method="elementwise_add_layer",
        family="elementwise",
        doc="The sum of two tensors.",
        parameters=(*tensors("input_a input_b output"), *LAUNCH),
        steps=(ranks(input_a=2, input_b=2, output=2),),
        block=BlockSpec(
            slots=(
                SlotSpec("input_a", (0, -1, -1), shape="[batch, hidden]"),
                SlotSpec("input_b", (0, -1, -1), shape="[batch, hidden]"),
                SlotSpec("output", (0, -1, -1), shape="[batch, hidden]"),
            ),
            dispatch=(Dispatch("elementwise_add_sm100"),),
        ),
    ),
    LayerSpec(
        method="tensor_init_layer",
        family="elementwise",
        doc="Zeros in `input`, which is written although it is declared as an input.",
        parameters=(*tensors("input dummy_input dummy_output"), *LAUNCH),
        steps=(ranks(input=2, dummy_input=2, dummy_output=2),),
        block=BlockSpec(
            slots=(
                SlotSpec("input", (0, -1, -1), shape="[batch, columns], becomes zero"),
                SlotSpec("dummy_input", (0, -1, -1), shape="[batch, hidden]"),
                SlotSpec("dummy_output", (0, -1, -1), shape="[batch, columns]"),
            ),
            dispatch=(Dispatch("tensor_init"),),
        ),
        notes="The dummies only order it: after what writes dummy_input, before what reads "
        "dummy_output.",
    ),
)
