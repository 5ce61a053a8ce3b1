"""What this Mirage does otherwise than its callers expect, found in its sources.

Looked at are `mpk/persistent_kernel.py` (as text, never imported here) and the runtime's
`persistent_kernel.cuh`. Nothing goes by a version number.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

from mpkgraph.mirage.launcher_source import TEST_MODE, find_parser

RUNTIME_HEADER = Path("mirage/persistent_kernel/persistent_kernel.cuh")

_META_INDEX = re.compile(r"meta_tensors\[(\d+)\]")
_META_ASSERT = re.compile(r"assert\(\s*meta_tensors\.size\(\)\s*==\s*(\d+)\s*\)")
_SCHEDULER = re.compile(r"void execute_scheduler\((.*?)\n__global__", re.DOTALL)
_UNPRINTED = re.compile(r"#ifdef MPK_ENABLE_VERBOSE.*?#endif", re.DOTALL)


@dataclass(frozen=True)
class Quirk:
    """One such thing; `workaround` is what the child does about it, None where nothing helps."""

    code: str
    what: str
    workaround: str | None


@dataclass(frozen=True)
class PythonSide:
    """What `persistent_kernel.py` holds."""

    launcher: str | None
    """The C++ that `compile()` appends; None when it is not where it was."""
    num_compile_arguments: int | None
    num_load_arguments: int | None
    """Arguments with which `compile()` and `load_mpk_kernel()` call the launcher's `init_func`."""
    methods: frozenset[str]


@dataclass(frozen=True)
class Runtime:
    """What the runtime header says of meta tensors and printing."""

    num_meta_read: int | None
    num_meta_asserted: int | None
    scheduler_prints: bool


def read_python_side(package: Path) -> PythonSide | None:
    """From the folder of an installed `mirage`; None when there is no MPK in it."""
    try:
        text = (package / "mpk" / "persistent_kernel.py").read_text(encoding="utf-8")
        tree = ast.parse(text)
    except (OSError, SyntaxError, ValueError):
        return None
    launcher = None
    calls: dict[str, int] = {}
    methods: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            value = node.value.value
            if isinstance(value, str) and "PyInit_" in value:
                launcher = value
        if isinstance(node, ast.ClassDef) and node.name == "PersistentKernel":
            for method in node.body:
                if isinstance(method, ast.FunctionDef):
                    methods.add(method.name)
                    count = _init_arguments(method)
                    if count is not None:
                        calls[method.name] = count
    return PythonSide(
        launcher, calls.get("compile"), calls.get("load_mpk_kernel"), frozenset(methods)
    )


def read_runtime(include: Path) -> Runtime | None:
    """From a folder of Mirage's headers; None when the runtime's is not there."""
    try:
        text = (include / RUNTIME_HEADER).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    read = [int(x) for x in _META_INDEX.findall(text)]
    asserted = _META_ASSERT.search(text)
    scheduler = _SCHEDULER.search(text)
    printed = "" if scheduler is None else _UNPRINTED.sub("", scheduler[1])
    return Runtime(
        num_meta_read=max(read) + 1 if read else None,
        num_meta_asserted=None if asserted is None else int(asserted[1]),
        scheduler_prints="printf(" in printed,
    )


def find_quirks(python: PythonSide, runtime: Runtime | None) -> tuple[Quirk, ...]:
    """All that is odd about a Mirage, in the order in which a run meets it."""
    found = [*_launcher_quirks(python), *_method_quirks(python)]
    if runtime is not None:
        found += _runtime_quirks(runtime)
    return tuple(found)


def _launcher_quirks(python: PythonSide) -> list[Quirk]:
    if python.launcher is None:
        what = "no launcher source in persistent_kernel.py: it is compiled as it is"
        return [Quirk("launcher", what, None)]
    parser = find_parser(python.launcher)
    if parser is None:
        what = "the launcher reads its arguments in a way not known here: it is compiled as it is"
        return [Quirk("launcher", what, None)]
    found = []
    calls = {"compile()": python.num_compile_arguments, "load": python.num_load_arguments}
    wrong = [
        f"{name.replace('load', 'load_mpk_kernel()')} passes {count}"
        for name, count in calls.items()
        if count not in {None, parser.num_arguments}
    ]
    fix = "the child compiles a launcher that takes either number"
    if wrong:
        what = f"the launcher takes {parser.num_arguments} arguments, {' and '.join(wrong)}"
        found.append(Quirk("launcher-arguments", what, fix))
    if TEST_MODE in python.launcher and TEST_MODE not in parser.names:
        what = f"the launcher uses {TEST_MODE}, which it never sets"
        found.append(Quirk("test-mode-unset", what, fix))
    return found


def _method_quirks(python: PythonSide) -> list[Quirk]:
    has_run, has_test = "run" in python.methods, "run_test_mode" in python.methods
    if has_test and not has_run:
        what = "PersistentKernel has no run(), which tests of Mirage call"
        return [Quirk("no-run", what, "run() is run_test_mode(), or a call of the kernel")]
    if has_run and not has_test:
        what = "PersistentKernel has run() and no run_test_mode()"
        return [Quirk("no-run-test-mode", what, "run_test_mode() is run()")]
    if not has_run and "__call__" not in python.methods:
        return [Quirk("no-launch", "PersistentKernel has no method known to launch it", None)]
    return []


def _runtime_quirks(runtime: Runtime) -> list[Quirk]:
    found = []
    read, asserted = runtime.num_meta_read, runtime.num_meta_asserted
    if read is not None and asserted is not None and read != asserted:
        what = f"the runtime asserts that there are {asserted} meta tensors and reads {read}"
        fix = f"{read} are passed, and host asserts are off (-DNDEBUG, as on Hopper)"
        found.append(Quirk("meta-tensors", what, fix))
    if runtime.scheduler_prints:
        what = (
            "the scheduler kernel can print: a process's first kernel that does can't start "
            "while another runs, and the workers are started first"
        )
        fix = "a small kernel with an assert and local memory runs before the first launch"
        found.append(Quirk("first-printf", what, fix))
    return found


def _init_arguments(method: ast.FunctionDef) -> int | None:
    for node in ast.walk(method):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "init_func"
            and not any(isinstance(x, ast.Starred) for x in node.args)
        ):
            return len(node.args)
    return None
