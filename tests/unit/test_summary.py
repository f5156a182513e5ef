"""The work of a few minutes, in one log line."""

import pytest

from mailroom_collector.report.summary import CollectorSummary, Totals
from mailroom_sender.output.summary import SenderSummary
from mailroom_sender.ses.verdict import Outcome, Verdict


def verdicts(**counts: int) -> list[Verdict]:
    return [Verdict(Outcome[name.upper()]) for name, count in counts.items() for _ in range(count)]


def test_collector_reports_new_rows_only() -> None:
    """It reports once, five minutes after the first event, what was added to the totals."""
    summary = CollectorSummary(0.0)
    assert (summary.due_at, summary.report(50.0, Totals(0, 0, 0, 0, 0), 0)) == (float("inf"), None)
    summary.found_rows(100.0)
    summary.found_rows(250.0)
    assert summary.due_at == 400.0
    line = summary.report(400.0, Totals(12_345, 1240, 2, 0, 1), 30)
    assert line == (300.0, (12_345, 1240, 2, 0, 1), 30)
    assert line is not None
    assert line.text == (
        "in 5 min: printed 12,345 rows in 1,240 lines; 2 stale; 1 may have been mailed twice; 30 still claimed"
    )
    assert summary.report(500.0, Totals(12_345, 1240, 2, 0, 1), 0) is None
    summary.found_rows(1000.0)
    line = summary.report(1007.0, Totals(12_350, 1241, 2, 1, 1), 0)
    assert line is not None
    assert line.text == "in 7 s: printed 5 rows in 1 line; 1 rejected"


def text(summary: SenderSummary, now: float) -> str:
    line = summary.line(now)
    assert line is not None
    return line.text


def test_one_call_is_singular() -> None:
    """The text is not "1 calls"."""
    summary = SenderSummary()
    summary.add(10.0, verdicts(sent=1), 0, [0.059])
    reported = text(summary, 12.0)
    assert reported.startswith("in 2 s: sent 1; SES answered 1 call, within ")
    assert abs(float(reported.split()[-2]) - 59) < 3


def test_sender_reports_outcomes_and_latencies() -> None:
    """Rows are counted by outcome. The latencies of 50 and 95 % of the calls are within a few percent."""
    summary = SenderSummary()
    summary.add(5.0, [], 0, [])
    assert (summary.due_at, summary.line(9.0)) == (float("inf"), None)
    summary.add(10.0, verdicts(sent=1000, later=2, hold=1, never=3, unknown=50), 1, [])
    for ms in range(1, 101):
        summary.add(20.0, verdicts(sent=1), 0, [ms / 1000])
    assert (summary.due_at, summary.sent) == (310.0, 1100)
    reported = text(summary, 310.0)
    head, _, calls = reported.rpartition("; ")
    assert head == "in 5 min: sent 1,100; 4 failed; 3 not taken now; 50 may have been mailed twice"
    half, most = (float(word) for word in calls.split() if word.isdecimal() and word not in ("100", "95"))
    assert calls == f"SES answered 100 calls, half of them within {half:.0f} ms, 95 % within {most:.0f} ms"
    assert abs(half - 50) < 3
    assert abs(most - 95) < 5
    assert summary.line(400.0) is None


def test_latencies_are_given_by_rank() -> None:
    """They are the times within which half, and 95 %, of the calls were answered, with the digits that are certain."""
    for took, reported in (
        ([0.002, 5.0], "SES answered 2 calls, half of them within 2.0 ms, 95 % within 5,003 ms"),
        ([0.01, 0.02, 0.04, 0.08], "SES answered 4 calls, half of them within 20 ms, 95 % within 79 ms"),
        ([0.01] * 19 + [1.0], "SES answered 20 calls, half of them within 10 ms, 95 % within 10 ms"),
        ([0.0], "SES answered 1 call, within 0.1 ms"),
    ):
        summary = SenderSummary()
        summary.add(10.0, verdicts(sent=1), 0, took)
        assert text(summary, 11.0) == f"in 1 s: sent 1; {reported}"
        assert summary.line(12.0) is None


def test_rows_that_can_never_be_sent_are_reported() -> None:
    """Without a call there is no latency. The next line starts at zero."""
    summary = SenderSummary()
    summary.add(10.0, [], 2, [])
    assert (summary.due_at, text(summary, 11.0)) == (310.0, "in 1 s: sent 0; 2 failed")
    summary.add(20.0, verdicts(sent=2, refused=1, once_more=1), 0, [])
    summary.add(30.0, verdicts(unknown=1), 0, [])
    assert (summary.due_at, summary.sent) == (320.0, 2)
    assert text(summary, 32.0) == "in 12 s: sent 2; 2 not taken now; 1 may have been mailed twice"


def test_summary_has_fields() -> None:
    """A program reads numbers. Events that did not happen are 0, and without a call there is no latency."""
    summary = SenderSummary()
    summary.add(10.0, verdicts(sent=2, refused=1, unknown=3), 1, [])
    line = summary.line(12.5)
    assert line is not None
    assert line.fields == {"for_s": 2.5, "sent": 2, "failed": 1, "not_taken": 1, "in_doubt": 3}
    summary.add(20.0, verdicts(sent=1), 0, [0.05, 0.05])
    line = summary.line(21.0)
    assert line is not None
    assert line.fields["calls"] == 2
    assert (line.fields["median_ms"], line.fields["p95_ms"]) == (pytest.approx(50, rel=0.03),) * 2
