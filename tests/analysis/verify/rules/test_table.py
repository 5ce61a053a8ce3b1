"""The table of all rules: codes and names that mean one thing."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from mpkgraph.analysis.verify.rules import CHECKS, RANK_CHECKS, RULES
from mpkgraph.analysis.verify.run import select_rules


def test_codes_and_names_are_unique():
    counts = Counter(x for rule in RULES for x in (rule.code, rule.name))
    assert [x for x, count in counts.items() if count > 1] == []


def test_every_rule_has_one_check():
    counts = Counter(rule.code for row in (*CHECKS, *RANK_CHECKS) for rule in row.rules)
    assert [x for x, count in counts.items() if count > 1] == []


def test_every_rule_says_what_why_and_what_to_do():
    for rule in RULES:
        assert rule.summary, rule.code
        assert not rule.summary.endswith("."), rule.code
        assert rule.why.endswith("."), rule.code
        assert rule.remedy.endswith("."), rule.code


def test_all_rules_but_advice_run_when_none_is_selected():
    assert {rule.family for rule in RULES if not rule.is_default} == {"advice"}
    assert not any(rule.is_default for rule in RULES if rule.family == "advice")
    assert set(select_rules((), ())) == {rule for rule in RULES if rule.is_default}


@pytest.mark.parametrize(
    ("code", "name"),
    [("MPK101", "no_underscores"), ("MPK701", "a-name"), ("MPK1011", "a-name"), ("101", "a-name")],
)
def test_a_rule_has_a_code_and_a_name(code, name):
    with pytest.raises(ValueError, match="bad code or name"):
        replace(RULES[0], code=code, name=name)
