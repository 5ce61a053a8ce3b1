"""What commands are asked alike that take graphs or pipelines: sources, and the report's form."""

from __future__ import annotations

from collections.abc import Iterable

from mpkgraph.cli.plan_request import PlanRequest
from mpkgraph.errors import UsageError
from mpkgraph.frozen import dataclass


@dataclass(frozen=True, kw_only=True)
class SourceRequest(PlanRequest):
    """Sources, and how they are read or planned, as click gives them."""

    sources: tuple[str, ...]
    record: str | None = None
    no_record: bool
    no_cache: bool
    processes: int | None
    no_progress: bool

    @property
    def only_for_planning(self) -> list[str]:
        """Options given that mean something for scripts, functions and records alone."""
        given: dict[str, object] = {
            "arguments after --": self.arguments,
            "--world-size": self.world_size,
            "--all-ranks": self.all_ranks,
            "--multicast": self.multicast is not None,
            "--set": self.settings,
            "--init": self.init,
            "--meta": self.meta,
            "--register": self.register,
        }
        return [name for name, value in given.items() if value]


@dataclass(frozen=True, kw_only=True)
class ReportRequest(SourceRequest):
    """... and where the report goes, in which form."""

    form: str | None
    as_json: bool
    output: str | None
    color: bool | None

    @property
    def chosen_form(self) -> str:
        """Raises UsageError when `--json` and `--format` differ."""
        if self.as_json and self.form not in {None, "json"}:
            raise UsageError(f"--json and --format {self.form} can't go together")
        return "json" if self.as_json else self.form or "text"


def words(texts: Iterable[str]) -> list[str]:
    """What repeated options with commas name.

    >>> words(["MPK101, remainder", "hazards"])
    ['MPK101', 'remainder', 'hazards']
    """
    return [word.strip() for text in texts for word in text.split(",") if word.strip()]
