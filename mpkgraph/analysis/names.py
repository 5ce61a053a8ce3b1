"""What operators are called, and finding operators, tensors and types by what users call them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from mpkgraph.catalog import DEFAULT, Catalog
from mpkgraph.errors import SelectionError
from mpkgraph.model.graph import TaskGraph
from mpkgraph.model.operator import Operator, OperatorSet

_MAX_SUGGESTIONS = 5
_MAX_NAME_CHARACTERS = 80
"""Longer names are cut in messages."""


def operator_name(operator: Operator, catalog: Catalog = DEFAULT) -> str:
    """What to call an operator: its registered name when recorded, else after its task type."""
    return operator.register_name or catalog.layer_kind(operator.task_type)


def operator_aliases(operator: Operator, catalog: Catalog = DEFAULT) -> tuple[str, ...]:
    """All names by which an operator may be chosen."""
    names = (
        operator.register_name,
        operator.layer_method,
        catalog.layer_kind(operator.task_type),
        catalog.task_type_name(operator.task_type),
    )
    return tuple(dict.fromkeys(name for name in names if name))


def find_operators(
    text: str, operators: OperatorSet, catalog: Catalog = DEFAULT
) -> tuple[int, ...]:
    """Indices of the operators of that name, else of those a pattern or a part of a name fits.

    Raises SelectionError with the nearest names when nothing matches.
    """
    aliases = [operator_aliases(operator, catalog) for operator in operators]
    known = sorted({name for names in aliases for name in names})
    matching = match_names(text, known)
    if not matching:
        raise unknown_name(text, [name for name in known if name.islower()], "operator")
    return tuple(
        operator.index
        for operator, names in zip(operators, aliases, strict=True)
        if not matching.isdisjoint(names)
    )


def find_tensors(text: str, graph: TaskGraph) -> tuple[int, ...]:
    """Positions in `graph.tensors` of the tensor of that name, else of those a pattern fits.

    Raises SelectionError with the nearest names when nothing matches.
    """
    exact = tuple(i for i, name in enumerate(graph.tensors) if name == text)
    found = exact or tuple(i for i, name in enumerate(graph.tensors) if fnmatchcase(name, text))
    if not found:
        raise unknown_name(text, graph.tensors, "tensor")
    return found


def find_types(text: str, graph: TaskGraph, catalog: Catalog = DEFAULT) -> tuple[int, ...]:
    """Task types by number, name, pattern or part of a name, those without tasks here included.

    Raises SelectionError with the nearest names when neither catalog nor graph has such a type.
    """
    present = set(graph.tasks.task_types.tolist())
    names = {
        value: catalog.layer_kind(value) for value in sorted(present | set(catalog.task_types))
    }
    if text.lstrip("-").isdecimal():
        if int(text) in names:
            return (int(text),)
        known = [f"{value} ({names[value]})" for value in sorted(present)]
        raise SelectionError(
            f"the graph has no task of type {text}", remedy=f"It has types {_listed(known)}"
        )
    matching = match_names(text.lower().removeprefix("task_"), names.values())
    if not matching:
        raise unknown_name(text, [names[value] for value in sorted(present)], "task type")
    return tuple(value for value, name in names.items() if name in matching)


def match_names(text: str, known: Iterable[str]) -> set[str]:
    """Names equal to `text`, else those that it fits as a pattern, else those it is a part of.

    Case is ignored.

    >>> sorted(match_names("linear*", ["linear_hopper", "rms_norm", "linear"]))
    ['linear', 'linear_hopper']
    """
    wanted = text.lower()
    folded = {name: name.lower() for name in known}
    return (
        {name for name, lower in folded.items() if lower == wanted}
        or {name for name, lower in folded.items() if fnmatchcase(lower, wanted)}
        or {name for name, lower in folded.items() if wanted and wanted in lower}
    )


def unknown_name(text: str, known: Sequence[str], what: str) -> SelectionError:
    """The error for a name that nothing has, with the nearest names as the remedy."""
    import difflib

    by_lower = {name.lower(): name for name in reversed(known)}
    wanted = text.lower()
    near = [by_lower[name] for name in difflib.get_close_matches(wanted, by_lower, n=3, cutoff=0.5)]
    near += [name for lower, name in by_lower.items() if wanted and wanted in lower]
    if near:
        remedy = f"Did you mean {_listed(list(dict.fromkeys(near)), 'or')}?"
    elif known:
        remedy = f"There is {_listed(known)}"
    else:
        remedy = f"It has no {what}s at all"
    return SelectionError(f"the graph has no {what} {_short(text)!r}", remedy=remedy)


def _listed(names: Sequence[str], word: str = "and") -> str:
    shown = [_short(name) for name in names[:_MAX_SUGGESTIONS]]
    rest = len(names) - len(shown)
    if rest:
        return f"{', '.join(shown)} {word} {rest} more"
    return f" {word} ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))


def _short(name: str) -> str:
    return name if len(name) <= _MAX_NAME_CHARACTERS else f"{name[:_MAX_NAME_CHARACTERS]}..."
