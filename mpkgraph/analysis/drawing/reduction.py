"""Transitive reduction of the edges of a picture."""

from __future__ import annotations

from collections.abc import Sequence


def transitive_reduction(
    num_nodes: int, tails: Sequence[int], heads: Sequence[int]
) -> list[bool] | None:
    """Which edges a reader needs: False where a longer path joins the same two nodes.

    Returns None when the edges have a cycle: what to leave out is then not unique.
    Of equal edges all are kept or none.

    >>> transitive_reduction(3, [0, 1, 0], [1, 2, 2])
    [True, True, False]
    """
    order = _topological_order(num_nodes, tails, heads)
    if order is None:
        return None
    rank = [0] * num_nodes
    for position, node in enumerate(order):
        rank[node] = position
    successors: list[set[int]] = [set() for _ in range(num_nodes)]
    for tail, head in zip(tails, heads, strict=True):
        successors[tail].add(head)
    # A set of nodes is one integer of num_nodes bits: union is one operation.
    reached = [0] * num_nodes
    needed: set[tuple[int, int]] = set()
    for tail in reversed(order):
        covered = 0
        for head in sorted(successors[tail], key=rank.__getitem__):
            if not covered >> head & 1:
                needed.add((tail, head))
                covered |= reached[head] | 1 << head
        reached[tail] = covered
    return [edge in needed for edge in zip(tails, heads, strict=True)]


def _topological_order(
    num_nodes: int, tails: Sequence[int], heads: Sequence[int]
) -> list[int] | None:
    """Nodes with every tail before its heads; None when there is a cycle."""
    successors: list[list[int]] = [[] for _ in range(num_nodes)]
    waiting = [0] * num_nodes
    for tail, head in zip(tails, heads, strict=True):
        successors[tail].append(head)
        waiting[head] += 1
    order = [node for node in range(num_nodes) if waiting[node] == 0]
    for node in order:
        for head in successors[node]:
            waiting[head] -= 1
            if waiting[head] == 0:
                order.append(head)
    return order if len(order) == num_nodes else None
