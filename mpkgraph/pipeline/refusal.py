"""Errors that are both ours and of the type that Mirage's Python raises at the same point.

A script that catches AssertionError or ValueError from a layer goes on here as it does on Mirage;
one that does not ends with one message and exit code 3.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from mpkgraph.errors import PipelineError
from mpkgraph.pipeline import call_site


class RefusedAssertionError(PipelineError, AssertionError):
    """Where Mirage asserts."""


class RefusedAttributeError(PipelineError, AttributeError):
    """Where Mirage reads an attribute of None, or one that an earlier call should have set."""


class RefusedIndexError(PipelineError, IndexError):
    """Where Mirage indexes past the end."""


class RefusedKeyError(PipelineError, KeyError):
    """Where Mirage looks up a name that is not there."""


class RefusedOverflowError(PipelineError, OverflowError):
    """Where a number does not fit the C type that Mirage's core takes."""


class RefusedRuntimeError(PipelineError, RuntimeError):
    """Where Mirage raises RuntimeError."""


class RefusedStructError(PipelineError, struct.error):
    """Where Mirage packs something that is no number."""


class RefusedTypeError(PipelineError, TypeError):
    """Where Mirage's Cython or Python refuses a type."""


class RefusedValueError(PipelineError, ValueError):
    """Where Mirage raises ValueError."""


class RefusedZeroDivisionError(PipelineError, ZeroDivisionError):
    """Where Mirage divides by zero."""


REFUSALS: dict[type[Exception], type[PipelineError]] = {
    AssertionError: RefusedAssertionError,
    AttributeError: RefusedAttributeError,
    IndexError: RefusedIndexError,
    KeyError: RefusedKeyError,
    OverflowError: RefusedOverflowError,
    RuntimeError: RefusedRuntimeError,
    struct.error: RefusedStructError,
    TypeError: RefusedTypeError,
    ValueError: RefusedValueError,
    ZeroDivisionError: RefusedZeroDivisionError,
}
"""By the type that Mirage raises, ours."""


def refuse(
    kind: type[Exception], what: str, *, remedy: str | None = None, upstream: str = ""
) -> NoReturn:
    """Raise as Mirage would; `upstream` is Mirage's own message (often empty)."""
    error = REFUSALS[kind](what, where=call_site.where(), remedy=remedy)
    error.upstream = f"{_type_name(kind)}: {upstream}"
    raise error


def fatal(what: str, *, remedy: str | None = None) -> NoReturn:
    """Raise where Mirage's process would die, or go on with memory that is not its own."""
    raise PipelineError(what, where=call_site.where(), remedy=remedy)


def need_attribute(value: object, attribute: str, argument: str, remedy: str) -> None:
    """Refuse a value without something that Mirage reads from it."""
    if not hasattr(value, attribute):
        given = type(value).__name__
        refuse(
            AttributeError,
            f"{argument} is {'None' if value is None else f'a {given}'}: it has no {attribute}",
            remedy=remedy,
            upstream=f"'{given}' object has no attribute '{attribute}'",
        )


@contextmanager
def arithmetic(what: str) -> Iterator[None]:
    """Refuse what Python refuses in a formula over the user's numbers; `what` names them."""
    try:
        yield
    except (TypeError, ZeroDivisionError, OverflowError, struct.error) as error:
        kind = next(known for known in REFUSALS if isinstance(error, known))
        if isinstance(error, PipelineError):
            raise
        refuse(kind, f"{what} can't be computed: {error}", upstream=str(error))


def exception_text(error: BaseException) -> str:
    """`TypeError: message` as Mirage says it, for a record's `exception`."""
    upstream = error.upstream if isinstance(error, PipelineError) else ""
    return upstream or f"{_type_name(type(error))}: {error}"


def _type_name(kind: type[BaseException]) -> str:
    # struct.error is the one whose name needs its module.
    return "struct.error" if kind is struct.error else kind.__name__
