"""How much is tried of what could be tried for ever."""

from __future__ import annotations

from tests.goldens import EVERY_GOLDEN


def examples(count: int) -> int:
    """How many examples of a property are tried: half of `count`, or ten times as many by
    `make test-all`.
    """
    return 10 * count if EVERY_GOLDEN else (count + 1) // 2
