"""When a row is tried again, and which calls wait meanwhile."""

import pytest

from mailroom_sender.schedule.gates import GateChange, Gates
from mailroom_sender.schedule.retries import backoff
from mailroom_sender.ses import holds
from mailroom_sender.ses.verdict import Outcome, Verdict

A, R = "activation", "password_recovery"
SENT = [Verdict(Outcome.SENT)]
PAUSED = [Verdict(Outcome.HOLD, "paused", hold=holds.ACCOUNT)]
NO_TEMPLATE = [Verdict(Outcome.HOLD, "no template", hold=holds.TEMPLATE)]
REFUSALS = [Verdict(Outcome.HOLD, "refusals", hold=holds.REFUSALS)]
FAILED = [Verdict(Outcome.LATER, "HTTP 500", slower=True)]
THROTTLED = [Verdict(Outcome.LATER, "rate", slower=True, throttled=True)]
BUSY = [Verdict(Outcome.LATER, "busy")]


@pytest.mark.parametrize(("attempt", "whole"), [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (1000, 60)])
def test_backoff_doubles_up_to_a_minute(attempt: int, whole: float) -> None:
    """A row waits between half and all of the backoff: 1 s, doubled each time, a minute at most."""
    assert (backoff(attempt, 0.0), backoff(attempt, 1.0)) == (whole / 2, whole)


def test_account_hold_stops_all_calls_until_a_probe() -> None:
    """Then one call is made, and the next one waits for its answer."""
    gates = Gates()
    assert gates.answered(A, PAUSED, 100, 0) == [GateChange(True, "paused", holds.ACCOUNT, None)]
    assert gates.closed((A, R), 114) == {A, R}
    assert (gates.opens_at(114), gates.opens_at(115)) == (115, float("inf"))
    assert gates.closed((A, R), 115) == frozenset()
    gates.note_call(R, 1, 115)
    assert gates.closed((A, R), 116) == {A, R}


def test_template_hold_stops_only_its_action() -> None:
    """A missing template of one action does not delay the other."""
    gates = Gates()
    assert gates.answered(A, NO_TEMPLATE, 0, 0) == [GateChange(True, "no template", holds.TEMPLATE, A)]
    assert gates.closed((A, R), 1) == {A}
    assert gates.answered(R, SENT, 2, 0) == []
    assert gates.closed((A, R), 3) == {A}


def test_same_hold_is_logged_once_and_its_end_too() -> None:
    """The log says when it starts and when it ends, not every 15 seconds."""
    gates = Gates()
    gates.answered(A, PAUSED, 0, 0)
    assert gates.answered(A, PAUSED, 15, 0) == []
    assert gates.held
    assert gates.answered(A, SENT, 30, 0) == [GateChange(False, "paused", holds.ACCOUNT, None)]
    assert gates.answered(A, SENT, 31, 0) == []
    assert (gates.held, gates.closed((A, R), 31), gates.opens_at(31)) == (False, frozenset(), float("inf"))


def test_failed_probe_of_another_kind_keeps_the_gate_closed() -> None:
    """A 503 as the answer to a probe says nothing about the hold."""
    gates = Gates()
    gates.answered(A, PAUSED, 0, 0)
    gates.note_call(A, 1, 15)
    gates.answered(A, BUSY, 16, 0)
    assert gates.closed((A, R), 17) == {A, R}
    assert gates.closed((A, R), 30) == frozenset()


@pytest.mark.parametrize(("verdicts", "pause"), [(THROTTLED, 0.2), (FAILED, 1.0), (THROTTLED + FAILED, 1.0)])
def test_slower_answer_stops_all_calls_until_a_success(verdicts: list[Verdict], pause: float) -> None:
    """For a moment after throttling, longer after a failure. Each such call doubles the pause; a success ends it."""
    gates = Gates()
    gates.answered(A, verdicts, 0, 1.0)
    assert gates.closed((A, R), pause - 0.1) == {A, R}
    assert gates.closed((A, R), pause) == frozenset()
    gates.answered(A, verdicts, 1, 1.0)
    assert gates.closed((A, R), 0.9 + 2 * pause) == {A, R}
    assert gates.closed((A, R), 1.0 + 2 * pause) == frozenset()
    gates.answered(A, SENT, 3, 1.0)
    gates.answered(A, verdicts, 4, 1.0)
    assert gates.closed((A, R), 4 + pause) == frozenset()


def test_calls_in_progress_do_not_lengthen_the_pause() -> None:
    """They were made before SES was known to throttle."""
    gates = Gates()
    for at in (0.0, 0.05, 0.1, 0.15):
        gates.answered(A, THROTTLED, at, 1.0)
    assert gates.closed((A, R), 0.19) == {A, R}
    assert gates.closed((A, R), 0.2) == frozenset()


def test_hold_for_refusals_is_probed_soon() -> None:
    """The next row may end a run of bad rows: a probe comes after 1, 2, 4 and 8 s, and then every 15 s."""
    gates, now = Gates(), 100.0
    gates.answered(A, REFUSALS, now, 0)
    for wait in (1, 2, 4, 8, 15, 15):
        assert gates.closed((A, R), now + wait - 0.5) == {A}
        now += wait
        assert gates.closed((A, R), now) == frozenset()
        gates.note_call(A, 50, now)
        gates.answered(A, REFUSALS, now, 0)
    assert gates.answered(A, SENT, now, 0) == [GateChange(False, "refusals", holds.REFUSALS, A)]


def test_probe_has_one_row() -> None:
    """The next call waits for its answer."""
    gates = Gates()
    assert gates.most_rows(A) == float("inf")
    gates.answered(A, NO_TEMPLATE, 0, 0)
    assert (gates.most_rows(A), gates.most_rows(R)) == (1, float("inf"))
    gates.answered(A, PAUSED, 0, 0)
    assert (gates.most_rows(A), gates.most_rows(R)) == (1, 1)


def test_probe_after_refusals_has_fifty_rows_in_calls_of_any_size() -> None:
    """Bad rows may stand before a good one. A new refusal ends the probe early, and the next wait is twice as long."""
    gates = Gates()
    gates.answered(A, REFUSALS, 0, 0)
    for _ in range(2):
        assert gates.closed((A,), 1.0) == frozenset()
        gates.note_call(A, 20, 1.0)
    assert gates.most_rows(A) == 10
    gates.answered(A, REFUSALS, 1.5, 0)
    assert [A in gates.closed((A,), at) for at in (3.4, 3.5)] == [True, False]
    assert gates.most_rows(A) == 50
    for _ in range(5):
        gates.note_call(A, 10, 4.0)
    assert [A in gates.closed((A,), at) for at in (7.9, 8.0)] == [True, False]


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.SPLIT, Outcome.LATER])
def test_refusal_opens_no_gate(outcome: Outcome) -> None:
    """The reason of the hold may be why the probe is refused."""
    gates = Gates()
    gates.answered(A, PAUSED, 0, 0)
    assert gates.answered(A, [Verdict(outcome, "no")], 15, 0) == []
    assert gates.held
