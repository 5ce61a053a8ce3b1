"""Drawings of rules about grids, maps and tiles."""

from __future__ import annotations

from mpkgraph.analysis.verify.pictures.picture import picture

SPLITS = {
    "MPK101": picture(
        bad="""
        out: 8 x 4096, grid (60, 1, 1), x -> dim 1: tiles of 68

        │ 0:68 │ 68:136 │ ... │ 4012:4080 │▒▒▒▒▒▒▒▒▒▒▒│
          x=0     x=1             x=59      4080:4096: no tile
        """,
        good="""
        out: 8 x 4096, grid (64, 1, 1), x -> dim 1: tiles of 64

        │ 0:64 │ 64:128 │ ... │ 3968:4032 │ 4032:4096 │
          x=0     x=1             x=62        x=63
        """,
    ),
    "MPK102": picture(
        bad="""
        x: 8 x 4096, grid (16, 1, 1), x -> dim 0: 8 / 16 = 0 rows a tile

        16 tasks, each with a tile of 0 x 4096 at the start of x
        """,
        good="""
        x: 8 x 4096, grid (8, 1, 1), x -> dim 0: 1 row a tile

        │ row 0 │ row 1 │ ... │ row 7 │
           x=0     x=1           x=7
        """,
    ),
    "MPK103": picture(
        bad="""
        x: 8 x 4096          dims   0     1     2
        input_map (2,-1,-1)         8   4096    ?  <- x=0..7 step along what?
        """,
        good="""
        x: 8 x 4096          dims   0     1
        input_map (0,-1,-1)         8   4096
                                    └─ x=0..7 step along the rows
        """,
    ),
    "MPK104": picture(
        bad="""
        out: 64 columns, grid (2, 4, 1), x -> dim 1, y -> dim 1: tiles of 8
        x=0, y=0..3 start at 0, 16, 32, 48;  x=1, y=0..3 at 32, 48, 64, 80

        │ 0:8 │▒▒▒▒▒│ 16:24 │▒▒▒▒▒│ 32:40 │▒▒▒▒▒│ 48:56 │▒▒▒▒▒│ 64:72 ...
          one         one           two           two           outside
        """,
        good="""
        out: 64 columns, grid (8, 1, 1), x -> dim 1: tiles of 8

        │ x=0 │ x=1 │ x=2 │ x=3 │ x=4 │ x=5 │ x=6 │ x=7 │
        0     8     16    24    32    40    48    56    64
        """,
    ),
    "MPK105": picture(
        bad="""
        x: columns 0:512                 next tensor
        ┌───────────────────────────────┬ ─ ─ ─ ─
        │                         ┌─────┼─────┐
        │                         │ tile│▒▒▒▒▒│ columns 448:576
        │                         └─────┼─────┘
        └───────────────────────────────┴ ─ ─ ─ ─
        """,
        good="""
        x: columns 0:512
        ┌───────────────────────────────┐
        │                         ┌─────┤
        │                         │ tile│ columns 448:512
        │                         └─────┤
        └───────────────────────────────┘
        """,
    ),
    "MPK106": picture(
        bad="""
        mid: 8 rows
        written   │ x=0 │ x=1 │ x=2 │▒▒▒▒▒│
        read      │         all         │  rows 6 and 7 hold old memory
        """,
        good="""
        mid: 8 rows
        written   │ x=0 │ x=1 │ x=2 │ x=3 │
        read      │          all          │
        """,
    ),
    "MPK107": picture(
        bad="""
        grid (8, 1, 1):  x -> dim 0 of x,  x -> no dim of out

        x   │ row 0 │ row 1 │ ... │ row 7 │
               x=0     x=1           x=7
        out │      one tile: the last     │  <- 8 tasks, 8 results
        """,
        good="""
        grid (8, 1, 1):  x -> dim 0 of x,  x -> dim 0 of out

        x   │ row 0 │ row 1 │ ... │ row 7 │
               x=0     x=1           x=7
        out │ row 0 │ row 1 │ ... │ row 7 │
        """,
    ),
    "MPK108": picture(
        bad="""
        grid (64, 8, 1): x -> dim 1 of out, y -> no dim of anything

        out │ x=0     │ x=1     │ ...   each tile computed by y=0, 1, ... 7
              8 tasks   8 tasks
        """,
        good="""
        grid (64, 1, 1): x -> dim 1 of out

        out │ x=0     │ x=1     │ ...   each tile computed once
              1 task    1 task
        """,
    ),
    "MPK109": picture(
        bad="""
        linear, grid (64, 1, 1)
        w    4096 x 4096   x -> dim 1      ││││││││   task x multiplies with
                                           ││││││││   part x of K ...
        out     8 x 4096   x -> dim 1      ││││││││   ... for columns x
        """,
        good="""
        linear, grid (64, 1, 1)
        w    4096 x 4096   x -> dim 0      ────────   task x has rows x of w:
                                           ────────   output columns x, all K
        out     8 x 4096   x -> dim 1      ││││││││
        """,
    ),
    "MPK110": picture(
        bad="""
        linear: out tile of 64 columns needs 64 rows of w

        w tile    128 rows  │████████████████│
        out tile   64 cols  │████████│▒▒▒▒▒▒▒│  the kernel writes 128
        """,
        good="""
        linear: both tiles are of 64

        w tile     64 rows  │████████│
        out tile   64 cols  │████████│
        """,
    ),
    "MPK111": picture(
        bad="""
        x: 8 x 4096   w: 8192 x 4096   out: 8 x 4096
                         └──────── N ─────────┘
                         8192 and 4096: half of w is for nothing
        """,
        good="""
        x: 8 x 4096   w: 4096 x 4096   out: 8 x 4096
               └─── K ────────┘
                         └──────── N ─────────┘
        """,
    ),
    "MPK112": picture(
        bad="""
        gate and up shuffled in groups of 64, silu_mul in tiles of 256

        weight   │ g0 │ u0 │ g1 │ u1 │ g2 │ u2 │ g3 │ u3 │
        tile     │ g0   u0 │ g1   u1 │   "gate" holds u0, "up" holds g1
        """,
        good="""
        gate and up shuffled in groups of 64, silu_mul in tiles of 128

        weight   │ g0 │ u0 │ g1 │ u1 │ g2 │ u2 │ g3 │ u3 │
        tile     │ g0 │ u0 │   the first half is the gate, the second up
        """,
    ),
    "MPK113": picture(
        bad="""
        fused, in turns of 4 rows of q, 2 of k, 2 of v; tiles of 8 rows

        fused    │ q q q q │ k k │ v v │ q q q q │ k k │ v v │
        tile 0   │ q q q q   q q   q q │   lies in q: its next rows
        """,
        good="""
        fused, in turns of 4 rows of q, 2 of k, 2 of v; tiles of 2 rows

        fused    │ q q q q │ k k │ v v │ q q q q │ k k │ v v │
        tiles    │ 0 │ 1   │ 2   │ 3   │   each lies in one part
        """,
    ),
    "MPK114": picture(
        bad="""
        8 heads of 128 columns, grid (16, 1, 1): tiles of 64

        │    head 0     │    head 1     │ ...
        │  x=0  │  x=1  │  x=2  │  x=3  │    two tasks share a head
        """,
        good="""
        8 heads of 128 columns, grid (8, 1, 1): tiles of 128

        │    head 0     │    head 1     │ ...
        │      x=0      │      x=1      │
        """,
    ),
    "MPK115": picture(
        bad="""
        out: dims (4, 8), strides (4, 1)

        row 0   │ 0 1 2 3 4 5 6 7 │
        row 1           │ 4 5 6 7 8 9 ...   shares 4 to 7 with row 0
        """,
        good="""
        out: dims (4, 8), strides (8, 1)

        row 0   │ 0 1 2 3 4 5 6 7 │
        row 1                     │ 8 9 10 ...
        """,
    ),
    "MPK116": picture(
        bad="""
        grid (5000, 1, 1): 5000 blocks of 1 row      limit ──┤ 4096
        ████████████████████████████████████████████████████ │▒▒▒▒▒▒▒
        """,
        good="""
        grid (1250, 1, 1): 1250 blocks of 4 rows     limit ──┤ 4096
        ███████████████                                      │
        """,
    ),
    "MPK117": picture(
        bad="""
        the kernel steps through both tensors with the stride of x

        x      row 0 at 0   row 1 at 4096
        res    row 0 at 0   row 1 at 6144   but is read at 4096
        """,
        good="""
        both tensors have the same row stride

        x      row 0 at 0   row 1 at 4096
        res    row 0 at 0   row 1 at 4096
        """,
    ),
    "MPK118": picture(
        bad="""
        out: 8 x 512, eight tasks of one layer

        │ t0 │ t1 │ t2 │ t3 │ t4 │▒▒▒▒│ t6 │ t7 │
        0    64   128  192  256  320  384  448
                       t5 has this tile too
        """,
        good="""
        out: 8 x 512, grid (8, 1, 1), x -> dim 1: a tile every 64 columns

        │ t0 │ t1 │ t2 │ t3 │ t4 │ t5 │ t6 │ t7 │
        0    64   128  192  256  320  384  448
        """,
    ),
}
"""Tiles in brackets of `│`; what no task, or the wrong one, has is `▒`."""
