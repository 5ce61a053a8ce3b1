"""Tiles of one operator that do not fit each other, by the signature of its task type."""

from __future__ import annotations

from collections.abc import Iterator

from mpkgraph.analysis.verify.rule import CheckRow, Rule
from mpkgraph.analysis.verify.rules.splits.facts import (
    AXES,
    OperatorFacts,
    Problem,
    ProblemFinder,
    SlotFacts,
    shown,
)
from mpkgraph.analysis.verify.rules.splits.grids import splits_evenly
from mpkgraph.analysis.verify.rules.splits.maps import has_sound_map
from mpkgraph.analysis.verify.rules.splits.relations import judge
from mpkgraph.analysis.verify.rules.splits.signatures import (
    ANY,
    SIGNATURES,
    Signature,
    SlotIndices,
    parse,
)
from mpkgraph.frozen import dataclass

SWAPPED = Rule(
    code="MPK109",
    name="map-swapped",
    severity="error",
    summary="a grid axis splits one dim of an operator's input and another dim of its partner",
    why="Task i reads part i along one dim and writes (or multiplies) part i along another, though "
    "the kernel works on the same part of both: results land in the wrong place or mix parts.",
    remedy="Map the axis to the dim that means the same in each tensor, to -1 where it has none.",
)
SPLIT_MISMATCH = Rule(
    code="MPK110",
    name="split-mismatch",
    severity="error",
    summary="tiles of an operator's slots have other sizes than its kernel needs",
    why="The kernel takes the size of a dim from one slot and uses it for all: it reads or writes "
    "past a smaller tile, or leaves the rest of a larger one out. A dim that it reduces over must "
    "be whole in each task.",
    remedy="Split the dim in every slot that has it, along the same grid axis.",
)
SHAPE_MISMATCH = Rule(
    code="MPK111",
    name="shape-mismatch",
    severity="error",
    summary="tensors of an operator do not have the shapes that its kernel needs of each other",
    why="The kernel takes each size from one tensor. Where another tensor has more, its rest is "
    "never read or written; where it has less, the kernel runs past its end.",
    remedy="Give the layer tensors whose dims agree.",
)
HEAD_CUT = Rule(
    code="MPK114",
    name="head-cut",
    severity="error",
    summary="a split cuts an attention head, or takes its query from another group",
    why="A task computes the heads of one key and value head: its part of the fused query, key and "
    "value columns must be exactly that group.",
    remedy="Split the columns along the axis that splits the key heads of the caches.",
)
STRIDE_MISMATCH = Rule(
    code="MPK117",
    name="stride-mismatch",
    severity="error",
    summary="the kernel uses one tensor's row stride for another that has a different one",
    why="Rows after the first are read from, or written to, the wrong place.",
    remedy="Give both tensors the same row stride.",
)

ALL_RULES = (SWAPPED, SPLIT_MISMATCH, SHAPE_MISMATCH, HEAD_CUT, STRIDE_MISMATCH)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a letter of the signature is: a dim of a slot."""

    position: int
    slot: SlotFacts
    dim: int
    factor: int
    is_whole: bool

    @property
    def text(self) -> str:
        return f"dim {self.dim} of {{{self.slot.label}}}"

    @property
    def whole(self) -> int | None:
        return self.slot.dims[self.dim]

    @property
    def tile(self) -> int:
        return self.slot.tile[self.dim]


def find_misfits(facts: OperatorFacts) -> tuple[Problem, ...]:
    """Letter by letter of the signature, then relation by relation; the first of each slot."""
    signature = SIGNATURES.get(facts.task_type)
    if signature is None:
        return ()
    chosen = _choose(signature, facts)
    if isinstance(chosen, Problem):
        return (chosen,)
    found: list[Problem] = []
    letters = _letters(chosen, facts)
    # A dim that must be whole tells best which of two slots is the wrong one
    ordered = sorted(letters.items(), key=lambda x: not any(place.is_whole for place in x[1]))
    for letter, places in ordered:
        found += _wholes(places, facts) or _tiles(letter, letters, facts)
    # A dim that is wrong in itself makes its relations fail too
    spoilt = {problem.slot for problem in found}
    for problem in _relations(signature, facts):
        if problem.slot not in spoilt:
            spoilt.add(problem.slot)
            found.append(problem)
    return _worst_a_slot(found)


def _choose(signature: Signature, facts: OperatorFacts) -> tuple[SlotIndices, ...] | Problem:
    """The signature's slots, by the ranks of the operator's; a problem where none fits."""
    choices = [parse(text) for text in signature.texts]
    choices = [x for x in choices if len(x) == len(facts.slots)]
    if not choices:
        return ()
    for choice in choices:
        if all(_fits(i, slot) for i, slot in zip(choice, facts.slots, strict=True)):
            return choice
    choice = choices[0]
    position = next(
        p for p, slot in reversed(list(enumerate(facts.slots))) if not _fits(choice[p], slot)
    )
    slot = facts.slots[position]
    return Problem(
        SHAPE_MISMATCH,
        position,
        f"has {{{slot.label}}} of {len(slot.tile)} dims, its kernel takes "
        f"{choice[position].rank_text}",
        f"Give it a tensor of {choice[position].rank_text} dims",
        count=facts.num_tasks,
    )


def _fits(indices: SlotIndices, slot: SlotFacts) -> bool:
    return slot.is_null or indices.fits(len(slot.tile))


def _letters(choice: tuple[SlotIndices, ...], facts: OperatorFacts) -> dict[str, list[_Place]]:
    """By letter the dims that it names; slots whose tiles do not follow from a map are left out."""
    found: dict[str, list[_Place]] = {}
    for position, (indices, slot) in enumerate(zip(choice, facts.slots, strict=False)):
        if slot.is_null or not has_sound_map(slot, facts):
            continue
        before = len(slot.tile) - len(indices.indices)
        for place, index in enumerate(indices.indices):
            if index.letter != ANY:
                found.setdefault(index.letter, []).append(
                    _Place(position, slot, before + place, index.factor, index.is_whole)
                )
    return found


def _wholes(places: list[_Place], facts: OperatorFacts) -> list[Problem]:
    """Dims of the tensors that should be equal; only a record tells them."""
    if not facts.is_recorded:
        return []
    last = places[-1]
    for place in places[:-1]:
        if place.whole is None or last.whole is None:
            continue
        if place.whole * last.factor != last.whole * place.factor:
            return [
                Problem(
                    SHAPE_MISMATCH,
                    place.position if place.slot.label != "in0" else last.position,
                    f"has {place.text} of {place.whole} and {last.text} of {last.whole}: the "
                    f"kernel needs {_times(place.factor, last.factor)} "
                    f"(tiles of {place.tile} and {last.tile}, grid {shown(facts.grid)})",
                    f"Make {place.text} {last.whole * place.factor // last.factor}, or {last.text} "
                    f"{place.whole * last.factor // place.factor}",
                    count=facts.num_tasks,
                )
            ]
    return []


def _times(first: int, last: int) -> str:
    if first == last:
        return "them equal"
    return f"{first} of the first for {last} of the second"


def _tiles(
    letter: str, letters: dict[str, list[_Place]], facts: OperatorFacts
) -> Iterator[Problem]:
    """Tiles of a letter that differ though the tensors agree, and dims that must be whole."""
    places = letters[letter]
    last = places[-1]
    for place in places:
        if place.is_whole and place.slot.axes(place.dim, facts.grid):
            swapped = _partner(place, letter, letters, facts)
            yield swapped or _not_whole(place, facts)
            return
    for place in places[:-1]:
        if place.tile * last.factor != last.tile * place.factor:
            if _is_replicated(place, last, facts) or _is_replicated(last, place, facts):
                return
            split = place if place.slot.axes(place.dim, facts.grid) else last
            yield (
                _partner(split, letter, letters, facts)
                or _partner(last, letter, letters, facts)
                or _unequal(place, last, facts)
            )
            return


def _is_replicated(output: _Place, place: _Place, facts: OperatorFacts) -> bool:
    """Whether an output that no axis splits has tiles that tasks write over: `written-twice`."""
    effect = output.slot.effect
    return (
        output.slot.label.startswith("out")
        and effect.access in {"write", "readwrite"}
        and effect.footprint in {"tile", "whole"}
        and not any(output.slot.axes(d, facts.grid) for d in range(len(output.slot.tile)))
        and bool(place.slot.axes(place.dim, facts.grid))
    )


def _partner(
    place: _Place, letter: str, letters: dict[str, list[_Place]], facts: OperatorFacts
) -> Problem | None:
    """The axis that splits a letter here and another letter in a slot that has both."""
    for axis in place.slot.axes(place.dim, facts.grid):
        for other_letter, others in letters.items():
            if other_letter == letter:
                continue
            for other in others:
                if other.position == place.position or axis not in other.slot.axes(
                    other.dim, facts.grid
                ):
                    continue
                is_wrong = place.is_whole or place.slot.effect.writes
                wrong, right = (place, other) if is_wrong else (other, place)
                return Problem(
                    SWAPPED,
                    wrong.position,
                    f"splits {right.text} along grid axis {AXES[axis]} and {wrong.text} too, which "
                    f"means something else (tiles {list(right.slot.tile)} and "
                    f"{list(wrong.slot.tile)}, grid {shown(facts.grid)})",
                    _map_advice(wrong, right, letters, axis),
                    witness=facts.num_tasks - 1,
                    count=facts.num_tasks,
                )
    return None


def _map_advice(wrong: _Place, right: _Place, letters: dict[str, list[_Place]], axis: int) -> str:
    """Where the axis should go in the slot that is split wrongly."""
    for places in letters.values():
        if any(x.position == right.position and x.dim == right.dim for x in places):
            for place in places:
                if place.position == wrong.position:
                    return f"Map axis {AXES[axis]} to dim {place.dim} of {{{wrong.slot.label}}}"
    return f"Map axis {AXES[axis]} to -1 in {{{wrong.slot.label}}}"


def _not_whole(place: _Place, facts: OperatorFacts) -> Problem:
    axis = place.slot.axes(place.dim, facts.grid)[0]
    return Problem(
        SPLIT_MISMATCH,
        place.position,
        f"splits {place.text} along grid axis {AXES[axis]} into tiles of {place.tile}, but each "
        f"task needs it whole (grid {shown(facts.grid)})",
        f"Map axis {AXES[axis]} of {{{place.slot.label}}} to another dim or to -1",
        witness=facts.num_tasks - 1,
        count=facts.num_tasks,
    )


def _unequal(place: _Place, last: _Place, facts: OperatorFacts) -> Problem:
    both = (place, last)
    axes = [f"{x.text} is split {_axes_text(x, facts)}" for x in both]
    # Split alike, so the tensors differ, as far as tiles tell
    is_alike = place.slot.axes(place.dim, facts.grid) == last.slot.axes(last.dim, facts.grid)
    return Problem(
        SHAPE_MISMATCH if is_alike else SPLIT_MISMATCH,
        last.position if place.slot.label == "in0" else place.position,
        f"has tiles of {place.tile} along {place.text} and of {last.tile} along {last.text}: the "
        f"kernel needs {_times(place.factor, last.factor)} ({'; '.join(axes)})",
        "Give them tensors whose dims agree" if is_alike else "Map the same grid axis to both dims",
        witness=facts.num_tasks - 1,
        count=facts.num_tasks,
    )


def _axes_text(place: _Place, facts: OperatorFacts) -> str:
    axes = place.slot.axes(place.dim, facts.grid)
    if not axes:
        return "by no axis"
    return "by " + " and ".join(f"axis {AXES[a]} ({facts.grid[a]} blocks)" for a in axes)


def _relations(signature: Signature, facts: OperatorFacts) -> Iterator[Problem]:
    uneven = {
        slot.label
        for slot in facts.slots
        if not has_sound_map(slot, facts) or not splits_evenly(slot, facts)
    }
    for relation in signature.relations:
        judged = judge(relation.text, facts)
        if judged is None or judged.holds or uneven.intersection(judged.labels):
            continue
        if ".dim" in relation.text and not facts.is_recorded:
            continue
        slots = [x for x in judged.labels if facts.slot(x) is not None]
        label = next((x for x in reversed(slots) if x.startswith("out")), None)
        label = label or (slots[-1] if slots else facts.slots[-1].label)
        position = next(i for i, slot in enumerate(facts.slots) if slot.label == label)
        numbers = ", ".join(f"{name} is {number}" for name, number in judged.numbers)
        names = ", ".join(f"{x} {{{x}}}" for x in slots)
        of = f" (of {names})" if names else ""
        is_split = ".tile" in relation.text or "grid" in relation.text
        rule = SPLIT_MISMATCH if is_split else SHAPE_MISMATCH
        if relation.cuts_heads:
            rule = HEAD_CUT
        elif ".stride" in relation.text:
            rule = STRIDE_MISMATCH
        yield Problem(
            rule,
            position,
            f"breaks {relation.text}{of}: {relation.why}; {numbers} (grid {shown(facts.grid)})",
            f"Choose dims, maps and grid so that {relation.text}",
            count=facts.num_tasks,
        )


def _worst_a_slot(found: list[Problem]) -> tuple[Problem, ...]:
    """One problem a slot: a swapped map rather than the sizes that follow from it."""
    swapped = [x for x in found if x.rule is SWAPPED]
    if swapped:
        return (swapped[0],)
    kept: dict[int, Problem] = {}
    for problem in found:
        kept.setdefault(problem.slot, problem)
    return tuple(kept.values())


CHECKS = (CheckRow(ProblemFinder(find_misfits), ALL_RULES),)
