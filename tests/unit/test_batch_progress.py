"""The progress of a batch: the next call, when each row is settled, and what all calls wait for."""

from collections.abc import Callable, Iterable

from mailroom_sender.delivery.batch_progress import BatchProgress
from mailroom_sender.delivery.refusal_run import RUN_LENGTH, RefusalRun
from mailroom_sender.input.action import MailAction
from mailroom_sender.input.row import Row
from mailroom_sender.ledger.protocol import Settlement
from mailroom_sender.ses import holds
from mailroom_sender.ses.permission import Begun
from mailroom_sender.ses.verdict import Outcome, Verdict

WHY = "MessageRejected: no"
LEASE_NEARLY_OVER = 1000.0
HELD = Verdict(Outcome.HOLD, "paused", hold=holds.ACCOUNT)


class Play:
    """A batch against an SES that decides by the rows of a call. Each call takes a second."""

    def __init__(self, rows: Iterable[int], ses: Callable[[list[int]], list[Verdict]], run: RefusalRun | None = None):
        self.progress = BatchProgress([row(number) for number in rows], run or RefusalRun())
        self.ses = ses
        self.calls: list[list[int]] = []
        self.settled: dict[int, Verdict] = {}
        self.now = 0.0

    def play(self) -> "Play":
        while self.progress.parts:
            part = self.progress.parts.pop()
            numbers = [int(one.login) for one in part]
            begun = [Begun(one, int(one.login), 1, "me", LEASE_NEARLY_OVER) for one in part]
            if self.progress.held:
                self.settled.update((number, self.progress.held) for number in numbers)
            else:
                self.calls.append(numbers)
                verdicts = self.progress.answered(begun, self.ses(numbers), self.now, self.now + 0.5)
                self._settle(self.progress.settled_now(begun, verdicts))
            self.now += 1
            self._settle(self.progress.decided(self.now))
        return self

    def _settle(self, settlements: Iterable[object]) -> None:
        for one in settlements:
            assert one.begun.token not in self.settled, "settled twice"  # type: ignore[attr-defined]
            self.settled[one.begun.token] = one.verdict  # type: ignore[attr-defined]

    def numbers(self, outcome: Outcome) -> list[int]:
        return sorted(number for number, verdict in self.settled.items() if verdict.outcome is outcome)


def row(number: int) -> Row:
    return Row(MailAction.ACTIVATION, "a@b.example", str(number), str(number), "01234", b"")


def refusing(*bad: int) -> Callable[[list[int]], list[Verdict]]:
    """Return an SES that refuses each call with one of these rows."""

    def answer(numbers: list[int]) -> list[Verdict]:
        if not set(bad) & set(numbers):
            return [Verdict(Outcome.SENT, message_id="m")] * len(numbers)
        return [Verdict(Outcome.SPLIT if len(numbers) > 1 else Outcome.REFUSED, WHY)] * len(numbers)

    return answer


def test_bad_row_fails_and_other_rows_are_sent() -> None:
    """It fails at any place in the batch. Each row is settled once."""
    for bad in range(10):
        play = Play(range(10), refusing(bad)).play()
        others = [number for number in range(10) if number != bad]
        assert (play.numbers(Outcome.NEVER), play.numbers(Outcome.SENT)) == ([bad], others)


def test_accepted_part_ends_a_run_of_bad_rows() -> None:
    """There are more bad rows than a run. The rest is tried as a whole before a hold, and then split again."""
    bad = range(3 * RUN_LENGTH)
    play = Play(range(50), refusing(*bad)).play()
    assert (play.numbers(Outcome.NEVER), len(play.numbers(Outcome.SENT))) == ([*bad], 50 - len(bad))
    assert play.progress.held is None


def test_refusal_of_all_rows_becomes_a_hold_after_a_few_calls() -> None:
    """Each row is released and none fails. The next batch, a probe, needs no more calls."""
    run = RefusalRun()
    for start in (0, 100):
        play = Play(range(50), refusing(*range(50)), run)
        play.now = start
        play.play()
        assert play.numbers(Outcome.HOLD) == [*range(50)]
        assert play.progress.held
        assert play.progress.held.hold is holds.REFUSALS
        expected = f"5 or more mails in a row were refused, and none was accepted in between: {WHY}"
        assert play.progress.held.reason == expected
        assert len(play.calls) < 20


def test_released_row_fails_when_others_are_accepted_meanwhile() -> None:
    """This includes a row that was refused only together with others."""
    run = RefusalRun()
    Play(range(20), refusing(*range(20)), run).play()
    good = Play([100], refusing(), run)
    good.now = 100
    good.play()
    again = Play([19], refusing(19), run)
    again.now = 200
    assert again.play().numbers(Outcome.NEVER) == [19]


def test_hold_ends_the_calls_of_a_batch() -> None:
    """When a part is held, the rest of the batch waits for the same reason."""
    answers = iter([[Verdict(Outcome.SPLIT, WHY)] * 4, [HELD] * 2])
    play = Play(range(4), lambda _: next(answers)).play()
    assert [len(call) for call in play.calls] == [4, 2]
    assert play.numbers(Outcome.HOLD) == [0, 1, 2, 3]


def test_undecided_row_is_settled_before_its_lease_ends() -> None:
    """It is settled as a row to be tried again."""
    play = Play(range(2), refusing(0, 1))
    play.now = LEASE_NEARLY_OVER
    play.play()
    assert play.numbers(Outcome.REFUSED) == [0, 1]


def test_second_failed_is_checked_again() -> None:
    """`Failed` may be true of all rows. The row is tried again, and fails only if another mail is accepted."""
    failed = Verdict(Outcome.ONCE_MORE, "Failed: x")
    for others, expected in (([failed], Outcome.REFUSED), ([Verdict(Outcome.SENT)], Outcome.NEVER)):
        progress = BatchProgress([row(0), row(1)], RefusalRun())
        begun = [Begun(row(number), number, 2, "me") for number in range(2)]
        assert progress.answered(begun, [failed, *others], 0, 1)[0].outcome is expected
    first = BatchProgress([row(0)], RefusalRun())
    assert first.answered([Begun(row(0), 0, 1, "me")], [failed], 0, 1) == [failed]


REFUSED = Verdict(Outcome.REFUSED, WHY)
SPLIT = Verdict(Outcome.SPLIT, WHY)


def begun(*numbers: int) -> list[Begun]:
    return [Begun(row(number), number, 1, "me", LEASE_NEARLY_OVER) for number in numbers]


def test_batch_records_whether_ses_accepted_a_mail() -> None:
    """The first accepted mail counts. A refusal says nothing about it."""
    progress = BatchProgress([row(0), row(1)], RefusalRun())
    assert (progress.source_works, progress.logged, progress.held) == (False, set(), None)
    progress.answered(begun(0), [REFUSED], 0, 1)
    assert progress.source_works is False
    progress.answered(begun(1), [Verdict(Outcome.SENT)], 2, 3)
    assert progress.source_works is True


def test_hold_of_rows_holds_the_batch() -> None:
    """This is so only if all rows of a call are held."""
    progress = BatchProgress([row(0)], RefusalRun())
    progress.answered(begun(0), [HELD], 0, 1)
    assert progress.held is HELD
    progress = BatchProgress([row(0), row(1)], RefusalRun())
    progress.answered(begun(0, 1), [HELD, REFUSED], 0, 1)
    assert progress.held is None


def test_row_proved_to_be_at_fault_fails_at_once() -> None:
    """It does not wait for the decision on the batch."""
    run = RefusalRun()
    progress = BatchProgress([row(0)], run)
    run.refused("0", WHY, 1)
    run.accepted(2)
    assert progress.answered(begun(0), [REFUSED], 3, 4) == [Verdict(Outcome.NEVER, WHY)]


def test_row_beside_a_named_row_was_not_refused() -> None:
    """The refusal named the other row. So a mail accepted afterwards proves nothing about this one."""
    run = RefusalRun()
    progress = BatchProgress([row(0), row(1)], run)
    progress.parts.pop()
    progress.answered(begun(0, 1), [SPLIT, Verdict(Outcome.NEVER, WHY)], 0, 1)
    run.accepted(2)
    assert progress.answered(begun(0), [REFUSED], 3, 4) == [REFUSED]


def test_undecided_row_waits_until_its_lease_almost_ends() -> None:
    """It waits while its batch has another part to call. The last moment of the lease is still in time."""
    progress = BatchProgress([row(0), row(1)], RefusalRun())
    (one,) = begun(0)
    assert progress.settled_now([one], progress.answered([one], [REFUSED], 0, 1)) == []
    assert progress.decided(LEASE_NEARLY_OVER) == []
    assert progress.decided(LEASE_NEARLY_OVER + 1) == [Settlement(one, REFUSED)]
    assert progress.decided(LEASE_NEARLY_OVER + 2) == []


def test_undecided_row_is_tried_again_when_its_batch_ends() -> None:
    """There is no hold, because one refusal is not a run."""
    progress = BatchProgress([row(0)], RefusalRun())
    progress.parts.pop()
    (one,) = begun(0)
    progress.settled_now([one], progress.answered([one], [REFUSED], 0, 1))
    assert progress.decided(2) == [Settlement(one, REFUSED)]
    assert progress.held is None


def test_run_over_several_batches_is_held() -> None:
    """The last batch waits, and no row of it is called."""
    run = RefusalRun()
    plays = [Play([number], refusing(number), run) for number in range(RUN_LENGTH)]
    for number, play in enumerate(plays):
        play.now = 10.0 * number
        play.play()
    assert [play.progress.held is not None for play in plays] == [False] * (RUN_LENGTH - 1) + [True]
    assert plays[-1].settled[RUN_LENGTH - 1] is plays[-1].progress.held


def test_call_at_the_moment_of_a_refusal_proves_nothing() -> None:
    """It may have been made before the refusal. A later call proves something."""
    for called_at, outcome in ((1.0, Outcome.REFUSED), (1.1, Outcome.NEVER)):
        progress = BatchProgress([row(0), row(1)], RefusalRun())
        progress.answered(begun(0), [REFUSED], 0, 1.0)
        progress.answered(begun(1), [Verdict(Outcome.SENT)], called_at, 2)
        assert progress.answered(begun(0), [REFUSED], 3, 4) == [Verdict(outcome, WHY)]
