"""What the collector reports to the log and to the service manager. The test moves the clock."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mailroom_collector.log import log
from mailroom_collector.report.backlog_bar import BacklogBar
from mailroom_collector.report.claim_log import ClaimLog
from mailroom_collector.report.late_mails import LateMails
from mailroom_collector.report.reporter import Reporter
from mailroom_collector.report.summary import Totals
from mailroom_collector.report.terminal import Terminal
from mailroom_runtime.process.systemd import Notifier
from tests.support.clock import Clock
from tests.support.outlooks import Answers


@pytest.fixture(autouse=True)
def json_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "as_json", True)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """A service manager's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        yield manager


def events(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capfd.readouterr().err.splitlines()]


def test_tokens_that_may_have_been_mailed_twice_are_all_named(capfd: pytest.CaptureFixture[str]) -> None:
    """A line has 80 of them, so no line is cut."""
    claims = ClaimLog(Clock())
    claims.log_doubts(range(1, 101))
    first, second = events(capfd)
    assert (first["event"], first["level"]) == ("tokens_may_have_been_mailed_twice", "warning")
    assert (first["tokens"], first["count"]) == (list(range(1, 81)), 80)
    assert second["tokens"] == list(range(81, 101))
    assert second["message"] == (
        "20 rows may have been mailed twice: the last sender stopped before it recorded the outcome, and the mail goes"
        f" again; tokens {list(range(81, 101))}"
    )
    assert claims.in_doubt == 100


def test_tokens_that_wait_for_their_action_are_logged_once_a_minute(capfd: pytest.CaptureFixture[str]) -> None:
    """Every claim finds them again."""
    clock = Clock(100.0)
    claims = ClaimLog(clock)
    claims.log_waiting([])
    for clock.now in (100.0, 159.9, 160.0):
        claims.log_waiting([7, 9])
    first, second = events(capfd)
    assert (first["event"], first["tokens"], first["count"]) == ("action_missing", [7, 9], 2)
    assert first["message"].startswith(
        "2 tokens not claimed (first: 7), because the action is not in mailroom_actions; insert it"
    )
    assert second["message"] == first["message"]


def test_stale_tokens_are_logged_by_their_reason_and_counted(capfd: pytest.CaptureFixture[str]) -> None:
    """The first five of a reason have their own lines. The rest is counted at the end."""
    claims = ClaimLog(Clock())
    claims.log_stale(dict.fromkeys(range(1, 9), "expired") | {20: "consumed"})
    claims.log_counts(is_end=True)
    said = events(capfd)
    assert [one["message"] for one in said if one["reason"] == "consumed"] == ["token 20 is not mailed: consumed"]
    assert [one.get("token") for one in said if one["reason"] == "expired"] == [1, 2, 3, 4, 5, None]
    assert said[-1]["count"] == 3
    assert claims.stale == 9


def test_summary_has_its_figures_as_fields(capfd: pytest.CaptureFixture[str]) -> None:
    """It is logged five minutes after the first rows, and at the end."""
    clock = Clock(100.0)
    reporter = Reporter(Notifier({}), BacklogBar(Terminal(2, {}), clock), LateMails(Answers(), clock), clock)
    totals = Totals(rows=12, lines=2, stale=1, rejected=3, in_doubt=4)
    reporter.sum_up(totals, 5, is_end=True)
    reporter.found_rows()
    assert reporter.deadline() == 400.0
    clock.now = 399.9
    reporter.sum_up(totals, 5)
    assert events(capfd) == []
    clock.now = 400.0
    reporter.sum_up(totals, 5)
    (summary,) = events(capfd)
    assert summary["message"] == (
        "in 5 min: printed 12 rows in 2 lines; 1 stale; 3 rejected; 4 may have been mailed twice; 5 still claimed"
    )
    figures = {"for_s": 300.0, "rows": 12, "lines": 2, "stale": 1, "rejected": 3, "in_doubt": 4, "claimed": 5}
    assert {name: summary[name] for name in figures} == figures
    assert summary["event"] == "summary"
    assert reporter.deadline() == float("inf")


def test_service_manager_gets_a_status_every_five_seconds_and_at_a_pause(
    manager: socket.socket, tmp_path: Path
) -> None:
    """The status counts rows since the start. A pause is reported at once."""
    clock = Clock(100.0)
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    reporter = Reporter(notifier, BacklogBar(Terminal(2, {}), clock), LateMails(Answers(), clock), clock)
    reporter.send_status(0, is_paused=False)
    clock.now = 104.9
    reporter.send_status(7, is_paused=False)
    clock.now = 105.0
    reporter.send_status(8, is_paused=False)
    reporter.send_status_soon()
    reporter.send_status(9, is_paused=True)
    reported = [manager.recv(1000).decode() for _ in range(3)]
    assert reported == [
        "STATUS=0 rows printed since the start",
        "STATUS=8 rows printed since the start",
        "STATUS=9 rows printed since the start; the queue is paused",
    ]
    with pytest.raises(BlockingIOError):
        manager.recv(1000)
    assert notifier._socket is not None
    notifier._socket.close()  # else a warning, which is an error here
