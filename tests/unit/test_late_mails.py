"""When a collector logs that mails of its backlog will be late. The test moves the clock."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from mailroom_collector.log import log
from mailroom_collector.report.late_mails import LateMails
from mailroom_collector.report.outlook import Outlook, late_words, new_words, sentences
from mailroom_runtime.errors import ConnectionLost, OperatorNeeded
from tests.support.clock import Clock
from tests.support.outlooks import Answers, outlook

LATE = outlook(late=87_400)


@pytest.fixture(autouse=True)
def json_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "as_json", True)


def events(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capfd.readouterr().err.splitlines()]


def test_backlog_is_judged_after_30_seconds_and_then_once_a_minute(capfd: pytest.CaptureFixture[str]) -> None:
    """It warns once, and says when that is over. The loop goes on while the answer has not come."""
    clock = Clock(100.0)
    answers = Answers(None, LATE, LATE, outlook())
    late = LateMails(answers, clock)
    asked = []
    for clock.now in (100.0, 129.9, 130.0, 130.1, 130.2, 189.9, 190.0, 249.9, 250.0):
        late.check(is_backlog=True)
        asked.append((answers.asked, late.due_at))
    assert asked == [
        (0, 130.0), (0, 130.0), (1, 130.2), (1, 130.2), (1, 190.0), (1, 190.0), (2, 250.0), (2, 250.0), (3, 310.0),
    ]  # fmt: skip
    warning, over = events(capfd)
    assert warning["message"] == (
        "At 14 mails a second, 87,400 of 100,000 waiting mails expire before their turn, and will be skipped. A new"
        " password_recovery is mailed within 1 s. This is logged once; 'mailroom-collect status' shows it by action,"
        " and docs/before-an-import.md says what to do"
    )
    fields = {"event": "mails_late", "level": "warning", "late": 87_400, "waiting": 100_000, "rate_per_s": 14.0}
    assert {name: warning[name] for name in fields} == fields
    assert (over["event"], over["level"], over["waiting"]) == ("mails_in_time", "info", 100_000)


def test_end_of_the_backlog_ends_the_warning_and_the_question(capfd: pytest.CaptureFixture[str]) -> None:
    """A loss of the database only ends the question."""
    clock = Clock(0.0)
    answers = Answers(LATE, None)
    late = LateMails(answers, clock)
    for clock.now in (0.0, 30.0, 90.0):
        late.check(is_backlog=True)
    late.suspend()
    assert ([one["event"] for one in events(capfd)], answers.closed, late.due_at) == (["mails_late"], 1, float("inf"))
    late.check(is_backlog=False)
    late.check(is_backlog=False)
    assert [one["event"] for one in events(capfd)] == ["mails_in_time"]


def test_short_backlog_is_not_judged() -> None:
    """Nothing is asked, and the loop is not woken."""
    clock = Clock(0.0)
    answers = Answers()
    late = LateMails(answers, clock)
    for clock.now in range(0, 300, 20):
        late.check(is_backlog=clock.now % 40 != 0)
    assert (answers.asked, late.due_at) == (0, float("inf"))


def test_unknown_rate_neither_warns_nor_ends_a_warning(capfd: pytest.CaptureFixture[str]) -> None:
    """The warning stays until it is known that no mail is late."""
    clock = Clock(0.0)
    late = LateMails(Answers(outlook(rate_per_s=None), LATE, outlook(rate_per_s=None)), clock)
    for clock.now in (0.0, 30.0, 90.0, 150.0):
        late.check(is_backlog=True)
    assert [one["event"] for one in events(capfd)] == ["mails_late"]


def test_missing_right_is_logged_once(capfd: pytest.CaptureFixture[str]) -> None:
    """A failure that may pass is not: the session logs it."""
    clock = Clock(0.0)
    answers = Answers(ConnectionLost("gone"), OperatorNeeded("no right", "grant it"))
    late = LateMails(answers, clock)
    for clock.now in (0.0, 30.0, 90.0, 150.0, 1e6):
        late.check(is_backlog=True)
    (warning,) = events(capfd)
    assert (warning["event"], warning["hint"]) == ("outlook_unavailable", "grant it")
    assert (answers.asked, answers.closed, late.due_at) == (2, 2, float("inf"))


NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
ACTIVATION, RECOVERY = LATE.actions


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (
            Outlook([replace(ACTIVATION, late_from=NOON, new_wait_s=900.0), replace(RECOVERY, new_wait_s=1.2)], 0.333),
            "At 0.33 mails a second, 87,400 of 100,000 waiting mails expire before their turn. A new password_recovery"
            " is mailed within 2 s. A new activation expires unsent if it is inserted after 2026-01-31 12:00 UTC.",
        ),
        (
            Outlook([replace(RECOVERY, waiting=1, late=1, new_wait_s=None, late_from=NOON)], 0.0),
            "Nothing was sent in the last 30 s; if that goes on, 1 of 1 waiting mail expires before its turn. A new"
            " password_recovery expires unsent if it is inserted after 2026-01-31 12:00 UTC.",
        ),
    ],
)
def test_words(seen: Outlook, words: str) -> None:
    """They name the action that goes first, and those whose new mails would be late."""
    assert sentences([late_words(seen), *new_words(seen)]) == words
