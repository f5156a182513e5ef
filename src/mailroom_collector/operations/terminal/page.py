"""Pure: chooses the lines that fit on the screen."""

from collections.abc import Sequence

from mailroom_collector.operations.text.status_line import Rank, StatusLine
from mailroom_runtime.words import counted


def fitting(lines: Sequence[StatusLine], rows: int) -> list[StatusLine]:
    """Return at most `rows` lines. If some are left out, the last line says how many.

    It leaves out empty lines first, then the lines with the highest rank, from the bottom up. So the lines about
    waiting and sent mails stay.
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
