"""What Mirage's Cython accepts for a C or builtin type, and how it converts it.

Cython takes builtin containers exactly (no subclasses, so no `torch.Size` for a tuple) and None
in their place; a number becomes a C int through `int()`, which drops a float's fraction.
"""

from __future__ import annotations

from typing import Any, NoReturn

from mpkgraph.pipeline.refusal import refuse

INT_RANGE = (-(2**31), 2**31 - 1)
UNSIGNED_RANGE = (0, 2**32 - 1)
SIZE_RANGE = (0, 2**64 - 1)


def c_int(value: Any, what: str) -> int:
    """A C int: -2**31 to 2**31 - 1."""
    return _number(value, what, "int", INT_RANGE)


def c_unsigned(value: Any, what: str) -> int:
    """A C unsigned int."""
    return _number(value, what, "unsigned int", UNSIGNED_RANGE)


def c_size(value: Any, what: str) -> int:
    """A C size_t."""
    return _number(value, what, "size_t", SIZE_RANGE)


def exactly(value: Any, kind: type, argument: str, *, optional: bool = False) -> None:
    """Refuse a value that is not of this very builtin type."""
    if type(value) is kind or (optional and value is None):
        return
    given, wanted = type(value).__name__, kind.__name__
    if value is None:  # Cython lets None pass; the first use of it fails
        refuse(
            TypeError,
            f"{argument} is None: a {wanted} is needed",
            upstream="object of type 'NoneType' has no len()",
        )
    remedy = f"Write {argument}={wanted}(...)" if isinstance(value, tuple | list) else None
    refuse(
        TypeError,
        f"{argument} is {_show(value)}, a {given}: a {wanted} is needed",
        remedy=remedy,
        upstream=f"Argument '{argument}' has incorrect type (expected {wanted}, got {given})",
    )


def c_triple(value: Any, argument: str, *, unsigned: bool) -> tuple[int, int, int]:
    """Three numbers in a tuple: a grid (unsigned) or a map."""
    exactly(value, tuple, argument)
    if len(value) != 3:
        message = "must include 3 dimensions" if unsigned else "must be of length 3"
        refuse(
            AssertionError,
            f"{argument} is {value}: three numbers are needed",
            remedy=f"Write it as (x, y, z), such as {_padded(value, 1 if unsigned else -1)}",
            upstream=f"{argument} {message}",
        )
    convert = c_unsigned if unsigned else c_int
    x, y, z = (convert(item, argument) for item in value)
    return x, y, z


def _number(value: Any, what: str, c_type: str, bounds: tuple[int, int]) -> int:
    if isinstance(value, str) or not (hasattr(value, "__index__") or hasattr(value, "__int__")):
        refuse(
            TypeError,
            f"{what}: {_show(value)} is no number",
            remedy="Give an integer",
            upstream="an integer is required",
        )
    try:
        number = int(value)
    except (ValueError, OverflowError) as error:  # NaN and infinity
        _refuse_conversion(error, what, value)
    if number < bounds[0] and bounds[0] == 0:
        refuse(
            OverflowError,
            f"{what}: {number} is negative",
            upstream=f"can't convert negative value to {c_type}",
        )
    if not bounds[0] <= number <= bounds[1]:
        refuse(
            OverflowError,
            f"{what}: {number} does not fit a C {c_type}",
            upstream=f"value too large to convert to {c_type}",
        )
    return number


def _refuse_conversion(error: Exception, what: str, value: Any) -> NoReturn:
    kind = OverflowError if isinstance(error, OverflowError) else ValueError
    refuse(kind, f"{what}: {_show(value)} is no integer", upstream=str(error))


def _padded(value: tuple[Any, ...], fill: int) -> tuple[Any, ...]:
    return (*value, fill, fill, fill)[:3]


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
