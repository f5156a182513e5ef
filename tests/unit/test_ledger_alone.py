"""A sender without a database: it retries by itself, and keeps in files what it can't send."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from mailroom_sender.input.row import Row
from mailroom_sender.ledger.alone import LedgerAlone
from mailroom_sender.ledger.protocol import Settlement
from mailroom_sender.output.unsent_rows import UnsentRows
from mailroom_sender.schedule.retries import MOST_ATTEMPTS, MOST_REFUSALS
from mailroom_sender.ses.verdict import Outcome, Verdict
from tests.support.sender_parts import rows


@pytest.fixture
def unsent(tmp_path: Path) -> UnsentRows:
    return UnsentRows(tmp_path)


def settle(ledger: LedgerAlone, batch: Sequence[Row], verdict: Verdict | None) -> list[float]:
    """Begin rows and give all of them the same outcome. Return in how many seconds each is tried again."""
    begun = ledger.begin_soon(batch, ledger.new_holder()).wait().begun
    return [again.delay for again in ledger.settle([Settlement(one, verdict) for one in begun])]


def test_all_rows_may_be_sent_at_any_time(unsent: UnsentRows) -> None:
    """No other sender has them."""
    batch = rows(1, 2)
    permission = LedgerAlone(unsent).begin_soon(batch, "")
    assert permission.allowed_until(batch) == float("inf")
    assert [(one.row, one.attempt) for one in permission.wait().begun] == [(row, 1) for row in batch]


@pytest.mark.parametrize(
    ("outcome", "tries"),
    [(Outcome.LATER, MOST_ATTEMPTS), (Outcome.UNKNOWN, MOST_ATTEMPTS), (Outcome.REFUSED, MOST_REFUSALS)],
)
def test_row_is_tried_a_few_times_and_then_kept(unsent: UnsentRows, outcome: Outcome, tries: int) -> None:
    """The pauses grow. A row that SES refuses alone, without a known cause, is tried less often."""
    ledger, batch = LedgerAlone(unsent), rows(1)
    delays = [delay for _ in range(tries - 1) for delay in settle(ledger, batch, Verdict(outcome, "why"))]
    assert len(delays) == tries - 1
    assert 0.5 <= delays[0] <= 1 < delays[2] <= 4
    assert settle(ledger, batch, Verdict(outcome, "why")) == []
    assert unsent.summary.startswith("1 row not sent: 'mailroom-send < ")
    assert ledger.begin(batch, "").begun[0].attempt == 1  # it is forgotten


def test_row_for_which_no_call_was_made_is_not_counted(unsent: UnsentRows) -> None:
    """It waits for the given time, and this was no attempt."""
    ledger, batch = LedgerAlone(unsent), rows(1)
    for _ in range(2 * MOST_ATTEMPTS):
        (begun,) = ledger.begin(batch, "").begun
        assert begun.attempt == 1
        (again,) = ledger.settle([Settlement(begun, Verdict(Outcome.HOLD, "paused"), 20.0)])
        assert (again.row, again.delay) == (batch[0], 20.0)


@pytest.mark.parametrize(
    ("verdict", "kept"),
    [
        (Verdict(Outcome.SENT), ""),
        (Verdict(Outcome.NEVER, "no such address"), "1 row or line rejected"),
        (None, "1 row not sent"),
    ],
    ids=["sent", "failed", "not tried"],
)
def test_row_that_is_not_retried_is_kept_unless_it_was_sent(
    unsent: UnsentRows, verdict: Verdict | None, kept: str
) -> None:
    """No row is lost. A released row goes to a replay file."""
    assert settle(LedgerAlone(unsent), rows(1), verdict) == []
    assert unsent.summary.startswith(kept)
    assert bool(unsent.summary) == bool(kept)
