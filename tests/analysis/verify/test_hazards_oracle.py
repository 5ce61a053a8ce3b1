"""Hazards against brute force over all pairs of tasks and all bytes, on random pipelines."""

from __future__ import annotations

import itertools

import networkx as nx
import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from mpkgraph.analysis.event_graph import EventGraph
from mpkgraph.analysis.verify.happens_before import HappensBefore
from mpkgraph.analysis.verify.rules.hazards.conflicts import walk_conflicts
from mpkgraph.analysis.verify.rules.hazards.pairs import PairFinder
from mpkgraph.analysis.verify.rules.hazards.siblings import Siblings
from mpkgraph.analysis.verify.run import verify
from mpkgraph.errors import PipelineError
from tests.amount import examples
from tests.analysis.verify.oracle import Oracle, built
from tests.analysis.verify.random_pipelines import random_pipeline

SEEDS = st.integers(0, 1 << 30)


def event_graph(links, num_events: int) -> EventGraph:
    """Tasks as (dependent, trigger)."""
    dependents, triggers = np.array(links, dtype=np.int64).reshape(-1, 2).T
    both = (dependents >= 0) & (triggers >= 0)
    pairs = sorted(set(zip(dependents[both].tolist(), triggers[both].tolist(), strict=True)))
    sources, targets = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return EventGraph(
        num_local=num_events,
        outside_keys=np.empty(0, dtype=np.uint64),
        mirror=False,
        dependent_nodes=dependents,
        trigger_nodes=triggers,
        null_tasks=np.zeros(len(dependents), dtype=np.bool_),
        edge_sources=sources,
        edge_targets=targets,
        edge_num_tasks=np.ones(len(sources), dtype=np.int64),
    )


@st.composite
def links(draw):
    """Links between events; `shape` says how near to one chain they are."""
    size = draw(st.integers(1, 80))
    reach = draw(st.sampled_from([2, 5, 20, 150]))
    count = draw(st.integers(0, 3 * size))
    rng = np.random.default_rng(draw(SEEDS))
    order = rng.permutation(size)
    made = []
    for _ in range(count):
        low = int(rng.integers(-1, size))
        high = int(min(size - 1, low + rng.integers(1, reach + 1)))
        fires = -1 if low == high else int(order[high])
        made.append((-1 if low < 0 else int(order[low]), fires))
    if draw(st.booleans()) and size > 1:  # perhaps a cycle
        made.append((int(order[-1]), int(order[0])))
    return size, made


@given(links(), st.sampled_from([(1 << 24, 0), (0, 1 << 23), (0, 0)]))
@settings(max_examples=examples(60))
def test_the_closed_order_is_reachability(graph, limits):
    size, made = graph
    events = event_graph(made, size)
    order = HappensBefore.of(events, max_words=limits[0], max_listed=limits[1])
    digraph = nx.DiGraph((a, b) for a, b in made if a >= 0 <= b)
    digraph.add_nodes_from(range(size))
    waited_on = {a for a, _ in made if a >= 0}
    stuck = set()
    for part in nx.strongly_connected_components(digraph):
        if len(part) > 1 or any(digraph.has_edge(x, x) for x in part):
            stuck |= part.union(*(nx.descendants(digraph, x) for x in part))
    assert set(np.flatnonzero(~order.is_resolved).tolist()) == stuck
    everyone = np.arange(size)
    found = order.ordered(everyone[:, None], everyone[None, :])
    for a in range(size):
        behind = (nx.descendants(digraph, a) | {a}) - stuck if a in waited_on - stuck else set()
        assert {b for b in waited_on if found[a, b]} == behind & waited_on
        assert {b for b in waited_on if order.is_ordered(a, b)} == behind & waited_on
    assert not order.ordered([-1, 0], [0, -1]).any()


def test_chains_side_by_side_are_not_searched(monkeypatch):
    """Two ranks that wait only for each other: without a chain each, four million pairs."""
    length = 2000
    made = [(-1, 0), (-1, 1)]
    for rank in (0, 1):
        own = range(rank, 2 * length, 2)
        made += list(itertools.pairwise(own))
        made += [(2 * length + x, x + 2) for x in own[:-1]]  # beside each chain a second way
        made += [(x, 2 * length + x) for x in own[:-1]]
    made += [(2 * length - 2, -1), (2 * length - 1, -1)]
    order = HappensBefore.of(event_graph(made, 4 * length), max_words=0, max_listed=6 * length)
    monkeypatch.setattr(EventGraph, "reachable", lambda *_: pytest.fail("searched"))
    assert order.is_ordered(0, 2 * length - 2)
    assert order.is_ordered(1, 2 * length - 1)
    assert not order.is_ordered(0, 2 * length - 1)
    beside = np.arange(2 * length, 4 * length - 2)
    onward = beside - 2 * length
    assert order.ordered(onward, beside).all()
    assert order.ordered(beside, onward + 2).all()
    assert not order.ordered(beside, onward + 3 - 2 * (onward % 2)).any()
    assert order.are_all_ordered(np.array([1, 3]), np.array([3, 5]))


def made_or_none(seed: int, **more):
    try:
        return built(random_pipeline(seed, **more), cc=100)
    except PipelineError:  # a fork and join that Mirage refuses
        return None


def found_pairs(context, *, prune: bool):
    finder = PairFinder(context)
    pairs = set()
    for step in walk_conflicts(context, finder, prune=prune):
        for conflict in step.conflicts:
            tasks = finder.tasks(conflict.earlier, conflict.later, conflict.pairs)
            mine = list(zip(tasks[0].tolist(), tasks[1].tolist(), strict=True))
            assert len(mine) == len(set(mine)) == conflict.pairs.count
            assert min(mine) == (conflict.pairs.earlier, conflict.pairs.later)
            pairs.update(mine)
    return pairs


@given(SEEDS, st.integers(2, 7))
# Tasks that touch one tile wait for several events, of which some come too early
@example(seed=105, num_layers=5)
@example(seed=241, num_layers=3)
@settings(max_examples=examples(60))
def test_pairs_are_those_of_the_oracle(seed, num_layers):
    context = made_or_none(seed, num_layers=num_layers)
    assume(context is not None)
    oracle = Oracle(context)
    everything = oracle.all_pairs()
    assert found_pairs(context, prune=False) == everything
    pruned = found_pairs(context, prune=True)
    assert oracle.neighbours() <= pruned <= everything
    assert bool(pruned) == bool(everything)


@given(SEEDS)
@settings(max_examples=examples(50))
def test_siblings_are_those_of_the_oracle(seed):
    context = made_or_none(seed, num_layers=3, num_tensors=2)
    assume(context is not None)
    oracle = Oracle(context)
    for reads in (False, True):
        wanted = oracle.sibling_pairs(reads=reads)
        found: dict[tuple[int, str], list[int]] = {}
        siblings = Siblings()
        for step in walk_conflicts(context, PairFinder(context)):
            for conflict in siblings.conflicts(step.operator, step.accesses):
                if conflict.reads == reads:
                    key = step.operator.layer_index, conflict.writer.tensor
                    found.setdefault(key, []).append(conflict.count)
        assert found.keys() == wanted.keys()
        for key, counts in found.items():
            # Through two output slots of one tensor a pair may meet twice
            assert max(counts) <= (1 if reads else 2) * wanted[key] <= 2 * sum(counts)


@given(SEEDS)
@settings(max_examples=examples(50))
def test_uninitialised_reads_are_those_of_the_oracle(seed):
    context = made_or_none(seed, num_layers=4, new=True)
    assume(context is not None)
    new = {x.name for x in context.record.tensors if x.kind == "new_tensor"}
    found = {
        (context.operators[x.location.operator].layer_index, x.location.slot)
        for x in verify([context], select=["MPK210"]).findings
    }
    wanted = Oracle(context).unwritten_reads(new)
    # Findings of equal key are folded into the first
    assert found <= wanted
    assert bool(found) == bool(wanted)


@pytest.mark.parametrize("seed", range(2))
def test_random_pipelines_have_hazards_to_find(seed):
    """The generator above would prove nothing if its pipelines were all clean."""
    contexts = [made_or_none(seed * 100 + k) for k in range(40)]
    kept = [x for x in contexts if x is not None]
    assert len(kept) > 10
    assert sum(bool(found_pairs(x, prune=True)) for x in kept) > 5
