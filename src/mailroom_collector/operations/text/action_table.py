"""Pure: what waits, by action, as a table."""

from collections.abc import Iterator
from typing import Final

from mailroom_collector.operations.text.durations import format_duration
from mailroom_collector.operations.text.status_line import Kind, Rank, StatusLine
from mailroom_collector.operations.text.table import cut, table
from mailroom_collector.report.outlook import ActionOutlook, Outlook
from mailroom_runtime.words import visible

_HEAD: Final = ("by action", "waiting", "oldest", "late", "a new one waits")
_LONGEST_NAME: Final = 24  # columns


def action_table(outlook: Outlook) -> Iterator[StatusLine]:
    """Yield the lines. None if nothing waits. If nothing is late, only actions are listed of which some wait."""
    if not outlook.waiting:
        return
    actions = [one for one in outlook.actions if one.waiting or outlook.late]
    head, *lines = table([_HEAD, *(_row(one) for one in actions)], "<>>>>")
    rank = Rank.NEEDED if outlook.late else Rank.PULSE
    yield StatusLine("", rank=rank)
    yield StatusLine(head, Kind.HEAD, rank)
    for line, one in zip(lines, actions, strict=True):
        yield StatusLine(line, Kind.BAD if one.late else Kind.PLAIN, rank)


def _row(one: ActionOutlook) -> list[str]:
    name = cut(visible(one.action or "(token is gone)"), _LONGEST_NAME)
    return [f"  {name}", f"{one.waiting:,}", _time(one.oldest_s), f"{one.late:,}", _time(one.new_wait_s)]


def _time(seconds: float | None) -> str:
    return "" if seconds is None else format_duration(seconds)
