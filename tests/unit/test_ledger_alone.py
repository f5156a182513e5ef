"""A sender without a database: it tries again itself, and keeps in files what it can't send."""

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
    """Begin rows and settle them all alike; return after how many seconds each goes again."""
    begun = ledger.begin_soon(batch, ledger.new_holder()).wait().begun
    return [again.delay for again in ledger.settle([Settlement(one, verdict) for one in begun])]


def test_all_rows_may_be_sent_at_any_time(unsent: UnsentRows) -> None:
    """Nobody else could have them."""
    batch = rows(1, 2)
    permission = LedgerAlone(unsent).begin_soon(batch, "")
    assert permission.allowed_until(batch) == float("inf")
    assert [(one.row, one.attempt) for one in permission.wait().begun] == [(row, 1) for row in batch]


@pytest.mark.parametrize(
    ("outcome", "tries"),
    [(Outcome.LATER, MOST_ATTEMPTS), (Outcome.UNKNOWN, MOST_ATTEMPTS), (Outcome.REFUSED, MOST_REFUSALS)],
)
def test_row_is_tried_so_often_and_then_kept(unsent: UnsentRows, outcome: Outcome, tries: int) -> None:
    """With growing pauses; a row that SES refuses alone, when nobody knows why, less often."""
    ledger, batch = LedgerAlone(unsent), rows(1)
    delays = [delay for _ in range(tries - 1) for delay in settle(ledger, batch, Verdict(outcome, "why"))]
    assert len(delays) == tries - 1
    assert 0.5 <= delays[0] <= 1 < delays[2] <= 4
    assert settle(ledger, batch, Verdict(outcome, "why")) == []
    assert unsent.summary.startswith("1 row not sent: 'mailroom-send < ")
    assert ledger.begin(batch, "").begun[0].attempt == 1  # it is forgotten


@pytest.mark.parametrize(
    ("verdict", "kept"),
    [
        (Verdict(Outcome.SENT), ""),
        (Verdict(Outcome.NEVER, "no such address"), "1 row or line rejected"),
        (None, "1 row not sent"),
    ],
    ids=["sent", "failed", "not tried"],
)
def test_row_that_does_not_go_again_is_kept_unless_it_was_sent(
    unsent: UnsentRows, verdict: Verdict | None, kept: str
) -> None:
    """Nothing is lost, and a row that was given back is for a replay."""
    assert settle(LedgerAlone(unsent), rows(1), verdict) == []
    assert unsent.summary.startswith(kept)
    assert bool(unsent.summary) == bool(kept)
