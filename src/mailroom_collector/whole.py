"""Whole numbers as option values."""

import re
from typing import Any

import click

_WHOLE = re.compile(r"-?[0-9]{1,19}", re.ASCII)


class Whole(click.IntRange):
    """A whole number in a range; unlike int(), without spaces, underscores and foreign digits."""

    name = "whole number"

    def __init__(self, low: int, high: int, *, tells_range: bool = True) -> None:
        """`tells_range`: the help names the range."""
        super().__init__(low, high)
        self._low, self._high = low, high
        self._tells_range = tells_range

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number. Raises click.BadParameter that says what is allowed."""
        number = int(value) if isinstance(value, int) or _WHOLE.fullmatch(value) else None
        if number is None or not self._low <= number <= self._high:
            self.fail(f"'{value}' is not allowed; give a whole number from {self._low} to {self._high}", param, ctx)
        return number

    def _describe_range(self) -> str:
        """Return what the help says, as people write it."""
        return f"{self._low} to {self._high}" if self._tells_range else ""
