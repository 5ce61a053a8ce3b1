"""Every layer method that the facts on Mirage list is there, with its signature."""

import inspect
import re

import pytest

from mpkgraph.pipeline import PersistentKernel
from mpkgraph.pipeline.layers import LAYERS, layer_spec
from tests import goldens

FACTS = goldens.FOLDER.parent / "mpk"
_LAYER = re.compile(r"^  (\w+):$")
_ONE_LINE = re.compile(r"""^    signature: ["']?\((.*?)\)(?: ->|;|["']?$)""")
_PARAMETER = re.compile(r"^    - name: (\w+)$")


def listed():
    """{method: [(parameter, has a default)]} of the `layers:` sections, without a YAML reader."""
    found = {}
    for path in sorted(FACTS.glob("tasks_*.yaml")):
        text = path.read_text()
        section = text[text.index("\nlayers:") : text.index("\ntasks:")]
        method, in_signature = None, False
        for line in section.splitlines():
            if match := _LAYER.match(line):
                method = match[1]
                found.setdefault(method, [])
            elif match := _ONE_LINE.match(line):
                whole = re.sub(r"\([^()]*\)", "tuple", match[1])
                names = [x.strip() for x in whole.split(",")]
                found[method] = [(x.split("=")[0], "=" in x) for x in names]
            elif line == "    signature:":
                in_signature = True
                found[method] = []
            elif in_signature and (match := _PARAMETER.match(line)):
                found[method].append((match[1], False))
            elif in_signature and line.startswith("      default:"):
                found[method][-1] = (found[method][-1][0], True)
            else:
                in_signature = False
    return found


@pytest.fixture(scope="module")
def facts():
    if not FACTS.exists():
        pytest.skip("no facts: ../shared/mpk is not here")
    return listed()


def test_the_facts_are_read(facts):
    assert len(facts) > 60
    assert all(facts.values())
    assert ("ngram_size", True) in facts["find_ngram_partial_layer"]


def test_every_method_has_its_signature(facts):
    for method, parameters in facts.items():
        ours = list(inspect.signature(getattr(PersistentKernel, method)).parameters.values())
        shown = [(x.name, x.default is not inspect.Parameter.empty) for x in ours]
        assert shown[1:] == [x for x in parameters if x[0] != "self"], method


def test_rows_are_found_by_method():
    assert len({spec.method for spec in LAYERS}) == len(LAYERS)
    for spec in LAYERS:
        assert layer_spec(spec.method) is spec
        assert inspect.signature(getattr(PersistentKernel, spec.method)) == spec.signature
    with pytest.raises(KeyError):
        layer_spec("no_such_layer")
