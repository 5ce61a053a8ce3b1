"""What the graphs of all ranks have in common, and whether all ranks are there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.rule import Rule
from mpkgraph.analysis.verify.rules.kind import RankCheckRow
from mpkgraph.analysis.verify.rules.ranks.remote import named_ranks
from mpkgraph.analysis.verify.rules.splits.facts import shown

COLLECTIVE = "NVSHMEM"
"""In the names of task types that several ranks run together."""

RANKS_DIFFER = Rule(
    code="MPK603",
    name="ranks-differ",
    severity="error",
    summary="ranks that signal each other have different graphs",
    why="A rank signals events of another by their index in its own graph: where the graphs differ,"
    " it signals the wrong event, and collective tasks wait for partners that never come.",
    remedy="Build the same layers, with the same grids, on every rank.",
)
MISSING_RANK = Rule(
    code="MPK604",
    name="missing-rank",
    severity="warning",
    summary="the graphs name ranks whose graph is not given",
    why="What the missing ranks signal can't be checked; if no such rank runs, whoever waits for it"
    " hangs.",
    remedy="Give the folder with the graphs of all ranks.",
)
WORLD_SIZE = Rule(
    code="MPK605",
    name="world-size",
    severity="error",
    summary="ranks do not agree on how many they are, or two graphs are of one rank",
    why="Each rank puts to as many peers as it knows: the others wait for signals that do not come,"
    " or get some that nobody expects.",
    remedy="Compile all ranks with the same number of GPUs, each with its own rank.",
)


def find_differences(ranks: Sequence[VerifyContext]) -> Iterator[Finding]:
    """Ranks whose tasks, events or operators are not those of the first rank."""
    if len(ranks) < 2 or not any(_needs_peers(x) for x in ranks):
        return
    first = ranks[0]
    for other in ranks[1:]:
        names = f"rank {first.graph.rank} and rank {other.graph.rank}"
        pair = next(
            (
                (left, right)
                for left, right in zip(first.operators, other.operators, strict=False)
                if (left.task_type, left.grid_dim) != (right.task_type, right.grid_dim)
            ),
            None,
        )
        counts = [
            (first.graph.num_tasks, other.graph.num_tasks, "tasks"),
            (first.graph.num_events, other.graph.num_events, "events"),
            (len(first.operators), len(other.operators), "operators"),
        ]
        unequal = [x for x in counts if x[0] != x[1]]
        if pair is None and not unequal:
            continue
        texts = [f"{a} and {b} {what}" for a, b, what in unequal]
        if pair is not None:
            left, right = pair
            texts.append(
                f"operator {left.index} is {first.name(left)} (grid {shown(left.grid_dim)}) and "
                f"{other.name(right)} (grid {shown(right.grid_dim)})"
            )
        yield Finding(
            rule=RANKS_DIFFER,
            message=f"{names} have different graphs: {'; '.join(texts)}",
            location=other.location(None if pair is None else pair[1]),
            remedy="Build the same layers, with the same grids, on every rank",
            witness=()
            if pair is None
            else (
                first.task_ref(int(pair[0].task_ids[0])),
                other.task_ref(int(pair[1].task_ids[0])),
            ),
            count_of="ranks",
        )


def find_missing_ranks(ranks: Sequence[VerifyContext]) -> Iterator[Finding]:
    """Ranks that a record or an event names and that are not among the given."""
    given = {context.graph.rank for context in ranks}
    wanted: set[int] = set()
    for context in ranks:
        wanted |= set(named_ranks(context).tolist())
        if context.record is not None:
            wanted |= set(range(context.record.num_gpus))
    missing = sorted(wanted - given)
    if not missing:
        return
    yield Finding(
        rule=MISSING_RANK,
        message=f"the graph of rank {', '.join(map(str, missing))} is missing: only rank "
        f"{', '.join(map(str, sorted(given)))} of {max(wanted) + 1} is given",
        location=ranks[0].location(),
        remedy="Give the folder with the graphs of all ranks",
        count=len(missing),
        count_of="ranks",
    )


def find_world_sizes(ranks: Sequence[VerifyContext]) -> Iterator[Finding]:
    """Records that give other numbers of GPUs, ranks beyond them, two graphs of one rank."""
    seen: dict[int, VerifyContext] = {}
    for context in ranks:
        rank = context.graph.rank
        if rank in seen:
            yield _world(context, f"two graphs are of rank {rank}", "Give each rank's graph once")
        seen[rank] = context
    sizes = [(x, x.record.num_gpus) for x in ranks if x.record is not None]
    for context, size in sizes:
        rank = context.graph.rank
        if size != sizes[0][1]:
            yield _world(
                context,
                f"rank {rank} was made for {size} GPUs, rank {sizes[0][0].graph.rank} for "
                f"{sizes[0][1]}",
                "Compile all ranks with the same number of GPUs",
            )
        elif rank >= max(size, 1):
            yield _world(
                context, f"rank {rank} is not one of {size}", "Give a rank below the world size"
            )


def _world(context: VerifyContext, text: str, remedy: str) -> Finding:
    return Finding(
        rule=WORLD_SIZE,
        message=text,
        location=context.location(),
        remedy=remedy,
        count_of="ranks",
    )


def _needs_peers(context: VerifyContext) -> bool:
    """Whether its tasks signal other ranks, or work together with theirs."""
    return len(named_ranks(context)) > 1 or any(
        COLLECTIVE in context.catalog.task_type_name(x.task_type) for x in context.operators
    )


CHECKS = (
    RankCheckRow(find_differences, (RANKS_DIFFER,)),
    RankCheckRow(find_missing_ranks, (MISSING_RANK,)),
    RankCheckRow(find_world_sizes, (WORLD_SIZE,)),
)
