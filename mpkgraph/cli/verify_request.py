"""What one `mpkgraph verify` was asked."""

from __future__ import annotations

from mpkgraph.cli.source_request import ReportRequest, words
from mpkgraph.frozen import dataclass


@dataclass(frozen=True, kw_only=True)
class VerifyRequest(ReportRequest):
    """The command's options as click gives them."""

    select: tuple[str, ...]
    ignore: tuple[str, ...]
    suppress: tuple[str, ...]
    fail_on: str
    baseline: str | None
    write_baseline: str | None
    tiles: str | None
    html: str | None
    explain: str | None
    list_rules: bool

    @property
    def selected(self) -> list[str]:
        return words(self.select)

    @property
    def ignored(self) -> list[str]:
        return words(self.ignore)
