"""What one `mpkgraph diff` was asked."""

from __future__ import annotations

from dataclasses import dataclass

from mpkgraph.cli.verify_request import VerifyRequest, words
from mpkgraph.errors import UsageError


@dataclass(frozen=True)
class DiffRequest:
    """The command's options as click gives them."""

    sources: tuple[str, ...]
    arguments: tuple[str, ...]
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
    target: str | None
    workers: int | None
    schedulers: int | None
    world_size: int | None
    rank: int | None
    all_ranks: bool
    multicast: bool | None
    settings: tuple[str, ...]
    init: tuple[str, ...]
    meta: bool
    register: tuple[str, ...]
    no_record: bool
    mirage_home: str | None
    no_cache: bool
    processes: int | None
    no_progress: bool
    traceback: bool
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

    def of_side(self, side: int) -> VerifyRequest:
        """What the source of one side is read or planned with."""
        own_set = (self.left_set, self.right_set)[side]
        own_target = (self.left_target, self.right_target)[side]
        own_size = (self.left_world_size, self.right_world_size)[side]
        source = self.sources[min(side, len(self.sources) - 1)]
        return VerifyRequest(
            sources=(source,),
            arguments=self.arguments,
            select=(),
            ignore=(),
            suppress=(),
            fail_on="error",
            baseline=None,
            write_baseline=None,
            explain=None,
            list_rules=False,
            target=own_target or self.target,
            workers=self.workers,
            schedulers=self.schedulers,
            world_size=own_size or self.world_size,
            rank=self.ranks[side] if self.ranks else self.rank,
            all_ranks=self.all_ranks,
            multicast=self.multicast,
            settings=(*self.settings, *own_set),
            init=self.init,
            meta=self.meta,
            register=self.register,
            record=None,
            no_record=self.no_record,
            mirage_home=self.mirage_home,
            no_cache=self.no_cache,
            processes=self.processes,
            no_progress=self.no_progress,
            traceback=self.traceback,
            form=None,
            as_json=False,
            output=None,
            tiles=None,
            color=None,
        )
