"""Which kernel variants are the same: their numbers are only the order of first use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

VariantPair = tuple[int, tuple[int, ...], tuple[int, ...]]
"""Task type, and the variants of matched operators."""


def match_variants(pairs: Iterable[VariantPair]) -> Mapping[tuple[int, int], int]:
    """By (task type, left number) the right number: one to one, most operators first.

    >>> dict(match_variants([(4, (0,), (1,)), (4, (1,), (0,)), (4, (0,), (1,))]))
    {(4, 0): 1, (4, 1): 0}
    """
    votes: Counter[tuple[int, int, int]] = Counter()
    for task_type, left, right in pairs:
        if len(left) == len(right):
            votes.update((task_type, x, y) for x, y in zip(left, right, strict=True))
    found: dict[tuple[int, int], int] = {}
    taken: set[tuple[int, int]] = set()
    # Of equally many the first come first: Counter keeps the order
    for (task_type, one, other), _ in sorted(votes.items(), key=lambda x: -x[1]):
        if (task_type, one) not in found and (task_type, other) not in taken:
            found[task_type, one] = other
            taken.add((task_type, other))
    return found


def is_same_variant(
    variants: Mapping[tuple[int, int], int],
    task_type: int,
    left: tuple[int, ...],
    right: tuple[int, ...],
) -> bool:
    """Whether the variants of matched operators are those that stand for each other."""
    return tuple(variants.get((task_type, x)) for x in left) == right
