"""Mirage's launcher, corrected where it is wrong and left alone where it is right."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from mpkgraph.mirage.device_access import with_device_access
from mpkgraph.mirage.launcher_source import correct_launcher, find_parser
from mpkgraph.mirage.quirks import PythonSide, Runtime, find_quirks, read_python_side, read_runtime

FORMAT = 'PyArg_ParseTuple(args, "OiOO", &meta_list, &rank, &tensor_names_list, &json)'
WRONG = f"""
  int is_test_mode;
  if (!{FORMAT}) {{
    return NULL;
  }}
  init_persistent_kernel(meta, rank, is_test_mode);
"""
RIGHT = WRONG.replace('"OiOO"', '"OiiOO"').replace("&rank, ", "&rank, &is_test_mode, ")


def test_parser():
    parser = find_parser(WRONG)
    assert parser.names == ("meta_list", "rank", "tensor_names_list", "json")
    assert parser.codes == ("O", "i", "O", "O")
    assert find_parser("int main() {}") is None


def test_both_numbers_of_arguments_are_taken():
    corrected = correct_launcher(WRONG, None)
    assert len(corrected.changes) == 1
    assert "PyTuple_Size(args) == 5" in corrected.text
    assert '"OiiOO", &meta_list, &rank, &is_test_mode, &tensor_names_list, &json' in corrected.text
    assert FORMAT in corrected.text


def test_a_right_launcher_is_left_alone():
    corrected = correct_launcher(RIGHT, None)
    assert corrected.text == RIGHT
    assert corrected.changes == ()


def test_meta_tensors_are_padded():
    corrected = correct_launcher(RIGHT, 11)
    assert "if (meta.size() < 11) meta.resize(11, nullptr);\n  init_persistent" in corrected.text


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
@pytest.mark.parametrize("given", [4, 5])
def test_what_the_corrected_launcher_reads(tmp_path, given):
    """Compiled against a Python that is none: which format it takes for so many arguments."""
    source = tmp_path / "x.cc"
    source.write_text(
        """
#include <cstdio>
#include <vector>
static int num; typedef int PyObject;
long PyTuple_Size(PyObject *) { return num; }
template <class... T> int PyArg_ParseTuple(PyObject *, const char *f, T...) { puts(f); return 1; }
void init_persistent_kernel(std::vector<void *> meta, int, int test) {
  printf("%zu %d\\n", meta.size(), test);
}
#define MPK_TEST_MODE
#define NULL_IS 0
PyObject *init(PyObject *args) {
  int meta_list, rank = 0, tensor_names_list, json; std::vector<void *> meta(3);
"""
        + correct_launcher(WRONG, 11).text
        + "return NULL; }\nint main(int n, char **) { num = n + 2; init(nullptr); }\n"
    )
    binary = tmp_path / "x"
    subprocess.run(["g++", "-w", source, "-o", binary], check=True)
    arguments = [binary, *["a"] * (given - 3)]
    out = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout
    assert out.split() == [{4: "OiOO", 5: "OiiOO"}[given], "11", "1"]


def test_tensors_of_the_generated_code_are_kept():
    code = (
        "static void _init_persistent_kernel(int a) {\nstd::map<std::string, void*> all_tensors;\n"
        'all_tensors["x"] = x;\n}\n'
    )
    kept, behind = with_device_access(code)
    assert kept.startswith("static std::map<std::string, void*> mpkgraph_tensors;\nstatic void")
    assert "auto &all_tensors = mpkgraph_tensors;" in kept
    assert "mpkgraph_event_counters" in behind
    assert with_device_access(code.replace("all_tensors;", "tensors;")) is None


def side(**changes):
    fields = {
        "launcher": RIGHT,
        "num_compile_arguments": 5,
        "num_load_arguments": 5,
        "methods": frozenset({"run", "run_test_mode"}),
    }
    return PythonSide(**{**fields, **changes})


QUIRKS = [
    ({}, set()),
    ({"launcher": WRONG}, {"launcher-arguments", "test-mode-unset"}),
    ({"num_load_arguments": 4}, {"launcher-arguments"}),
    ({"methods": frozenset({"run_test_mode"})}, {"no-run"}),
    ({"methods": frozenset({"run"})}, {"no-run-test-mode"}),
    ({"methods": frozenset()}, {"no-launch"}),
    ({"launcher": None}, {"launcher"}),
    ({"launcher": "int main() {}"}, {"launcher"}),
]


@pytest.mark.parametrize(("changes", "codes"), QUIRKS)
def test_quirks_of_python(changes, codes):
    assert {x.code for x in find_quirks(side(**changes), None)} == codes


@pytest.mark.parametrize(
    ("runtime", "codes"),
    [
        (Runtime(11, 11, scheduler_prints=False), set()),
        (Runtime(11, 10, scheduler_prints=False), {"meta-tensors"}),
        (Runtime(None, None, scheduler_prints=True), {"first-printf"}),
    ],
)
def test_quirks_of_the_runtime(runtime, codes):
    assert {x.code for x in find_quirks(side(), runtime)} == codes


def test_sources_are_read(home):
    python = read_python_side(home / "python/mirage")
    assert python.num_load_arguments == 4
    assert {"compile", "run_test_mode"} <= python.methods
    assert find_parser(python.launcher).num_arguments == 4
    assert read_runtime(home / "include") == Runtime(11, 10, scheduler_prints=True)
    assert read_runtime(home) is None
    assert read_python_side(home) is None


def test_printing_that_is_compiled_out_does_not_count(home):
    header = home / "include/mirage/persistent_kernel/persistent_kernel.cuh"
    header.write_text(re.sub(r'  printf\("done\\n"\);\n', "", header.read_text()))
    assert read_runtime(Path(home / "include")).scheduler_prints is False
