"""Numbers of model layers (transformer blocks) in the names of tensors."""

from __future__ import annotations

import re
from functools import lru_cache

_LAYER_NUMBER = re.compile(
    r"""(?:^|[._/-])                       # a word of its own
        (?:layers?|blocks?|blk|h|decoder_layers?|encoder_layers?)
        [._/-]?(\d{1,6})                   # layer_3_, layers.3., blk3
        (?=[._/-]|$)""",
    re.VERBOSE | re.IGNORECASE,
)
MAX_NAMES = 1 << 14
"""Names whose answer is remembered: a tensor is named by many slots."""


@lru_cache(MAX_NAMES)
def layer_number(name: str) -> int | None:
    """The number of the model layer in a tensor's name; None when it has none.

    >>> layer_number("layer_3_q_proj"), layer_number("model.layers.12.mlp.up"), layer_number("x_1")
    (3, 12, None)
    """
    match = _LAYER_NUMBER.search(name)
    return int(match.group(1)) if match else None


@lru_cache(MAX_NAMES)
def without_layer_number(name: str) -> str:
    """The name with its layer's number replaced by `*`, to compare one layer with another.

    >>> without_layer_number("layer_3_q_proj")
    'layer_*_q_proj'
    """
    match = _LAYER_NUMBER.search(name)
    if match is None:
        return name
    start, stop = match.span(1)
    return f"{name[:start]}*{name[stop:]}"
