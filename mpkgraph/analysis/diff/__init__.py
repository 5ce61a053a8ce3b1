"""Semantic differences of task graphs: operators are matched, then compared at every level."""
