"""What an operator's tasks write together: holes, tiles written twice, work done twice."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.verify.context import SlotUse, VerifyContext
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.rule import CheckRow, Rule
from mpkgraph.analysis.verify.rules.splits.bounds import whole_layout
from mpkgraph.analysis.verify.rules.splits.facts import AXES, facts_of, shown
from mpkgraph.analysis.verify.rules.splits.grids import splits_evenly
from mpkgraph.analysis.verify.rules.splits.maps import has_sound_map
from mpkgraph.errors import TooLargeError
from mpkgraph.frozen import dataclass
from mpkgraph.model.coverage import Coverage, cover
from mpkgraph.model.operator import Operator
from mpkgraph.model.tile import MAX_ADDRESS, Tile, TileLayout
from mpkgraph.planner.tiles import grid_points

HOLES = Rule(
    code="MPK106",
    name="output-holes",
    severity="error",
    summary="the tiles that are written leave parts of a tensor out",
    why="Nothing writes these elements: whoever reads them gets what lay there before.",
    remedy="Split the tensor so that its tiles cover it.",
)
WRITTEN_TWICE = Rule(
    code="MPK107",
    name="written-twice",
    severity="error",
    summary="several tasks of an operator write the same elements with different results",
    why="No event orders the tasks of one operator: the last one to run wins, another one each "
    "time.",
    remedy="Split the output along every grid axis that splits the input, or let one task do it.",
)
REPLICATED = Rule(
    code="MPK108",
    name="axis-splits-nothing",
    severity="warning",
    summary="a grid axis splits nothing, so several tasks compute and write the same tile",
    why="The result is right, as all of them write the same values, but the work is done several "
    "times over.",
    remedy="Give the axis size 1, or map it to a dim that it may split.",
)


@dataclass(frozen=True, slots=True)
class _Shared:
    """Tasks of an operator that write one tile."""

    first: int
    """Position of one, and of another one that writes the same tile."""
    second: int
    num_tiles: int
    num_extra: int
    """Tasks beyond one a tile."""
    axes: tuple[int, ...]
    """The grid axes along which tasks of one tile differ."""
    same_work: bool
    """Whether they read the same tiles and learn the same from metadata."""


def find_shared_tiles(context: VerifyContext) -> Iterator[Finding]:
    """Outputs whose tiles several tasks write: equal tiles, then tiles that overlap in part."""
    known: dict[tuple[object, ...], _Shared | None] = {}
    overlapping: dict[tuple[TileLayout, bytes], tuple[int, int, int] | None] = {}
    for use in context.uses:
        if not _is_plain_write(use) or len(use.tasks) < 2:
            continue
        operator = use.operator
        facts = facts_of(context, operator)
        if not has_sound_map(facts.slots[use.slot.position], facts):
            continue  # which is said already
        inputs = _input_tiles(context, operator, use)
        varies = context.effects(operator).varies_by
        key = (operator.grid_dim, use.effect, varies, use.offsets.tobytes(), inputs.tobytes())
        if key not in known:
            known[key] = _shared(use, inputs, varies)
        found = known[key]
        if found is not None and not found.same_work and not use.effect.is_complete:
            continue  # parts of equal tiles, which data choose
        if found is not None:
            yield _shared_finding(context, use, found)
            continue
        if use.effect.disjoint_by or not use.effect.is_complete:
            continue
        tiles = use.layout, use.offsets.tobytes()
        if tiles not in overlapping:
            overlapping[tiles] = _overlap(use)
        pair = overlapping[tiles]
        if pair is not None:
            yield _overlap_finding(context, use, pair)


def find_holes(context: VerifyContext) -> Iterator[Finding]:
    """Parts of a tensor that no tile of any operator covers, where its whole dims are known."""
    covered: dict[tuple[object, ...], Coverage | None] = {}
    for name, uses in context.uses_by_tensor.items():
        writers = [use for use in uses if use.effect.writes]
        if not all(use.effect.is_inside_tile for use in writers):
            continue
        if not writers or not all(use.slot.is_output for use in writers):
            continue
        first = writers[0]
        if not all(first.slot.known_dims) or not first.layout.has_bytes or first.layout.is_empty:
            continue
        if not all(_explains_itself(context, use) for use in writers):
            continue
        whole = whole_layout(
            first.slot.tensor_dims, first.layout.strides, first.layout.element_bytes or 1
        )
        if whole is None or whole.aliases:
            continue
        distinct = {(use.layout, np.unique(use.offsets).tobytes()) for use in writers}
        key = (whole, frozenset(distinct))
        if key not in covered:
            parts = [(layout, np.frombuffer(raw, np.int64)) for layout, raw in distinct]
            covered[key] = _cover(parts, Tile(name, 0, whole))
        coverage = covered[key]
        if coverage is not None and coverage.hole_bytes:
            yield _hole_finding(context, first, whole, coverage)


def _is_plain_write(use: SlotUse) -> bool:
    """A slot whose tasks write their tiles, or parts of them, each once."""
    effect = use.effect
    return (
        use.slot.is_output
        and effect.access in {"write", "readwrite"}
        and (effect.is_inside_tile or effect.footprint == "whole")
        and use.operator.num_subtasks == 1
        and use.layout.has_bytes
        and not use.layout.is_empty
    )


def _explains_itself(context: VerifyContext, use: SlotUse) -> bool:
    """Whether no other rule says already why a slot's tiles do not fill the tensor."""
    facts = facts_of(context, use.operator)
    slot = facts.slots[use.slot.position]
    return has_sound_map(slot, facts) and splits_evenly(slot, facts)


def _input_tiles(context: VerifyContext, operator: Operator, use: SlotUse) -> IntArray:
    """(slots, layout and offset, tasks): what each of the tasks reads."""
    columns = context.graph.tasks
    starts = columns.slot_starts[use.tasks]
    effects = context.effects(operator).slots
    places = [
        starts + slot.position
        for slot, effect in zip(operator.slots, effects, strict=True)
        if effect.reads and not slot.is_output
    ]
    rows = [[columns.slot_layouts[x].astype(np.int64), columns.slot_offsets[x]] for x in places]
    # Layouts only tell the parts of fused tensors apart; their numbers differ between model layers
    rows = [[layouts - layouts[0], offsets] for layouts, offsets in rows]
    return np.array(rows, dtype=np.int64).reshape(len(places) * 2, len(starts))


def _positions(operator: Operator, tasks: IntArray) -> IntArray:
    """(3, tasks): grid positions."""
    if operator.grid_positions is not None:
        points: IntArray = operator.grid_positions.T.astype(np.int64)
    else:
        points = grid_points(operator.grid_dim, operator.num_subtasks)
    if len(tasks) < operator.num_tasks:
        points = points[:, np.isin(operator.task_ids, tasks)]
    return points


def _shared(use: SlotUse, inputs: IntArray, varies: tuple[str, ...]) -> _Shared | None:
    points = _positions(use.operator, use.tasks)
    disjoint = [AXES.index(axis) for axis in use.effect.disjoint_by]
    keys = np.vstack([use.offsets[None, :], points[disjoint]]) if disjoint else use.offsets[None, :]
    _, firsts, tiles = np.unique(keys, axis=1, return_index=True, return_inverse=True)
    tiles = tiles.reshape(-1)
    extra = len(use.offsets) - len(firsts)
    if not extra:
        return None
    owner = firsts[tiles]
    different = (inputs != inputs[:, owner]).any(axis=0)
    learnt = points[[AXES.index(axis) for axis in varies]]
    different |= (learnt != learnt[:, owner]).any(axis=0)
    others = different if different.any() else owner != np.arange(len(owner))
    second = int(np.flatnonzero(others)[0])
    axes = tuple(a for a in range(3) if (points[a] != points[a][owner]).any())
    return _Shared(
        int(owner[second]), second, len(firsts), extra, axes, same_work=not different.any()
    )


def _shared_finding(context: VerifyContext, use: SlotUse, found: _Shared) -> Finding:
    operator = use.operator
    pair = (int(use.tasks[found.first]), int(use.tasks[found.second]))
    axes = " and ".join(f"{AXES[a]} ({operator.grid_dim[a]} blocks)" for a in found.axes)
    each = -(-len(use.tasks) // found.num_tiles)
    grid = shown(operator.grid_dim)
    if found.same_work:
        message = (
            f"{context.name(operator)} computes and writes each tile of {use.tensor!r} {each} "
            f"times: grid axis {axes} splits none of its tensors (grid {grid}, "
            f"{found.num_tiles} tiles {list(use.layout.dims)}, {len(use.tasks)} tasks)"
        )
        remedy = "Give " + " and ".join(f"axis {AXES[a]}" for a in found.axes) + " size 1"
    else:
        message = (
            f"{context.name(operator)} writes each tile of {use.tensor!r} {each} times with "
            f"different results: grid axis {axes} tells the tasks what to read or do, and does not "
            f"split this output (grid "
            f"{grid}, {found.num_tiles} tiles {list(use.layout.dims)}, {len(use.tasks)} tasks)"
        )
        remedy = (
            f"Map grid axis {' and '.join(AXES[a] for a in found.axes)} to the dim of "
            f"{use.tensor!r} that it splits in the input"
        )
    return Finding(
        rule=REPLICATED if found.same_work else WRITTEN_TWICE,
        message=message,
        location=context.location(operator, use.slot),
        remedy=remedy,
        witness=(context.task_ref(pair[0]), context.task_ref(pair[1])),
        count=found.num_extra,
        count_of="tasks that write a tile again",
        key=(operator.task_type, operator.grid_dim, use.slot.position, use.layout, found),
    )


def _overlap(use: SlotUse) -> tuple[int, int, int] | None:
    """Bytes that several tiles share, and two positions; tiles are all different."""
    layout = use.layout
    order = np.argsort(use.offsets, kind="stable")
    low, high = int(use.offsets[order[0]]), int(use.offsets[order[-1]])
    if max(abs(low), abs(high)) + layout.extent_bytes >= MAX_ADDRESS:
        return None
    coverage = _cover(
        [(layout, use.offsets)], (low + layout.lowest, high + layout.lowest + layout.extent_bytes)
    )
    if coverage is None or not coverage.multiple_bytes:
        return None
    ordered = use.offsets[order].tolist()
    for left, (place, offset) in enumerate(zip(order.tolist(), ordered, strict=True)):
        tile = Tile("", offset, layout)
        for other in range(left + 1, len(ordered)):
            if ordered[other] >= offset + layout.extent_bytes:
                break
            if tile.overlaps(Tile("", ordered[other], layout)):
                return coverage.multiple_bytes, place, int(order[other])
    return None


def _overlap_finding(context: VerifyContext, use: SlotUse, pair: tuple[int, int, int]) -> Finding:
    shared, first, second = pair
    ends = [int(use.offsets[x]) for x in (first, second)]
    tasks = sorted((int(use.tasks[first]), int(use.tasks[second])))
    return Finding(
        rule=WRITTEN_TWICE,
        message=f"{context.name(use.operator)} writes {shared} bytes of {use.tensor!r} in several "
        f"tasks: tiles {list(use.layout.dims)} at bytes {ends[0]} and {ends[1]} overlap (grid "
        f"{shown(use.operator.grid_dim)}, strides {list(use.layout.strides)})",
        location=context.location(use.operator, use.slot),
        remedy="Give the tensor strides, and the grid a size, with which tiles do not overlap",
        witness=(context.task_ref(tasks[0]), context.task_ref(tasks[1])),
        count=shared,
        count_of="bytes",
        key=(use.operator.task_type, use.operator.grid_dim, use.slot.position, use.layout, shared),
    )


def _hole_finding(
    context: VerifyContext, use: SlotUse, whole: TileLayout, coverage: Coverage
) -> Finding:
    holes = coverage.holes()
    boxes = holes[0].boxes(whole.strides, whole.element_bytes or 1, whole.dims)
    where = f"bytes {list(holes[0].byte_extent)}"
    elements = None
    if boxes:
        where = f"elements {boxes[0]}"
        elements = tuple(zip(boxes[0].starts, boxes[0].stops, strict=True))
    others = len(holes) - 1
    more = f" and {others} more such part{'s' * (others > 1)}" if others else ""
    return Finding(
        rule=HOLES,
        message=f"{context.name(use.operator)} and every other operator leave {where}{more} of "
        f"{use.tensor!r} unwritten: {coverage.hole_bytes} of {coverage.total_bytes} bytes (dims "
        f"{list(whole.dims)}, tiles {list(use.layout.dims)}, grid {shown(use.operator.grid_dim)})",
        location=context.location(
            use.operator, use.slot, elements=elements, byte_range=holes[0].byte_extent
        ),
        remedy="Choose a map and grid whose tiles cover the tensor",
        witness=(context.task_ref(int(use.tasks[-1])),),
        count=coverage.hole_bytes,
        count_of="bytes",
        severity_here=None if use.operator.origin == "recorded" else "warning",
        key=(use.operator.task_type, use.slot.position, use.layout, whole, coverage.hole_bytes),
    )


def _cover(
    parts: list[tuple[TileLayout, IntArray]], within: Tile | tuple[int, int]
) -> Coverage | None:
    try:
        return cover(parts, within)
    except TooLargeError:
        return None


CHECKS = (
    CheckRow(find_shared_tiles, (WRITTEN_TWICE, REPLICATED)),
    CheckRow(find_holes, (HOLES,)),
)
