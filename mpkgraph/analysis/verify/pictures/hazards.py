"""Drawings of rules about data that the events do not order."""

from __future__ import annotations

from mpkgraph.analysis.verify.pictures.picture import picture

HAZARDS = {
    "MPK201": picture(
        bad="""
        A writes mid[0:8] ──> event 5 ──> C
        B reads  mid[0:8] <── event 4         event 5 does not lead to B
        """,
        good="""
        A writes mid[0:8] ──> event 5 ──> B reads mid[0:8]
        """,
    ),
    "MPK202": picture(
        bad="""
        A writes buf ──> B reads buf ──> ...
          └────────────> C ──> D writes buf      D may come before B reads
        """,
        good="""
        A writes buf ──> B reads buf ──> C ──> D writes buf
        """,
    ),
    "MPK203": picture(
        bad="""
        A writes out ──> ...
        B writes out ──> C reads out       A or B, whichever was last
        """,
        good="""
        A writes out ──> B reads and writes out ──> C reads out
        """,
    ),
    "MPK204": picture(
        bad="""
        tasks of one layer, in any order
        x=0   part 0 of w ──┐
        x=1   part 1 of w ──┼─> out[0:64]       the last one wins
        x=2   part 2 of w ──┘
        """,
        good="""
        tasks of one layer, in any order
        x=0   part 0 of w ────> out[0:64]
        x=1   part 1 of w ────> out[64:128]
        x=2   part 2 of w ────> out[128:192]
        """,
    ),
    "MPK205": picture(
        bad="""
        in place on t, two tasks
        x=0   reads t[0:8]   writes t[0:4]
        x=1   reads t[0:8]   writes t[4:8]      x=1 sees what x=0 wrote
        """,
        good="""
        in place on t, two tasks
        x=0   reads t[0:4]   writes t[0:4]
        x=1   reads t[4:8]   writes t[4:8]
        """,
    ),
    "MPK206": picture(
        bad="""
        A0 ──> B0 ──> C0 reads all of A's output and B's tile 0
        A1 ──> B1 ──> C1
        A ─ ─ x ─ ─ > C    dropped: A leads to C through B
                           C0 waits for A0 alone, and reads what A1 writes
        """,
        good="""
        A0 ──┬─> B0 ──┬─> C0
        A1 ──┘   B1 ──┘            B waits for all of A: so does C
        """,
    ),
    "MPK207": picture(
        bad="""
        A writes p and q;  B reads p by tiles, and all of q

        A0 ──> event 4 ──> B0 reads p0 and q0, q1     events follow p alone
        A1 ──> event 5 ──> B1 reads p1 and q0, q1
        """,
        good="""
        B names q first: its events follow all of q

        A0 ──┬─> event 4 ──> B0, B1
        A1 ──┘
        """,
    ),
    "MPK208": picture(
        bad="""
        attention(qkv, k_cache, v_cache -> out) writes k_cache through an input

        attention ──> event 4 ──> next layer
        reader of k_cache           waits for nothing of attention's
        """,
        good="""
        attention ──> event 4 ──> reader of k_cache and out
        """,
    ),
    "MPK209": picture(
        bad="""
        1  B reads mid       waits for nobody
        2  A writes mid
        """,
        good="""
        1  A writes mid ──> event 4 ──> B
        2  B reads mid
        """,
    ),
    "MPK210": picture(
        bad="""
        mid = new_tensor(8 x 64)

        written   │ 0:48            │▒▒▒▒▒│
        read      │ 0:64                  │   48:64 hold whatever was there
        """,
        good="""
        mid = new_tensor(8 x 64)

        written   │ 0:64                  │
        read      │ 0:64                  │
        """,
    ),
    "MPK211": picture(
        bad="""
        y = new_tensor(...)

        A ──> y        nobody reads it, and nobody outside can see it
        """,
        good="""
        y = attach_input(...)            y = new_tensor(...)
        A ──> y, which the caller has    A ──> y ──> B
        """,
    ),
    "MPK212": picture(
        bad="""
        attention(qkv, cache, cache -> out)

        K ──> cache[0:64] <── V        one of the two is lost
        """,
        good="""
        attention(qkv, k_cache, v_cache -> out)

        K ──> k_cache[0:64]
        V ──> v_cache[0:64]
        """,
    ),
}
"""Time goes from left to right; `──>` is waited for."""
