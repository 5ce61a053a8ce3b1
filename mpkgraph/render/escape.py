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


def json_printable(text: str) -> str:
    r"""JSON text without line breaks, with such characters as JSON escapes: it means the same.

    >>> print(json_printable('{"w": "\x9b31m", "x": "\U000e0001"}'))
    {"w": "\u009b31m", "x": "\udb40\udc01"}
    """
    if text.isprintable():
        return text
    units = (
        character if character.isprintable() else character.encode("utf-16-be", "surrogatepass")
        for character in text
    )
    return "".join(
        unit
        if isinstance(unit, str)
        else "".join(f"\\u{unit[i : i + 2].hex()}" for i in range(0, len(unit), 2))
        for unit in units
    )
