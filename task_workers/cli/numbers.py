"""Numbers on the command line: none that a clock cannot count or that the store cannot keep."""

from __future__ import annotations

import math
from typing import Any, Final

import click

from brokers.spans import LARGEST_COUNT, LONGEST_SECONDS

LARGEST_NUMBER: Final = LONGEST_SECONDS


class Whole(click.IntRange):
    """A whole number within a range, and never above 1,000,000,000."""

    def _describe_range(self) -> str:  # click's word for no bounds is "x<=None"
        return "" if self.min is None and self.max is None else super()._describe_range()

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if abs(number) > LARGEST_COUNT:
            self.fail(f"{value} is too large: {LARGEST_COUNT:,} at most.", param, ctx)
        return number


class Number(click.FloatRange):
    """A number within a range: seconds in most cases, a hundred years at most; neither ``nan`` nor ``inf``."""

    def _describe_range(self) -> str:  # click's word for no bounds is "x<=None"
        return "" if self.min is None and self.max is None else super()._describe_range()

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no number.", param, ctx)
        if abs(number) > LARGEST_NUMBER:
            self.fail(f"{value} is too large: {LARGEST_NUMBER:.0f} at most.", param, ctx)
        return number
