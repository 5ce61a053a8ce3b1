"""The type of options that limit time."""

from __future__ import annotations

from typing import Any

import click

LONGEST_S = 1e8
"""Three years. Operating systems refuse to wait for much longer, and for infinity."""


class Seconds(click.FloatRange):
    """A finite number of seconds above 0."""

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        found = float(super().convert(value, param, ctx))
        if not found <= LONGEST_S:  # NaN is not
            self.fail(
                f"{found} is no time to wait. Give at most {LONGEST_S:.0f} seconds", param, ctx
            )
        return found
