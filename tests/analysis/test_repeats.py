"""Repeated model layers: found, apart, aligned with the layers' numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mpkgraph.analysis.repeats import Repeat, find_repeats


def shown(text, repeats):
    """How many lines a listing has: each repeat once."""
    return len(text) - sum(x.period * (x.count - 1) for x in repeats)


@given(st.text("abc", max_size=30))
def test_repeats_are_true_and_apart(text):
    repeats = find_repeats(text)
    end = 0
    for repeat in repeats:
        assert repeat.first >= end
        assert repeat.count >= 2
        pattern = text[repeat.first : repeat.first + repeat.period]
        assert text[repeat.first : repeat.end] == pattern * repeat.count
        end = repeat.end
    assert end <= len(text)


@given(st.text("abc", max_size=5), st.text("abc", min_size=2, max_size=6), st.integers(2, 6))
def test_a_repeat_is_found_at_least_as_well(head, pattern, count):
    text = head + "<" + pattern * count + ">"
    assert shown(text, find_repeats(text)) <= len(head) + 2 + len(pattern)


def test_dense_layers_then_expert_layers():
    dense, moe = "nqaod", "nqaotgws"
    text = "e" + dense * 3 + moe * 58 + "nl"
    assert [(x.period, x.count) for x in find_repeats(text)] == [(5, 3), (8, 58)]


def test_run_begins_where_a_model_layer_does():
    # Layer 0 ends like the expert layers do, so the run could begin before layer 1.
    text = "abz" + "cdz" * 3
    layers = [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert find_repeats(text) == (Repeat(2, 3, 3),)
    assert find_repeats(text, layers) == (Repeat(3, 3, 3, (1, 3)),)


def test_two_equal_items_are_not_worth_a_fold():
    assert find_repeats("aab") == ()
    assert find_repeats("aaab") == (Repeat(0, 1, 3),)


def test_nothing():
    assert find_repeats("") == ()
    assert find_repeats("abc") == ()
