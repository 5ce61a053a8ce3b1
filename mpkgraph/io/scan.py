"""Where JSON values end, found with numpy instead of a parser: quotes, escapes and brackets.

A scan only finds boundaries; a real parser judges every byte between them afterwards.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from mpkgraph.errors import GraphReadError
from mpkgraph.io.window import Window

_Bytes = npt.NDArray[np.uint8]
_Positions = npt.NDArray[np.int64]

SCAN_BYTES = 1 << 18
"""Bytes a scan looks at at a time: bounds its temporary arrays to a few MiB."""
GUESS_BYTES = 1 << 16
"""Text at the end of a window in which a cut is guessed: some dozens of records."""
_GAPS_TRIED = 4
"""Gaps between elements, from the last, that are searched for a comma: the last one's may not have
been read yet, and in broken text there may be none."""
_QUOTE, _BACKSLASH = 34, 92
_SPACE = re.compile(rb"[ \t\r\n]*")
_COMMA = re.compile(rb"[ \t\r\n]*,")
_BRACE_END = 0x7D
_NUMBER_OR_WORD = re.compile(rb"[^\s,\]}]*")


class Scanner:
    """Depth of brackets along a text that comes in pieces; strings are left out."""

    def __init__(self) -> None:
        self.depth = 0
        self.in_string = False
        self._escaped = False

    def feed(self, text: _Bytes) -> tuple[_Positions, _Positions]:
        """Positions of the brackets outside strings, and the depth after each."""
        quotes = self.quotes(text)
        brackets = _brackets(text)
        if len(quotes):
            outside = (np.searchsorted(quotes, brackets) & 1) == self.in_string
            brackets = brackets[outside]
            self.in_string ^= bool(len(quotes) & 1)
        elif self.in_string:
            brackets = brackets[:0]
        depths = _depths(text, brackets) + self.depth
        if len(depths):
            self.depth = int(depths[-1])
        return brackets, depths

    def quotes(self, text: _Bytes) -> _Positions:
        """Positions of the quotes that begin or end a string."""
        quotes = np.flatnonzero(text == _QUOTE)
        slashes = np.flatnonzero(text == _BACKSLASH)
        if self._escaped and len(text):
            quotes, slashes = quotes[quotes > 0], slashes[slashes > 0]
            self._escaped = False
        if not len(slashes):
            return quotes
        # A character is escaped when it follows a run of backslashes of odd length.
        first = np.flatnonzero(np.diff(slashes, prepend=-2) != 1)
        lengths = np.diff(first, append=len(slashes))
        after = slashes[first] + lengths
        escaped = after[(lengths & 1) == 1]
        self._escaped = bool(len(escaped)) and int(escaped[-1]) == len(text)
        return quotes[~np.isin(quotes, escaped)]


def count_keys(text: bytes) -> int:
    """Number of colons outside strings, that is of keys, in a piece of valid JSON."""
    data = np.frombuffer(text, np.uint8)
    scanner = Scanner()
    total = 0
    for begin in range(0, len(data), SCAN_BYTES):
        piece = data[begin : begin + SCAN_BYTES]
        was_in_string = scanner.in_string
        quotes = scanner.quotes(piece)
        colons = np.flatnonzero(piece == 58)
        total += int(((np.searchsorted(quotes, colons) & 1) == was_in_string).sum())
        scanner.in_string ^= bool(len(quotes) & 1)
    return total


class Elements:
    """Cuts the elements of an array out of a window, as many whole ones as it holds."""

    def __init__(self, window: Window, within: str = "an array") -> None:
        self.window = window
        self.within = within

    def next(self) -> tuple[int, bool]:
        """Length of a text of whole elements from `window.start`, and whether the array ends there.

        The byte after the text is the comma or the `]` that follows it. Reads on as needed.
        Raises GraphReadError when the text ends before.
        """
        window = self.window
        scanner = Scanner()
        scanned = 0
        cut = -1
        gap = 0  # where the text between two elements began that is still open; -1 for none
        while True:
            if scanned == len(window):
                if cut >= 0:
                    return cut, False
                if not window.fill():
                    raise truncated(window, self.within)
            begin = window.start + scanned
            count = min(SCAN_BYTES, window.stop - begin)
            piece = np.frombuffer(window.data, np.uint8, count, begin).copy()
            brackets, depths = scanner.feed(piece)
            below = np.flatnonzero(depths < 0)
            if len(below):
                return scanned + int(brackets[below[0]]), True
            edges = np.append(brackets, count)
            level = np.flatnonzero(depths == 0)[-_GAPS_TRIED:]
            gaps = [
                (scanned + low + 1, scanned + high)
                for low, high in zip(edges[level].tolist(), edges[level + 1].tolist(), strict=True)
            ]
            if gap >= 0:
                gaps.insert(0, (gap, scanned + int(edges[0])))
            for low, high in reversed(gaps):
                comma = window.data.rfind(b",", window.start + low, window.start + high)
                if comma >= 0:
                    cut = comma - window.start
                    break
            gap = gaps[-1][0] if scanner.depth == 0 and gaps else -1
            scanned += count


def guess_cut(window: Window, limit: int) -> int:
    """Where a comma between two records seems to be, from `window.start`; -1 for no idea.

    Looks at brackets in the last of the next `limit` bytes, those in strings included: the lowest
    level that they reach should be that of records. If what precedes the comma parses as elements,
    it is.
    """
    stop = min(window.stop, window.start + limit)
    begin = max(window.start, stop - GUESS_BYTES)
    text = np.frombuffer(window.data, np.uint8, stop - begin, begin).copy()
    brackets = _brackets(text)
    if not len(brackets):
        return -1
    depths = _depths(text, brackets)
    lowest = brackets[depths == depths.min()]
    for close in lowest[: -_GAPS_TRIED - 1 : -1].tolist():
        match = _COMMA.match(window.data, begin + close + 1, stop)
        if match is not None and text[close] == _BRACE_END:
            return match.end() - 1 - window.start
    return -1


def _brackets(text: _Bytes) -> _Positions:
    # 0x7b and 0x5b open, 0x7d and 0x5d close: all that is left of them here is 0 or 2
    folded = text | np.uint8(0x20)
    folded -= np.uint8(0x7B)
    folded &= np.uint8(0xFD)
    return np.flatnonzero(folded == 0)


def _depths(text: _Bytes, brackets: _Positions) -> _Positions:
    """Depth after each bracket, from 0 before the first."""
    depths: _Positions = np.cumsum((text[brackets] & np.uint8(2)).astype(np.int64) - 1)
    return depths


def value_end(window: Window, within: str = "a value") -> int:
    """Length of the JSON value that begins at `window.start`. Reads on as needed.

    Raises GraphReadError when the text ends before.
    """
    while (length := find_value_end(window)) < 0:
        # Twice the text a time, so that looking anew from its beginning costs little.
        until = 2 * len(window)
        if not window.fill():
            raise truncated(window, within)
        while len(window) < until and window.fill():
            pass
    return length


def find_value_end(window: Window) -> int:
    """As `value_end`, but -1 when the window does not hold the end."""
    data, start, stop = window.data, window.start, window.stop
    first = data[start]
    if first not in b'"{[':
        match = _NUMBER_OR_WORD.match(data, start, stop)
        end = match.end() if match else start
        return end - start if end < stop or window.ended else -1
    scanner = Scanner()
    for begin in range(start, stop, SCAN_BYTES):
        piece = np.frombuffer(data, np.uint8, min(SCAN_BYTES, stop - begin), begin).copy()
        if first == _QUOTE:
            ends = scanner.quotes(piece)[1 if begin == start else 0 :]
        else:
            brackets, depths = scanner.feed(piece)
            ends = brackets[depths == 0]
        if len(ends):
            return begin - start + int(ends[0]) + 1
    return -1


def skip_space(window: Window) -> int:
    """Moves on to the next byte that is not white space and returns it; -1 at the end."""
    while True:
        match = _SPACE.match(window.data, window.start, window.stop)
        assert match is not None
        window.start = match.end()
        if window.start < window.stop:
            return window.data[window.start]
        if not window.fill():
            return -1


def truncated(window: Window, within: str = "a value") -> GraphReadError:
    end = window.origin + window.stop
    return GraphReadError(
        f"the file ends in the middle of {within}",
        where=window.where(end),
        remedy="It was cut off or is still being written: generate or copy it again.",
    )
