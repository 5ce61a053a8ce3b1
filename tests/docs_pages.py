"""Pages of the documentation, done as they say: files saved, commands and code run, in order.

What a block is, its language says; a comment on the line before it says more.

| block | is |
| --- | --- |
| `sh` | commands; each has to end with 0 |
| `console` | commands after `$ `, each with what it prints; a line `...` stands for any lines |
| `python` | code; blocks of a page share their names |
| `python` after `<!-- file: NAME -->` | a file that the reader saves; so with every language |
| `<!-- file: NAME`, lines, `-->` | a file that the page takes for granted |
| `<!-- edit: NAME`, old lines, `=>`, new lines, `-->` | what the reader changes in a file |
| `json`, `yaml`, `sql` | is parsed; SQL runs in DuckDB |
| `text` | a drawing or a printed text; a command or code in it is a mistake |
| any after `<!-- not run: REASON -->` | left out, and counted in `test_docs.py` |
| `{name}` | a directive of the site |

`<!-- needs: torch -->` anywhere on a page skips it where the package is not installed.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mpkgraph.cli.main import run

_BLOCK = re.compile(
    r"^<!-- (?P<act>file|edit): (?P<hidden>\S+)\n(?P<content>.*?)^-->$"
    r"|^(?:<!-- (?P<mark>[\w ]+): (?P<value>[^\n]*?) -->\n)?"
    r"(?P<fence>```+)(?P<language>[^\n`]*)\n(?P<text>.*?)^(?P=fence)$",
    re.DOTALL | re.MULTILINE,
)
_NEEDS = re.compile(r"^<!-- needs: (\w+) -->$", re.MULTILINE)
_CODE = re.compile(r"^(\$ |mpkgraph |pip |pytest|python |import |from \w+ import |git )")
_KNOWN_MARKS = {"file", "not run"}


@dataclass(frozen=True)
class Block:
    """A fenced block; `start` and `end` are where its text lies on the page."""

    language: str
    text: str
    line: int
    start: int
    end: int
    mark: str = ""
    value: str = ""


def blocks(page: str) -> list[Block]:
    """The blocks of a page's text, hidden files among them."""
    found = []
    for match in _BLOCK.finditer(page):
        line = page.count("\n", 0, match.start()) + 1
        if match["hidden"]:
            span = match.span("content")
            found.append(Block("", match["content"], line, *span, match["act"], match["hidden"]))
            continue
        mark, value = match["mark"] or "", match["value"] or ""
        assert mark in _KNOWN_MARKS | {"", "needs"}, f"line {line}: what is {mark!r}?"
        language = match["language"].strip()
        found.append(Block(language, match["text"], line, *match.span("text"), mark, value))
    return found


def needs(page: str) -> list[str]:
    """Packages that the page's blocks import."""
    return _NEEDS.findall(page)


@dataclass
class Reader:
    """Somebody who does what a page says, in the working folder.

    `done` is the page's text with the outputs that were seen.
    """

    page: str
    done: str = ""
    differences: list[str] = field(default_factory=list)
    namespace: dict[str, Any] = field(default_factory=dict)
    code: int = 0

    def follow(self) -> None:
        """Do all of it. Raises AssertionError at the first block that can't be followed."""
        at, parts = 0, []
        for block in blocks(self.page):
            parts += [self.page[at : block.start], self._do(block)]
            at = block.end
        self.done = "".join([*parts, self.page[at:]])

    def _do(self, block: Block) -> str:
        if block.mark == "not run" or block.language.startswith("{"):
            return block.text
        if block.mark == "file":
            Path(block.value).parent.mkdir(parents=True, exist_ok=True)
            Path(block.value).write_text(block.text, encoding="utf-8")
            return block.text
        if block.mark == "edit":
            old, new = block.text.removesuffix("\n").split("\n=>\n")
            text = Path(block.value).read_text(encoding="utf-8")
            assert text.count(old) == 1, f"line {block.line}: {old!r} is not once in {block.value}"
            Path(block.value).write_text(text.replace(old, new), encoding="utf-8")
            return block.text
        act = {
            "sh": self._commands,
            "console": self._session,
            "python": self._python,
            "json": self._json,
            "yaml": self._yaml,
            "sql": self._sql,
            "text": self._text,
        }.get(block.language)
        assert act, f"line {block.line}: nobody knows how to run {block.language or 'this'!r}"
        return act(block) or block.text

    def _commands(self, block: Block) -> None:
        for line in _logical_lines(block.text):
            if line and not line.startswith("#"):
                printed = self._run(line, block)
                assert self.code == 0, f"line {block.line}: {line}\n{printed}"

    def _session(self, block: Block) -> str:
        seen = []
        assert block.text.startswith("$ "), f"line {block.line}: a session begins with a command"
        for part in re.split(r"^(?=\$ )", block.text, flags=re.MULTILINE)[1:]:
            command = next(_logical_lines(part))
            source = part[: _length_of_command(part)]
            expected = part[len(source) :]
            printed = self._run(command.removeprefix("$ "), block)
            if not matches(expected, printed):
                self.differences.append(f"line {block.line}: {command}\n{printed}")
                expected = printed
            elif "error:" not in printed and not command.startswith("$ echo "):
                may_fail = "pytest" not in command or "FAILURES" in expected
                allowed = {0, 1} if may_fail else {0}
                assert self.code in allowed, f"line {block.line}: {command}\n{printed}"
            seen.append(source + expected)
        return "".join(seen)

    def _run(self, command: str, block: Block) -> str:
        """What a command prints, to both streams; `code` is how it ends."""
        name, *arguments = shlex.split(command, comments=True)
        if (name, arguments) == ("echo", ["$?"]):
            return f"{self.code}\n"
        if name == "pytest":
            return self._pytest(arguments)
        assert name == "mpkgraph", f"line {block.line}: {name} is not run here"
        bytes_ = io.BytesIO()
        stream = io.TextIOWrapper(bytes_, encoding="utf-8", write_through=True)
        with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
            self.code = run(arguments)
        stream.flush()
        return bytes_.getvalue().decode()

    def _pytest(self, arguments: list[str]) -> str:
        command = [sys.executable, "-m", "pytest", "-p", "mpkgraph.pytest_plugin"]
        done = subprocess.run(
            [*command, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # Plugins take a second to load; options of these tests are not the reader's
            env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
            check=False,
        )
        self.code = done.returncode
        return done.stdout

    def _python(self, block: Block) -> None:
        source = "\n" * block.line + block.text
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(source, "page", "exec"), self.namespace)

    def _json(self, block: Block) -> None:
        json.loads(block.text)

    def _yaml(self, block: Block) -> None:
        import yaml

        assert yaml.safe_load(block.text) is not None

    def _sql(self, block: Block) -> None:
        import duckdb

        assert duckdb.sql(block.text).fetchall(), f"line {block.line}: no row"

    def _text(self, block: Block) -> None:
        for line in block.text.splitlines():
            assert not _CODE.match(line), f"line {block.line}: {line!r} in a text block is not run"


def _logical_lines(text: str) -> Iterator[str]:
    """Lines, those that end with a backslash joined with the next."""
    yield from re.sub(r" *\\\n\s*", " ", text).splitlines()


def _length_of_command(part: str) -> int:
    match = re.match(r"(?:[^\n]*\\\n)*[^\n]*\n", part)
    assert match
    return match.end()


def matches(expected: str, printed: str) -> bool:
    """Whether a text is as expected, where a line `...` stands for any lines (or none)."""
    pattern = "".join(
        r"(?:[^\n]*\n)*" if line.strip() == "..." else re.escape(line)
        for line in expected.splitlines(keepends=True)
    )
    return re.fullmatch(pattern, printed) is not None
