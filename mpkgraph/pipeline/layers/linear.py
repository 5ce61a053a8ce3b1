"""Matrix products (`persistent_kernel.py:1696-1798`, `1883-1902`)."""

from __future__ import annotations

from mpkgraph.pipeline.layers.call import Call
from mpkgraph.pipeline.layers.checks import ranks
from mpkgraph.pipeline.layers.spec import (
    LAUNCH,
    BlockSpec,
    Dispatch,
    LayerSpec,
    Refusal,
    SlotSpec,
    tensors,
)

AMPERE = range(80, 90)
HOPPER = range(90, 100)
BLACKWELL = range(100, 120)
NO_TASK = Refusal(AssertionError, "Unsupported compute capability: {cc}")


def residual_on_first_rank(call: Call) -> None:
    """One rank of several adds the residual: the ranks' outputs are added up afterwards."""
    kernel = call.kernel
    call["enable_residual"] = 0 if kernel.world_size > 1 and kernel.mpi_rank != 0 else 1


def rows_of_a_block(call: Call) -> None:
    """On Hopper Mirage divides by grid axis x, for a choice between two equal names."""
    if call.kernel.target_cc in HOPPER:
        with call.arithmetic("grid_dim"):
            call["block_rows"] = call.tensor("weight").dim(0) // call["grid_dim"][0]


_INPUT = SlotSpec("input", forloop_dim=1, shape="[batch, K]")
_WEIGHT = SlotSpec("weight", (0, -1, -1), 1, shape="[N, K]")
_RESIDUAL = SlotSpec("residual", (1, -1, -1), shape="[batch, N]")
_OUTPUT = SlotSpec("output", (1, -1, -1), shape="[batch, N]")

ROWS = (
    LayerSpec(
        method="linear_layer",
        family="linear",
        doc="Product with a weight whose rows are outputs.",
        parameters=(*tensors("input weight output"), *LAUNCH),
        steps=(ranks(input=2, weight=2, output=2),),
        block=BlockSpec(
            slots=(_INPUT, _WEIGHT, _OUTPUT),
            dispatch=(
                Dispatch("linear_sm100", BLACKWELL),
                Dispatch("linear_swapAB_hopper", HOPPER),
                Dispatch("linear", AMPERE),
            ),
            refusal=NO_TASK,
            before_register=(rows_of_a_block,),
        ),
    ),
    LayerSpec(
        method="linear_with_residual_layer",
        family="linear",
        doc="Product with a weight, plus a residual.",
        parameters=(*tensors("input weight residual output"), *LAUNCH),
        steps=(ranks(input=2, weight=2, residual=2, output=2), residual_on_first_rank),
        block=BlockSpec(
            slots=(_INPUT, _WEIGHT, _RESIDUAL, _OUTPUT),
            dispatch=(
                Dispatch("linear_with_residual_sm100", BLACKWELL, ("enable_residual",)),
                Dispatch("linear_swapAB_with_residual_hopper", HOPPER, ("enable_residual",)),
                Dispatch("linear_with_residual", AMPERE),
            ),
            refusal=NO_TASK,
            before_register=(rows_of_a_block,),
        ),
        notes="With several ranks only rank 0 adds the residual; before compute capability 90 "
        "every rank does.",
    ),
    LayerSpec(
        method="splitk_linear_layer",
        family="linear",
        doc="Product whose inner dimension is split by grid axis y; tasks add to the output.",
        parameters=(*tensors("input weight output"), *LAUNCH),
        steps=(ranks(input=2, weight=2, output=2),),
        block=BlockSpec(
            slots=(
                SlotSpec("input", (-1, 1, -1), 1, shape="[batch, K]"),
                SlotSpec("weight", (0, 1, -1), 1, shape="[N, K]"),
                _OUTPUT,
            ),
            dispatch=(
                Dispatch("splitk_linear_sm100", (100,)),
                Dispatch("splitk_linear_swapAB_hopper", (90,)),
            ),
            refusal=Refusal(AssertionError),
        ),
    ),
    LayerSpec(
        method="silu_mul_linear_with_residual_layer",
        family="linear",
        doc="SiLU of the gate times up, a matrix product, plus a residual.",
        parameters=(*tensors("input weight residual output"), *LAUNCH),
        steps=(ranks(input=2, weight=2, residual=2),),
        block=BlockSpec(
            slots=(
                SlotSpec("input", forloop_dim=1, shape="[batch, 2 * K]"),
                _WEIGHT,
                SlotSpec("residual", (1, -1, -1), 1, shape="[batch, N]"),
                SlotSpec("output", (1, -1, -1), 1, shape="[batch, N]"),
            ),
            dispatch=(Dispatch("silu_mul_linear_with_residual"),),
        ),
        notes="Can be planned; its kernel is in no target's build of Mirage.",
    ),
)
