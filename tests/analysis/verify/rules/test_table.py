"""The table of all rules: codes and names that mean one thing."""

from __future__ import annotations

from collections import Counter

from mpkgraph.analysis.verify.rules import CHECKS, RANK_CHECKS, RULES


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
