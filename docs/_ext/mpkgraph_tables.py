"""Reference made from the code while the site is built: options, task types, errors.

Each directive makes Markdown and lets MyST parse it, so that links and code look as everywhere.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import mpkgraph
from mpkgraph.catalog.task_types import TASK_TYPES
from mpkgraph.cli.main import cli
from mpkgraph.errors import MpkGraphError
from mpkgraph.reference import TASK_FUNCTIONS, unexecutable_types
from mpkgraph.reference.gpu_checked import AGREES_IN_PART, GPU_CHECKED
from mpkgraph.schemas import NAMES, file_name, json_schema

SCHEMAS = "../../mpkgraph/schemas"
"""The folder of the schemas' files, from a page of the reference."""


def options(name: str) -> str:
    """The options of a command, as `--help` tells them."""
    command = cli.commands[name]
    context = click.Context(command, info_name=name, max_content_width=1000)
    lines = [f"````{{program}} mpkgraph {name}", "````", ""]
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if record is not None and isinstance(parameter, click.Option):
            signature = record[0].replace(" / ", ", ")
            lines += [f"````{{option}} {signature}", _text(record[1]), "````", ""]
    return "\n".join(lines)


def task_types(_: str) -> str:
    """Every task type: who emits it, whether it can be executed, what vouches for that."""
    reasons = unexecutable_types()
    rows = []
    for row in TASK_TYPES:
        function = TASK_FUNCTIONS.get(row.name)
        if function is None:
            executed, checked, gpu = f"no: {reasons[row.name]}", "-", "-"
        else:
            executed, checked = "yes", function.checked_against
            gpu = "in part" if row.name in AGREES_IN_PART else "agrees"
            gpu = gpu if row.name in GPU_CHECKED else "-"
        names = ", ".join(f"`{x}`" for x in row.register_names) or "-"
        rows.append((f"`{row.name}`", str(row.value), names, executed, checked, gpu))
    titles = ("task type", "number", "registered as", "executed", "checked against", "H100")
    return _table(titles, rows)


def errors(_: str) -> str:
    """Every class of error that a user can cause."""
    package = Path(mpkgraph.__file__).parent
    for file in sorted(package.rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        # torch takes seconds, or is not there; what needs it has no errors of its own
        if re.search(r"^class \w+\(.*Error\)", text, re.MULTILINE) and "\nimport torch" not in text:
            name = ".".join(file.relative_to(package.parent).with_suffix("").parts)
            importlib.import_module(name.removesuffix(".__init__"))
    rows = [
        (
            f"`{x.__module__}.{x.__qualname__}`",
            f"`{x.__bases__[0].__name__}`",
            str(x.exit_code),
            _text(_first_paragraph(x)),
        )
        for x in sorted(_with_subclasses(MpkGraphError), key=lambda x: (x.__module__, x.__name__))
    ]
    return _table(("class", "is a", "exit code", "raised when"), rows)


def schemas(_: str) -> str:
    """The schema of each printed form: its keys, and those of the objects in it."""
    lines = []
    for name in NAMES:
        schema = json_schema(name)
        file = file_name(name)
        lines += [
            f"## {name}",
            "",
            f"{schema['title']}: {{download}}`{file} <{SCHEMAS}/{file}>`.",
            "",
        ]
        for view in schema.get("oneOf", [schema]):
            if "oneOf" in schema:
                lines += [f"### {view['title']}", ""]
            lines += [_keys(view), ""]
        for definition, value in schema["$defs"].items():
            if definition not in {"integer", "number"}:
                lines += [f"**{definition}**", "", _keys(value), ""]
    return "\n".join(lines)


def _keys(schema: dict[str, Any]) -> str:
    rows = [
        (
            f"`{path}`",
            _type(value),
            value.get("description", "") + ("" if needed else " (optional)"),
        )
        for path, value, needed in _paths(schema, "")
    ]
    return _table(("key", "type", ""), rows)


def _paths(schema: dict[str, Any], prefix: str) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Keys of an object, those of objects in it behind them: path, schema, always there."""
    for key, value in schema.get("properties", {}).items():
        path = f"{prefix}{key}"
        yield path, value, key in schema.get("required", ())
        inner = value
        while "items" in inner:
            inner, path = inner["items"], f"{path}[]"
        yield from _paths(inner, f"{path}.")


def _type(schema: dict[str, Any]) -> str:
    if "const" in schema:
        return f"`{schema['const']}`"
    if "$ref" in schema:
        return schema["$ref"].rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(_type(x) for x in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{x}`" for x in schema["enum"])
    kinds = schema.get("type", "any")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    words = {"string": "text", "array": "list"}
    if "items" in schema:
        words["array"] = f"list of {_type(schema['items'])}"
    if isinstance(schema.get("additionalProperties"), dict):
        words["object"] = f"by name {_type(schema['additionalProperties'])}"
    return " or ".join(words.get(x, x) for x in kinds)


def _with_subclasses(base: type[MpkGraphError]) -> Iterator[type[MpkGraphError]]:
    yield base
    for subclass in base.__subclasses__():
        yield from _with_subclasses(subclass)


def _first_paragraph(value: object) -> str:
    return (inspect.getdoc(value) or "").split("\n\n")[0].replace("\n", " ")


def _text(text: str) -> str:
    """Plain text that Markdown leaves as it is."""
    for character in "\\*_<>[]{}$|":
        text = text.replace(character, f"\\{character}")
    return text.replace("--", "\\-\\-")


def _table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    titles = list(titles)
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def directive(make: Callable[[str], str]) -> type[SphinxDirective]:
    """A directive whose content is what a function makes of its argument."""

    class Made(SphinxDirective):
        optional_arguments = 1

        def run(self) -> list[nodes.Node]:
            text = make((self.arguments or [""])[0])
            return self.parse_text_to_nodes(text, allow_section_headings=True)

    return Made


def setup(app: Sphinx) -> dict[str, Any]:
    """What Sphinx calls."""
    app.add_directive("mpk-options", directive(options))
    app.add_directive("mpk-task-types", directive(task_types))
    app.add_directive("mpk-errors", directive(errors))
    app.add_directive("mpk-schemas", directive(schemas))
    return {"parallel_read_safe": True, "version": mpkgraph.__version__}
