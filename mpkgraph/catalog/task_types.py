"""Task types of Mirage at `de8745d`: number, name, kind, and what the metadata says.

Facts from `include/mirage/persistent_kernel/runtime_header.h` (numbers) and
`src/kernel/runtime.cc` (metadata written per type); slots and names follow from the registered
names in `mpkgraph.catalog.registered`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from mpkgraph.frozen import dataclass

if TYPE_CHECKING:
    from mpkgraph.catalog.registered import RegisteredTaskRow

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
    """One task type. What a layer of the type is registered as stands in `REGISTERED_TASKS`.

    `metadata` maps metadata fields to the grid coordinate they hold: "x", "y", "z", or "linear"
    for x + y * grid.x + z * grid.x * grid.y.

    >>> row = next(row for row in TASK_TYPES if row.name == "TASK_SILU_MUL")
    >>> row.num_inputs, row.num_outputs, row.register_names
    (1, 1, ('silu_mul', 'moe_silu_mul'))
    """

    value: int
    name: str
    kind: str
    metadata: MetadataProfile = DEFAULT_METADATA

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.name}: unknown kind {self.kind!r}")

    @property
    def register_names(self) -> tuple[str, ...]:
        """Names that a layer of this type can be registered by; none for a type of the runtime."""
        return tuple(row.name for row in _registered().get(self.name, ()))

    @property
    def num_inputs(self) -> int | None:
        """Input slots of each task; None where no registered name fixes them."""
        rows = _registered().get(self.name)
        return rows[0].num_inputs if rows else self._num_unregistered_slots

    @property
    def num_outputs(self) -> int | None:
        """Output slots of each task; None where no registered name fixes them."""
        rows = _registered().get(self.name)
        return rows[0].num_outputs if rows else self._num_unregistered_slots

    @property
    def _num_unregistered_slots(self) -> int | None:
        return 0 if self.kind == "control" else None


@cache
def _registered() -> Mapping[str, tuple[RegisteredTaskRow, ...]]:
    """By task type its registered names, which agree on the numbers of slots."""
    # Here: names of task types are needed far more often than what they are registered as
    from mpkgraph.catalog.registered import REGISTERED_TASKS

    return {
        name: tuple(row for row in REGISTERED_TASKS.values() if row.task_type == name)
        for name in {row.task_type for row in REGISTERED_TASKS.values()}
    }


TASK_TYPES: tuple[TaskTypeRow, ...] = (
    # Control
    TaskTypeRow(0, "TASK_TERMINATE", "control", NO_METADATA),
    TaskTypeRow(10, "TASK_BEGIN_TASK_GRAPH", "control", NO_METADATA),
    # Ampere and common
    TaskTypeRow(101, "TASK_EMBEDDING", "embedding"),
    TaskTypeRow(102, "TASK_RMS_NORM_LINEAR", "linear"),
    TaskTypeRow(103, "TASK_ATTENTION_1", "attention"),
    TaskTypeRow(104, "TASK_ATTENTION_2", "attention"),
    TaskTypeRow(105, "TASK_SILU_MUL_LINEAR_WITH_RESIDUAL", "linear"),
    TaskTypeRow(106, "TASK_ALLREDUCE", "communication"),
    TaskTypeRow(107, "TASK_REDUCE", "communication"),
    TaskTypeRow(108, "TASK_LINEAR_WITH_RESIDUAL", "linear"),
    TaskTypeRow(109, "TASK_ARGMAX", "sampling"),
    TaskTypeRow(110, "TASK_ARGMAX_PARTIAL", "sampling"),
    TaskTypeRow(111, "TASK_ARGMAX_REDUCE", "sampling"),
    TaskTypeRow(112, "TASK_FIND_NGRAM_PARTIAL", "speculation"),
    TaskTypeRow(113, "TASK_FIND_NGRAM_GLOBAL", "speculation"),
    TaskTypeRow(114, "TASK_TARGET_VERIFY_GREEDY", "speculation"),
    TaskTypeRow(115, "TASK_SINGLE_BATCH_EXTEND_ATTENTION", "attention"),
    TaskTypeRow(116, "TASK_PAGED_ATTENTION_1", "attention"),
    TaskTypeRow(117, "TASK_PAGED_ATTENTION_2", "attention"),
    TaskTypeRow(118, "TASK_SILU_MUL", "elementwise"),
    TaskTypeRow(119, "TASK_RMS_NORM", "norm"),
    TaskTypeRow(120, "TASK_LINEAR", "linear"),
    TaskTypeRow(121, "TASK_IDENTITY", "elementwise"),
    # Hopper
    TaskTypeRow(150, "TASK_HOPPER_TASK_BEGIN", "placeholder"),
    TaskTypeRow(151, "TASK_LINEAR_WITH_RESIDUAL_HOPPER", "linear"),
    TaskTypeRow(152, "TASK_LINEAR_HOPPER", "linear"),
    TaskTypeRow(153, "TASK_PAGED_ATTENTION_HOPPER", "attention"),
    TaskTypeRow(154, "TASK_RMS_NORM_HOPPER", "norm"),
    TaskTypeRow(155, "TASK_LINEAR_SWAPAB_HOPPER", "linear"),
    TaskTypeRow(156, "TASK_LINEAR_SWAPAB_WITH_RESIDUAL_HOPPER", "linear"),
    TaskTypeRow(157, "TASK_LINEAR_CUTLASS_HOPPER", "linear"),
    TaskTypeRow(158, "TASK_LINEAR_CUTLASS_WITH_RESIDUAL_HOPPER", "linear"),
    TaskTypeRow(159, "TASK_SILU_MUL_HOPPER", "elementwise"),
    TaskTypeRow(160, "TASK_EMBEDDING_HOPPER", "embedding"),
    TaskTypeRow(161, "TASK_MOE_W13_LINEAR_SM90", "moe", MOE),
    TaskTypeRow(162, "TASK_MOE_W2_LINEAR_SM90", "moe", MOE),
    TaskTypeRow(163, "TASK_SPLITK_LINEAR_SWAPAB_HOPPER", "linear"),
    TaskTypeRow(164, "TASK_PAGED_ATTENTION_SPLIT_KV_HOPPER", "attention", SPLIT_KV),
    TaskTypeRow(198, "TASK_HOPPER_TASK_END", "placeholder"),
    # Profiling
    TaskTypeRow(200, "TASK_SCHD_TASKS", "profiling"),
    TaskTypeRow(201, "TASK_SCHD_EVENTS", "profiling"),
    TaskTypeRow(202, "TASK_GET_EVENT", "profiling"),
    TaskTypeRow(203, "TASK_GET_NEXT_TASK", "profiling"),
    # Blackwell (SM100)
    TaskTypeRow(230, "TASK_SM100_TASK_BEGIN", "placeholder"),
    TaskTypeRow(231, "TASK_SM100_TMA_START_TASK", "placeholder"),
    TaskTypeRow(248, "TASK_MOE_W13_FP8_SM100", "moe", MOE),
    TaskTypeRow(249, "TASK_MOE_W2_FP8_SM100", "moe", MOE),
    TaskTypeRow(251, "TASK_SPLITK_LINEAR_SM100", "linear"),
    TaskTypeRow(252, "TASK_LINEAR_WITH_RESIDUAL_SM100", "linear"),
    TaskTypeRow(253, "TASK_LINEAR_SM100", "linear"),
    TaskTypeRow(254, "TASK_MOE_W13_LINEAR_SM100", "moe", MOE),
    TaskTypeRow(255, "TASK_MOE_W2_LINEAR_SM100", "moe", MOE),
    TaskTypeRow(256, "TASK_SM100_TMA_END_TASK", "placeholder"),
    TaskTypeRow(257, "TASK_ATTN_SM100", "attention"),
    TaskTypeRow(258, "TASK_ARGMAX_REDUCE_SM100", "sampling"),
    TaskTypeRow(259, "TASK_ARGMAX_PARTIAL_SM100", "sampling"),
    TaskTypeRow(260, "TASK_MOE_TOPK_SOFTMAX_SM100", "moe"),
    TaskTypeRow(261, "TASK_MOE_MUL_SUM_ADD_SM100", "moe"),
    TaskTypeRow(262, "TASK_TENSOR_INIT", "elementwise"),
    TaskTypeRow(263, "TASK_PAGED_ATTENTION_SPLIT_KV_SM100", "attention", SPLIT_KV),
    TaskTypeRow(264, "TASK_PAGED_ATTENTION_SPLIT_KV_MERGE_SM100", "attention", SPLIT_KV),
    TaskTypeRow(265, "TASK_SAMPLING_SM100", "sampling"),
    TaskTypeRow(266, "TASK_MLA_DECODE_SM100", "mla", KV_X_REQUEST_Y_MERGE_Z),
    TaskTypeRow(267, "TASK_MLA_REDUCE_SM100", "mla", REQUEST_X_MERGE_Z),
    TaskTypeRow(268, "TASK_MLA_PREFILL_SM100", "mla", REQUEST_Z_KV_Y_MERGE_X),
    TaskTypeRow(269, "TASK_MLA_MTP_DECODE_SM100", "mla", KV_X_REQUEST_Y_MERGE_Z),
    TaskTypeRow(270, "TASK_MLA_MTP_REDUCE_SM100", "mla", KV_X_REQUEST_Y_MERGE_Z),
    TaskTypeRow(271, "TASK_MTP_VERIFY_STRICT", "speculation"),
    TaskTypeRow(272, "TASK_MTP_ACCEPT_COMMIT", "speculation"),
    TaskTypeRow(273, "TASK_MTP_TOKEN_SCATTER", "speculation"),
    TaskTypeRow(274, "TASK_MTP_PREPARE_VERIFY", "speculation"),
    TaskTypeRow(275, "TASK_QUANTIZE_FP8_SM100", "quantize"),
    TaskTypeRow(276, "TASK_LINEAR_FP8_SM100", "linear"),
    TaskTypeRow(277, "TASK_LINEAR_FP8_WITH_RESIDUAL_SM100", "linear"),
    TaskTypeRow(278, "TASK_MLA_KV_GATHER_SM100", "mla"),
    TaskTypeRow(280, "TASK_MOE_TOPK_SIGMOID_SM100", "moe"),
    TaskTypeRow(281, "TASK_ELEMENTWISE_ADD_SM100", "elementwise"),
    TaskTypeRow(282, "TASK_SOFTMAX_GATHER_SM100", "speculation"),
    TaskTypeRow(283, "TASK_MTP_VERIFY_PROBABILISTIC", "speculation"),
    TaskTypeRow(284, "TASK_PROB_SCATTER_SM100", "speculation"),
    TaskTypeRow(285, "TASK_MTP_FLOAT_SCATTER", "speculation"),
    TaskTypeRow(286, "TASK_PROB_EXTRACT_SM100", "speculation"),
    TaskTypeRow(287, "TASK_MLA_MTP_DECODE_TP2_SM100", "mla", KV_X_REQUEST_Y),
    TaskTypeRow(288, "TASK_MLA_MTP_DECODE_TP2_REDUCE_SM100", "mla", KV_X_REQUEST_Y_MERGE_Z),
    TaskTypeRow(289, "TASK_MLA_MTP_DECODE_TP4_SM100", "mla", KV_X_REQUEST_Y),
    TaskTypeRow(290, "TASK_MLA_MTP_DECODE_TP4_REDUCE_SM100", "mla", KV_X_REQUEST_Y_MERGE_Z),
    TaskTypeRow(291, "TASK_MLA_MTP_DECODE_TP8_SM100", "mla", KV_X_REQUEST_Y),
    TaskTypeRow(292, "TASK_MLA_MTP_DECODE_TP8_REDUCE_SM100", "mla", KV_X_REQUEST_Y_MERGE_Z),
    TaskTypeRow(293, "TASK_MLA_KV_GATHER_SPLIT_SM100", "mla"),
    TaskTypeRow(294, "TASK_MTP_BUILD_EMBED_INPUT", "speculation"),
    TaskTypeRow(295, "TASK_MLA_PREFILL_TP8_SM100", "mla", REQUEST_X_KV_Y_MERGE_Z),
    TaskTypeRow(298, "TASK_SM100_TASK_END", "placeholder"),
    # Multi-GPU
    TaskTypeRow(300, "TASK_MULTIGPU_TASK_BEGIN", "placeholder"),
    TaskTypeRow(301, "TASK_NVSHMEM_ALLGATHER_STRIDED_PUT", "communication"),
    TaskTypeRow(302, "TASK_NVSHMEM_TILE_ALLREDUCE", "communication", TILE_ALLREDUCE),
    TaskTypeRow(349, "TASK_MULTIGPU_TASK_END", "placeholder"),
)
