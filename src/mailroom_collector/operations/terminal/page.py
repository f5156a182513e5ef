"""Pure: the lines that a screen has room for."""

from collections.abc import Sequence

from mailroom_collector.operations.text.status_line import Rank, StatusLine
from mailroom_runtime.words import counted


def fitting(lines: Sequence[StatusLine], rows: int) -> list[StatusLine]:
    """Return at most so many lines; where some are left out, the last one says how many.

    Leaves out empty lines first, then the lines of the highest rank, from the bottom up, so that the lines on
    what waits and what was sent stay.
    """
    kept = list(lines)
    if len(kept) > rows:
        kept = [line for line in kept if line.text]
    if len(kept) <= rows:
        return kept
    whole = len(kept)
    for rank in sorted(Rank, reverse=True):
        for place in reversed([place for place, line in enumerate(kept) if line.rank == rank]):
            if len(kept) < rows:  # there is room for the last line
                break
            del kept[place]
    left_out = whole - len(kept)
    return [*kept, StatusLine(f"... {counted(left_out, 'more line')}")][: max(0, rows)]
