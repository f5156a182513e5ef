"""Pure: the state of the queue as text for people."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from mailroom_collector.operations.figures import History, ListenResult, Overview, QueueProgress, Settled
from mailroom_collector.operations.text.action_table import action_table
from mailroom_collector.operations.text.durations import format_duration, format_ms, stamp
from mailroom_collector.operations.text.health import public_rights
from mailroom_collector.operations.text.sparkline import sparkline
from mailroom_collector.operations.text.status_line import Kind, Rank, StatusLine
from mailroom_collector.operations.text.table import cut, pad, table, wrapped
from mailroom_collector.report.outlook import late_words, new_words, sentences
from mailroom_runtime.words import counted, visible

_REASONS: Final = 8
"""The number of reasons per state that are listed. The others are added up."""
_LEASES: Final = 8
_NAME: Final = 18
"""The width of the labels in front of texts."""
_IGNORED: Final = 10.0  # seconds for which a delivery may be due without a warning: longer than the batch timeout


def _count(number: int) -> str:
    return f"{number:,}"


class _Columns(NamedTuple):
    """The widths of the label and of each of the three numbers behind it."""

    all: int
    label: int
    number: int

    @classmethod
    def of(cls, columns: int) -> "_Columns":
        """Divide the columns: the numbers get room for 1,234,567, the labels get the rest."""
        number = 11 if columns >= 69 else 10  # noqa: PLR2004 - the widest labels and numbers
        return cls(columns, min(36, max(24, columns - 3 * number)), number)

    def row(self, label: str, value: str, kind: Kind = Kind.PLAIN, rank: Rank = Rank.NEEDED) -> StatusLine:
        """Return a line with a label and the value behind it."""
        return StatusLine(f"  {pad(label, self.label - 2)}{value}", kind, rank)

    def right(self, value: str, columns: int = 1) -> str:
        """Return a value, aligned right in `columns` of the number columns."""
        return pad(value, columns * self.number, ">")

    def counts(self, settled: Sequence[Settled]) -> str:
        """Return the sums of what was settled in each period."""
        sums = (sum(getattr(one, f"last_{time}") for one in settled) for time in ("minute", "hour", "day"))
        return "".join(self.right(_count(number)) for number in sums)


def _words(columns: int, name: str, value: str, kind: Kind = Kind.PLAIN) -> Iterator[StatusLine]:
    for place, line in enumerate(wrapped(value, max(20, columns - _NAME))):
        yield StatusLine(f"  {pad('' if place else name, _NAME - 2)}{line}", kind)


def status_text(overview: Overview, columns: int, *, unicode: bool = True) -> list[StatusLine]:
    """Return the lines. Each has at most so many columns."""
    lines: list[StatusLine] = [
        StatusLine(f"queue {overview.queue}, {stamp(overview.progress.at)} UTC", Kind.HEAD),
        *_paused(overview.progress, columns),
        *_late(overview, columns),
        StatusLine(""),
        *_pulse(overview, columns, unicode=unicode),
        *_progress(overview.progress, _Columns.of(columns)),
        *action_table(overview.outlook),
        StatusLine(""),
        *_history(overview.history, _Columns.of(columns)),
        StatusLine(""),
        *_programs(overview, columns),
        *_leases(overview.progress, columns),
    ]
    return [line._replace(text=cut(line.text, columns)) for line in lines]


def _paused(progress: QueueProgress, columns: int) -> Iterator[StatusLine]:
    if progress.paused_at is not None:
        why = f": {visible(progress.paused_reason)}" if progress.paused_reason else ""
        words = f"since {stamp(progress.paused_at)} UTC{why}; nothing is sent until mailroom-collect resume"
        yield from _words(columns, "PAUSED", words, Kind.BAD)


def _late(overview: Overview, columns: int) -> Iterator[StatusLine]:
    if overview.outlook.late and overview.progress.paused_at is None:
        words = sentences([late_words(overview.outlook), *new_words(overview.outlook)])
        yield from _words(columns, "LATE", words, Kind.BAD)


def _progress(progress: QueueProgress, columns: _Columns) -> Iterator[StatusLine]:
    yield StatusLine("not settled", Kind.HEAD)
    for label, number, kind in (
        ("waiting, due now", progress.count("pending", due=True), Kind.PLAIN),
        ("waiting, due later", progress.count("pending", due=False), Kind.PLAIN),
        ("in the pipe", progress.count("claimed", due=False), Kind.PLAIN),
        ("being sent", progress.count("sending", due=False), Kind.PLAIN),
        ("lease ran out", progress.lapsed, Kind.BAD if progress.lapsed else Kind.PLAIN),
    ):
        yield columns.row(label, columns.right(_count(number)), kind)
    if progress.oldest is None:
        yield columns.row("oldest mailable token", columns.right("none"))
    else:
        left = (progress.oldest.expires_at - progress.at).total_seconds()
        yield columns.row("oldest mailable token", columns.right(format_duration(progress.age)))
        yield columns.row(f"  token {progress.oldest.token}, expires in", columns.right(format_duration(left)))


def _history(history: History, columns: _Columns) -> Iterator[StatusLine]:
    times = "".join(columns.right(time) for time in ("minute", "hour", "day"))
    yield StatusLine(f"{pad('settled in the last', columns.label)}{times}", Kind.HEAD)
    for state in ("sent", "emitted", "failed", "skipped"):
        settled = history.of(state)
        if state == "emitted" and not settled:
            continue  # there is none where senders acknowledge
        yield columns.row(state, columns.counts(settled))
        if state in ("failed", "skipped"):
            yield from _reasons(settled, columns)
    doubts = sum(one.doubts for one in history.settled)
    kind = Kind.BAD if doubts else Kind.PLAIN
    yield columns.row("may have been sent twice", columns.right(_count(doubts), 3), kind)
    if history.p50_ms is not None and history.p95_ms is not None:
        yield from _latency(history.p50_ms, history.p95_ms, columns)
    if history.last_sent_at is not None:
        yield columns.row("last one sent at (UTC)", columns.right(stamp(history.last_sent_at), 3))


def _reasons(settled: Sequence[Settled], columns: _Columns) -> Iterator[StatusLine]:
    listed, rest = settled[:_REASONS], settled[_REASONS:]
    for one in listed:
        first, *others = wrapped(visible(one.reason or "without a reason"), columns.label - 5)
        yield columns.row(f"  {first}", columns.counts([one]), rank=Rank.REASON)
        for line in others:
            yield columns.row(f"  {line}", "", rank=Rank.REASON)
    if rest:
        yield columns.row(f"  {counted(len(rest), 'other reason')}", columns.counts(rest), rank=Rank.REASON)


def _latency(median: float, p95: float, columns: _Columns) -> Iterator[StatusLine]:
    label, value, more = "from commit to sent, median", columns.right(format_ms(median), 2), f"(p95: {format_ms(p95)})"
    if columns.label + len(f"{value}  {more}") <= columns.all:
        yield columns.row(label, f"{value}  {more}")
    else:
        yield columns.row(label, value)
        yield columns.row("", columns.right(more, 2))


def _pulse(overview: Overview, columns: int, *, unicode: bool) -> Iterator[StatusLine]:
    if not overview.pulse:
        return
    bars = sparkline(overview.pulse, min(len(overview.pulse), columns - 2), unicode=unicode)
    pulse = overview.pulse[-len(bars) :]
    time = "minute" if len(bars) == 60 else format_duration(len(bars))  # noqa: PLR2004
    yield StatusLine(
        f"mails a second, last {time}: at most {max(pulse):,}, now (right) {pulse[-1]:,}", Kind.HEAD, Rank.PULSE
    )
    yield StatusLine(f"  {bars}", rank=Rank.PULSE)
    yield StatusLine("", rank=Rank.PULSE)


def _programs(overview: Overview, columns: int) -> Iterator[StatusLine]:
    since = overview.progress.acknowledged_at
    words = f"acknowledge, last at {stamp(since)} UTC" if since else "none ever acknowledged"
    yield from _words(columns, "senders", f"{_connected(overview.sessions.senders)}; {words}")
    yield from _collectors(overview.progress, overview.sessions.collectors, columns)
    yield from _notifications(overview.listen_result, columns)
    if overview.public:
        yield from _words(columns, "rights", public_rights(overview.public), Kind.BAD)


def _collectors(progress: QueueProgress, sessions: int, columns: int) -> Iterator[StatusLine]:
    if not sessions and not progress.fast_polling and progress.overdue > _IGNORED:
        words = f"none is connected; due deliveries have waited for {format_duration(progress.overdue)}"
        yield from _words(columns, "collectors", words, Kind.BAD)
        return
    words = "one polls fast: inserts don't notify" if progress.fast_polling else "inserts notify"
    yield from _words(columns, "collectors", f"{_connected(sessions)}; {words}")


def _notifications(result: ListenResult, columns: int) -> Iterator[StatusLine]:
    match result.arrives:
        case True:
            yield from _words(columns, "notifications", f"arrive, in {format_ms(result.ms or 0)}")
        case False:
            words = "don't arrive through this URL (a pooler in transaction mode?)"
            yield from _words(columns, "notifications", words, Kind.BAD)
        case None:
            yield from _words(columns, "notifications", f"not tested: {result.problem}")


def _connected(sessions: int) -> str:
    return f"{counted(sessions, 'session') if sessions else 'no sessions'} connected"


def _leases(progress: QueueProgress, columns: int) -> Iterator[StatusLine]:
    leases = progress.leases
    if not leases:
        yield from _words(columns, "leases", "none")
        return
    yield StatusLine("")
    yield StatusLine("leases", Kind.HEAD, Rank.LEASE)
    rows = []
    for one in leases[:_LEASES]:
        seconds = (one.last_due - progress.at).total_seconds()
        until = f"ran out {format_duration(-seconds)} ago" if one.due else f"for {format_duration(seconds)} more"
        rows.append(["", _process(one.holder or "?"), one.state, _count(one.deliveries), until])
    for line in table(rows, "<<<><"):
        yield StatusLine(line, rank=Rank.LEASE)
    if len(leases) > _LEASES:
        yield StatusLine(f"  and {len(leases) - _LEASES} more", rank=Rank.LEASE)


def _process(holder: str) -> str:
    """Return a holder's program, host and process id, without the random part."""
    program, _, rest = visible(holder).partition(":")
    host, _, rest = rest.rpartition(":")[0].rpartition(":")
    return f"{program} {host} pid {rest}" if host and program in ("collect", "send") else visible(holder)
