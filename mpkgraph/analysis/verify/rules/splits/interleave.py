"""Shuffled and fused weights: whether groups of rows fit the tiles of who works on them."""

from __future__ import annotations

from collections.abc import Iterator

from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.rule import CheckRow, Rule
from mpkgraph.analysis.verify.rules.splits.facts import AXES, shown
from mpkgraph.model.operator import Operator
from mpkgraph.model.record import PipelineRecord, TensorCall

INTERLEAVE = Rule(
    code="MPK112",
    name="interleave-mismatch",
    severity="error",
    summary="the groups of a shuffled weight are not the tiles of the layer that pairs its parts",
    why="shuffle_tensors puts a part of the gate before its part of the up projection (or query "
    "heads before their key and value), group by group. The kernel takes the first half of its "
    "tile for the gate: that holds only where a tile is exactly one group.",
    remedy="Shuffle in as many groups as the later layer has tiles.",
    needs_record=True,
)
PART_CROSSED = Rule(
    code="MPK113",
    name="fused-part-crossed",
    severity="error",
    summary="a tile of a fused tensor reaches from one part into the next",
    why="fuse_tensors makes no buffer: a tile lies in the one part that it starts in, so its last "
    "rows are that part's next rows, not those of the next part.",
    remedy="Choose the grid and the number of groups so that tiles divide every part's group.",
    needs_record=True,
)

PAIRING = frozenset({"TASK_SILU_MUL", "TASK_SILU_MUL_HOPPER"})
ATTENTION = frozenset(
    {
        "TASK_PAGED_ATTENTION_1",
        "TASK_PAGED_ATTENTION_HOPPER",
        "TASK_ATTN_SM100",
        "TASK_PAGED_ATTENTION_SPLIT_KV_HOPPER",
        "TASK_PAGED_ATTENTION_SPLIT_KV_SM100",
        "TASK_ATTENTION_1",
    }
)
LINEAR = "LINEAR"
WEIGHT = 1
"""Slot of a linear's weight."""
JOINING = ("shuffle_tensors", "fuse_tensors")


def find_interleave_mismatches(context: VerifyContext) -> Iterator[Finding]:
    """Layers that pair columns which a shuffled weight interleaves in other groups."""
    record = context.record
    if record is None:
        return
    made_by: dict[int, tuple[Operator, TensorCall]] = {}
    # In program order, as the record's layers are: the last linear before a layer made its input
    recorded = [x for x in context.operators if x.layer_index is not None]
    for operator in sorted(recorded, key=lambda x: x.layer_index or 0):
        layer = context.layer(operator)
        if layer is None:
            continue
        name = context.catalog.task_type_name(operator.task_type)
        source = layer.slots[0].tensor if layer.slots else None
        if source in made_by and source is not None and (name in PAIRING or name in ATTENTION):
            yield from _mismatch(context, operator, *made_by[source], is_pair=name in PAIRING)
        call = _joined_weight(record, operator, context) if LINEAR in name else None
        for slot in operator.outputs:
            tensor = layer.slots[slot.position].tensor
            if tensor is not None:
                made_by.pop(tensor, None)
                if call is not None:
                    made_by[tensor] = operator, call


def find_crossed_parts(context: VerifyContext) -> Iterator[Finding]:
    """Tiles of fused tensors that do not divide the parts' groups."""
    record = context.record
    if record is None:
        return
    for operator in context.operators:
        layer = context.layer(operator)
        if layer is None:
            continue
        for slot in operator.inputs:
            tensor = layer.slots[slot.position].tensor
            call = None if tensor is None else record.calls.get(tensor)
            if call is None or call.op != "fuse_tensors" or not call.num_groups:
                continue
            groups = call.num_groups
            chunks = [
                record.tensor_by_id[x.tensor].dims[0] // groups
                for x in call.inputs or ()
                if x.tensor is not None
            ]
            rows = slot.tile_dims[0]
            if rows and all(chunk % rows == 0 for chunk in chunks):
                continue
            axes = [AXES[a] for a in range(3) if slot.input_map[a] == 0]
            yield Finding(
                rule=PART_CROSSED,
                message=f"{context.name(operator)} reads tiles of {rows} rows of {call.name!r}, "
                f"fused of {len(chunks)} parts in {groups} groups of {chunks} rows: tiles reach "
                f"from one part into the next (grid {shown(operator.grid_dim)})",
                location=context.location(operator, slot, tensor=call.name),
                remedy=f"Let grid axis {' and '.join(axes) or 'x'} make tiles whose rows divide "
                f"each of {chunks}",
                witness=(context.task_ref(int(operator.task_ids[0])),),
                count=operator.num_tasks,
                key=(operator.task_type, operator.grid_dim, slot.position, rows, tuple(chunks)),
            )


def _joined_weight(
    record: PipelineRecord, operator: Operator, context: VerifyContext
) -> TensorCall | None:
    layer = context.layer(operator)
    if layer is None or len(layer.slots) <= WEIGHT:
        return None
    tensor = layer.slots[WEIGHT].tensor
    call = None if tensor is None else record.calls.get(tensor)
    return call if call is not None and call.op in JOINING and call.num_groups else None


def _mismatch(
    context: VerifyContext,
    operator: Operator,
    producer: Operator,
    call: TensorCall,
    *,
    is_pair: bool,
) -> Iterator[Finding]:
    groups, rows = call.num_groups or 1, call.dims[0]
    num_parts = 2 if is_pair else 3
    slot = operator.slots[0]
    width = slot.tile_dims[-1]
    if len(call.inputs or ()) != num_parts or not width or rows % groups:
        return
    group = rows // groups
    if width == group:
        return
    wanted = rows // width if rows % width == 0 else None
    axis = next((a for a in range(3) if slot.input_map[a] == len(slot.tile_dims) - 1), 0)
    what = "gate and up" if is_pair else "query, key and value"
    choices = [f"{wanted} groups"] if wanted else []
    choices.append(f"{groups} blocks along axis {AXES[axis]}")
    yield Finding(
        rule=INTERLEAVE,
        message=f"{context.name(operator)} takes {what} from tiles of {width} columns of "
        f"{slot.name!r} ({operator.grid_dim[axis]} tiles), which {context.name(producer)} made with"
        f" {call.name!r}, interleaved in {groups} groups of {group} rows: a tile is not one group",
        location=context.location(operator, slot),
        remedy=f"Use {' or '.join(choices)}",
        witness=(context.task_ref(int(operator.task_ids[0])),),
        count=operator.num_tasks,
        key=(operator.task_type, operator.grid_dim, width, groups, rows),
    )


CHECKS = (
    CheckRow(find_interleave_mismatches, (INTERLEAVE,)),
    CheckRow(find_crossed_parts, (PART_CROSSED,)),
)
