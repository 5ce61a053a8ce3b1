"""Parameters of a user's function from text: `--set layers=2`."""

from __future__ import annotations

import ast
import enum
import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Union

from mpkgraph.errors import UsageError

TRUE = ("1", "true", "yes", "on")
FALSE = ("0", "false", "no", "off")

POSITIONAL = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.VAR_POSITIONAL,
)
NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def split_settings(settings: Sequence[str], option: str = "--set") -> dict[str, str]:
    """`name=value` texts by name. Raises UsageError for another form or a name given twice."""
    result: dict[str, str] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"{option} {setting!r} is not name=value")
        if name in result:
            raise UsageError(f"{option} gives {name!r} twice")
        result[name] = value
    return result


def takes_kernel(function: Callable[..., Any]) -> bool:
    """Whether a function has a positional parameter, the first of which receives the kernel."""
    return any(x.kind in POSITIONAL for x in inspect.signature(function).parameters.values())


def bind_parameters(function: Callable[..., Any], settings: Mapping[str, object]) -> dict[str, Any]:
    """Keyword arguments for a function, besides the kernel that it may take first.

    Text is read as the parameter's annotation says, else as its default's type, else as a Python
    literal, else it stays text; any other value is the parameter's. Raises UsageError for a name
    that the function does not have, one that it needs and was not given, or text of the wrong type.
    """
    label = getattr(function, "__name__", repr(function))
    hints = _hints(function)
    free = list(inspect.signature(function).parameters.values())[int(takes_kernel(function)) :]
    named = {x.name: x for x in free if x.kind in NAMED}
    open_ended = any(x.kind is inspect.Parameter.VAR_KEYWORD for x in free)
    unknown = [name for name in settings if name not in named and not open_ended]
    if unknown:
        raise UsageError(
            f"{label}() has no parameter {', '.join(map(repr, unknown))}",
            remedy=f"It has {', '.join(named) or 'none besides the kernel'}",
        )
    missing = [
        name
        for name, parameter in named.items()
        if parameter.default is inspect.Parameter.empty and name not in settings
    ]
    if missing:
        raise UsageError(
            f"{label}() needs {', '.join(map(repr, missing))}",
            remedy=f"Give {' '.join(f'--set {name}=...' for name in missing)}",
        )
    return {
        name: _value(name, value, _type_of(name, named, hints)) if isinstance(value, str) else value
        for name, value in settings.items()
    }


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except Exception:  # noqa: BLE001  annotations are the user's expressions; any may fail
        return {}


def _type_of(name: str, named: Mapping[str, inspect.Parameter], hints: Mapping[str, Any]) -> Any:
    """The type to read a value as; None for any literal."""
    if name in hints:
        return hints[name]
    default = named[name].default if name in named else inspect.Parameter.empty
    if default is inspect.Parameter.empty or default is None:
        return None
    return type(default)


def _value(name: str, text: str, wanted: Any) -> Any:
    try:
        return _read(text, wanted)
    except (ValueError, SyntaxError, KeyError) as error:
        raise UsageError(
            f"--set {name}={text}: {text!r} is no {_type_name(wanted)}",
        ) from error


def _read(text: str, wanted: Any) -> Any:
    origin = typing.get_origin(wanted)
    if origin in {Union, types.UnionType}:
        return _read_union(text, typing.get_args(wanted))
    if origin is Literal:
        return _read_literal(text, typing.get_args(wanted))
    wanted = origin or wanted
    if wanted is bool:
        return _read_bool(text)
    if wanted is int:
        return int(text, 0)
    if wanted is float:
        return float(text)
    if wanted is str:
        return text
    if isinstance(wanted, type) and issubclass(wanted, enum.Enum):
        return wanted[text]
    if wanted in {tuple, list, set, dict}:
        return wanted(_read_container(text))
    return literal_or_text(text)


def _read_container(text: str) -> Any:
    """`[8, 1]`, `(8, 1)` or `8,1`."""
    value = ast.literal_eval(text)
    if not isinstance(value, list | tuple | set | dict):
        raise ValueError(text)  # noqa: TRY004  reported as a UsageError
    return value


def _read_union(text: str, members: Sequence[Any]) -> Any:
    if type(None) in members and text.lower() == "none":
        return None
    for member in members:
        if member is not type(None):
            try:
                return _read(text, member)
            except (ValueError, SyntaxError, KeyError):
                continue
    raise ValueError(text)


def _read_literal(text: str, choices: Sequence[Any]) -> Any:
    for choice in choices:
        if str(choice) == text:
            return choice
    raise ValueError(text)


def _read_bool(text: str) -> bool:
    lowered = text.lower()
    if lowered in TRUE:
        return True
    if lowered in FALSE:
        return False
    raise ValueError(text)


def literal_or_text(text: str) -> Any:
    """A Python literal, else the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _type_name(wanted: Any) -> str:
    return wanted.__name__ if isinstance(wanted, type) else str(wanted).replace("typing.", "")
