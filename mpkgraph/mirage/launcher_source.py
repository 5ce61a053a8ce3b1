"""Mirage's launcher, the C++ that `compile()` appends to the generated code, corrected.

At `de8745d` `compile()` calls the launcher with 14 arguments, its parser takes 13, and
`load_mpk_kernel()` passes 13: `is_test_mode` is declared and used but never parsed. And 11 meta
tensors may be read where 10 are given. What is wrong is looked up in the source, so a Mirage that
has it right is left alone. Only the copy that our child compiles is changed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

TEST_MODE = "is_test_mode"
FIRST_AFTER_TEST_MODE = "tensor_names_list"
"""The argument before which `compile()` passes `test_mode`."""

_PARSE = re.compile(
    r'(?P<indent>[ \t]*)if \(!PyArg_ParseTuple\(args, "(?P<format>[^"]*)", '
    r"(?P<names>&\w+(?:,\s*&\w+)*)\)\) \{"
)
_INIT = re.compile(r"(?P<indent>[ \t]*)init_persistent_kernel\((?P<meta>\w+),")
_CODE = re.compile(r"[A-Za-z](?:\*|#)?")


@dataclass(frozen=True)
class Correction:
    """The text to compile, and what was changed in it, each as a sentence."""

    text: str
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Parser:
    """How the launcher reads its arguments: a format code and a variable for each."""

    codes: tuple[str, ...]
    names: tuple[str, ...]
    text: str = field(repr=False)
    indent: str = ""

    @property
    def num_arguments(self) -> int:
        return len(self.names)


def find_parser(launcher: str) -> Parser | None:
    """The parser of `init_func`; None when it does not look as expected."""
    for match in _PARSE.finditer(launcher):
        names = tuple(x.strip().removeprefix("&") for x in match["names"].split(","))
        codes = tuple(_CODE.findall(match["format"].partition(":")[0]))
        if len(names) > 2 and len(codes) == len(names):
            return Parser(codes, names, match[0], match["indent"])
    return None


def correct_launcher(launcher: str, num_meta_tensors: int | None) -> Correction:
    """Take the arguments of both callers, and give as many meta tensors as are read.

    `num_meta_tensors` is how many the runtime reads (`Runtime.num_meta_read`); None leaves them.
    """
    changes: list[str] = []
    parser = find_parser(launcher)
    if parser is not None and _forgets_test_mode(launcher, parser):
        launcher = launcher.replace(parser.text, _both_ways(parser), 1)
        changes.append(
            f"the launcher takes {parser.num_arguments + 1} arguments, test_mode among them, and "
            f"still {parser.num_arguments}"
        )
    if num_meta_tensors is not None:
        match = _INIT.search(launcher)
        if match is not None:
            indent, meta = match["indent"], match["meta"]
            number = num_meta_tensors
            pad = f"{indent}if ({meta}.size() < {number}) {meta}.resize({number}, nullptr);\n"
            launcher = launcher[: match.start()] + pad + launcher[match.start() :]
            changes.append(f"missing meta tensors up to {num_meta_tensors} are null pointers")
    return Correction(launcher, tuple(changes))


def _forgets_test_mode(launcher: str, parser: Parser) -> bool:
    declared = re.search(rf"\b{TEST_MODE}\b", launcher) is not None
    return declared and TEST_MODE not in parser.names and FIRST_AFTER_TEST_MODE in parser.names


def _both_ways(parser: Parser) -> str:
    at = parser.names.index(FIRST_AFTER_TEST_MODE)
    codes = [*parser.codes[:at], "i", *parser.codes[at:]]
    names = [*parser.names[:at], TEST_MODE, *parser.names[at:]]
    indent = parser.indent
    return (
        "#ifdef MPK_TEST_MODE\n"
        f"{indent}{TEST_MODE} = 1;\n"
        "#else\n"
        f"{indent}{TEST_MODE} = 0;\n"
        "#endif\n"
        f"{indent}if (PyTuple_Size(args) == {len(names)}\n"
        f"{indent}        ? !{_call(codes, names)}\n"
        f"{indent}        : !{_call(parser.codes, parser.names)}) {{"
    )


def _call(codes: list[str] | tuple[str, ...], names: list[str] | tuple[str, ...]) -> str:
    pointers = ", ".join(f"&{name}" for name in names)
    return f'PyArg_ParseTuple(args, "{"".join(codes)}", {pointers})'
