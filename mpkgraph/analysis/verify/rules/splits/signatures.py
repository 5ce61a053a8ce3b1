"""Which dims of a task's slots are one: a signature a task type, as in `b K, n K -> b n`.

Each slot lists its dims. Equal letters are equal: whole dims, tiles, and the axes that split them.
`2n` is twice n. A capital letter is a dim that each task needs whole (a reduction runs over it, or
rows are counted from the tensor's start). `*` is any dim; `...` any dims. Facts are the registrars'
asserts and what the kernels index (Mirage `src/kernel/task_register.cc` and
`include/mirage/persistent_kernel/tasks` at `de8745d`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from mpkgraph.frozen import dataclass

ANY = "*"
REST = "..."


@dataclass(frozen=True, slots=True)
class Relation:
    """Something that must hold between numbers of an operator, such as
    `in0.tile[1] == 2 * out0.tile[1]`; see `relations`.
    """

    text: str
    why: str
    cuts_heads: bool = False
    """Whether one that fails cuts an attention head, rather than giving other sizes."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Signatures of a task type, one for each set of ranks that it takes, and what else holds."""

    texts: tuple[str, ...]
    relations: tuple[Relation, ...] = ()


@dataclass(frozen=True, slots=True)
class Index:
    """One dim of a slot."""

    letter: str
    """Lower case; `*` for any."""
    factor: int
    is_whole: bool


@dataclass(frozen=True, slots=True)
class SlotIndices:
    """The dims of one slot; `has_rest` when any dims may come before them."""

    indices: tuple[Index, ...]
    has_rest: bool

    def fits(self, rank: int) -> bool:
        return rank >= len(self.indices) if self.has_rest else rank == len(self.indices)

    @property
    def rank_text(self) -> str:
        return f"{len(self.indices)}{' or more' if self.has_rest else ''}"


@lru_cache(maxsize=256)
def parse(text: str) -> tuple[SlotIndices, ...]:
    """The slots of a signature, inputs first.

    >>> [len(slot.indices) for slot in parse("b 2n -> b n")]
    [2, 2]
    """
    inputs, _, outputs = text.partition("->")
    slots = [x for side in (inputs, outputs) for x in side.split(",") if x.strip()]
    return tuple(_slot(x.split()) for x in slots)


def _slot(tokens: list[str]) -> SlotIndices:
    has_rest = tokens[:1] == [REST]
    indices = []
    for token in tokens[has_rest:]:
        letter = token.lstrip("0123456789")
        factor = int(token.removesuffix(letter) or 1)
        indices.append(Index(letter.lower(), factor, letter.isupper()))
    return SlotIndices(tuple(indices), has_rest)


def _of(*texts: str, relations: tuple[Relation, ...] = ()) -> Signature:
    return Signature(texts, relations)


# --- dense ------------------------------------------------------------------------------------


def _dense(label: str, why: str) -> Relation:
    return Relation(f"{label}.dim[1] == {label}.stride[0]", why)


_LENGTH = "the kernel takes the length of the sum for the stride of a row"
_RESIDUAL_STRIDE = Relation(
    "in2.stride[0] == out0.stride[0]", "the kernel reads the residual with the output's row stride"
)
_LINEAR = _of("b K, n K -> b n")
_DENSE_LINEAR = _of("b K, n K -> b n", relations=(_dense("in0", _LENGTH), _dense("in1", _LENGTH)))
_RESIDUAL = _of("b K, n K, b n -> b n", relations=(_RESIDUAL_STRIDE,))
_DENSE_RESIDUAL = _of(
    "b K, n K, b n -> b n",
    relations=(_RESIDUAL_STRIDE, _dense("in0", _LENGTH), _dense("in1", _LENGTH)),
)
_NORM = _of("b H, ... H -> b H")
_SILU = _of(
    "b 2n -> b n",
    "b t 2n -> b t n",
    relations=(
        Relation(
            "in0.dim[-1] == in0.stride[-2]", "the kernel takes the width of a row for its stride"
        ),
    ),
)

_EMBEDDING = _of(
    "..., V c -> * c",
    relations=(
        Relation("out0.dim[0] <= in0.dim[0] * in0.dim[1]", "each row of the output has an id"),
        _dense("in0", "the kernel takes the ids for one list"),
        Relation(
            "in1.stride[0] == out0.stride[0]",
            "the kernel takes the output's row stride for the table's",
        ),
    ),
)
_SCALES = "each block of 128 along the sum has a scale"
_PACKED_SCALES = (
    Relation("in0.dim[1] <= 512 * in1.dim[0]", f"{_SCALES}, four of them in a word"),
    Relation("in2.dim[1] <= 512 * in3.dim[1]", f"{_SCALES}, four of them in a word"),
)

_DENSE = {
    "TASK_LINEAR": _DENSE_LINEAR,
    "TASK_LINEAR_HOPPER": _LINEAR,
    "TASK_LINEAR_SWAPAB_HOPPER": _LINEAR,
    "TASK_LINEAR_CUTLASS_HOPPER": _LINEAR,
    "TASK_LINEAR_SM100": _DENSE_LINEAR,
    "TASK_LINEAR_WITH_RESIDUAL": _DENSE_RESIDUAL,
    "TASK_LINEAR_WITH_RESIDUAL_HOPPER": _RESIDUAL,
    "TASK_LINEAR_SWAPAB_WITH_RESIDUAL_HOPPER": _RESIDUAL,
    "TASK_LINEAR_CUTLASS_WITH_RESIDUAL_HOPPER": _RESIDUAL,
    "TASK_LINEAR_WITH_RESIDUAL_SM100": _DENSE_RESIDUAL,
    "TASK_SPLITK_LINEAR_SWAPAB_HOPPER": _of("b k, n k -> b n"),
    "TASK_SPLITK_LINEAR_SM100": _of("b k, n k -> b n"),
    "TASK_LINEAR_FP8_SM100": _of("b K, * *, n K, n * -> b n", relations=_PACKED_SCALES),
    "TASK_LINEAR_FP8_WITH_RESIDUAL_SM100": _of(
        "b K, * *, n K, n *, b n -> b n", relations=_PACKED_SCALES
    ),
    "TASK_RMS_NORM": _NORM,
    "TASK_RMS_NORM_HOPPER": _NORM,
    "TASK_RMS_NORM_LINEAR": _of("b K, ... K, n K -> b n"),
    "TASK_SILU_MUL": _SILU,
    "TASK_SILU_MUL_HOPPER": _SILU,
    "TASK_SILU_MUL_LINEAR_WITH_RESIDUAL": _of("b 2K, n K, b n -> b n"),
    "TASK_ELEMENTWISE_ADD_SM100": _of("b n, b n -> b n"),
    "TASK_IDENTITY": _of("... n -> ... n"),
    "TASK_QUANTIZE_FP8_SM100": _of("... k -> ... k, ..."),
    "TASK_EMBEDDING": _EMBEDDING,
    "TASK_EMBEDDING_HOPPER": _EMBEDDING,
}

# --- sampling ---------------------------------------------------------------------------------

_PARTIAL = _of(
    "B * -> B p, B p",
    relations=(
        Relation("out0.tile[1] == 1", "a task finds one maximum a row"),
        Relation("out0.dim[1] == p[0]", "the number of tasks is the row stride of the results"),
        Relation(
            "in0.tile[1] * out0.dim[1] == in0.dim[1]",
            "the kernel takes chunks x tasks for the row stride of the logits",
        ),
    ),
)
_REDUCE = _of("b P, b P -> ...")

_SAMPLING = {
    "TASK_ARGMAX_PARTIAL": _PARTIAL,
    "TASK_ARGMAX_PARTIAL_SM100": _PARTIAL,
    "TASK_ARGMAX_REDUCE": _REDUCE,
    "TASK_ARGMAX_REDUCE_SM100": _REDUCE,
    "TASK_SAMPLING_SM100": _of("b V -> b *"),
}

# --- experts ----------------------------------------------------------------------------------

_MASK = Relation("in3.dim[0] == in1.dim[0] + 1", "the mask lists the experts, then their number")
_MASK_FP8 = Relation("in5.dim[0] == in2.dim[0] + 1", _MASK.why)
_MASK_OUT = Relation("out2.dim[0] == out1.dim[0] + 1", _MASK.why)
_PACKED = (
    Relation("in1.stride[1] == in1.dim[2]", "the kernel takes weights to be contiguous"),
    Relation(
        "in1.stride[0] == in1.dim[1] * in1.dim[2]", "the kernel takes weights to be contiguous"
    ),
)
_W13 = "B K, E n K, E B, * -> B t n"
_W2 = "B t K, E n K, E B, * -> B t n"


_EXPERTS = {
    "TASK_MOE_W13_LINEAR_SM90": _of(_W13, relations=(_MASK, *_PACKED)),
    "TASK_MOE_W13_LINEAR_SM100": _of(_W13, relations=(_MASK, *_PACKED)),
    "TASK_MOE_W2_LINEAR_SM90": _of(_W2, relations=(_MASK, *_PACKED)),
    "TASK_MOE_W2_LINEAR_SM100": _of(_W2, relations=(_MASK, *_PACKED)),
    "TASK_MOE_W13_FP8_SM100": _of(
        "B K, B *, E n K, E n *, E B, * -> B t n",
        relations=(
            _MASK_FP8,
            Relation("in0.dim[1] <= 128 * in1.dim[1]", _SCALES),
            Relation("in2.dim[2] <= 128 * in3.dim[2]", _SCALES),
        ),
    ),
    "TASK_MOE_W2_FP8_SM100": _of(
        "B t K, B t *, E n K, E n *, E B, * -> B t n",
        relations=(
            _MASK_FP8,
            Relation("in0.dim[2] <= 128 * in1.dim[2]", _SCALES),
            Relation("in2.dim[2] <= 128 * in3.dim[2]", _SCALES),
        ),
    ),
    "TASK_MOE_TOPK_SOFTMAX_SM100": _of("b E -> b *, E b, *", relations=(_MASK_OUT,)),
    "TASK_MOE_TOPK_SIGMOID_SM100": _of("b E, E -> b *, E b, *", relations=(_MASK_OUT,)),
    "TASK_MOE_MUL_SUM_ADD_SM100": _of(
        "b T n, b T, b n -> b n",
        relations=(
            Relation(
                "in0.dim[2] == in0.stride[1]", "the kernel takes the width of a row for its stride"
            ),
        ),
    ),
}

# --- attention --------------------------------------------------------------------------------

_HEADS = (
    Relation("out0.tile[1] % in1.tile[3] == 0", "a task writes whole heads", cuts_heads=True),
    Relation(
        "in0.tile[1] == out0.tile[1] + 2 * in1.tile[2] * in1.tile[3]",
        "a group of query heads lies before its key and its value head",
        cuts_heads=True,
    ),
    Relation("in1.tile[2] == 1", "a task works on one key head", cuts_heads=True),
    Relation("out0.dim[1] == p[0] * in1.dim[3]", "the output has a head's width for each query"),
    Relation("in1.dim[2] == p[1]", "the cache has the key heads that the layer was given"),
)
_TABLE = "the kernel takes a head's width for the stride of a position"
_GROUPS = (
    *_HEADS,
    _dense("in0", "the kernel takes the width of a row for its stride"),
    _dense("in5", _TABLE),
    _dense("in6", _TABLE),
)
_CACHES = "P S g D, P S g D, ... D, ... D, * D, * D"
_ATTENTION = _of(f"T *, {_CACHES} -> T *", relations=_GROUPS)
_DECODING = _of("b *, b S g D, b S g D, ... D, ... D, * D, * D -> b *", relations=_GROUPS)
# Its rows are the tokens of one sequence, whatever the caches hold
_EXTENDING = _of("T *, c S g D, c S g D, ... D, ... D, * D, * D -> T *", relations=_GROUPS)
_SPLIT_KV = _of(
    f"T *, {_CACHES} -> * * *, * * *",
    relations=(
        Relation("in1.tile[2] == 1", "a task works on one key head", cuts_heads=True),
        Relation(
            "in0.tile[1] == out1.tile[1] + 2 * in1.tile[2] * in1.tile[3]",
            "a group of query heads lies before its key and its value head",
            cuts_heads=True,
        ),
        Relation(
            "out1.tile[1] == out0.tile[1] * in1.tile[3]",
            "each query head has one sum of exponents",
            cuts_heads=True,
        ),
        Relation("in1.dim[2] == p[1]", "the cache has the key heads that the layer was given"),
    ),
)
_MERGE = _of(
    "* * *, * * * -> * *",
    relations=(
        Relation("in1.dim[1] == in0.dim[1] * p[1]", "each query head has one sum of exponents"),
        Relation("out0.tile[1] == p[0] * p[1]", "a task writes whole heads", cuts_heads=True),
    ),
)

_ATTENTIONS = {
    "TASK_ATTENTION_1": _DECODING,
    "TASK_SINGLE_BATCH_EXTEND_ATTENTION": _EXTENDING,
    "TASK_PAGED_ATTENTION_1": _ATTENTION,
    "TASK_PAGED_ATTENTION_HOPPER": _ATTENTION,
    "TASK_ATTN_SM100": _ATTENTION,
    "TASK_PAGED_ATTENTION_SPLIT_KV_HOPPER": _SPLIT_KV,
    "TASK_PAGED_ATTENTION_SPLIT_KV_SM100": _SPLIT_KV,
    "TASK_PAGED_ATTENTION_SPLIT_KV_MERGE_SM100": _MERGE,
}

# --- latent attention ------------------------------------------------------------------------

_LATENT_WIDTH = "a row of the cache is the latent part, then the rotary part"
_HEAD_WIDTH = "a row has the width of a head for each head"
_ROW = "keys are 576 wide: 512 latent and 64 rotary columns"
_BLOCK = "a block of partial results has 128 rows of 512 columns, and a sum for each row"
_PARTIALS = "each block of partial results has its sums of exponents"
_LATENT_DECODING = _of(
    "..., ... -> ..., ...",
    relations=(
        Relation("in0.dim[1] % 576 == 0", _ROW),
        Relation("in1.dim[1] == 576", _ROW),
        Relation("out0.dim[0] == out1.dim[0]", _PARTIALS),
        Relation("out0.dim[1] == 65536", _BLOCK),
        Relation("out1.dim[1] == 128", _BLOCK),
    ),
)
_LATENT_REDUCTION = _of(
    "..., ... -> ...",
    relations=(
        Relation("in0.dim[0] == in1.dim[0]", _PARTIALS),
        Relation("in0.dim[1] == 65536", _BLOCK),
        Relation("in1.dim[1] == 128", _BLOCK),
        Relation("grid[0] * p[3] == 512", "axis x deals out the 512 columns of a value"),
    ),
)

_LATENT = {
    "TASK_MLA_KV_GATHER_SM100": _of(
        "* *, * *, * * *, * *",
        relations=(
            Relation("in0.dim[1] == p[1]", _LATENT_WIDTH),
            Relation("in2.dim[2] == p[0]", _LATENT_WIDTH),
            Relation("in2.dim[1] == p[2]", "pages are as long as the layer was told"),
            Relation("in3.dim[1] == p[0]", _LATENT_WIDTH),
        ),
    ),
    "TASK_MLA_KV_GATHER_SPLIT_SM100": _of(
        "* *, * *, * * *, * *, * *",
        relations=(
            Relation("in0.dim[1] == p[1]", _LATENT_WIDTH),
            Relation("in2.dim[2] == p[0]", _LATENT_WIDTH),
            Relation("in2.dim[1] == p[2]", "pages are as long as the layer was told"),
            Relation("in3.dim[1] == p[1]", _LATENT_WIDTH),
            Relation("in4.dim[1] + p[1] == p[0]", _LATENT_WIDTH),
        ),
    ),
    "TASK_MLA_PREFILL_SM100": _of(
        "* *, * *, * *, * *, * *",
        relations=(
            Relation("in0.dim[1] == p[0] * p[2]", _HEAD_WIDTH),
            Relation("in1.dim[1] == p[0] * p[3]", _HEAD_WIDTH),
            Relation("in2.dim[1] == p[2]", _LATENT_WIDTH),
            Relation("in3.dim[1] == p[3]", _LATENT_WIDTH),
            Relation("in4.dim[1] == p[0] * p[4]", _HEAD_WIDTH),
        ),
    ),
    "TASK_MLA_MTP_DECODE_SM100": _LATENT_DECODING,
    "TASK_MLA_MTP_DECODE_TP2_SM100": _LATENT_DECODING,
    "TASK_MLA_MTP_DECODE_TP4_SM100": _LATENT_DECODING,
    "TASK_MLA_MTP_DECODE_TP8_SM100": _LATENT_DECODING,
    "TASK_MLA_MTP_REDUCE_SM100": _LATENT_REDUCTION,
    "TASK_MLA_MTP_DECODE_TP2_REDUCE_SM100": _LATENT_REDUCTION,
    "TASK_MLA_MTP_DECODE_TP4_REDUCE_SM100": _LATENT_REDUCTION,
    "TASK_MLA_MTP_DECODE_TP8_REDUCE_SM100": _LATENT_REDUCTION,
}

# --- several tokens at a time -----------------------------------------------------------------

_DRAFTS = "a row has the draft tokens that the layer was told"
_SLOTS = Relation("out0.dim[1] == p[1]", "a row of the target has the slots that it was told")

_TOKENS = {
    "TASK_MTP_VERIFY_STRICT": _of(
        "* *, * * -> ..., * *",
        relations=(
            Relation("in0.dim[1] == p[0]", _DRAFTS),
            Relation("in1.dim[1] == p[0] + 1", f"{_DRAFTS}, and one more"),
        ),
    ),
    "TASK_MTP_TOKEN_SCATTER": _of("... -> * *", relations=(_SLOTS,)),
    "TASK_MTP_FLOAT_SCATTER": _of("... -> * *", relations=(_SLOTS,)),
    "TASK_MTP_PREPARE_VERIFY": _of(
        "..., * *, * *, ... -> ...",
        relations=(
            Relation("in1.dim[1] == p[0]", _DRAFTS),
            Relation("in2.dim[1] == p[1]", "a row of tokens is as long as the layer was told"),
        ),
    ),
}

# --- several GPUs -----------------------------------------------------------------------------

_RANKS = {
    "TASK_REDUCE": _of(
        "b n, W b n -> b n",
        relations=(
            Relation(
                "in0.stride[0] == out0.stride[0]", "one row stride serves the input and the output"
            ),
        ),
    ),
    "TASK_NVSHMEM_ALLGATHER_STRIDED_PUT": _of("b n -> * b n"),
    "TASK_NVSHMEM_TILE_ALLREDUCE": _of(
        "b n -> b n",
        relations=(
            Relation(
                "in0.stride[0] == out0.stride[0]", "one row stride serves the input and the output"
            ),
        ),
    ),
}

SIGNATURES: Mapping[str, Signature] = MappingProxyType(
    {**_DENSE, **_SAMPLING, **_EXPERTS, **_ATTENTIONS, **_LATENT, **_TOKENS, **_RANKS}
)
"""By name of the task type. Types without a row tell their work apart by metadata alone."""
