"""The type of options that name a file or folder."""

from __future__ import annotations

import os
from typing import Any

import click


class NamedPath(click.Path):
    """A path that is there: the empty one, which `-o "$UNSET"` gives, is refused.

    Taken on, it would mean the working folder, or that the option was not given.
    """

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:
        if not os.fspath(value):
            self.fail(
                "the path is empty. Name a file or folder, or leave the option out", param, ctx
            )
        return super().convert(value, param, ctx)
