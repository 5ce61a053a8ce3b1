"""Rows of speculative decoding, and of what ranks do for each other."""

from __future__ import annotations

from types import MappingProxyType

from mpkgraph.reference.joins import Joins
from mpkgraph.reference.row import EXACT, FP32, TaskFunction

COPIES = MappingProxyType({"bf16": EXACT, "fp32": EXACT})
ROW_0 = "Every task does row 0, whatever the grid."
LOOP = "a Python loop over tokens"

ROWS: tuple[TaskFunction, ...] = (
    TaskFunction(
        "TASK_MTP_VERIFY_STRICT", "speculation.verify_strict", None, LOOP, COPIES, (ROW_0,)
    ),
    TaskFunction(
        "TASK_MTP_ACCEPT_COMMIT",
        "speculation.accept_commit",
        None,
        LOOP,
        COPIES,
        (ROW_0, "Counts and positions are int32, also in tensors that were declared int64."),
    ),
    TaskFunction("TASK_MTP_TOKEN_SCATTER", "speculation.token_scatter", None, LOOP, COPIES),
    TaskFunction(
        "TASK_MTP_PREPARE_VERIFY",
        "speculation.prepare_verify",
        Joins(("..", "..", "..", ".", "."), walked="x"),
        LOOP,
        COPIES,
    ),
    TaskFunction(
        "TASK_SOFTMAX_GATHER_SM100",
        "speculation.softmax_gather",
        None,
        "`torch.softmax` in float64",
        MappingProxyType({"fp32": FP32}),
    ),
    TaskFunction(
        "TASK_MTP_VERIFY_PROBABILISTIC",
        "speculation.verify_probabilistic",
        None,
        LOOP,
        COPIES,
        (ROW_0, "The seed is never moved on: each iteration draws the same numbers."),
    ),
    TaskFunction("TASK_PROB_SCATTER_SM100", "speculation.prob_scatter", None, LOOP, COPIES),
    TaskFunction("TASK_MTP_FLOAT_SCATTER", "speculation.float_scatter", None, LOOP, COPIES),
    TaskFunction("TASK_PROB_EXTRACT_SM100", "speculation.prob_extract", None, LOOP, COPIES),
    TaskFunction(
        "TASK_MTP_BUILD_EMBED_INPUT",
        "speculation.build_embed_input",
        None,
        LOOP,
        COPIES,
        ("Every request's task writes all rows.",),
    ),
    TaskFunction(
        "TASK_FIND_NGRAM_PARTIAL",
        "speculation.find_ngram_partial",
        None,
        LOOP,
        COPIES,
        ("The kernel takes its worker's number for the task's: shares depend on where it runs.",),
    ),
    TaskFunction(
        "TASK_FIND_NGRAM_GLOBAL",
        "speculation.find_ngram_global",
        None,
        LOOP,
        COPIES,
        ("Draft 32 of more than 32 is never written.",),
    ),
    TaskFunction(
        "TASK_TARGET_VERIFY_GREEDY",
        "speculation.verify_greedy",
        None,
        LOOP,
        COPIES,
        ("The declared output is never written: results go to meta tensors.",),
    ),
)

MULTIGPU_ROWS: tuple[TaskFunction, ...] = (
    TaskFunction(
        "TASK_REDUCE",
        "multigpu.reduction",
        Joins((".c", "..c", ".c")),
        "`torch.sum` in float64",
        deviations=("Row strides of the buffer are taken to be the output's.",),
    ),
    TaskFunction(
        "TASK_NVSHMEM_ALLGATHER_STRIDED_PUT",
        "multigpu.allgather_put",
        Joins((".c", "..c")),
        "the planes of all ranks, stacked",
        COPIES,
        ("The input's row stride is taken for the buffer's.",),
    ),
    TaskFunction(
        "TASK_NVSHMEM_TILE_ALLREDUCE",
        "multigpu.tile_allreduce",
        Joins((".c", ".c"), walked=""),
        "`torch.sum` in float64",
        deviations=("The input's row stride is taken for the output's.",),
    ),
)
