"""The task types whose kernels of Mirage an H100 ran, so that they were held against the functions.

Recorded runs: whole graphs (linear layers, norms, embedding, argmax, an MLP), and kernels one at a
time (`tests/reference/gpu`).
"""

from __future__ import annotations

GPU_CHECKED = frozenset(
    {
        "TASK_EMBEDDING",
        "TASK_LINEAR_WITH_RESIDUAL",
        "TASK_ARGMAX_PARTIAL",
        "TASK_ARGMAX_REDUCE",
        "TASK_FIND_NGRAM_PARTIAL",
        "TASK_FIND_NGRAM_GLOBAL",
        "TASK_TARGET_VERIFY_GREEDY",
        "TASK_PAGED_ATTENTION_1",
        "TASK_SILU_MUL",
        "TASK_RMS_NORM",
        "TASK_LINEAR",
        "TASK_IDENTITY",
        "TASK_PAGED_ATTENTION_HOPPER",
        "TASK_RMS_NORM_HOPPER",
        "TASK_LINEAR_SWAPAB_HOPPER",
        "TASK_LINEAR_SWAPAB_WITH_RESIDUAL_HOPPER",
        "TASK_PAGED_ATTENTION_SPLIT_KV_HOPPER",
        "TASK_ATTN_SM100",
        "TASK_ARGMAX_REDUCE_SM100",
        "TASK_ARGMAX_PARTIAL_SM100",
        "TASK_MOE_TOPK_SOFTMAX_SM100",
        "TASK_MOE_MUL_SUM_ADD_SM100",
        "TASK_PAGED_ATTENTION_SPLIT_KV_SM100",
        "TASK_PAGED_ATTENTION_SPLIT_KV_MERGE_SM100",
        "TASK_SAMPLING_SM100",
        "TASK_MLA_PREFILL_SM100",
        "TASK_MTP_VERIFY_STRICT",
        "TASK_MTP_ACCEPT_COMMIT",
        "TASK_MTP_TOKEN_SCATTER",
        "TASK_MTP_PREPARE_VERIFY",
        "TASK_QUANTIZE_FP8_SM100",
        "TASK_MLA_KV_GATHER_SM100",
        "TASK_MOE_TOPK_SIGMOID_SM100",
        "TASK_ELEMENTWISE_ADD_SM100",
        "TASK_SOFTMAX_GATHER_SM100",
        "TASK_MTP_VERIFY_PROBABILISTIC",
        "TASK_PROB_SCATTER_SM100",
        "TASK_MTP_FLOAT_SCATTER",
        "TASK_PROB_EXTRACT_SM100",
        "TASK_MTP_BUILD_EMBED_INPUT",
    }
)

AGREES_IN_PART = frozenset({"TASK_PAGED_ATTENTION_HOPPER", "TASK_PAGED_ATTENTION_SPLIT_KV_SM100"})
"""Of these, those whose kernels got a part of their results wrong; the rows say which."""
