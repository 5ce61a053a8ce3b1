"""The rules' pages, lists and drawings: every rule has its own, and they are current."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from mpkgraph.analysis.verify.pictures import MAX_WIDTH, PICTURES
from mpkgraph.analysis.verify.pictures.picture import picture
from mpkgraph.analysis.verify.rules import RULES
from mpkgraph.render.text import TextOptions, TextWriter
from mpkgraph.render.verify.rules import (
    explain_text,
    rule_page,
    rules_index,
    rules_text,
)

ROOT = Path(__file__).parents[3]
DOCS = "../../docs/rules"
"""From the folder of golden files, so that `--update-golden` writes the pages."""


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_each_rule_has_a_page(rule, golden):
    golden(f"{DOCS}/{rule.code}.md", rule_page(rule))


def test_the_index_is_current(golden):
    golden(f"{DOCS}/index.md", rules_index(RULES))


def test_no_page_is_of_a_rule_that_is_no_more(request):
    folder = ROOT / "docs" / "rules"
    pages = {path.stem: path for path in folder.glob("*.md") if path.stem != "index"}
    old = set(pages) - {rule.code for rule in RULES}
    if request.config.getoption("--update-golden"):
        for code in old:
            pages[code].unlink()
        return
    assert not old


def test_each_rule_has_a_drawing():
    assert set(PICTURES) == {rule.code for rule in RULES}


def test_codes_and_names_are_distinct():
    assert len({rule.code for rule in RULES}) == len(RULES)
    assert len({rule.name for rule in RULES}) == len(RULES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_explanations_are_readable(rule):
    stream = io.StringIO()
    explain_text(TextWriter(stream, TextOptions()), [rule])
    text = stream.getvalue()
    assert text.startswith(f"{rule.code} {rule.name}  {rule.severity}")
    for drawing in (PICTURES[rule.code].bad, PICTURES[rule.code].good):
        assert drawing.splitlines()[0] in text
        assert max(map(len, drawing.splitlines())) <= MAX_WIDTH
        assert drawing.replace("\n", "").isprintable()


def test_the_list_has_every_rule():
    stream = io.StringIO()
    rules_text(TextWriter(stream, TextOptions()), RULES)
    assert re.findall(r"^MPK\d{3}", stream.getvalue(), re.MULTILINE) == [x.code for x in RULES]


@pytest.mark.parametrize("drawing", ["", "x" * 77, "a\tb"])
def test_drawings_check_themselves(drawing):
    with pytest.raises(ValueError, match="drawing"):
        picture(drawing, "good")
