"""Task types of Mirage at `de8745d`: number, name, kind, slots, and what the metadata says.

Facts from `include/mirage/persistent_kernel/runtime_header.h` (numbers), `src/kernel/graph.cc`
(`register_task` names, slot counts) and `src/kernel/runtime.cc` (metadata written per type).
"""

from __future__ import annotations

from dataclasses import dataclass

MetadataProfile = tuple[tuple[str, str], ...]
"""(JSON metadata field, what the generator writes there) in the order written."""

# The generator writes `request_id = bid.x` for every type first; a profile says what a type ends
# up with. Fields that a profile does not name keep the all-ones preset or alias those that it does.
DEFAULT_METADATA: MetadataProfile = (("request_id", "x"),)
NO_METADATA: MetadataProfile = ()
MOE: MetadataProfile = (("expert_offset", "x"),)
SPLIT_KV: MetadataProfile = (("request_id", "x"), ("kv_idx", "z"), ("merge_task_offset", "y"))
TILE_ALLREDUCE: MetadataProfile = (("task_offset", "linear"),)
KV_X_REQUEST_Y: MetadataProfile = (("request_id", "y"), ("kv_idx", "x"))
KV_X_REQUEST_Y_MERGE_Z: MetadataProfile = (*KV_X_REQUEST_Y, ("merge_task_offset", "z"))
REQUEST_X_MERGE_Z: MetadataProfile = (("request_id", "x"), ("merge_task_offset", "z"))
REQUEST_X_KV_Y_MERGE_Z: MetadataProfile = (
    ("request_id", "x"),
    ("kv_idx", "y"),
    ("merge_task_offset", "z"),
)
REQUEST_Z_KV_Y_MERGE_X: MetadataProfile = (
    ("request_id", "z"),
    ("kv_idx", "y"),
    ("merge_task_offset", "x"),
)

KINDS = (
    "control",
    "embedding",
    "norm",
    "linear",
    "attention",
    "mla",
    "moe",
    "quantize",
    "elementwise",
    "communication",
    "sampling",
    "speculation",
    "profiling",
    "placeholder",
    "unknown",
)
"""Families of task types, for colours and filters."""


@dataclass(frozen=True, slots=True)
class TaskTypeRow:
    """One task type.

    `num_inputs` and `num_outputs` are None where no registered name fixes them. `metadata` maps
    metadata fields to the grid coordinate they hold: "x", "y", "z", or "linear" for
    x + y * grid.x + z * grid.x * grid.y.
    """

    value: int
    name: str
    kind: str
    num_inputs: int | None = None
    num_outputs: int | None = None
    register_names: tuple[str, ...] = ()
    metadata: MetadataProfile = DEFAULT_METADATA

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.name}: unknown kind {self.kind!r}")


TASK_TYPES: tuple[TaskTypeRow, ...] = (
    # Control
    TaskTypeRow(0, "TASK_TERMINATE", "control", 0, 0, metadata=NO_METADATA),
    TaskTypeRow(10, "TASK_BEGIN_TASK_GRAPH", "control", 0, 0, metadata=NO_METADATA),
    # Ampere and common
    TaskTypeRow(101, "TASK_EMBEDDING", "embedding", 2, 1, register_names=("embedding",)),
    TaskTypeRow(102, "TASK_RMS_NORM_LINEAR", "linear", 3, 1, register_names=("rmsnorm_linear",)),
    TaskTypeRow(103, "TASK_ATTENTION_1", "attention", 7, 1, register_names=("attention",)),
    TaskTypeRow(104, "TASK_ATTENTION_2", "attention"),
    TaskTypeRow(
        105,
        "TASK_SILU_MUL_LINEAR_WITH_RESIDUAL",
        "linear",
        3,
        1,
        register_names=("silu_mul_linear_with_residual",),
    ),
    TaskTypeRow(106, "TASK_ALLREDUCE", "communication"),
    TaskTypeRow(107, "TASK_REDUCE", "communication", 2, 1, register_names=("reduction",)),
    TaskTypeRow(
        108, "TASK_LINEAR_WITH_RESIDUAL", "linear", 3, 1, register_names=("linear_with_residual",)
    ),
    TaskTypeRow(109, "TASK_ARGMAX", "sampling", 1, 1, register_names=("argmax",)),
    TaskTypeRow(110, "TASK_ARGMAX_PARTIAL", "sampling", 1, 2, register_names=("argmax_partial",)),
    TaskTypeRow(111, "TASK_ARGMAX_REDUCE", "sampling", 2, 1, register_names=("argmax_reduce",)),
    TaskTypeRow(
        112, "TASK_FIND_NGRAM_PARTIAL", "speculation", 1, 1, register_names=("find_ngram_partial",)
    ),
    TaskTypeRow(
        113, "TASK_FIND_NGRAM_GLOBAL", "speculation", 2, 1, register_names=("find_ngram_global",)
    ),
    TaskTypeRow(
        114,
        "TASK_TARGET_VERIFY_GREEDY",
        "speculation",
        2,
        1,
        register_names=("target_verify_greedy",),
    ),
    TaskTypeRow(
        115,
        "TASK_SINGLE_BATCH_EXTEND_ATTENTION",
        "attention",
        7,
        1,
        register_names=("single_batch_extend_attention",),
    ),
    TaskTypeRow(
        116, "TASK_PAGED_ATTENTION_1", "attention", 7, 1, register_names=("paged_attention",)
    ),
    TaskTypeRow(117, "TASK_PAGED_ATTENTION_2", "attention"),
    TaskTypeRow(
        118,
        "TASK_SILU_MUL",
        "elementwise",
        1,
        1,
        register_names=(
            "silu_mul",
            "moe_silu_mul",
        ),
    ),
    TaskTypeRow(119, "TASK_RMS_NORM", "norm", 2, 1, register_names=("rmsnorm",)),
    TaskTypeRow(120, "TASK_LINEAR", "linear", 2, 1, register_names=("linear",)),
    TaskTypeRow(121, "TASK_IDENTITY", "elementwise", 1, 1, register_names=("identity",)),
    # Hopper
    TaskTypeRow(150, "TASK_HOPPER_TASK_BEGIN", "placeholder"),
    TaskTypeRow(
        151,
        "TASK_LINEAR_WITH_RESIDUAL_HOPPER",
        "linear",
        3,
        1,
        register_names=("linear_with_residual_hopper",),
    ),
    TaskTypeRow(152, "TASK_LINEAR_HOPPER", "linear", 2, 1, register_names=("linear_hopper",)),
    TaskTypeRow(
        153,
        "TASK_PAGED_ATTENTION_HOPPER",
        "attention",
        7,
        1,
        register_names=("paged_attention_hopper",),
    ),
    TaskTypeRow(154, "TASK_RMS_NORM_HOPPER", "norm", 2, 1, register_names=("rmsnorm_hopper",)),
    TaskTypeRow(
        155, "TASK_LINEAR_SWAPAB_HOPPER", "linear", 2, 1, register_names=("linear_swapAB_hopper",)
    ),
    TaskTypeRow(
        156,
        "TASK_LINEAR_SWAPAB_WITH_RESIDUAL_HOPPER",
        "linear",
        3,
        1,
        register_names=("linear_swapAB_with_residual_hopper",),
    ),
    TaskTypeRow(
        157, "TASK_LINEAR_CUTLASS_HOPPER", "linear", 2, 1, register_names=("linear_cutlass_hopper",)
    ),
    TaskTypeRow(
        158,
        "TASK_LINEAR_CUTLASS_WITH_RESIDUAL_HOPPER",
        "linear",
        3,
        1,
        register_names=("linear_cutlass_with_residual_hopper",),
    ),
    TaskTypeRow(
        159, "TASK_SILU_MUL_HOPPER", "elementwise", 1, 1, register_names=("silu_mul_hopper",)
    ),
    TaskTypeRow(
        160, "TASK_EMBEDDING_HOPPER", "embedding", 2, 1, register_names=("embedding_hopper",)
    ),
    TaskTypeRow(
        161,
        "TASK_MOE_W13_LINEAR_SM90",
        "moe",
        4,
        1,
        register_names=("moe_w13_linear_sm90",),
        metadata=MOE,
    ),
    TaskTypeRow(
        162,
        "TASK_MOE_W2_LINEAR_SM90",
        "moe",
        4,
        1,
        register_names=("moe_w2_linear_sm90",),
        metadata=MOE,
    ),
    TaskTypeRow(
        163,
        "TASK_SPLITK_LINEAR_SWAPAB_HOPPER",
        "linear",
        2,
        1,
        register_names=("splitk_linear_swapAB_hopper",),
    ),
    TaskTypeRow(
        164,
        "TASK_PAGED_ATTENTION_SPLIT_KV_HOPPER",
        "attention",
        7,
        2,
        register_names=("paged_attention_split_kv_hopper",),
        metadata=SPLIT_KV,
    ),
    TaskTypeRow(198, "TASK_HOPPER_TASK_END", "placeholder"),
    # Profiling
    TaskTypeRow(200, "TASK_SCHD_TASKS", "profiling"),
    TaskTypeRow(201, "TASK_SCHD_EVENTS", "profiling"),
    TaskTypeRow(202, "TASK_GET_EVENT", "profiling"),
    TaskTypeRow(203, "TASK_GET_NEXT_TASK", "profiling"),
    # Blackwell (SM100)
    TaskTypeRow(230, "TASK_SM100_TASK_BEGIN", "placeholder"),
    TaskTypeRow(231, "TASK_SM100_TMA_START_TASK", "placeholder"),
    TaskTypeRow(
        248,
        "TASK_MOE_W13_FP8_SM100",
        "moe",
        6,
        1,
        register_names=("moe_w13_fp8_sm100",),
        metadata=MOE,
    ),
    TaskTypeRow(
        249,
        "TASK_MOE_W2_FP8_SM100",
        "moe",
        6,
        1,
        register_names=("moe_w2_fp8_sm100",),
        metadata=MOE,
    ),
    TaskTypeRow(
        251, "TASK_SPLITK_LINEAR_SM100", "linear", 2, 1, register_names=("splitk_linear_sm100",)
    ),
    TaskTypeRow(
        252,
        "TASK_LINEAR_WITH_RESIDUAL_SM100",
        "linear",
        3,
        1,
        register_names=("linear_with_residual_sm100",),
    ),
    TaskTypeRow(253, "TASK_LINEAR_SM100", "linear", 2, 1, register_names=("linear_sm100",)),
    TaskTypeRow(
        254,
        "TASK_MOE_W13_LINEAR_SM100",
        "moe",
        4,
        1,
        register_names=("moe_w13_linear_sm100",),
        metadata=MOE,
    ),
    TaskTypeRow(
        255,
        "TASK_MOE_W2_LINEAR_SM100",
        "moe",
        4,
        1,
        register_names=("moe_w2_linear_sm100",),
        metadata=MOE,
    ),
    TaskTypeRow(256, "TASK_SM100_TMA_END_TASK", "placeholder"),
    TaskTypeRow(
        257, "TASK_ATTN_SM100", "attention", 7, 1, register_names=("paged_attention_sm100",)
    ),
    TaskTypeRow(
        258, "TASK_ARGMAX_REDUCE_SM100", "sampling", 2, 1, register_names=("argmax_reduce_sm100",)
    ),
    TaskTypeRow(
        259, "TASK_ARGMAX_PARTIAL_SM100", "sampling", 1, 2, register_names=("argmax_partial_sm100",)
    ),
    TaskTypeRow(
        260, "TASK_MOE_TOPK_SOFTMAX_SM100", "moe", 1, 3, register_names=("moe_topk_softmax_sm100",)
    ),
    TaskTypeRow(
        261, "TASK_MOE_MUL_SUM_ADD_SM100", "moe", 3, 1, register_names=("moe_mul_sum_add_sm100",)
    ),
    TaskTypeRow(262, "TASK_TENSOR_INIT", "elementwise", 2, 1, register_names=("tensor_init",)),
    TaskTypeRow(
        263,
        "TASK_PAGED_ATTENTION_SPLIT_KV_SM100",
        "attention",
        7,
        2,
        register_names=("paged_attention_split_kv_sm100",),
        metadata=SPLIT_KV,
    ),
    TaskTypeRow(
        264,
        "TASK_PAGED_ATTENTION_SPLIT_KV_MERGE_SM100",
        "attention",
        2,
        1,
        register_names=("paged_attention_split_kv_merge_sm100",),
        metadata=SPLIT_KV,
    ),
    TaskTypeRow(265, "TASK_SAMPLING_SM100", "sampling", 1, 1, register_names=("sampling_sm100",)),
    TaskTypeRow(
        266,
        "TASK_MLA_DECODE_SM100",
        "mla",
        2,
        2,
        register_names=("mla_decode_sm100",),
        metadata=KV_X_REQUEST_Y_MERGE_Z,
    ),
    TaskTypeRow(
        267,
        "TASK_MLA_REDUCE_SM100",
        "mla",
        2,
        1,
        register_names=("mla_reduce_sm100",),
        metadata=REQUEST_X_MERGE_Z,
    ),
    TaskTypeRow(
        268,
        "TASK_MLA_PREFILL_SM100",
        "mla",
        5,
        0,
        register_names=("mla_prefill_sm100",),
        metadata=REQUEST_Z_KV_Y_MERGE_X,
    ),
    TaskTypeRow(
        269,
        "TASK_MLA_MTP_DECODE_SM100",
        "mla",
        2,
        2,
        register_names=("mla_mtp_decode_sm100",),
        metadata=KV_X_REQUEST_Y_MERGE_Z,
    ),
    TaskTypeRow(
        270,
        "TASK_MLA_MTP_REDUCE_SM100",
        "mla",
        2,
        1,
        register_names=("mla_mtp_reduce_sm100",),
        metadata=KV_X_REQUEST_Y_MERGE_Z,
    ),
    TaskTypeRow(
        271, "TASK_MTP_VERIFY_STRICT", "speculation", 2, 2, register_names=("mtp_verify_strict",)
    ),
    TaskTypeRow(
        272, "TASK_MTP_ACCEPT_COMMIT", "speculation", 3, 3, register_names=("mtp_accept_commit",)
    ),
    TaskTypeRow(
        273, "TASK_MTP_TOKEN_SCATTER", "speculation", 1, 1, register_names=("mtp_token_scatter",)
    ),
    TaskTypeRow(
        274, "TASK_MTP_PREPARE_VERIFY", "speculation", 4, 1, register_names=("mtp_prepare_verify",)
    ),
    TaskTypeRow(
        275,
        "TASK_QUANTIZE_FP8_SM100",
        "quantize",
        1,
        2,
        register_names=(
            "quantize_fp8_sm100",
            "quantize_fp8_f32scale_sm100",
        ),
    ),
    TaskTypeRow(276, "TASK_LINEAR_FP8_SM100", "linear", 4, 1, register_names=("linear_fp8_sm100",)),
    TaskTypeRow(
        277,
        "TASK_LINEAR_FP8_WITH_RESIDUAL_SM100",
        "linear",
        5,
        1,
        register_names=("linear_fp8_with_residual_sm100",),
    ),
    TaskTypeRow(
        278, "TASK_MLA_KV_GATHER_SM100", "mla", 4, 0, register_names=("mla_kv_gather_sm100",)
    ),
    TaskTypeRow(
        280, "TASK_MOE_TOPK_SIGMOID_SM100", "moe", 2, 3, register_names=("moe_topk_sigmoid_sm100",)
    ),
    TaskTypeRow(
        281,
        "TASK_ELEMENTWISE_ADD_SM100",
        "elementwise",
        2,
        1,
        register_names=("elementwise_add_sm100",),
    ),
    TaskTypeRow(
        282,
        "TASK_SOFTMAX_GATHER_SM100",
        "speculation",
        2,
        1,
        register_names=("softmax_gather_sm100",),
    ),
    TaskTypeRow(
        283,
        "TASK_MTP_VERIFY_PROBABILISTIC",
        "speculation",
        5,
        2,
        register_names=("mtp_verify_probabilistic",),
    ),
    TaskTypeRow(
        284, "TASK_PROB_SCATTER_SM100", "speculation", 2, 1, register_names=("prob_scatter_sm100",)
    ),
    TaskTypeRow(
        285, "TASK_MTP_FLOAT_SCATTER", "speculation", 1, 1, register_names=("mtp_float_scatter",)
    ),
    TaskTypeRow(
        286, "TASK_PROB_EXTRACT_SM100", "speculation", 2, 1, register_names=("prob_extract_sm100",)
    ),
    TaskTypeRow(
        287,
        "TASK_MLA_MTP_DECODE_TP2_SM100",
        "mla",
        2,
        2,
        register_names=("mla_mtp_decode_tp2_sm100",),
        metadata=KV_X_REQUEST_Y,
    ),
    TaskTypeRow(
        288,
        "TASK_MLA_MTP_DECODE_TP2_REDUCE_SM100",
        "mla",
        2,
        1,
        register_names=("mla_mtp_decode_tp2_reduce_sm100",),
        metadata=KV_X_REQUEST_Y_MERGE_Z,
    ),
    TaskTypeRow(
        289,
        "TASK_MLA_MTP_DECODE_TP4_SM100",
        "mla",
        2,
        2,
        register_names=("mla_mtp_decode_tp4_sm100",),
        metadata=KV_X_REQUEST_Y,
    ),
    TaskTypeRow(
        290,
        "TASK_MLA_MTP_DECODE_TP4_REDUCE_SM100",
        "mla",
        2,
        1,
        register_names=("mla_mtp_decode_tp4_reduce_sm100",),
        metadata=KV_X_REQUEST_Y_MERGE_Z,
    ),
    TaskTypeRow(
        291,
        "TASK_MLA_MTP_DECODE_TP8_SM100",
        "mla",
        2,
        2,
        register_names=("mla_mtp_decode_tp8_sm100",),
        metadata=KV_X_REQUEST_Y,
    ),
    TaskTypeRow(
        292,
        "TASK_MLA_MTP_DECODE_TP8_REDUCE_SM100",
        "mla",
        2,
        1,
        register_names=("mla_mtp_decode_tp8_reduce_sm100",),
        metadata=KV_X_REQUEST_Y_MERGE_Z,
    ),
    TaskTypeRow(
        293,
        "TASK_MLA_KV_GATHER_SPLIT_SM100",
        "mla",
        5,
        0,
        register_names=("mla_kv_gather_split_sm100",),
    ),
    TaskTypeRow(
        294,
        "TASK_MTP_BUILD_EMBED_INPUT",
        "speculation",
        1,
        1,
        register_names=("mtp_build_embed_input",),
    ),
    TaskTypeRow(
        295,
        "TASK_MLA_PREFILL_TP8_SM100",
        "mla",
        4,
        1,
        register_names=("mla_prefill_tp8_sm100",),
        metadata=REQUEST_X_KV_Y_MERGE_Z,
    ),
    TaskTypeRow(298, "TASK_SM100_TASK_END", "placeholder"),
    # Multi-GPU
    TaskTypeRow(300, "TASK_MULTIGPU_TASK_BEGIN", "placeholder"),
    TaskTypeRow(
        301,
        "TASK_NVSHMEM_ALLGATHER_STRIDED_PUT",
        "communication",
        1,
        1,
        register_names=("nvshmem_allgather_strided_put",),
    ),
    TaskTypeRow(
        302,
        "TASK_NVSHMEM_TILE_ALLREDUCE",
        "communication",
        1,
        1,
        register_names=("nvshmem_tile_allreduce",),
        metadata=TILE_ALLREDUCE,
    ),
    TaskTypeRow(349, "TASK_MULTIGPU_TASK_END", "placeholder"),
)
