"""A page as one HTML file: no network, no server, nothing but a browser.

The data is a base64 text in an inert script element, so no name of a graph is ever markup; the
content security policy allows the page's own script and style, by hash, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import html
import os
from collections.abc import Mapping
from typing import BinaryIO

from mpkgraph._version import __version__
from mpkgraph.analysis.page.page import Page
from mpkgraph.io.atomic import atomic_file
from mpkgraph.render.escape import printable
from mpkgraph.render.html.bundle import page_file, script
from mpkgraph.render.html.encode import chunks, encode_page
from mpkgraph.render.palette import KIND_COLOURS

__all__ = ["render_page", "save_page", "write_page"]

_LINE_BYTES = 57 * 1024
"""Bytes of data in a line of base64: a multiple of 3, in lines that editors can bear."""


def save_page(page: Page, path: str | os.PathLike[str]) -> None:
    """Write the page to a file, which appears only when it is complete.

    Raises GraphWriteError when it can't be written.
    """
    with atomic_file(path) as stream:
        write_page(page, stream)


def write_page(page: Page, stream: BinaryIO) -> None:
    """Write the page to a binary stream."""
    data = encode_page(page, kind_colours=KIND_COLOURS)
    lines = b"\n".join(base64.b64encode(piece) for piece in chunks(data, _LINE_BYTES))
    style, code = page_file("page.css"), script()
    stream.write(
        _fill(
            page_file("page.html"),
            {
                "csp": html.escape(_policy(code, style)),
                "version": __version__,
                "title": html.escape(printable(page.title)),
                "style": style,
                "data": lines.decode("ascii"),
                "script": code,
            },
        )
    )


def render_page(page: Page) -> bytes:
    """The page's file as bytes."""
    import io

    stream = io.BytesIO()
    write_page(page, stream)
    return stream.getvalue()


def _policy(code: str, style: str) -> str:
    """What the browser may run: this script, this style, an empty icon. No request of any kind."""
    return (
        f"default-src 'none'; script-src '{_hash(code)}'; style-src '{_hash(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def _fill(template: str, values: Mapping[str, str]) -> bytes:
    """The template with each `{{name}}` replaced, in one pass: what is put in is not looked at."""
    parts = []
    rest = template
    while "{{" in rest:
        before, _, after = rest.partition("{{")
        name, _, rest = after.partition("}}")
        parts += [before, values[name]]
    return "".join([*parts, rest]).encode("utf-8", "backslashreplace")
