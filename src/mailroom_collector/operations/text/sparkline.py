"""Pure: numbers as a line of bars."""

from collections.abc import Sequence
from typing import Final

_BARS: Final = "▁▂▃▄▅▆▇█"
_PLAIN: Final = "_.-=+*#@"


def sparkline(values: Sequence[float], columns: int, *, unicode: bool = True) -> str:
    """Return a bar for each of the last values that fit. The largest has the tallest bar; 0 is a space."""
    bars = _BARS if unicode else _PLAIN
    values = values[-columns:] if columns > 0 else []
    largest = max(values, default=0)
    return "".join(
        " " if value <= 0 else bars[min(len(bars) - 1, int(value / largest * len(bars)))] for value in values
    )
