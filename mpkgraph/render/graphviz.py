"""Pictures as files: DOT text as it is, svg, png and pdf through the `dot` program."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import BinaryIO, Final

from mpkgraph.analysis.drawing import Drawing, check_size
from mpkgraph.errors import (
    GraphWriteError,
    MissingDependencyError,
    MpkGraphError,
    TooLargeError,
    UsageError,
)
from mpkgraph.io.atomic import atomic_file
from mpkgraph.render.dot_text import to_dot
from mpkgraph.render.escape import printable

__all__ = ["FORMATS", "format_of", "render", "to_dot"]

FORMATS: Final = ("dot", "svg", "png", "pdf")
DEFAULT_TIMEOUT_S = 60.0
"""`dot` takes some 3 s for the largest picture that is not refused; what takes a minute takes
hours."""

MAX_REASON = 300
"""Characters of what `dot` says when it fails; it may quote the text that it was given."""

INSTALL = (
    "Install Graphviz for svg, png and pdf: apt-get install graphviz, brew install graphviz, "
    "or conda install -c conda-forge graphviz"
)

PathLike = str | os.PathLike[str]


def format_of(path: PathLike) -> str:
    """The format that a file name asks for. Raises UsageError for another ending.

    >>> format_of("graph.SVG")
    'svg'
    """
    ending = Path(path).suffix.removeprefix(".").lower()
    ending = {"gv": "dot"}.get(ending, ending)
    if ending not in FORMATS:
        raise UsageError(
            "the file name does not say which picture format to write",
            where=os.fspath(path),
            remedy=f"End it in one of {', '.join('.' + name for name in FORMATS)}",
        )
    return ending


def render(
    drawing: Drawing,
    target: PathLike | BinaryIO,
    format: str,  # noqa: A002 - what everybody calls it
    *,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    force: bool = False,
) -> tuple[str, ...]:
    """Write a drawing to a file (atomically) or a binary stream; the warnings of `dot`, if any.

    Without `dot`, or when it fails or takes more than `timeout_s` seconds, the DOT text of a
    picture that was to go to the file NAME is written to NAME.dot.

    Raises UsageError for an unknown format, TooLargeError for a picture above the limits of
    `check_size` that `dot` would have to lay out (unless `force`) or that takes too long,
    MissingDependencyError without `dot`, GraphWriteError when `dot` or writing fails.
    """
    if format not in FORMATS:
        raise UsageError(
            f"unknown picture format {format!r}", remedy=f"Choose one of {', '.join(FORMATS)}"
        )
    if format != "dot" and not force:
        check_size(len(drawing.nodes), len(drawing.edges))
    return render_dot(to_dot(drawing), target, format, timeout_s=timeout_s)


def render_dot(
    dot_text: str,
    target: PathLike | BinaryIO,
    format: str,  # noqa: A002 - what everybody calls it
    *,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> tuple[str, ...]:
    """`render` for a DOT text of any size."""
    text = dot_text.encode("utf-8")
    if format == "dot":
        _write(target, text)
        return ()
    try:
        picture, warnings = _lay_out(text, format, timeout_s)
    except MpkGraphError as error:
        raise _with_dot_text(error, target, text) from error
    _write(target, picture)
    return warnings


def _lay_out(text: bytes, format: str, timeout_s: float) -> tuple[bytes, tuple[str, ...]]:  # noqa: A002
    """Run `dot`: the picture and the lines that it warned with."""
    program = shutil.which("dot")
    if program is None:
        raise MissingDependencyError("the program 'dot' is not installed", remedy=INSTALL)
    try:
        # The package's own call has no time limit; run() kills the child when time is up.
        done = subprocess.run(  # noqa: S603 - a program found on PATH, no shell
            [program, f"-T{format}"],
            input=text,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TooLargeError(
            f"'dot' did not lay the picture out within {timeout_s:g} s",
            remedy="Draw fewer nodes, allow more time, or lay the DOT text out with the faster "
            f"'sfdp -T{format}'",
        ) from None
    except OSError as error:
        raise MissingDependencyError(
            f"'dot' can't be run ({error.strerror or error})", where=program, remedy=INSTALL
        ) from error
    lines = done.stderr.decode("utf-8", "replace").splitlines()
    messages = tuple(
        _with_advice(line.strip().removeprefix("dot: ")) for line in lines if line.strip()
    )
    if done.returncode != 0 or not done.stdout:
        reason = next((x for x in messages if x.startswith("Error")), "".join(messages[-1:]))
        reason = printable(reason, limit=MAX_REASON) or f"exit status {done.returncode}"
        raise GraphWriteError(
            f"'dot' failed: {reason}",
            remedy=f"Try another format, fewer nodes, or the DOT text. {INSTALL}",
        )
    return done.stdout, messages


def _with_advice(message: str) -> str:
    """A line that `dot` wrote, with what to do where the reader would not know."""
    if "too large for cairo" in message:
        return f"{message}; svg has no such limit"
    return message


def _with_dot_text(error: MpkGraphError, target: PathLike | BinaryIO, text: bytes) -> MpkGraphError:
    """The error, saying where the DOT text is now that there is no picture."""
    if isinstance(target, (str, os.PathLike)):
        path = f"{os.fspath(target)}.dot"
        _write(path, text)
        saved = f"the DOT text is in {path} instead"
    else:
        saved = "write the DOT text (format dot) instead"
    remedy = f"{error.remedy}; {saved}" if error.remedy else saved
    return type(error)(error.what, where=error.where, remedy=remedy)


def _write(target: PathLike | BinaryIO, content: bytes) -> None:
    if isinstance(target, (str, os.PathLike)):
        with atomic_file(target) as stream:
            stream.write(content)
    else:
        target.write(content)
