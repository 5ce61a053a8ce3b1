"""What the user wants to be told of a diff, and what is no difference to them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mpkgraph.errors import UsageError
from mpkgraph.frozen import dataclass

LEVELS: Final = ("operators", "tensors", "tiles", "events", "orderings", "metadata", "ranks")
"""What `--only` takes; costs and findings are told of, and are no differences by themselves."""

ASPECTS: Final = {
    "operators": "added, removed, moved, split and fused operators",
    "type": "another task type or registered name",
    "variant": "another kernel of the same type: variant or parameters",
    "grid": "another grid",
    "input_map": "a grid axis that splits another dim",
    "shape": "dims of a tensor",
    "stride": "strides of a tensor",
    "dtype": "element type of a tensor",
    "base": "another tensor in a slot",
    "names": "tensors with another name in all places",
    "tiles": "tiles that lie elsewhere or have other dims, where nothing above explains it",
    "metadata": "request_id, kv_idx, expert_offset and the like",
    "events": "events, their triggers and who waits on them",
    "orderings": "operators that are newly ordered, or no longer",
    "fields": "fields that Mirage's format lacks, first tasks, null tasks",
    "ranks": "ranks that only one side has, events of other ranks",
}
"""What `--ignore` takes, and what each is."""

_LEVEL_OF = {
    "operators": "operators",
    "type": "operators",
    "variant": "operators",
    "grid": "operators",
    "input_map": "operators",
    "base": "operators",
    "shape": "tensors",
    "stride": "tensors",
    "dtype": "tensors",
    "names": "tensors",
    "tiles": "tiles",
    "metadata": "metadata",
    "fields": "metadata",
    "events": "events",
    "orderings": "orderings",
    "ranks": "ranks",
}


@dataclass(frozen=True)
class DiffOptions:
    """How two graphs are compared."""

    ignore: frozenset[str] = frozenset()
    """Of `ASPECTS`: these are no differences."""
    ignore_names: bool = False
    """Tensors are known by what is done with them alone."""
    strict_names: bool = False
    """A tensor that has another name in all places is a difference."""

    @property
    def ignored(self) -> frozenset[str]:
        return self.ignore if self.strict_names else self.ignore | {"names"}

    @classmethod
    def of_words(
        cls,
        only: Iterable[str] = (),
        ignore: Iterable[str] = (),
        *,
        ignore_names: bool = False,
        strict_names: bool = False,
    ) -> DiffOptions:
        """From words of the command line: levels or aspects. Raises UsageError for any other.

        >>> sorted(DiffOptions.of_words(only=["tiles"]).ignore)[:3]
        ['base', 'dtype', 'events']
        """
        kept: set[str] = set()
        for word in only:
            kept |= _aspects(word, "--only")
        left_out: set[str] = set() if not kept else set(ASPECTS) - kept
        for word in ignore:
            left_out |= _aspects(word, "--ignore")
        if strict_names and (ignore_names or "names" in left_out):
            raise UsageError("names can't be both ignored and strict")
        if "names" in left_out and not kept:
            ignore_names = True
        return cls(frozenset(left_out), ignore_names, strict_names)


def _aspects(word: str, option: str) -> set[str]:
    wanted = word.strip().replace("-", "_")
    aliases = {"shapes": "shape", "strides": "stride", "dtypes": "dtype", "variants": "variant"}
    wanted = aliases.get(wanted, wanted)
    found = {aspect for aspect, level in _LEVEL_OF.items() if level == wanted}
    if wanted in ASPECTS and option == "--ignore":
        found = {wanted}
    elif wanted in ASPECTS:
        found |= {wanted}
    if not found:
        known = ", ".join(dict.fromkeys((*LEVELS, *ASPECTS)))
        raise UsageError(f"{option} does not know {word!r}", remedy=f"It takes {known}")
    return found
