"""Scripts without torch: how they are run, what they compile, what is left afterwards."""

import builtins
import os
import signal
import sys
import warnings
from dataclasses import replace
from types import SimpleNamespace

import pytest

from mpkgraph.errors import GraphWriteError, PipelineError, UsageError
from mpkgraph.io.record import read_record
from mpkgraph.pipeline import PersistentKernel, Target
from mpkgraph.pipeline.compiled import BOTH
from mpkgraph.pipeline.script import ScriptOptions, _adopt, is_function, run_script
from mpkgraph.pipeline.script_errors import ScriptError
from mpkgraph.pipeline.user_code import load_function, run_as_main
from mpkgraph.planner.plan import ProcessPlanner
from tests.pipeline.scripts import KERNEL, call, layer_names, line_of, run, write
from tests.pipelines import own
from tests.pipelines.kit import record_of

FILES = ("task_graph_rank0.json", "pipeline_rank0.json")


def test_runs_as_main_with_its_arguments_and_its_folder_importable(tmp_path):
    write(tmp_path, "ROWS = 4\n", "sizes.py")
    script = write(
        tmp_path,
        KERNEL
        + """
import sys
import sizes
assert __name__ == "__main__" and sys.modules["__main__"].norm is norm
assert __file__ == sys.modules["__main__"].__file__
pk = kernel()
norm(pk, rows=sizes.ROWS, columns=int(sys.argv[1]))
assert sys.argv[0].endswith("pipeline.py"), sys.argv
pk.compile()
""",
    )
    (compiled,) = run(script, "256").compiled
    assert compiled.record.tensors[0].dims == (4, 256)
    assert layer_names(compiled) == ["rmsnorm_hopper"]
    assert compiled.site.file == str(script)
    assert compiled.site.line == line_of(script, "pk.compile()")
    first_line = line_of(script, "x = pk.new_tensor")
    assert [(x.file, x.line - first_line) for x in compiled.record.call_sites] == [
        (str(script), line) for line in range(4)
    ]
    assert compiled.record.origin == {
        "script": "pipeline.py",
        "options": ["256"],
        "world_size": 1,
        "rank": 0,
    }
    assert compiled.record.generate == {"num_gpus": 1, "my_gpu_id": 0}


@pytest.mark.parametrize(("cc", "task"), [(80, "rmsnorm"), (90, "rmsnorm_hopper")])
def test_kernels_belong_to_the_target(tmp_path, cc, task):
    script = write(tmp_path, KERNEL + "pk = kernel()\nnorm(pk)\npk.compile()\n")
    (compiled,) = run(script, target=Target(cc=cc)).compiled
    assert compiled.record.target_cc == cc
    assert layer_names(compiled) == [task]


def test_graphs_go_to_the_folder_in_order(tmp_path):
    script = write(
        tmp_path,
        KERNEL
        + "for rows in (2, 4, 8):\n    pk = kernel()\n    norm(pk, rows)\n    pk.compile()\n",
    )
    out = tmp_path / "out"
    result = run(script, output=out)
    names = [x.files[-1].relative_to(out).as_posix() for x in result.compiled]
    assert names == [
        "pipeline_rank0.json",
        "compile2/pipeline_rank0.json",
        "compile3/pipeline_rank0.json",
    ]
    for compiled, rows in zip(result.compiled, (2, 4, 8), strict=True):
        assert read_record(compiled.files[-1]) == compiled.record
        assert compiled.record.tensors[0].dims[0] == rows


def test_writes_where_the_script_says_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    script = write(tmp_path, KERNEL + "pk = kernel()\nnorm(pk)\npk.compile(output_dir='mine')\n")
    (compiled,) = run(script, output=tmp_path / "out").compiled
    assert [x.as_posix() for x in compiled.files] == [
        (tmp_path / "out/pipeline_rank0.json").as_posix(),
        "mine/pipeline_rank0.json",
    ]
    assert (tmp_path / "mine/pipeline_rank0.json").read_bytes() == compiled.files[0].read_bytes()


def test_does_not_write_where_the_script_says_when_told_so(tmp_path):
    script = write(tmp_path, KERNEL + "pk = kernel()\nnorm(pk)\npk.compile(output_dir='mine')\n")
    (compiled,) = run(script, emit=frozenset()).compiled
    assert compiled.files == ()
    assert sorted(x.name for x in tmp_path.iterdir()) == ["pipeline.py"]


def test_an_output_dir_that_cannot_be_written_stops_only_without_a_folder_of_ours(tmp_path):
    (tmp_path / "file").write_text("")
    text = KERNEL + "pk = kernel()\nnorm(pk)\npk.compile(output_dir=r'FILE')\nprint('on')\n"
    script = write(tmp_path, text.replace("FILE", str(tmp_path / "file")))
    with pytest.raises(GraphWriteError, match="can't make the folder"):
        run(script)
    result = run(script, output=tmp_path / "out")
    assert [x.name for x in result.compiled[0].files] == ["pipeline_rank0.json"]
    assert "output_dir was not written" in result.notes[0]


def test_the_planner_sees_each_record_and_a_new_one_serves_each_rank(tmp_path):
    seen = []

    class Plan:
        graph = None
        warnings = ("careful",)

    def new_compile_graph():
        records = []
        seen.append(records)

        def compile_graph(record):
            records.append(record)
            return Plan()

        return compile_graph

    script = write(
        tmp_path,
        KERNEL
        + """
from mpi4py import MPI
comm = MPI.COMM_WORLD
for rows in (2, 4):
    pk = kernel(mpi_rank=comm.Get_rank(), world_size=comm.Get_size())
    norm(pk, rows)
    pk.compile()
""",
    )
    result = run(
        script,
        target=Target(cc=90, world_size=2),
        ranks=(0, 1),
        new_compile_graph=new_compile_graph,
    )
    assert [[r.my_gpu_id for r in records] for records in seen] == [[0, 0], [1, 1]]
    assert [(x.rank, x.index) for x in result.compiled] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert result.compiled[0].warnings == ("careful",)


def test_a_graph_generated_directly_is_planned_once(tmp_path):
    script = write(
        tmp_path,
        KERNEL
        + """
pk = kernel()
norm(pk)
result = pk.kn_graph.generate_task_graph(num_gpus=1, my_gpu_id=0)
assert sorted(result) == ["cuda_code", "json_file"]
pk.compile()
""",
    )
    assert len(run(script).compiled) == 1


def test_prints_go_where_told(tmp_path, capsys):
    script = write(tmp_path, KERNEL + "print('hello')\npk = kernel()\nnorm(pk)\npk.compile()\n")
    run(script, stdout=sys.stderr)
    assert capsys.readouterr() == ("", "hello\n")


def test_running_says_once_that_nothing_runs(tmp_path, capsys):
    script = write(
        tmp_path,
        KERNEL
        + """
pk = kernel()
norm(pk)
pk.compile()
pk.run_test_mode()
pk.run()
pk()
pk.finalize()
""",
    )
    assert run(script).notes == ()
    assert capsys.readouterr().err.count("nothing is executed") == 1


def test_an_executor_runs_in_its_place(tmp_path, capsys):
    ran = []
    script = write(
        tmp_path,
        KERNEL
        + """
from mpkgraph.pipeline import TensorSpec
pk = kernel()
norm(pk)
pk.attach_input(TensorSpec((3,), "int64"), name="extra")
pk.compile()
pk.run_test_mode()
""",
    )
    result = run(script, executor=ran.append)
    assert ran == [result.compiled[0]]
    assert list(ran[0].tensors) == ["extra"]
    assert capsys.readouterr().err == ""


def test_stops_after_so_many(tmp_path):
    script = write(
        tmp_path,
        KERNEL
        + """
while True:
    pk = kernel()
    norm(pk)
    try:
        pk.compile()
    except Exception:
        pass
""",
    )
    assert len(run(script, stop_after=2).compiled) == 2


# What goes wrong


def test_an_exception_before_compiling_names_the_lines_of_the_script(tmp_path):
    script = write(
        tmp_path,
        """
import json
def build():
    json.loads("{")
build()
""",
    )
    with pytest.raises(ScriptError) as caught:
        run(script)
    error = caught.value
    assert error.exit_code == 3
    assert error.what.startswith("JSONDecodeError: Expecting property name")
    assert error.where == f"{script}:4 in build (from line 5 in <module>)"
    assert [x.function for x in error.frames] == ["<module>", "build"]
    assert type(error.__cause__).__name__ == "JSONDecodeError"


def test_frames_of_other_files_are_named(tmp_path):
    write(tmp_path, "def fail():\n    raise ValueError('two\\n lines')\n", "helper.py")
    script = write(tmp_path, "import helper\nhelper.fail()\n")
    with pytest.raises(ScriptError) as caught:
        run(script)
    helper = tmp_path / "helper.py"
    assert caught.value.where == f"{helper}:2 in fail (from {script}:2 in <module>)"
    assert caught.value.what == "ValueError: two lines"


def test_a_syntax_error_has_its_line(tmp_path):
    script = write(tmp_path, "x = 1\ndef (:\n")
    with pytest.raises(ScriptError, match="SyntaxError") as caught:
        run(script)
    assert caught.value.where == f"{script}:2"


def test_an_exception_after_compiling_is_a_note(tmp_path):
    script = write(
        tmp_path, KERNEL + "pk = kernel()\nnorm(pk)\npk.compile()\nassert False, 'wrong output'\n"
    )
    result = run(script)
    assert len(result.compiled) == 1
    (note,) = result.notes
    line = line_of(script, "assert False")
    assert note == (
        f"{script}:{line} in <module>: after its pipeline had been compiled: "
        "AssertionError: wrong output"
    )


@pytest.mark.parametrize(
    ("status", "said"), [("1", "status 1"), ("'no GPU'", "the message 'no GPU'")]
)
def test_exits(tmp_path, status, said):
    body = KERNEL + "import sys\npk = kernel()\nnorm(pk)\n"
    early = write(tmp_path, f"{body}sys.exit({status})\n", "early.py")
    late = write(tmp_path, f"{body}pk.compile()\nsys.exit({status})\n", "late.py")
    with pytest.raises(ScriptError, match=f"the script exited with {said}"):
        run(early)
    assert said in run(late).notes[0]


def test_a_clean_exit_needs_no_note(tmp_path):
    text = KERNEL + "import sys\npk = kernel()\nnorm(pk)\npk.compile()\nsys.exit()\n"
    assert run(write(tmp_path, text)).notes == ()


def test_a_script_that_compiles_nothing(tmp_path):
    with pytest.raises(ScriptError, match=r"without a call of compile\(\)"):
        run(write(tmp_path, KERNEL + "norm(kernel())\n"))


def test_no_such_script(tmp_path):
    with pytest.raises(UsageError, match=r"can't read the script: No such file [a-z ]*$"):
        run(tmp_path / "absent.py")


def test_a_refused_layer_is_the_error_after_a_compile_too(tmp_path):
    good = "pk = kernel()\nnorm(pk)\npk.compile()\n"
    bad = "pk = kernel()\npk.rmsnorm_layer(None, None, None, (1, 1, 1), (128, 1, 1))\n"
    for number, text in enumerate((bad, good + bad)):
        script = write(tmp_path, KERNEL + text, f"script{number}.py")
        with pytest.raises(PipelineError) as caught:
            run(script)
        line = line_of(script, "pk.rmsnorm_layer(None")
        assert caught.value.where.startswith(f"{script}:{line}: rmsnorm_layer")


def test_a_refusal_of_compile_that_the_script_catches_is_told(tmp_path):
    def new_compile_graph():
        def compile_graph(record):
            if record.tensors[0].dims[0] == 4:
                raise PipelineError("four rows")

        return compile_graph

    text = """
for rows in ROWS:
    pk = kernel()
    norm(pk, rows)
    try:
        pk.compile()
    except Exception as error:
        print(error)
"""
    some = write(tmp_path, KERNEL + text.replace("ROWS", "(2, 4, 8)"), "some.py")
    none = write(tmp_path, KERNEL + text.replace("ROWS", "(4,)"), "none.py")
    result = run(some, new_compile_graph=new_compile_graph)
    assert len(result.compiled) == 2
    assert [x.what for x in result.refused] == ["four rows"]
    with pytest.raises(PipelineError, match="four rows"):
        run(none, new_compile_graph=new_compile_graph)


def test_how_a_script_ends_whose_pipeline_was_refused(tmp_path):
    """An exit is for the refusal; an error of its own is another one."""

    def new_compile_graph():
        def compile_graph(record):
            raise PipelineError("no rows")

        return compile_graph

    text = """
pk = kernel()
norm(pk)
try:
    pk.compile()
except Exception:
    pass
"""
    leaves = write(tmp_path, KERNEL + text + "raise SystemExit(1)\n", "leaves.py")
    with pytest.raises(PipelineError, match="no rows"):
        run(leaves, new_compile_graph=new_compile_graph)
    fails = write(tmp_path, KERNEL + text + "raise ValueError('mine')\n", "fails.py")
    with pytest.raises(ScriptError, match="ValueError: mine"):
        run(fails, new_compile_graph=new_compile_graph)


@pytest.mark.parametrize("output", [None, "out"])
def test_graphs_of_processes_that_the_script_started(tmp_path, output):
    """Those of one process share a planner; all are counted as the script's, after its own."""
    record = record_of(own.small_argmax)
    records = [replace(record, path=f"/tmp/{name}.json") for name in ("7-0", "7-1", "9-0")]
    folder = None if output is None else tmp_path / output
    session = SimpleNamespace(
        child_records=records, compiled=["its own"], output=folder, emit=BOTH, notes=[]
    )
    planners = []

    def new_compile_graph():
        planners.append(ProcessPlanner())
        return planners[-1]

    _adopt(session, ScriptOptions(new_compile_graph=new_compile_graph))
    assert session.notes == ["3 pipelines were compiled by processes that the script started"]
    assert len(planners) == 2
    found = session.compiled[1:]
    assert [(x.index, x.rank, x.graph is None) for x in found] == [
        (index, 0, False) for index in (1, 2, 3)
    ]
    for item in found:
        places = [tmp_path / "out" / f"compile{item.index + 1}" / x for x in FILES]
        assert list(item.files) == ([] if output is None else places)
        assert all(x.exists() for x in item.files)


def test_annotations_of_a_script_are_not_made_text(tmp_path):
    """Our own modules' `from __future__` is not the script's."""
    path = write(tmp_path, "def build(pk, rows: int = 4): ...\n", "mine.py")
    functions = {}
    main = sys.modules["__main__"]
    try:
        run_as_main(path, path.read_bytes(), functions)
    finally:
        sys.modules["__main__"] = main
    assert functions["build"].__annotations__ == {"rows": int}
    try:
        build = load_function(str(path), "build", is_file=True)
    finally:
        del sys.modules["mine"]
    assert build.__annotations__ == {"rows": int}


def test_mirages_order_of_calls_is_kept(tmp_path):
    body = KERNEL + "pk = kernel()\nnorm(pk)\n"
    with pytest.raises(ScriptError, match=r"compile\(\) comes before run_test_mode"):
        run(write(tmp_path, body + "pk.run_test_mode()\n", "early.py"))
    twice = run(write(tmp_path, body + "pk.compile()\npk.compile()\n", "twice.py"))
    assert len(twice.compiled) == 1
    assert "compile() was called before" in twice.notes[0]


def test_the_superoptimizer_is_not_there(tmp_path):
    with pytest.raises(PipelineError, match="belongs to Mirage's superoptimizer"):
        run(write(tmp_path, "import mirage as mi\nmi.search(mi.new_kernel_graph())\n"))


# What is left afterwards

HOSTILE = """
import builtins, io, os, signal, sys, threading, warnings
os.chdir("/")
os.environ["NEW"] = "1"
os.environ.pop("PATH", None)
sys.path.append("/nowhere")
sys.argv.append("more")
sys.modules["sizes_of_a_script"] = sys
builtins.print = None
sys.excepthook = None
sys.stdout = io.StringIO()
sys.setrecursionlimit(5000)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
warnings.simplefilter("ignore")
threading.excepthook = None
mi.PersistentKernel.rmsnorm_layer = None
mi.TBGraph.new_input = None
mi.DTensor.dim = None
"""


@pytest.mark.parametrize("end", ["", "raise ValueError", "raise KeyboardInterrupt", "1 / 0"])
def test_the_process_is_as_it_was(tmp_path, monkeypatch, end):
    monkeypatch.chdir(tmp_path)

    def state():
        return (
            os.getcwd(),  # noqa: PTH109
            dict(os.environ),
            list(sys.path),
            list(sys.meta_path),
            sys.argv,
            list(sys.argv),
            builtins.print,
            sys.excepthook,
            sys.stdout,
            sys.getrecursionlimit(),
            signal.getsignal(signal.SIGTERM),
            list(warnings.filters),
            sys.modules["__main__"],
            "mirage" in sys.modules,
            "sizes" in sys.modules,
            PersistentKernel.rmsnorm_layer,
        )

    write(tmp_path, "", "sizes.py")
    script = write(
        tmp_path,
        KERNEL + "import sizes\npk = kernel()\nnorm(pk)\npk.compile()\n" + HOSTILE + end + "\n",
    )
    before = state()
    if end == "raise KeyboardInterrupt":
        with pytest.raises(KeyboardInterrupt):
            run(script)
    else:
        run(script)
    assert state() == before
    # Nothing that the script replaced in the stand-in is seen by the next one.
    assert (
        len(run(write(tmp_path, KERNEL + "pk = kernel()\nnorm(pk)\npk.compile()\n")).compiled) == 1
    )


def test_ranks_start_afresh(tmp_path):
    write(tmp_path, "SEEN = []\n", "state_of_ranks.py")
    script = write(
        tmp_path,
        KERNEL
        + """
import os
import state_of_ranks
assert state_of_ranks.SEEN == []
state_of_ranks.SEEN.append(1)
pk = kernel(mpi_rank=int(os.environ["RANK"]), world_size=int(os.environ["WORLD_SIZE"]))
norm(pk)
pk.compile()
""",
    )
    out = tmp_path / "out"
    result = run(script, target=Target(cc=90, world_size=3), ranks=(0, 1, 2), output=out)
    assert [x.record.my_gpu_id for x in result.compiled] == [0, 1, 2]
    assert sorted(x.name for x in out.iterdir()) == [f"pipeline_rank{r}.json" for r in range(3)]


def test_one_rank_of_several(tmp_path):
    script = write(
        tmp_path,
        KERNEL
        + """
import os
assert os.environ["LOCAL_RANK"] == os.environ["OMPI_COMM_WORLD_RANK"] == "1"
pk = kernel(mpi_rank=1, world_size=2)
norm(pk)
pk.compile()
""",
    )
    (compiled,) = run(script, target=Target(cc=90, world_size=2, rank=1)).compiled
    assert (compiled.rank, compiled.record.num_gpus) == (1, 2)


def test_a_kernel_of_another_rank_is_noted(tmp_path):
    script = write(tmp_path, KERNEL + "pk = kernel()\nnorm(pk)\npk.compile()\n")
    result = run(script, target=Target(cc=90, world_size=2, rank=1))
    assert "rank 0 of 1" in result.notes[0]


def test_variables_of_our_own_launcher_are_not_the_scripts(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "4")
    script = write(
        tmp_path,
        KERNEL
        + """
import os
assert "RANK" not in os.environ and "OMPI_COMM_WORLD_SIZE" not in os.environ
pk = kernel()
norm(pk)
pk.compile()
""",
    )
    assert run(script).notes == ()
    assert os.environ["RANK"] == "3"


def test_threads_of_the_script_have_the_target(tmp_path):
    script = write(
        tmp_path,
        KERNEL
        + """
import threading
def build():
    pk = kernel()
    norm(pk)
    pk.compile()
thread = threading.Thread(target=build)
thread.start()
thread.join()
""",
    )
    (compiled,) = run(script, target=Target(cc=80)).compiled
    assert compiled.record.target_cc == 80


# Functions


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("a.py:f", True),
        ("dir/a.py:f", True),
        (r"C:\dir\a.py:f", True),
        ("package.module:f", True),
        ("a.py", False),
        (r"C:\dir\a.py", False),
        ("module", False),
        ("a.py:", False),
        (":f", False),
        ("pipeline_rank0.json.zst", False),
    ],
)
def test_is_function(text, is_one):
    assert is_function(text) is is_one


def test_a_function_receives_a_kernel_in_test_mode(tmp_path):
    script = write(tmp_path, KERNEL)
    (compiled,) = call(script, "norm", settings={"rows": "4"}).compiled
    assert compiled.record.tensors[0].dims == (4, 512)
    init = compiled.record.init
    assert (init["test_mode"], init["num_workers"], init["num_local_schedulers"]) == (True, 128, 16)
    assert compiled.record.origin["settings"] == {"rows": "4"}
    assert compiled.site.line == line_of(script, "def norm")


def test_parameters_of_the_kernel(tmp_path):
    script = write(tmp_path, KERNEL)
    target = Target(cc=90, num_workers=96, world_size=2, rank=1)
    result = call(script, "norm", target=target, init={"max_num_batched_tokens": 8})
    init = result.compiled[0].record.init
    assert (init["max_num_batched_tokens"], init["num_workers"], init["mpi_rank"]) == (8, 96, 1)
    with pytest.raises(UsageError, match="no parameter 'tokens'"):
        call(script, "norm", init={"tokens": 8})


def test_a_function_may_compile_or_make_kernels_itself(tmp_path):
    script = write(
        tmp_path,
        KERNEL
        + """
def itself(pk):
    norm(pk)
    pk.compile()

def test_of_mirage():
    pk = kernel()
    norm(pk)
    pk.compile()

def nothing():
    pass
""",
    )
    assert len(call(script, "itself").compiled) == 1
    assert len(call(script, "test_of_mirage").compiled) == 1
    with pytest.raises(ScriptError, match="without a call of compile"):
        call(script, "nothing")


def test_a_module_is_found_from_the_working_folder(tmp_path, monkeypatch):
    write(tmp_path, KERNEL, "models/decoder.py")
    monkeypatch.chdir(tmp_path)
    result = run_function_named("models.decoder:norm")
    assert result.compiled[0].record.origin["function"] == "models.decoder:norm"
    assert "models.decoder" not in sys.modules


def run_function_named(name):
    from mpkgraph.pipeline.script import run_function

    return run_function(name, {}, Target(cc=90), ScriptOptions())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pipeline.py:absent", r"has no function 'absent'. It has kernel, norm"),
        ("absent.py:norm", "there is no such file"),
        ("absent_module:norm", "no module 'absent_module'"),
        ("pipeline.py", "is not module:function"),
    ],
)
def test_functions_that_are_not_there(tmp_path, monkeypatch, name, message):
    write(tmp_path, KERNEL)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        run_function_named(name)


def test_a_function_that_fails(tmp_path):
    script = write(tmp_path, "def f(pk):\n    return 1 / 0\n")
    with pytest.raises(ScriptError, match="ZeroDivisionError") as caught:
        call(script, "f")
    assert caught.value.where == f"{script}:2 in f"


def test_importing_a_module_that_lacks_something_is_its_own_error(tmp_path):
    script = write(tmp_path, "import no_such_package\ndef f(pk): ...\n")
    with pytest.raises(ScriptError, match="No module named 'no_such_package'"):
        call(script, "f")


def test_mirage_home_has_to_be_mirages(tmp_path, monkeypatch):
    script = write(tmp_path, KERNEL)
    monkeypatch.setenv("MIRAGE_HOME", str(tmp_path))
    with pytest.raises(UsageError, match="no source tree of Mirage"):
        run_script(script)


INTERLEAVED = """
import mirage as mi


def kernel():
    parameters = mi.PersistentKernel.get_default_init_parameters()
    return mi.PersistentKernel(**parameters, test_mode=True)


def norm(pk, columns, tag):
    x = pk.new_tensor(dims=(8, columns), name=f"x{tag}")
    w = pk.new_tensor(dims=(columns,), name=f"w{tag}")
    y = pk.new_tensor(dims=(8, columns), name=f"y{tag}")
    pk.rmsnorm_layer(input=x, weight=w, output=y, grid_dim=(8, 1, 1), block_dim=(128, 1, 1))


a, b, never = kernel(), kernel(), kernel()
norm(b, 512, "b")
norm(a, 1024, "a")
norm(never, 4096, "n")
norm(b, 2048, "b2")
norm(a, 512, "a2")
a.compile()
b.compile()
"""


def test_variants_are_numbered_when_tasks_are_registered(tmp_path):
    script = write(tmp_path, INTERLEAVED)
    result = run_script(script, options=ScriptOptions(new_compile_graph=ProcessPlanner))
    found = [sorted(set(x.graph.tasks.variant_ids[2:].tolist())) for x in result.compiled]
    # By registration: b 512 is 0, a 1024 is 1, 4096 (never compiled) is 2, b 2048 is 3
    assert found == [[0, 1], [0, 3]]
