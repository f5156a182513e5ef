"""The parts of a batch that still need a call."""

from mailroom_sender.delivery.batch_parts import BatchParts
from mailroom_sender.input.action import MailAction
from mailroom_sender.input.row import Row
from mailroom_sender.ses.verdict import Outcome, Verdict

ROWS = [Row(MailAction.ACTIVATION, "a@b.example", str(number), "", "", b"") for number in range(9)]
SPLIT, APART = Verdict(Outcome.SPLIT, "no"), Verdict(Outcome.SPLIT, "no", apart=True)
NEVER = Verdict(Outcome.NEVER, "named")


def taken(parts: BatchParts) -> list[str]:
    """Take all parts. Return the numbers of the rows of each."""
    found = []
    while parts:
        announced = parts.next
        found.append("".join(row.login for row in parts.pop()))
        assert found[-1] == "".join(row.login for row in announced)
    return found


def parts_after(*verdicts: Verdict, splits: bool = True) -> BatchParts:
    """Return the parts after a call for the first of two parts."""
    parts = BatchParts(ROWS[:8])
    parts.pop()
    parts.put_back(ROWS[:8], [SPLIT] * 8, splits=True)
    parts.put_back(parts.pop(), verdicts, splits=splits)
    return parts


def test_batch_begins_as_one_part() -> None:
    """No part is postponed."""
    parts = BatchParts(ROWS)
    assert (taken(parts), parts.postponed_for) == (["012345678"], "")


def test_refused_part_is_halved_before_the_other_parts() -> None:
    """The first half is the larger one, and is called first."""
    assert taken(parts_after(SPLIT, SPLIT, SPLIT, SPLIT)) == ["01", "23", "4567"]
    parts = BatchParts(ROWS[:3])
    parts.put_back(parts.pop(), [SPLIT] * 3, splits=True)
    assert taken(parts) == ["01", "2"]


def test_rows_beside_named_rows_go_together() -> None:
    """This is so whether or not parts are halved."""
    for splits in (True, False):
        assert taken(parts_after(SPLIT, NEVER, SPLIT, NEVER, splits=splits)) == ["02", "4567"]


def test_separated_rows_are_called_after_the_others() -> None:
    """They still come before the rest of the batch."""
    for splits in (True, False):
        assert taken(parts_after(SPLIT, APART, SPLIT, APART, splits=splits)) == ["02", "13", "4567"]


def test_part_without_rows_to_repeat_is_done() -> None:
    """The part after it is next."""
    assert taken(parts_after(NEVER, NEVER, NEVER, NEVER)) == ["4567"]


def test_postponed_parts_are_called_after_the_resume() -> None:
    """Until then they keep SES's words about the last call of them."""
    parts = parts_after(SPLIT, SPLIT, SPLIT, SPLIT, splits=False)
    assert parts.postponed_for == "no"
    parts.resume()
    assert (taken(parts), parts.postponed_for) == (["0123", "4567"], "")
    parts.resume()
    assert taken(parts) == []


def test_part_of_one_row_is_postponed_like_others() -> None:
    """It is postponed alone."""
    parts = BatchParts(ROWS[:1])
    parts.put_back(parts.pop(), [SPLIT], splits=False)
    assert (taken(parts), parts.postponed_for) == ([], "no")
    parts.resume()
    assert taken(parts) == ["0"]
