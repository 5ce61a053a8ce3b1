"""Drawings of advice: what is right, and costs more than it need."""

from __future__ import annotations

from mpkgraph.analysis.verify.pictures.picture import picture

ADVICE = {
    "MPK501": picture(
        bad="""
        130 tasks, 128 workers
        wave 1   ████████████████████████████████
        wave 2   ▌                                  126 workers idle
        """,
        good="""
        128 tasks, 128 workers
        wave 1   ████████████████████████████████
        """,
    ),
    "MPK502": picture(
        bad="""
        A0 ──┬─> event 4 ──┬─> B0 reads what A0 writes
        A1 ──┘             └─> B1 reads what A1 writes     both wait for both
        """,
        good="""
        A0 ──> event 4 ──> B0 reads what A0 writes
        A1 ──> event 5 ──> B1 reads what A1 writes
        """,
    ),
    "MPK503": picture(
        bad="""
        grid (64, 8, 1): y splits nothing
        out │ x=0     │ x=1     │ ...       8 tasks a tile, all the same
        """,
        good="""
        grid (64, 1, 1)
        out │ x=0     │ x=1     │ ...       1 task a tile
        """,
    ),
    "MPK504": picture(
        bad="""
        512 tasks of 64 bytes each
        │wait│█│signal│ │wait│█│signal│ │wait│█│signal│ ...
        """,
        good="""
        8 tasks of 4 KiB each
        │wait│████████████████│signal│ ...
        """,
    ),
}
