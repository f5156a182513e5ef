"""The status of a queue, as text and as JSON, character by character."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mailroom_collector.operations.figures import (
    History,
    ListenResult,
    Oldest,
    Overview,
    QueueProgress,
    Sessions,
    Settled,
    Unsettled,
)
from mailroom_collector.operations.text.action_table import action_table
from mailroom_collector.operations.text.health import health
from mailroom_collector.operations.text.status_json import status_json
from mailroom_collector.operations.text.status_line import Kind, Rank, StatusLine
from mailroom_collector.operations.text.status_text import status_text
from mailroom_collector.report.outlook import ActionOutlook, Outlook

NOW = datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def settled(
    state: str, reason: str | None, minute: int, hour: int, day: int, doubts: int = 0, seconds: float = 0
) -> Settled:
    return Settled(state, reason, minute, hour, day, doubts, ago(seconds))


UNSETTLED = [
    Unsettled("pending", None, True, 1234, ago(5), ago(1)),
    Unsettled("pending", None, False, 20, ago(-5), ago(-9)),
    Unsettled("claimed", "collect:web1:4711:0123abcd", False, 300, ago(-20), ago(-25)),
    Unsettled("sending", "send:web:2:17:0123abcd", False, 50, ago(-20), ago(-20)),
    Unsettled("sending", "other:web2:18:0123abcd", True, 4, ago(90), ago(65)),
    Unsettled("claimed", "", True, 3, ago(7), ago(7)),
]
SETTLED = [
    settled("sent", None, 10, 200, 3000, doubts=1, seconds=2),
    settled("emitted", None, 4, 5, 6),
    settled("failed", "its email has no @", 1, 2, 3),
    settled("failed", None, 0, 1, 30),
    settled("skipped", "expired", 7, 8, 9, doubts=2),
    settled("sent", "other", 1, 1, 1, seconds=3),
]
PROGRESS = QueueProgress(NOW, ago(12), True, UNSETTLED, Oldest(4711, ago(61), ago(-839)), ago(120), "\x1bspam")
ACTIVATION = ActionOutlook("activation", 99_980, 14, 3700.0, 87_400, 900.04, ago(-60))
RECOVERY = ActionOutlook("password_recovery", 20, 0, 2.0, 0, 0.4, None)
LATE = Outlook([ACTIVATION, RECOVERY], 14.04)
HISTORY = History(SETTLED, 123.44, 4567.0)
FULL = Overview("mailroom", PROGRESS, HISTORY, ListenResult(True, 0.84), Sessions(1, 2), [0, 8, 1234], ["a", "b"], LATE)
EMPTY = Overview(
    "mailroom",
    QueueProgress(NOW, None, False, [], None),
    History([], None, None),
    ListenResult(None, problem="no"),
    Sessions(0, 0),
)


def marked(lines: list[StatusLine]) -> str:
    """Return lines, each with the first letters of its kind (except plain) and its rank."""
    heads = [f"{line.kind.name[0]}{line.rank.name[0]} ".replace("PN", "  ") for line in lines]
    return "\n".join(f"{head}{line.text}".rstrip() for head, line in zip(heads, lines, strict=True))


WIDE = """\
HN queue mailroom, 2026-01-31 23:59:59 UTC
BN   PAUSED          since 2026-01-31 23:57:59 UTC: \\x1bspam; nothing is sent until
BN                   mailroom-collect resume

HP mails a second, last 3.0 s: at most 1,234, now (right) 1,234
PP    ▁█
PP
HN not settled
     waiting, due now                        1,234
     waiting, due later                         20
     in the pipe                               300
     being sent                                 50
BN   lease ran out                               7
     oldest mailable token               1 min 1 s
       token 4711, expires in          13 min 59 s

HN by action            waiting     oldest    late  a new one waits
BN   activation          99,980  1 h 1 min  87,400           15 min
     password_recovery       20      2.0 s       0            0.4 s

HN settled in the last                      minute       hour        day
     sent                                       11        201      3,001
     emitted                                     4          5          6
     failed                                      1          3         33
PR     without a reason                          0          1         30
PR     its email has no @                        1          2          3
     skipped                                     7          8          9
PR     expired                                   7          8          9
BN   may have been sent twice                                          3
     from commit to sent, median                       123 ms  (p95: 4.6 s)
     last one sent at (UTC)                          2026-01-31 23:59:57

     senders         2 sessions connected; acknowledge, last at 2026-01-31 23:59:47
                     UTC
     collectors      1 session connected; one polls fast: inserts don't notify
     notifications   arrive, in 0.8 ms
BN   rights          every role may execute 2 functions of mailroom;
BN                   mailroom-collect migrate says how to end that

HL leases
PL   collect web1 pid 4711   claimed  300  for 25 s more
PL   send web:2 pid 17       sending   50  for 20 s more
PL   other:web2:18:0123abcd  sending    4  ran out 1 min 5 s ago
PL   ?                       claimed    3  ran out 7.0 s ago"""

NARROW = """\
HN queue mailroom, 2026-01-31 23:59:59 UTC
BN   PAUSED          since 2026-01-31 23:57:59 UTC: \\x1bspam; nothing
BN                   is sent until mailroom-collect resume

HP mails a second, last 3.0 s: at most 1,234, now (right) 1,234
PP    _@
PP
HN not settled
     waiting, due now                       1,234
     waiting, due later                        20
     in the pipe                              300
     being sent                                50
BN   lease ran out                              7
     oldest mailable token              1 min 1 s
       token 4711, expires in          13 min 59 s

HN by action            waiting     oldest    late  a new one waits
BN   activation          99,980  1 h 1 min  87,400           15 min
     password_recovery       20      2.0 s       0            0.4 s

HN settled in the last                     minute      hour       day
     sent                                      11       201     3,001
     emitted                                    4         5         6
     failed                                     1         3        33
PR     without a reason                         0         1        30
PR     its email has no @                       1         2         3
     skipped                                    7         8         9
PR     expired                                  7         8         9
BN   may have been sent twice                                       3
     from commit to sent, median                     123 ms
                                               (p95: 4.6 s)
     last one sent at (UTC)                       2026-01-31 23:59:57

     senders         2 sessions connected; acknowledge, last at
                     2026-01-31 23:59:47 UTC
     collectors      1 session connected; one polls fast: inserts don't
                     notify
     notifications   arrive, in 0.8 ms
BN   rights          every role may execute 2 functions of mailroom;
BN                   mailroom-collect migrate says how to end that

HL leases
PL   collect web1 pid 4711   claimed  300  for 25 s more
PL   send web:2 pid 17       sending   50  for 20 s more
PL   other:web2:18:0123abcd  sending    4  ran out 1 min 5 s ago
PL   ?                       claimed    3  ran out 7.0 s ago"""

NOTHING = """\
HN queue mailroom, 2026-01-31 23:59:59 UTC

HN not settled
     waiting, due now                            0
     waiting, due later                          0
     in the pipe                                 0
     being sent                                  0
     lease ran out                               0
     oldest mailable token                    none

HN settled in the last                      minute       hour        day
     sent                                        0          0          0
     failed                                      0          0          0
     skipped                                     0          0          0
     may have been sent twice                                          0

     senders         no sessions connected; none ever acknowledged
     collectors      no sessions connected; inserts notify
     notifications   not tested: no
     leases          none"""

JSON = {
    "queue": "mailroom",
    "time": "2026-01-31T23:59:59.000Z",
    "waiting": {"due": 1234, "later": 20, "lapsed": 7},
    "claimed": 300,
    "sending": 50,
    "oldest": {
        "token": 4711,
        "queued_at": "2026-01-31T23:58:58.000Z",
        "expires_at": "2026-02-01T00:13:58.000Z",
        "age_s": 61.0,
        "expires_in_s": 839.0,
    },
    "overdue_s": 90.0,
    "rate_per_s": 14.0,
    "actions": [
        {
            "action": "activation",
            "waiting": 99_980,
            "claimed": 14,
            "oldest_age_s": 3700.0,
            "late": 87_400,
            "new_wait_s": 900.0,
            "late_from": "2026-02-01T00:00:59.000Z",
        },
        {
            "action": "password_recovery",
            "waiting": 20,
            "claimed": 0,
            "oldest_age_s": 2.0,
            "late": 0,
            "new_wait_s": 0.4,
            "late_from": None,
        },
    ],
    "sent": {"minute": 11, "hour": 201, "day": 3001},
    "emitted": {"minute": 4, "hour": 5, "day": 6},
    "failed": {"minute": 1, "hour": 3, "day": 33},
    "skipped": {"minute": 7, "hour": 8, "day": 9},
    "reasons": [
        {"state": "failed", "reason": None, "minute": 0, "hour": 1, "day": 30},
        {"state": "failed", "reason": "its email has no @", "minute": 1, "hour": 2, "day": 3},
        {"state": "skipped", "reason": "expired", "minute": 7, "hour": 8, "day": 9},
    ],
    "doubts": {"day": 3},
    "latency_ms": {"p50": 123.4, "p95": 4567.0},
    "last_sent_at": "2026-01-31T23:59:57.000Z",
    "leases": [
        {
            "holder": "collect:web1:4711:0123abcd",
            "state": "claimed",
            "deliveries": 300,
            "until": "2026-02-01T00:00:24.000Z",
            "lapsed": False,
        },
        {
            "holder": "send:web:2:17:0123abcd",
            "state": "sending",
            "deliveries": 50,
            "until": "2026-02-01T00:00:19.000Z",
            "lapsed": False,
        },
        {
            "holder": "other:web2:18:0123abcd",
            "state": "sending",
            "deliveries": 4,
            "until": "2026-01-31T23:58:54.000Z",
            "lapsed": True,
        },
        {"holder": "", "state": "claimed", "deliveries": 3, "until": "2026-01-31T23:59:52.000Z", "lapsed": True},
    ],
    "acknowledged_at": "2026-01-31T23:59:47.000Z",
    "attended": True,
    "paused": {"since": "2026-01-31T23:57:59.000Z", "reason": "\x1bspam"},
    "public_functions": ["a", "b"],
    "connected": {"collectors": 1, "senders": 2},
    "notifications": {"arrive": True, "ms": 0.8, "problem": None},
}


@pytest.mark.parametrize(
    ("overview", "columns", "unicode", "expected"),
    [(FULL, 80, True, WIDE), (FULL, 68, False, NARROW), (EMPTY, 80, True, NOTHING)],
    ids=["wide", "narrow", "nothing"],
)
def test_report_has_the_expected_lines(overview: Overview, columns: int, unicode: bool, expected: str) -> None:
    """Each line has its columns, its faults, and whether it may be omitted."""
    assert marked(status_text(overview, columns, unicode=unicode)) == expected


def test_bars_are_unicode_unless_the_terminal_has_none() -> None:
    """By default."""
    assert status_text(FULL, 80) == status_text(FULL, 80, unicode=True)


def found(overview: Overview, label: str, columns: int = 80) -> list[str]:
    """Return the text beside a label, and in the lines below it without a label. Bad lines begin with !."""
    lines = status_text(overview, columns)
    (at,) = [place for place, line in enumerate(lines) if line.text.startswith(f"  {label}")]
    reported = [lines[at]]
    for line in lines[at + 1 :]:
        if not line.text.startswith(" " * 18):
            break
        reported.append(line)
    return ["!" * (line.kind is Kind.BAD) + line.text.removeprefix(f"  {label}").strip() for line in reported]


@pytest.mark.parametrize(
    ("columns", "label", "number"),
    [(120, 36, 11), (69, 36, 11), (68, 36, 10), (60, 30, 10), (55, 25, 10), (54, 24, 10)],
)
def test_numbers_stay_in_their_columns(columns: int, label: int, number: int) -> None:
    """From 69 columns on they are further apart. Labels have 24 to 36 columns."""
    overview = replace(EMPTY, history=History([settled("sent", None, 1, 200, 123_456)], None, None))
    expected = "  sent".ljust(label) + "1".rjust(number) + "200".rjust(number) + "123,456".rjust(number)
    assert [line.text for line in status_text(overview, columns) if line.text.startswith("  sent ")] == [expected]
    (cut,) = [line.text for line in status_text(overview, 50) if line.text.startswith("  sent ")]
    assert cut == "  sent".ljust(24) + "1".rjust(10) + "200".rjust(10) + "   12…"


def test_long_reasons_are_wrapped_in_the_labels_column() -> None:
    """All lines of a reason may be omitted. Reasons after the eighth are added up."""
    reasons = [settled("failed", f"reason {n} " + "x" * 22 + " y", 1, 2, 100 - n) for n in range(10)]
    lines = status_text(replace(EMPTY, history=History(reasons, None, None)), 80)
    at = lines.index(StatusLine("  failed                                     10         20        955"))
    assert lines[at + 1 : at + 3] == [
        StatusLine("    reason 0 " + "x" * 22 + "           1          2        100", rank=Rank.REASON),
        StatusLine("    y" + " " * 31, rank=Rank.REASON),
    ]
    assert lines[at + 17] == StatusLine(
        "    2 other reasons                           2          4        183", rank=Rank.REASON
    )
    eight = status_text(replace(EMPTY, history=History(reasons[:8], None, None)), 80)
    assert not [line for line in eight if "other reason" in line.text]


@pytest.mark.parametrize(("p50", "p95"), [(1.0, None), (None, 1.0), (None, None)])
def test_latency_needs_both_its_figures(p50: float | None, p95: float | None) -> None:
    """If one is unknown, none is shown."""
    overview = replace(EMPTY, history=History([], p50, p95))
    assert not [line for line in status_text(overview, 80) if "median" in line.text]


@pytest.mark.parametrize(("columns", "lines"), [(72, 1), (71, 2)])
def test_latency_is_one_line_where_it_fits(columns: int, lines: int) -> None:
    """It may use the last column."""
    reported = [line.text for line in status_text(replace(EMPTY, history=HISTORY), columns)]
    at = next(place for place, line in enumerate(reported) if "median" in line)
    assert sum("(p95: 4.6 s)" in line for line in reported[at : at + lines]) == 1
    assert ("(p95: 4.6 s)" in reported[at]) is (lines == 1)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (ListenResult(True, 12.3), ["arrive, in 12 ms"]),
        (ListenResult(True), ["arrive, in 0.0 ms"]),
        (ListenResult(False), ["!don't arrive through this URL (a pooler in transaction mode?)"]),
        (ListenResult(None, problem="no listener"), ["not tested: no listener"]),
    ],
)
def test_notifications_are_shown(result: ListenResult, expected: list[str]) -> None:
    """If they don't arrive, that is bad. An unknown state is not."""
    assert found(replace(EMPTY, listen_result=result), "notifications") == expected


@pytest.mark.parametrize(("seconds", "is_bad"), [(10, False), (10.1, True)])
def test_collector_is_missing_once_a_row_is_due_for_long(seconds: float, is_bad: bool) -> None:
    """Ten seconds are not long."""
    seen = replace(EMPTY.progress, unsettled=[Unsettled("pending", None, True, 1, ago(seconds), NOW)])
    (reported,) = found(replace(EMPTY, progress=seen), "collectors")
    assert reported.startswith("!none is connected; due deliveries have waited for 10 s") is is_bad
    polled = replace(EMPTY, progress=replace(seen, fast_polling=True))
    assert found(polled, "collectors") == ["no sessions connected; one polls fast: inserts don't notify"]


def test_words_are_wrapped_to_twenty_columns_at_least() -> None:
    """This is so on any terminal. Narrower lines are cut."""
    assert found(replace(EMPTY, listen_result=ListenResult(None, problem="aa bbb")), "notifications", 38) == [
        "not tested: aa bbb"
    ]
    assert found(replace(EMPTY, listen_result=ListenResult(None, problem="aa bbbbbb")), "notifications", 30) == [
        "not tested:…",
        "bbbbbb",
    ]


def test_more_leases_than_eight_are_counted() -> None:
    """The largest ones are shown."""
    held = [Unsettled("claimed", f"collect:web:{n}:x", False, n, NOW, ago(-20)) for n in range(1, 10)]
    lines = status_text(replace(EMPTY, progress=replace(EMPTY.progress, unsettled=held)), 80)
    assert lines[-2:] == [
        StatusLine("  collect web pid 2  claimed  2  for 20 s more", rank=Rank.LEASE),
        StatusLine("  and 1 more", rank=Rank.LEASE),
    ]
    lines = status_text(replace(EMPTY, progress=replace(EMPTY.progress, unsettled=held[:8])), 80)
    assert lines[-1] == StatusLine("  collect web pid 1  claimed  1  for 20 s more", rank=Rank.LEASE)


@pytest.mark.parametrize(
    ("holder", "reported"),
    [
        ("collect:web:1:17:x", "collect web:1 pid 17"),
        ("send:web:17:x", "send web pid 17"),
        ("other:web:17:x", "other:web:17:x"),
        ("send:17:x", "send:17:x"),
        ("send", "send"),
        ("\x1b", r"\x1b"),
    ],
)
def test_holder_is_shown_as_a_process(holder: str, reported: str) -> None:
    """Its random part is omitted. A name of another form is unchanged."""
    held = [Unsettled("claimed", holder, False, 1, NOW, ago(-20))]
    lines = status_text(replace(EMPTY, progress=replace(EMPTY.progress, unsettled=held)), 80)
    assert lines[-1].text == f"  {reported}  claimed  1  for 20 s more"


def test_check_accepts_the_limit_itself() -> None:
    """A function that every role may execute is reported, and is no failure."""
    due = [Unsettled("pending", None, True, 1, ago(60), ago(60))]
    waits = QueueProgress(NOW, None, False, due, Oldest(1, ago(60), ago(-1)))
    assert health(waits, 60) == (True, "the oldest mailable token has waited for 1 min")
    assert health(replace(waits, oldest=None), 60) == (True, "no mailable token waits")
    assert health(replace(waits, oldest=None), 59) == (
        False,
        "due deliveries have waited for 1 min, longer than 59 s",
    )
    assert health(waits, 59) == (False, "token 1 has waited for 1 min, longer than 59 s; it expires in 1.0 s")
    rights = "every role may execute 1 function of mailroom; mailroom-collect migrate says how to end that"
    assert health(replace(waits, oldest=None), 60, ["a"]) == (True, f"no mailable token waits; {rights}")


@pytest.mark.parametrize(("reason", "why"), [(None, ""), ("spam", ": spam")])
def test_paused_queue_fails_the_check(reason: str | None, why: str) -> None:
    """It does so whatever waits. The reason is shown if there is one."""
    paused = replace(EMPTY.progress, paused_at=ago(120), paused_reason=reason)
    assert health(paused, 60) == (False, f"the queue is paused since 2026-01-31 23:57:59 UTC{why}")
    reported = " ".join(found(replace(EMPTY, progress=paused), "PAUSED", 200))
    assert reported == f"!since 2026-01-31 23:57:59 UTC{why}; nothing is sent until mailroom-collect resume"


def test_late_mails_fail_the_check() -> None:
    """Also beside another fault. In a paused queue the pause is the fault. At a standstill the age decides."""
    late = "at 14 mails a second, 87,400 of 100,000 waiting mails expire before their turn"
    assert health(EMPTY.progress, 60, outlook=LATE) == (False, late)
    assert health(replace(PROGRESS, paused_at=None), 60, outlook=LATE) == (
        False,
        f"token 4711 has waited for 1 min 1 s, longer than 1 min; it expires in 13 min 59 s; {late}",
    )
    assert health(PROGRESS, 60, outlook=LATE) == health(PROGRESS, 60)
    assert health(EMPTY.progress, 60, outlook=replace(LATE, rate_per_s=0.0)) == (True, "no mailable token waits")
    assert found(replace(EMPTY, outlook=LATE), "LATE", 300) == [
        f"!A{late[1:]}. A new password_recovery is mailed within 1 s. A new activation expires unsent if it is inserted"
        " after 2026-02-01 00:00 UTC."
    ]
    assert found(replace(FULL, outlook=replace(LATE, actions=[RECOVERY])), "PAUSED") == found(FULL, "PAUSED")


def test_table_by_action_is_short_when_no_mail_is_late() -> None:
    """It has the actions of which some wait, and a low screen may omit it. If nothing waits, there is none."""
    idle = replace(RECOVERY, waiting=0, oldest_s=None)
    assert list(action_table(Outlook([replace(ACTIVATION, late=0, new_wait_s=None), idle], 14.0))) == [
        StatusLine("", rank=Rank.PULSE),
        StatusLine("by action     waiting     oldest  late  a new one waits", Kind.HEAD, Rank.PULSE),
        StatusLine("  activation   99,980  1 h 1 min     0", rank=Rank.PULSE),
    ]
    assert list(action_table(Outlook([idle], None))) == []


def test_report_for_programs_has_each_documented_key() -> None:
    """Each figure has its key. Keys name the units of times and durations."""
    assert status_json(FULL) == JSON


def test_seconds_have_milliseconds() -> None:
    """This is so for every source."""
    due = [Unsettled("pending", None, True, 1, ago(90.1236), NOW)]
    reported = status_json(
        replace(FULL, progress=QueueProgress(NOW, None, False, due, Oldest(1, ago(61.1236), ago(-9.8764))))
    )
    assert (reported["oldest"]["age_s"], reported["oldest"]["expires_in_s"], reported["overdue_s"]) == (
        61.124,
        9.876,
        90.124,
    )


def test_report_of_nothing_for_programs_has_no_figures() -> None:
    """All keys are there."""
    nothing = status_json(EMPTY)
    assert nothing == {
        **dict.fromkeys(["oldest", "last_sent_at", "acknowledged_at", "paused", "rate_per_s"]),
        **{state: {"minute": 0, "hour": 0, "day": 0} for state in ("sent", "emitted", "failed", "skipped")},
        **{key: [] for key in ("actions", "reasons", "leases", "public_functions")},
        "queue": "mailroom", "time": "2026-01-31T23:59:59.000Z", "claimed": 0, "sending": 0, "overdue_s": 0.0,
        "waiting": {"due": 0, "later": 0, "lapsed": 0}, "doubts": {"day": 0}, "attended": False,
        "latency_ms": {"p50": None, "p95": None}, "connected": {"collectors": 0, "senders": 0},
        "notifications": {"arrive": None, "ms": None, "problem": "no"},
    }  # fmt: skip
    assert list(nothing) == list(JSON)
