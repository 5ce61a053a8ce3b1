"""What is swept: `tasks=32,64` as an axis, with a meaning that the pipeline decides."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mpkgraph.errors import UsageError
from mpkgraph.io.source import STDIN
from mpkgraph.sweep.signature import Signature, signature_of

Kind = Literal["planning", "set", "init", "placeholder", "argument"]

PLANNING = ("target", "workers", "schedulers", "world_size", "multicast")
"""Axes that every pipeline has: the options of the same name."""
ALIASES = {"ranks": "world_size"}

_PREFIXES: dict[str, Kind] = {"set": "set", "init": "init"}
_DASHED = re.compile(r"--?[A-Za-z][\w.-]*")


@dataclass(frozen=True, slots=True)
class Axis:
    """One thing that differs between points, and its values as texts."""

    label: str
    """What the user calls it."""
    kind: Kind
    """An option of planning, a parameter of the function or of its kernel, a `{name}` among the
    script's arguments, or an argument that is added to them."""
    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Swept:
    """What the axes are of."""

    sources: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    """The script's, where `{name}` stands for an axis."""

    @property
    def form(self) -> Literal["function", "script", "record"]:
        from mpkgraph.pipeline.script import is_function

        if self.sources[0].endswith(".py"):
            return "script"
        return "function" if is_function(self.sources[0]) else "record"

    def check(self) -> None:
        """Raises UsageError for what a sweep can't plan again and again."""
        if STDIN in self.sources:
            raise UsageError(
                "a sweep reads its pipeline many times",
                remedy="Give a file instead of standard input",
            )
        for source in self.sources:
            file = source.rpartition(":")[0] if ".py:" in source else source
            if (self.form == "record" or file.endswith(".py")) and not Path(file).exists():
                raise UsageError("there is no such file", where=file)
        if len(self.sources) > 1 and any(Swept((x,)).form != "record" for x in self.sources):
            raise UsageError(
                "a sweep is of one script or function",
                remedy="Sweep them one after another; --dataset puts them side by side",
            )


def parse_axes(texts: Sequence[str], swept: Swept) -> tuple[Axis, ...]:
    """Axes of `name=v1,v2,...` texts, in the order given.

    Raises UsageError for another form, a name or value given twice, or a name that the pipeline
    does not have or that could mean two things.
    """
    swept.check()
    signature = signature_of(swept.sources[0]) if swept.form == "function" else None
    axes = [_axis(text, swept, signature) for text in texts]
    seen: set[tuple[Kind, str]] = set()
    labels: set[str] = set()
    for axis in axes:
        if (axis.kind, axis.name) in seen or axis.label in labels:
            raise UsageError(f"--sweep gives {axis.label!r} twice", remedy="List all its values")
        seen.add((axis.kind, axis.name))
        labels.add(axis.label)
    return tuple(axes)


def split_values(text: str) -> list[str]:
    """Values between commas; commas in brackets and quotes are of a value.

    >>> split_values("32,64"), split_values("(8, 1),(16, 1)"), split_values("a,")
    (['32', '64'], ['(8, 1)', '(16, 1)'], ['a', ''])
    """
    values, depth, quote, start = [], 0, "", 0
    for place, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth = max(depth - 1, 0)
        elif character == "," and depth == 0:
            values.append(text[start:place].strip())
            start = place + 1
    return [*values, text[start:].strip()]


def _axis(text: str, swept: Swept, signature: Signature | None) -> Axis:
    label, equals, rest = text.partition("=")
    label = label.strip()
    if not equals or not label:
        raise UsageError(
            f"--sweep {text!r} is not name=v1,v2,...", remedy="For example --sweep workers=64,128"
        )
    kind, name = _meaning(label, swept, signature)
    values = split_values(rest)
    if "" in values and kind != "placeholder":
        raise UsageError(f"--sweep {text!r} has an empty value", remedy="Give name=v1,v2,...")
    twice = next((x for x, times in Counter(values).items() if times > 1), None)
    if twice is not None:
        raise UsageError(f"--sweep {label} has the value {twice!r} twice")
    axis = Axis(label, kind, name, tuple(values))
    if kind == "planning":
        for value in values:
            planning_value(axis, value)
    return axis


def _meaning(label: str, swept: Swept, signature: Signature | None) -> tuple[Kind, str]:
    prefix, colon, rest = label.partition(":")
    if colon and prefix in _PREFIXES and rest.isidentifier():
        if swept.form != "function":
            raise UsageError(f"--sweep {label}: only a function has such parameters")
        return _PREFIXES[prefix], rest
    name = ALIASES.get(label, label)
    form = swept.form
    if name in PLANNING:
        if form == "script" and _is_placeholder(label, swept):
            raise UsageError(
                f"{label!r} is both an option of planning and {{{label}}} among the arguments",
                remedy="Call the argument something else",
            )
        if signature is not None and label in signature.names:
            raise UsageError(
                f"{label!r} is both an option of planning and a parameter of the function",
                remedy=f"Say --sweep set:{label}=... for the parameter, or sweep "
                f"{_other_name(label)} for the option",
            )
        return "planning", name
    if form == "script":
        return _script_meaning(label, swept)
    if form == "record":
        raise UsageError(
            f"a recorded pipeline has no {label!r} to sweep",
            remedy=f"It has {', '.join(PLANNING)}; sweep the function or script that made it",
        )
    if not label.isidentifier():
        raise UsageError(f"--sweep {label!r} is no name of a parameter")
    if signature is not None and signature.is_closed and label not in signature.names:
        raise UsageError(
            f"{swept.sources[0]} has no parameter {label!r}",
            remedy=f"It has {', '.join(signature.names) or 'none besides the kernel'}; "
            f"of planning there are {', '.join(PLANNING)}",
        )
    return "set", label


def _script_meaning(label: str, swept: Swept) -> tuple[Kind, str]:
    if _is_placeholder(label, swept):
        return "placeholder", label
    if _DASHED.fullmatch(label):
        if any(x == label or x.startswith(f"{label}=") for x in swept.arguments):
            raise UsageError(
                f"{label} is swept and stands among the script's arguments",
                remedy="Leave it out there",
            )
        return "argument", label
    raise UsageError(
        f"it is not clear what {label!r} is of a script",
        remedy=f"Say --sweep --{label}=... for an option of the script, or put {{{label}}} among "
        "its arguments after --",
    )


def _is_placeholder(label: str, swept: Swept) -> bool:
    return label.isidentifier() and any(f"{{{label}}}" in x for x in swept.arguments)


def _other_name(label: str) -> str:
    """The planning option's other name, where it has one."""
    other = {**{value: key for key, value in ALIASES.items()}, **ALIASES}.get(label)
    return other or "nothing else: only rename the parameter"


def planning_value(axis: Axis, text: str) -> int | bool | None:
    """The value of an option of planning. Raises UsageError when it is none."""
    if axis.name == "target":
        from mpkgraph.pipeline.target import find_cc

        return find_cc(text)
    if axis.name == "multicast":
        choices = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
        if text.lower() not in choices:
            raise UsageError(f"--sweep multicast={text}: not yes or no")
        return choices[text.lower()]
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise UsageError(f"--sweep {axis.label}={text}: not a number of at least 1")
    return int(text)
