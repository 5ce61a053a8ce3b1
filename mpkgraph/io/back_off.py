"""How long to leave a fast path alone that was of no use."""

from __future__ import annotations

MAX_BACK_OFF = 64
"""Chances that go by, at most, before what failed is tried again."""


class BackOff:
    """After one failure the next chance is taken, after two one goes by, then 3, 7 and so on.

    >>> back_off = BackOff()
    >>> for _ in range(3):
    ...     back_off.failed()
    >>> [back_off.is_due() for _ in range(4)]
    [False, False, False, True]
    """

    def __init__(self) -> None:
        self.length = 1
        """Twice as much after each failure, 1 after a success."""
        self._to_skip = 0

    def is_due(self) -> bool:
        """Whether to try. A chance that is asked for has gone by."""
        if self._to_skip:
            self._to_skip -= 1
            return False
        return True

    def failed(self) -> None:
        self._to_skip = self.length - 1
        self.length = min(2 * self.length, MAX_BACK_OFF)

    def succeeded(self) -> None:
        self.length = 1
