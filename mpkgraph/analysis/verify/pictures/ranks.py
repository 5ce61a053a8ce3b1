"""Drawings of rules about several ranks."""

from __future__ import annotations

from mpkgraph.analysis.verify.pictures.picture import picture

RANKS = {
    "MPK601": picture(
        bad="""
        rank 0   put ──> event 9 of rank 1
        rank 1   event 9: no task waits for it      event 8 ──> reduce
        """,
        good="""
        rank 0   put ──> event 8 of rank 1
        rank 1                                      event 8 ──> reduce
        """,
    ),
    "MPK602": picture(
        bad="""
        rank 0   4 puts ──┐
        rank 2   4 puts ──┴─> event 8 of rank 1, num_triggers 12
        """,
        good="""
        rank 0   4 puts ──┐
        rank 2   4 puts ──┴─> event 8 of rank 1, num_triggers 8
        """,
    ),
    "MPK603": picture(
        bad="""
        rank 0   linear  all-reduce  norm           event 8: the all-reduce's
        rank 1   linear  norm  all-reduce           event 8: the norm's
        """,
        good="""
        rank 0   linear  all-reduce  norm           event 8: the all-reduce's
        rank 1   linear  all-reduce  norm           event 8: the all-reduce's
        """,
    ),
    "MPK604": picture(
        bad="""
        task_graph_rank0.json    puts to rank 1
        task_graph_rank1.json    not there
        """,
        good="""
        task_graph_rank0.json    puts to rank 1
        task_graph_rank1.json    waits for rank 0, puts to rank 0
        """,
    ),
    "MPK605": picture(
        bad="""
        rank 0   of 2:  puts to rank 1
        rank 1   of 4:  waits for ranks 0, 2 and 3
        """,
        good="""
        rank 0   of 2:  puts to rank 1
        rank 1   of 2:  waits for rank 0
        """,
    ),
}
