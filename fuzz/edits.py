"""Changes of JSON documents that bytes ask for, so that a fuzzer of bytes edits graphs.

>>> apply({"a": [1, 2]}, Bytes(b""))
{'a': [1, 2]}
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, TypeVar

Value = TypeVar("Value")

NUMBERS: list[Any] = [0, 1, -1, 2, 3, 5, 7, 64, 255, 4096, 1 << 15, 1 << 20, 1 << 31, 1 << 32]
NUMBERS += [(1 << 31) - 1, -(1 << 31), (1 << 62) + 1, (1 << 63) - 2, (1 << 63) - 1, (1 << 64) - 1]
NUMBERS += [1 << 64, -(1 << 63), 10**30, 0.5, 1.5, -0.0, 1e308, True, None]
NUMBERS += [900, 901, 902, 903, 910, 911, 941, 999, 0x1E00000000000000 | 1 << 32 | 2]
TEXTS = ["", "<script>alert(1)</script>", "a\"b'c", "\x1b]0;x\x07\x1b[31m", "=1+1", "a\nb\r\n"]
TEXTS += ["n" * 10_000, "\u202e\U0001f600\u00e9", "nullptr", "@SUM(A1)", "]]>-->*/${x}%s{0}`"]
TEXTS += ["\x00", "../../x", "\x85\u2028", "[link=file:///x]y[/link]", "</style><b>", "::error::z"]
VALUES = [*NUMBERS, *TEXTS, [], {}, [1], [[1]], [[0, 10**12]], {"a": 1}]
ACTIONS = ("set", "set", "add one", "copy", "delete", "repeat", "swap", "add key")
MAX_STEPS = 6
MAX_DEPTH = 9


class Bytes:
    """Choices taken from bytes; zero when there are no more."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    @property
    def is_left(self) -> bool:
        return self.position < len(self.data)

    def below(self, count: int) -> int:
        """A number from 0 to `count` - 1."""
        value = 0
        for _ in range(1 if count <= 256 else 2 if count <= 65536 else 4):
            value = value << 8 | (self.data[self.position] if self.is_left else 0)
            self.position += 1
        return value % count

    def choice(self, values: Sequence[Value]) -> Value:
        return values[self.below(len(values))]

    def rest(self) -> bytes:
        rest = self.data[self.position :]
        self.position = len(self.data)
        return rest


def apply(document: Any, choices: Bytes) -> Any:
    """The document with as many changes as the bytes ask for."""
    document = copy.deepcopy(document)
    for _ in range(choices.below(MAX_STEPS)):
        if choices.is_left:
            _change(document, choices)
    return document


def _change(document: Any, choices: Bytes) -> None:
    action = choices.choice(ACTIONS)
    place = _find(document, choices)
    if place is None:
        return
    holder, key = place
    if action == "set":
        holder[key] = copy.deepcopy(choices.choice(VALUES))
    elif action == "add one":
        if isinstance(holder[key], int):
            holder[key] += choices.below(256) - 128
    elif action == "copy":
        other = _find(document, choices)
        if other is not None:
            holder[key] = copy.deepcopy(other[0][other[1]])
    elif action == "delete":
        del holder[key]
    elif action == "repeat" and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    elif action == "swap" and isinstance(holder, list):
        other_key = choices.below(len(holder))
        holder[key], holder[other_key] = holder[other_key], holder[key]
    elif isinstance(holder, dict):
        holder[choices.choice(TEXTS)] = copy.deepcopy(choices.choice(VALUES))


def _find(document: Any, choices: Bytes) -> tuple[Any, Any] | None:
    """Where the bytes lead: a container and a key of it."""
    node = document
    place = None
    for _ in range(1 + choices.below(MAX_DEPTH)):
        if not isinstance(node, dict | list) or not node:
            break
        keys = list(node) if isinstance(node, dict) else range(len(node))
        place = node, choices.choice(keys)
        node = node[place[1]]
    return place
