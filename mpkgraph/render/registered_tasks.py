"""The page of the documentation that lists the registered task names, in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mpkgraph.catalog.registered import ARCHITECTURES, RegisteredTaskRow

_INTRODUCTION = """\
# Registered tasks

<!-- Made from mpkgraph/catalog/registered by `make golden`: change the rows there. -->

A layer of a pipeline is registered under one of these names, with a list of integers (`params`).
The name decides the type of the layer's tasks and how many of its slots are inputs; the outputs
follow them. A name in brackets may be left out.

Layers of one task type share a `variant_id` exactly if the text of their kernel calls is the same;
names of one task type share the numbering. Which values reach the text is in the `variant_key` of
each row of `mpkgraph.catalog.registered.REGISTERED_TASKS`.

"Kernels" are those that include the task's: Hopper's serve cc 90, Blackwell's cc 100, Ampere's
every other target. A graph with a task that they lack can be generated, not compiled.
"""
_HEADER = "| name | task type | inputs | outputs | params | kernels |"
_RULE = "| --- | --- | --- | --- | --- | --- |"
_MULTI_GPU = "several GPUs only"
_NONE = "none"


def registered_tasks_page(families: Mapping[str, Iterable[RegisteredTaskRow]]) -> str:
    """The page for rows by heading, `mpkgraph.catalog.registered.FAMILIES` say."""
    sections = (
        "\n".join([f"## {heading}", "", _HEADER, _RULE, *map(_line, rows), ""])
        for heading, rows in families.items()
    )
    return "\n".join([_INTRODUCTION, *sections])


def _line(row: RegisteredTaskRow) -> str:
    params = [f"`{name}`" for name in row.params]
    first_optional = row.num_required_params
    params[first_optional:] = [f"[{name}]" for name in params[first_optional:]]
    cells = (
        f"`{row.name}`",
        f"`{row.task_type}`",
        str(row.num_inputs),
        str(row.num_outputs),
        ", ".join(params) or _NONE,
        _kernels(row),
    )
    return f"| {' | '.join(cells)} |"


def _kernels(row: RegisteredTaskRow) -> str:
    names = ", ".join(name.capitalize() for name in ARCHITECTURES if name in row.compiled_for)
    return f"{names} ({_MULTI_GPU})" if row.needs_nvshmem else names or _NONE
