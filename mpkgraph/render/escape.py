"""Untrusted text (tensor names, paths, JSON keys) made safe for a terminal."""

from __future__ import annotations


def printable(text: str, *, limit: int | None = None) -> str:
    r"""`text` with what moves a cursor, hides or reorders text escaped; at most `limit` characters.

    >>> printable("w\x1b[31m\n")
    'w\\x1b[31m\\n'
    >>> printable("layer_0_q_proj_weight", limit=12)
    'layer_…eight'
    """
    if not text.isprintable():
        text = "".join(
            character
            if character.isprintable()
            else character.encode("unicode_escape").decode("ascii")
            for character in text
        )
    if limit is not None and len(text) > limit:
        head = limit // 2
        tail = limit - head - 1
        return f"{text[:head]}…{text[len(text) - tail :]}"
    return text
