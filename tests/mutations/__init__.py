"""Seeded faults in good pipelines and graphs, and changes that change nothing.

`subjects` makes the good ones, `record_faults` and `graph_faults` spoil them in one place,
`preserving` rewrites them, `behaviour` says by brute force whether a graph still does the same, and
`harness` counts what `verify` finds. `python -m benchmarks.mutations` prints the table.
"""
