"""What may be swept: names with one meaning, values that can be told apart."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpkgraph.errors import UsageError
from mpkgraph.sweep.axes import Swept, parse_axes, split_values

FUNCTION = Swept(("pipes.py:norm",))
SCRIPT = Swept(("script.py",))


def axes(swept, *texts):
    return [(axis.kind, axis.name, axis.values) for axis in parse_axes(texts, swept)]


def message(swept, *texts):
    with pytest.raises(UsageError) as caught:
        parse_axes(texts, swept)
    return str(caught.value)


def test_parameters_of_a_function(work):
    assert axes(FUNCTION, "rows=8,16", "columns = 512 , 1024", "target=h100,80", "ranks=1,2") == [
        ("set", "rows", ("8", "16")),
        ("set", "columns", ("512", "1024")),
        ("planning", "target", ("h100", "80")),
        ("planning", "world_size", ("1", "2")),
    ]
    assert axes(FUNCTION, "set:rows=8", "init:max_num_batched_tokens=1,8") == [
        ("set", "rows", ("8",)),
        ("init", "max_num_batched_tokens", ("1", "8")),
    ]


def test_a_name_that_the_function_lacks_is_said_before_anything_runs(work):
    text = message(FUNCTION, "row=8,16")
    assert "pipes.py:norm has no parameter 'row'" in text
    assert "It has rows, columns, grid" in text


@pytest.mark.parametrize(
    "text",
    [
        "def norm(kernel, **more): ...",
        "@decorated\ndef norm(kernel): ...",
        "from elsewhere import norm",
        "def broken(:",
    ],
)
def test_where_the_text_does_not_tell_the_run_does(work, text):
    (work / "pipes.py").write_text(text)
    assert axes(FUNCTION, "row=8,16") == [("set", "row", ("8", "16"))]


def test_a_module_is_not_imported_to_look_at_it(work):
    (work / "loud.py").write_text("raise SystemExit('it ran')")
    assert axes(Swept(("loud:build",)), "row=8") == [("set", "row", ("8",))]


def test_a_parameter_that_is_called_as_an_option(work):
    (work / "pipes.py").write_text("def norm(kernel, workers=4): ...")
    text = message(FUNCTION, "workers=4,8")
    assert "'workers' is both an option of planning and a parameter" in text
    assert "set:workers=" in text
    assert axes(FUNCTION, "set:workers=4,8") == [("set", "workers", ("4", "8"))]


def test_arguments_of_a_script(work):
    swept = Swept(("script.py",), ("{rows}", "--size", "x{columns}"))
    assert axes(swept, "rows=8,16", "columns=1", "--layers=2,4", "-b=1", "target=90") == [
        ("placeholder", "rows", ("8", "16")),
        ("placeholder", "columns", ("1",)),
        ("argument", "--layers", ("2", "4")),
        ("argument", "-b", ("1",)),
        ("planning", "target", ("90",)),
    ]


def test_a_name_that_could_be_anything_of_a_script(work):
    text = message(SCRIPT, "rows=8,16")
    assert "it is not clear what 'rows' is of a script" in text
    assert "--sweep --rows=..." in text
    assert "{rows}" in text
    assert "both an option" in message(Swept(("script.py",), ("{workers}",)), "workers=1,2")
    assert "stands among" in message(Swept(("script.py",), ("--rows", "8")), "--rows=8,16")
    assert "stands among" in message(Swept(("script.py",), ("--rows=8",)), "--rows=8,16")
    assert "only a function" in message(SCRIPT, "set:rows=8")


def test_what_a_record_has(tmp_path):
    (tmp_path / "pipeline_rank0.json").write_text("")
    record = Swept((str(tmp_path / "pipeline_rank0.json"),))
    assert axes(record, "workers=64,128", "multicast=yes,no") == [
        ("planning", "workers", ("64", "128")),
        ("planning", "multicast", ("yes", "no")),
    ]
    assert "a recorded pipeline has no 'rows'" in message(record, "rows=8")


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["rows"], "is not name=v1,v2"),
        (["=8"], "is not name=v1,v2"),
        (["rows="], "has an empty value"),
        (["rows=8,,16"], "has an empty value"),
        (["rows=8,16,8"], "has the value '8' twice"),
        (["rows=8", "rows=16"], "gives 'rows' twice"),
        (["ranks=1", "world_size=2"], "gives 'world_size' twice"),
        (["set:rows=8", "rows=16"], "gives 'rows' twice"),
        (["target=h9"], "no GPU is known as 'h9'"),
        (["workers=many"], "not a number of at least 1"),
        (["workers=0"], "not a number of at least 1"),
        (["workers=²"], "not a number of at least 1"),
        (["multicast=maybe"], "not yes or no"),
        (["a b=1"], "is no name of a parameter"),
    ],
)
def test_what_is_refused(work, texts, said):
    assert said in message(FUNCTION, *texts)


def test_pipelines_that_cannot_be_swept(work):
    assert "standard input" in message(Swept(("-",)), "workers=1")
    assert "no such file" in message(Swept(("gone.py:norm",)), "workers=1")
    assert "one script or function" in message(
        Swept(("pipes.py:norm", "traps.py:trap")), "workers=1"
    )


PLAIN = st.text(st.characters(codec="ascii", exclude_characters=",()[]{}'\""), max_size=6)


@given(
    st.lists(st.one_of(PLAIN, PLAIN.map("({},)".format), PLAIN.map("'a,{}'".format)), min_size=1)
)
def test_values_come_back(values):
    assert split_values(",".join(values)) == [value.strip() for value in values]


def test_brackets_of_any_depth():
    parts = ["(1, (2, 3))", "[4,5]", "{'a': 1, 'b': ')'}"]
    for order in itertools.permutations(parts):
        assert split_values(",".join(order)) == list(order)
