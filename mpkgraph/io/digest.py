"""Digests of short texts, without the 4 MB of memory that OpenSSL takes.

What is large is hashed by `hashlib`, which uses the processor's instructions for it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any


def text_digest(text: bytes) -> str:
    """The sha256 of a short text, as 64 hexadecimal digits.

    >>> text_digest(b"")[:16]
    'e3b0c44298fc1c14'
    """
    digest: str = _sha256(text).hexdigest()
    return digest


def _find_sha256() -> Callable[[bytes], Any]:
    # CPython's own: `_sha2` from 3.12 on, `_sha256` before; a build may lack them.
    for module in ("_sha2", "_sha256", "hashlib"):
        try:
            found: Callable[[bytes], Any] = importlib.import_module(module).sha256
        except (ImportError, AttributeError):
            continue
        return found
    raise ImportError("there is no sha256 in this Python")


_sha256 = _find_sha256()
