"""Multi-token prediction: drafts and their verification (`persistent_kernel.py:2114-2311`)."""

from __future__ import annotations

from mpkgraph.pipeline.layers.spec import (
    LAUNCH,
    BlockSpec,
    Dispatch,
    LayerSpec,
    SlotSpec,
    integers,
    tensors,
)


def _row(
    method: str, task: str, doc: str, slots: dict[str, str], numbers: str, notes: str = ""
) -> LayerSpec:
    """None of these layers checks a tensor or lets a grid axis split one; `numbers` are the
    parameters after the grid, which are the task's.
    """
    return LayerSpec(
        method=method,
        family="mtp",
        doc=doc,
        parameters=(*tensors(" ".join(slots)), *LAUNCH, *integers(numbers)),
        block=BlockSpec(
            slots=tuple(SlotSpec(name, shape=shape) for name, shape in slots.items()),
            dispatch=(Dispatch(task, params=tuple(numbers.split())),),
        ),
        notes=notes,
    )


ROWS = (
    _row(
        "mtp_token_scatter_layer",
        "mtp_token_scatter",
        "A token into one column of a buffer.",
        {"src": "[batch, 1] int64", "dst": "[batch, num_slots] int64"},
        "batch_size num_slots slot_idx",
        "Writes one column, but later layers wait for it alone.",
    ),
    _row(
        "mtp_prepare_verify_layer",
        "mtp_prepare_verify",
        "The main token and the drafts into the token buffer.",
        {
            "main_token": "[batch, 1] int64",
            "draft_tokens": "[batch, num_draft_tokens] int64",
            "tokens_buffer": "[batch, max_seq_len] int64",
            "step": "[batch] int32",
            "num_new_tokens": "[batch] int32",
        },
        "num_draft_tokens max_seq_len",
    ),
    _row(
        "mtp_build_embed_input_layer",
        "mtp_build_embed_input",
        "Ids that the draft model embeds: the prompt shifted by one, then the newest token.",
        {
            "output_tokens": "[max_batched_tokens, 1] int64",
            "mtp_input_tokens": "[max_batched_tokens, 1] int64",
        },
        "batch_size max_seq_len",
    ),
    _row(
        "mtp_float_scatter_layer",
        "mtp_float_scatter",
        "A number into one column of a buffer.",
        {"src": "[batch, 1] float32", "dst": "[batch, num_slots] float32"},
        "batch_size num_slots slot_idx",
    ),
    _row(
        "prob_scatter_layer",
        "prob_scatter_sm100",
        "A probability into a buffer, at the current step.",
        {
            "prob": "[batch, 1] float32",
            "step_counter": "[batch] int32",
            "buffer": "[batch, max_positions] float32",
        },
        "max_positions",
    ),
    _row(
        "prob_extract_layer",
        "prob_extract_sm100",
        "Probabilities out of a buffer, from an offset on.",
        {
            "buffer": "[batch, max_positions] float32",
            "offset": "[batch] int32",
            "output": "[batch, num_extract] float32",
        },
        "max_positions num_extract",
    ),
    _row(
        "mtp_verify_probabilistic_layer",
        "mtp_verify_probabilistic",
        "Accept drafts by the ratio of probabilities.",
        {
            "draft_token_ids": "[batch, num_draft_tokens] int64",
            "target_token_ids": "[batch, num_draft_tokens + 1] int64",
            "target_probs": "[batch, num_draft_tokens] float32",
            "draft_probs": "[batch, num_draft_tokens] float32",
            "seed": "[1] int64",
            "accepted_count": "[batch] int32",
            "output_tokens": "[batch, num_draft_tokens + 1] int64",
        },
        "num_draft_tokens",
    ),
    _row(
        "mtp_verify_strict_layer",
        "mtp_verify_strict",
        "Accept drafts that equal the model's tokens.",
        {
            "draft_token_ids": "[batch, num_draft_tokens] int64",
            "target_token_ids": "[batch, num_draft_tokens + 1] int64",
            "accepted_count": "[batch] int32",
            "output_tokens": "[batch, num_draft_tokens + 1] int64",
        },
        "num_draft_tokens",
    ),
    _row(
        "mtp_accept_commit_layer",
        "mtp_accept_commit",
        "Accepted tokens into the output, and the position moved on.",
        {
            "accepted_count": "[batch] int32",
            "output_tokens": "[batch, num_draft_tokens + 1] int64",
            "current_position": "[batch] int32",
            "new_position": "[batch] int32",
            "final_output": "[batch, num_draft_tokens + 1] int64",
            "num_new_tokens": "[batch] int32",
        },
        "num_draft_tokens",
    ),
)
