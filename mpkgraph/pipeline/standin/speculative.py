"""`mirage.mpk.speculative`: how draft tokens are guessed.

The dataclasses' names and fields show in a record's `init`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class SpecDecodeConfig:
    method: str


@dataclass
class LookaheadConfig(SpecDecodeConfig):
    method: str = "lookahead"
    spec_length: int = 7


@dataclass
class PromptLookupConfig(SpecDecodeConfig):
    method: str = "promptlookup"
    ngram_size: int = 3
    spec_length: int = 5


def spec_decode_class(
    spec_decode: str | None, ngram_size: int, spec_length: int
) -> SpecDecodeConfig | None:
    """The configuration of a method by name; None for none."""
    if spec_decode is None:
        return None
    if spec_decode == "lookahead":
        return LookaheadConfig(spec_length=spec_length)
    if spec_decode == "promptlookup":
        return PromptLookupConfig(ngram_size=ngram_size, spec_length=spec_length)
    raise NotImplementedError(
        f"no speculative decoding by {spec_decode!r}; use lookahead or promptlookup"
    )


NAMES = {
    "SpecDecodeConfig": SpecDecodeConfig,
    "LookaheadConfig": LookaheadConfig,
    "PromptLookupConfig": PromptLookupConfig,
    "spec_decode_class": spec_decode_class,
}
