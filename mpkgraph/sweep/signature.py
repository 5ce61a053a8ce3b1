"""The parameters of a user's function, read from its text: nothing is run to look at it."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Signature:
    """Parameters besides the kernel, as far as the text tells."""

    names: tuple[str, ...]
    is_closed: bool
    """Whether there are no others: neither `**kwargs` nor a decorator."""


def signature_of(source: str) -> Signature | None:
    """The signature of `file.py:function`; None where its text does not tell.

    A module is not looked for: to find one inside a package Python runs the package.
    """
    file, _, function = source.rpartition(":")
    if not file.endswith(".py"):
        return None
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None  # the run says what is wrong, with the user's line
    found = [x for x in tree.body if isinstance(x, ast.FunctionDef) and x.name == function]
    if not found:
        return None
    arguments = found[-1].args
    positional = [x.arg for x in (*arguments.posonlyargs, *arguments.args)]
    # The first one receives the kernel, `*args` too
    names = (*positional[1:], *(x.arg for x in arguments.kwonlyargs))
    return Signature(names, arguments.kwarg is None and not found[-1].decorator_list)
