"""The page's modules as one script: each in a function of its own that returns what it exports.

The modules stay modules that a browser or an editor understands; what they import says in which
order they follow.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from importlib.resources import files

_IMPORT = re.compile(r'^import (\{[^}]*\}) from "\./([a-z]+)\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const) (\w+))", re.MULTILINE)

MAIN = "app"


def page_file(name: str) -> str:
    """The text of one of the page's files."""
    return files("mpkgraph.render.html").joinpath("page").joinpath(name).read_text(encoding="utf-8")


@cache
def script() -> str:
    """All modules that `app.js` needs, each after what it imports."""
    return bundle(MAIN, lambda name: page_file(f"{name}.js"))


def bundle(main: str, read: Callable[[str], str]) -> str:
    r"""One script of the module `main` and what it imports, by depth first.

    Raises ValueError for a circle of imports, and for text that would end the page's script.

    >>> sources = {"a": 'import { f } from "./b.js";\nf();\n', "b": "export function f() {}\n"}
    >>> print(bundle("a", sources.__getitem__), end="")
    const module_b = (() => {
    function f() {}
    return { f };
    })();
    const module_a = (() => {
    const { f } = module_b;
    f();
    return {  };
    })();
    """
    done: dict[str, str] = {}
    opened: list[str] = []

    def visit(name: str) -> None:
        if name in done:
            return
        if name in opened:
            raise ValueError(f"{name}.js imports itself by way of others")
        opened.append(name)
        source = read(name)
        for _, needed in _IMPORT.findall(source):
            visit(needed)
        done[name] = _module(name, source)

    visit(main)
    text = "".join(done.values())
    if "</script" in text.lower() or "<!--" in text:
        raise ValueError("a module's text would end the page's script")
    return text


def _module(name: str, source: str) -> str:
    exported = ", ".join(_EXPORT.findall(source))
    body = _IMPORT.sub(r"const \1 = module_\2;\n", _EXPORT.sub("", source))
    return f"const module_{name} = (() => {{\n{body}return {{ {exported} }};\n}})();\n"
