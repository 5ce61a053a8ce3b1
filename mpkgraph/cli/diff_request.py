"""What one `mpkgraph diff` was asked."""

from __future__ import annotations

from dataclasses import fields

from mpkgraph.cli.source_request import ReportRequest, SourceRequest, words
from mpkgraph.frozen import dataclass


@dataclass(frozen=True, kw_only=True)
class DiffRequest(ReportRequest):
    """The command's options as click gives them."""

    stat: bool
    full: bool
    only: tuple[str, ...]
    ignore: tuple[str, ...]
    ignore_names: bool
    strict_names: bool
    findings: bool
    makespan: bool
    ranks: tuple[int, int] | None
    patch: str | None
    apply_: str | None
    draw: str | None
    left_set: tuple[str, ...]
    right_set: tuple[str, ...]
    left_target: str | None
    right_target: str | None
    left_world_size: int | None
    right_world_size: int | None

    @property
    def only_words(self) -> list[str]:
        return words(self.only)

    @property
    def ignored_words(self) -> list[str]:
        return words(self.ignore)

    @property
    def is_planned_apart(self) -> bool:
        """Whether the sides are planned with options of their own."""
        return bool(
            self.left_set
            or self.right_set
            or self.left_target
            or self.right_target
            or self.left_world_size
            or self.right_world_size
        )

    def of_side(self, side: int) -> SourceRequest:
        """What the source of one side is read or planned with."""
        own_set = (self.left_set, self.right_set)[side]
        own_target = (self.left_target, self.right_target)[side]
        own_size = (self.left_world_size, self.right_world_size)[side]
        source = self.sources[min(side, len(self.sources) - 1)]
        shared = {x.name: getattr(self, x.name) for x in fields(SourceRequest)}
        shared |= {
            "sources": (source,),
            "target": own_target or self.target,
            "world_size": own_size or self.world_size,
            "rank": self.ranks[side] if self.ranks else self.rank,
            "settings": (*self.settings, *own_set),
        }
        return SourceRequest(**shared)
