"""What one `mpkgraph show` was asked."""

from __future__ import annotations

from mpkgraph.frozen import dataclass

LISTS = ("tasks", "slots", "events", "operators", "tensors")


# Requests are not compared: methods that nobody calls take a millisecond to make
@dataclass(frozen=True, eq=False, repr=False)
class ShowRequest:
    """The options of one `mpkgraph show`, as given."""

    path: str
    task: tuple[str, ...]
    event: tuple[str, ...]
    operator: tuple[str, ...]
    tensor: tuple[str, ...]
    task_type: tuple[str, ...]
    variant: tuple[int, ...]
    waits_on: tuple[str, ...]
    triggers: tuple[str, ...]
    list_what: str | None
    hops: int | None
    direction: str
    path_ends: tuple[int, int] | None
    all_paths: bool
    limit: int
    draw: str | None
    level: str | None
    reduce: bool
    force: bool
    draw_timeout: float
    tiles: str | None
    html: str | None
    findings: bool
    against: str | None
    overlay: tuple[str, ...]
    extract: str | None
    workers: int | None
    schedulers: int | None
    schedule: bool
    cost: str | None
    kv_length: int | None
    profile: str | None
    what_if: tuple[str, ...]
    trace: str | None
    gantt: str | None
    full: bool
    rank: int | None
    record: str | None
    no_record: bool
    mirage_home: str | None
    no_cache: bool
    processes: int | None
    no_progress: bool
    as_json: bool
    as_csv: bool
    as_parquet: bool
    output: str | None
    color: bool | None

    @property
    def has_selection(self) -> bool:
        """Whether any option chooses tasks."""
        return bool(
            self.task
            or self.event
            or self.operator
            or self.tensor
            or self.task_type
            or self.variant
            or self.waits_on
            or self.triggers
        )
