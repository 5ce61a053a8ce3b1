"""Drawings of rules about what runtime, kernels and compiler have room for."""

from __future__ import annotations

from mpkgraph.analysis.verify.pictures.picture import picture

RESOURCES = {
    "MPK401": picture(
        bad="""
        9000 tasks for one worker         ring of 8192
        │ 8192 │ 8193 │ ... │ 808 │ ...   task 8192 lies where task 0 lay
        """,
        good="""
        8000 tasks for one worker         ring of 8192
        │ 0 │ 1 │ ... │ 7999 │            │
        """,
    ),
    "MPK402": picture(
        bad="""
        5000 events for one scheduler     ring of 4096
        event 4096 lies where event 0 lay: its tasks never run
        """,
        good="""
        5000 events for two schedulers    two rings of 4096
        2500 events in each
        """,
    ),
    "MPK403": picture(
        bad="""
        132 multiprocessors, 140 workers

        │ w0 │ w1 │ ... │ w131 │    w132 to w139 wait for a place, and
                                    the others wait for their tasks
        """,
        good="""
        132 multiprocessors, 128 workers, 4 left for schedulers

        │ w0 │ w1 │ ... │ w127 │ s │ s │ s │ s │
        """,
    ),
    "MPK404": picture(
        bad="""
        inputs    │ 0 │ 1 │ 2 │ 3 │ 4 │ 5 │ 6 │ 7 │   room for 7
        """,
        good="""
        inputs    │ 0 │ 1 │ 2 │ 3 │ 4 │ 5 │ 6 │       room for 7
        """,
    ),
    "MPK405": picture(
        bad="""
        x: 2 x 4 x 8 x 16 x 64                        room for 4 dims
        """,
        good="""
        x: 8 x 8 x 16 x 64                            room for 4 dims
        """,
    ),
    "MPK406": picture(
        bad="""
        kv_idx holds 0 to 65535
        grid position 65536   stored as 0: the work of position 0, twice
        """,
        good="""
        kv_idx holds 0 to 65535
        grid position 65535   stored as 65535
        """,
    ),
    "MPK411": picture(
        bad="""
        the kernel is written for tiles of 64 output columns

        out tile   96 columns  │████████████│▒▒▒▒▒▒│   the last 32 are odd
        """,
        good="""
        the kernel is written for tiles of 64 output columns

        out tile   64 columns  │████████████│
        """,
    ),
    "MPK412": picture(
        bad="""
        worker's shared memory   │██████████████████████│
        kernel's buffers         │██████████████████████│▒▒▒▒▒
        """,
        good="""
        worker's shared memory   │██████████████████████│
        kernel's buffers         │█████████████████│
        """,
    ),
    "MPK421": picture(
        bad="""
        bf16, tiles of 100 columns: 200 bytes

        tile 0 at byte 0     tile 1 at byte 200 = 12 * 16 + 8
        """,
        good="""
        bf16, tiles of 104 columns: 208 bytes

        tile 0 at byte 0     tile 1 at byte 208 = 13 * 16
        """,
    ),
    "MPK431": picture(
        bad="""
        target cc 90      headers of Hopper   linear, rms_norm, ...
        task              one that only Blackwell's headers have: nvcc fails
        """,
        good="""
        target cc 100     headers of Blackwell
        task              found
        """,
    ),
    "MPK432": picture(
        bad="""
        task ──> (no code) ──> signals "done"      out stays as it was
        """,
        good="""
        task ──> kernel writes out ──> signals "done"
        """,
    ),
    "MPK441": picture(
        bad="""
        attach_input(w, name="layer.0.w")      void *layer.0.w = ...;
        """,
        good="""
        attach_input(w, name="layer_0_w")      void *layer_0_w = ...;
        """,
    ),
    "MPK442": picture(
        bad="""
        attach_input(a, name="x")        void *x = ...;
        attach_input(b, name="x")        void *x = ...;   redefinition
        """,
        good="""
        attach_input(a, name="x_a")      void *x_a = ...;
        attach_input(b, name="x_b")      void *x_b = ...;
        """,
    ),
    "MPK451": picture(
        bad="""
        meta_tensors={}                       attention reads *qo_indptr
        qo_indptr = nullptr                   illegal memory access
        """,
        good="""
        meta_tensors={"qo_indptr_buffer": t}  attention reads *qo_indptr
        qo_indptr = t.data_ptr()
        """,
    ),
    "MPK452": picture(
        bad="""
        4 requests: 5 row boundaries are read
        qo_indptr   │ 0 │ 1 │ 2 │ 3 │ ? │
        """,
        good="""
        4 requests: 5 row boundaries are read
        qo_indptr   │ 0 │ 1 │ 2 │ 3 │ 4 │
        """,
    ),
    "MPK461": picture(
        bad="""
        w: float16   │ 3c00 │ 3c00 │     1.0, 1.0
        kernel: bf16                     0.0078, 0.0078
        """,
        good="""
        w: bfloat16  │ 3f80 │ 3f80 │     1.0, 1.0
        kernel: bf16                     1.0, 1.0
        """,
    ),
    "MPK462": picture(
        bad="""
        A writes mid as float32   │  0  │  1  │  2  │  3  │
        B reads mid as bfloat16   │0 │1 │2 │3 │4 │5 │6 │7 │
        """,
        good="""
        A writes mid as bfloat16  │0 │1 │2 │3 │4 │5 │6 │7 │
        B reads mid as bfloat16   │0 │1 │2 │3 │4 │5 │6 │7 │
        """,
    ),
}
