"""Pure: how the queue is, as text for people and as JSON for programs."""

from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple

from mailroom_collector.operations.durations import iso, spoken, spoken_ms, stamp
from mailroom_collector.operations.figures import History, Overview, Progress
from mailroom_collector.operations.sparkline import sparkline
from mailroom_collector.operations.tables import cut, pad, shown, table

_REASONS: Final = 8
"""Reasons of one state that are listed; the rest is added up."""
_LEASES: Final = 8
_LABEL: Final = 36
"""Columns in front of numbers."""
_NAME: Final = 18
"""Columns in front of words."""


class Kind(Enum):
    """How a line is to look."""

    PLAIN = "plain"
    HEAD = "head"
    BAD = "bad"


class Line(NamedTuple):
    """One line of text."""

    text: str
    kind: Kind = Kind.PLAIN


def _count(number: int) -> str:
    return f"{number:,}"


def _row(label: str, value: str, kind: Kind = Kind.PLAIN) -> Line:
    return Line(f"  {pad(label, _LABEL - 2)}{value}", kind)


def _words(name: str, value: str, kind: Kind = Kind.PLAIN) -> Line:
    return Line(f"  {pad(name, _NAME - 2)}{value}", kind)


def text(overview: Overview, columns: int, *, unicode: bool = True) -> list[Line]:
    """Return the lines, each at most so many columns wide."""
    lines: list[Line] = [
        Line(f"queue {overview.queue}, {stamp(overview.progress.at)} UTC", Kind.HEAD),
        Line(""),
        *_pulse(overview, columns, unicode=unicode),
        *_progress(overview.progress),
        Line(""),
        *_history(overview.history),
        Line(""),
        *_people(overview),
        *_leases(overview.progress),
    ]
    return [Line(cut(line.text, columns), line.kind) for line in lines]


def _progress(progress: Progress) -> Iterator[Line]:
    yield Line("not settled", Kind.HEAD)
    waits = progress.count("pending", due=True)
    for label, number, kind in (
        ("waiting, due now", waits, Kind.PLAIN),
        ("waiting, due later", progress.count("pending", due=False), Kind.PLAIN),
        ("in the pipe", progress.count("claimed", due=False), Kind.PLAIN),
        ("being sent", progress.count("sending", due=False), Kind.PLAIN),
        ("lease ran out", progress.lapsed, Kind.BAD if progress.lapsed else Kind.PLAIN),
    ):
        yield _row(label, f"{_count(number):>11}", kind)
    if progress.oldest is None:
        yield _row("oldest mailable token", "       none")
    else:
        left = (progress.oldest.expires_at - progress.at).total_seconds()
        yield _row("oldest mailable token", f"{spoken(progress.age):>11}")
        yield _row(f"  token {progress.oldest.token}, expires in", f"{spoken(left):>11}")


def _history(history: History) -> Iterator[Line]:
    yield Line(f"{pad('settled in the last', _LABEL)}{'minute':>11}{'hour':>11}{'day':>11}", Kind.HEAD)
    for state in ("sent", "emitted", "failed", "skipped"):
        settled = history.of(state)
        if state == "emitted" and not settled:
            continue  # where senders acknowledge there is none
        yield _row(state, _counts([(one.last_minute, one.last_hour, one.last_day) for one in settled]))
        if state in ("failed", "skipped"):
            listed, rest = settled[:_REASONS], settled[_REASONS:]
            for one in listed:
                label = shown(one.reason or "without a reason")
                numbers = _counts([(one.last_minute, one.last_hour, one.last_day)])
                if len(label) <= _LABEL - 5:
                    yield _row(f"  {label}", numbers)
                else:
                    yield Line(f"    {label}")
                    yield _row("", numbers)
            if rest:
                yield _row(
                    f"  {len(rest)} other reasons",
                    _counts([(one.last_minute, one.last_hour, one.last_day) for one in rest]),
                )
    doubts = sum(one.doubts for one in history.settled)
    yield _row("perhaps sent twice", f"{'':22}{_count(doubts):>11}", Kind.BAD if doubts else Kind.PLAIN)
    if history.p50_ms is not None and history.p95_ms is not None:
        yield _row(
            "from commit to sent, median",
            f"{'':>11}{spoken_ms(history.p50_ms):>11}  (p95: {spoken_ms(history.p95_ms)})",
        )
    if history.last_sent_at is not None:
        yield _row("last one sent at (UTC)", f"{stamp(history.last_sent_at):>33}")


def _counts(numbers: Sequence[tuple[int, int, int]]) -> str:
    return "".join(f"{_count(sum(column)):>11}" for column in zip(*numbers, strict=True)) or f"{0:>11}{0:>11}{0:>11}"


def _pulse(overview: Overview, columns: int, *, unicode: bool) -> Iterator[Line]:
    if not overview.pulse:
        return
    bars = sparkline(overview.pulse, min(len(overview.pulse), columns - 2), unicode=unicode)
    seconds = len(bars)
    yield Line(f"mails a second, now {overview.pulse[-1]:,}, at most {max(overview.pulse[-seconds:]):,}", Kind.HEAD)
    yield Line(f"  {bars}")
    yield Line("")


def _people(overview: Overview) -> Iterator[Line]:
    progress, echo = overview.progress, overview.echo
    since = progress.acknowledged_at
    yield _words("senders", f"acknowledge, last said so {stamp(since)} UTC" if since else "none ever acknowledged")
    yield _words("collectors", "one attends: inserts don't notify" if progress.attended else "inserts notify")
    match echo.arrives:
        case True:
            yield _words("notifications", f"arrive, in {spoken_ms(echo.ms or 0)}")
        case False:
            yield _words("notifications", "don't arrive through this URL (a pooler in transaction mode?)", Kind.BAD)
        case None:
            yield _words("notifications", f"not tested: {echo.problem}")


def _leases(progress: Progress) -> Iterator[Line]:
    leases = progress.leases
    if not leases:
        yield _words("leases", "none")
        return
    yield Line("")
    yield Line("leases", Kind.HEAD)
    rows = []
    for one in leases[:_LEASES]:
        seconds = (one.last_due - progress.at).total_seconds()
        until = f"ran out {spoken(-seconds)} ago" if one.due else f"for {spoken(seconds)} more"
        rows.append(["", _process(one.holder or "?"), one.state, _count(one.deliveries), until])
    for line in table(rows, "<<<><"):
        yield Line(line)
    if len(leases) > _LEASES:
        yield Line(f"  and {len(leases) - _LEASES} more")


def _process(holder: str) -> str:
    """Return a holder without the part that only makes it unique."""
    program, _, rest = shown(holder).partition(":")
    host, _, rest = rest.rpartition(":")[0].rpartition(":")
    return f"{program} {host} pid {rest}" if host and program in ("collect", "send") else shown(holder)


def as_json(overview: Overview) -> dict[str, Any]:
    """Return what docs/operations.md lists, key by key. Times are in UTC, RFC 3339; durations as their keys say."""
    progress, history = overview.progress, overview.history
    oldest = progress.oldest
    return {
        "queue": overview.queue,
        "time": iso(progress.at),
        "waiting": {
            "due": progress.count("pending", due=True),
            "later": progress.count("pending", due=False),
            "lapsed": progress.lapsed,
        },
        "claimed": progress.count("claimed", due=False),
        "sending": progress.count("sending", due=False),
        "oldest": oldest
        and {
            "token": oldest.token,
            "queued_at": iso(oldest.queued_at),
            "expires_at": iso(oldest.expires_at),
            "age_s": round(progress.age, 3),
            "expires_in_s": round((oldest.expires_at - progress.at).total_seconds(), 3),
        },
        "overdue_s": round(progress.overdue, 3),
        **{
            state: {
                name: sum(getattr(one, f"last_{name}") for one in history.of(state))
                for name in ("minute", "hour", "day")
            }
            for state in ("sent", "emitted", "failed", "skipped")
        },
        "reasons": [
            {
                "state": one.state,
                "reason": one.reason,
                "minute": one.last_minute,
                "hour": one.last_hour,
                "day": one.last_day,
            }
            for state in ("failed", "skipped")
            for one in history.of(state)
        ],
        "doubts": {"day": sum(one.doubts for one in history.settled)},
        "latency_ms": {"p50": _rounded(history.p50_ms), "p95": _rounded(history.p95_ms)},
        "last_sent_at": iso(history.last_sent_at),
        "leases": [
            {
                "holder": one.holder,
                "state": one.state,
                "deliveries": one.deliveries,
                "until": iso(one.last_due),
                "lapsed": one.due,
            }
            for one in progress.leases
        ],
        "acknowledged_at": iso(progress.acknowledged_at),
        "attended": progress.attended,
        "notifications": {
            "arrive": overview.echo.arrives,
            "ms": _rounded(overview.echo.ms),
            "problem": overview.echo.problem or None,
        },
    }


def _rounded(ms: float | None) -> float | None:
    return None if ms is None else round(ms, 1)


class Health(NamedTuple):
    """Whether mail flows, and one line that says why."""

    well: bool
    words: str


def check(progress: Progress, max_age: float) -> Health:
    """Return whether nothing waits for longer than `max_age` seconds.

    Once the tokens that wait are expired none of them is mailable; that nobody took them up is as bad.
    """
    if progress.oldest is not None and progress.age > max_age:
        left = (progress.oldest.expires_at - progress.at).total_seconds()
        return Health(
            False,
            f"token {progress.oldest.token} waits for {spoken(progress.age)}, longer than {spoken(max_age)};"
            f" it expires in {spoken(left)}",
        )
    if progress.overdue > max_age:
        return Health(
            False, f"nobody took up what is due for {spoken(progress.overdue)}, longer than {spoken(max_age)}"
        )
    if progress.oldest is None:
        return Health(True, "no mailable token waits")
    return Health(True, f"the oldest mailable token waits for {spoken(progress.age)}")
