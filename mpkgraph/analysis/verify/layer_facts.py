"""What the rules about kernels see of an operator: its registered name, sizes and params."""

from __future__ import annotations

from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.catalog.constraints import Setting
from mpkgraph.catalog.registered import (
    REGISTERED_TASKS,
    RegisteredTaskRow,
    SlotFacts,
    TaskFacts,
)
from mpkgraph.catalog.registered.row import ARCHITECTURES
from mpkgraph.model.operator import Operator, OperatorSlot
from mpkgraph.model.record import PipelineRecord

AMPERE, HOPPER, BLACKWELL = ARCHITECTURES


def architecture(target_cc: int) -> str:
    """The set of kernels that a compute capability is compiled with."""
    return {90: HOPPER, 100: BLACKWELL}.get(target_cc, AMPERE)


def target_cc(context: VerifyContext) -> int | None:
    """The compute capability that the graph is for; None where nothing tells."""
    if context.options.target_cc is not None:
        return context.options.target_cc
    return None if context.record is None else context.record.target_cc


def num_workers(context: VerifyContext) -> int | None:
    """Workers of the GPU, as the user says or the pipeline was made with."""
    if context.options.num_workers is not None:
        return context.options.num_workers
    return init_number(context.record, "num_workers")


def init_number(record: PipelineRecord | None, name: str) -> int | None:
    """A number that PersistentKernel was made with."""
    value = None if record is None else record.init.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def setting(context: VerifyContext) -> Setting:
    """What constraints hang on beyond the layer."""
    value = None if context.record is None else context.record.init.get("use_cutlass_kernel")
    return Setting(use_cutlass=value if isinstance(value, bool) else None)


def registered_row(context: VerifyContext, operator: Operator) -> RegisteredTaskRow | None:
    """What the operator is registered as; None where its task type alone does not tell."""
    if operator.register_name is not None:
        return REGISTERED_TASKS.get(operator.register_name)
    names = context.catalog.task_type_row(operator.task_type).register_names
    return REGISTERED_TASKS[names[0]] if len(names) == 1 else None


def task_facts(context: VerifyContext, operator: Operator) -> TaskFacts:
    """The operator as its kernel's registrar saw it; without a record there are no params."""
    layer = context.layer(operator)
    return TaskFacts(
        inputs=tuple(_slot(x) for x in operator.inputs),
        outputs=tuple(_slot(x) for x in operator.outputs),
        params=() if layer is None else tuple(int(x) for x in layer.params or ()),
        grid_dim=operator.grid_dim,
    )


def _slot(slot: OperatorSlot) -> SlotFacts:
    return SlotFacts(
        tile=_padded(slot.tile_dims),
        dims=_padded(slot.tensor_dims),
        strides=_padded(slot.strides),
        rank=len(slot.strides),
        input_map=slot.input_map,
        is_null=not slot.base_ptrs,
    )


def _padded(numbers: tuple[int, ...]) -> tuple[int, int, int, int]:
    a, b, c, d = (*numbers, 0, 0, 0, 0)[:4]
    return a, b, c, d
